"""Training of an ASR model: what it reads, that it learns case and punctuation, and that it survives a kill."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from rapidfuzz.distance import Levenshtein
from safetensors.torch import load_file
from speechmill.asr.wav2vec2 import Wav2Vec2
from speechmill.audio import encode_flac
from speechmill.cli.evaluate import Evaluation, evaluate_asr
from speechmill.cli.train import Training, train_asr
from speechmill.core.config import Asr
from speechmill.core.config_errors import ConfigError
from speechmill.training.asr import material, train, trainer
from speechmill.training.asr.references import read
from speechmill.training.clip_sound import sound
from speechmill.training.inputs import Clip

from tests.forked import Forked

TEXTS = {  # by speaker and chapter
    "1/10": ("Is Anna home?", "Yes, she is."),
    "1/11": ("Tom, run!",),
    "2/20": ("Who has seen Rome?",),
}
BY_HEART = {"1/10": ("Oh, Tom!", "Who?")}
TINY = {"hidden": 32, "layers": 1, "batch_size": 2, "steps": 12, "rare": 1, "held_out": 0.3, "learning_rate": 1e-3}
OVERFIT = {"hidden": 128, "layers": 1, "batch_size": 1, "steps": 240, "rare": 1, "held_out": 0, "learning_rate": 2e-3}
MAX_WRONG = 0.06  # share of the characters: less than those that are capitals or punctuation
OVERFIT |= {"dropout": 0, "mask_time": 0}  # which keep a network from learning its clips by heart


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def libritts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of speakers and chapters, each text beside its sound: one synthetic voice, which stands for two."""
    return spoken(TEXTS, tmp_path_factory.mktemp("data") / "LibriTTS")


@pytest.fixture(scope="module")
def two_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of two short texts."""
    return spoken(BY_HEART, tmp_path_factory.mktemp("two") / "LibriTTS")


def spoken(chapters: dict[str, tuple[str, ...]], folder: Path) -> Path:
    from hibari import Hibari

    voice = Hibari()
    for chapter, texts in chapters.items():
        (folder / chapter).mkdir(parents=True)
        for number, text in enumerate(texts):
            name = folder / chapter / f"{chapter.replace('/', '_')}_{number:06}_000000"
            soundfile.write(f"{name}.wav", voice(text, seed=0), 24_000)
            Path(f"{name}.original.txt").write_text(text.upper())
            Path(f"{name}.normalized.txt").write_text(f"{text}\n")
    return folder


def recipe(*inputs: Path, **more: object) -> train.Recipe:
    return train.Recipe(inputs=inputs, **(TINY | more))


# --- it learns ---


def transcribed(output: Path, clips: tuple[Clip, ...]) -> list[str]:
    model = Wav2Vec2(str(output), Asr(model=str(output), beam_size=1))
    return [hypothesis.text for hypothesis in model.transcribe([sound(clip) for clip in clips])]


def nearly_the_same(texts: list[str], learnt: list[str]) -> bool:
    """Whether texts of a network that learnt them by heart are those: a letter may depend on the processor's sums."""
    wrong = sum(Levenshtein.distance(text, due) for text, due in zip(texts, learnt, strict=True))
    return wrong <= MAX_WRONG * sum(map(len, learnt))


@pytest.fixture(scope="module")
def overfitted(two_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("overfitted")
    train.train(recipe(two_clips, **OVERFIT), output, device="cpu", progress=quiet)
    return output


def test_it_learns_a_few_clips_by_heart_with_their_case_and_punctuation(overfitted: Path, two_clips: Path) -> None:
    clips = read(two_clips).clips
    assert nearly_the_same(transcribed(overfitted, clips), [clip.text for clip in clips])


def test_what_it_writes_is_evaluated_as_any_asr_model_is(overfitted: Path, two_clips: Path, tmp_path: Path) -> None:
    settings = [f"asr.model={overfitted}"]
    found = evaluate_asr(
        Evaluation(data=str(two_clips), output=str(tmp_path), settings=settings, device="cpu", quiet=True)
    )
    assert found["clips"] == 2
    assert found["measured"]["wer"]["value"] <= 0.2
    assert min(found["measured"]["f1_marks"]["value"], found["measured"]["f1_case"]["value"]) >= 0.8


AUSTEN = {  # Sense and Sensibility, chapter 1, as it is printed
    "0880": "He was not an ill-disposed young man,",
    "0890": "unless to be rather cold hearted, and rather selfish, is to be ill-disposed:",
    "0930": "he might even have been made amiable himself;",
}


LONGER = {"layers": 2, "steps": 300}


@pytest.mark.shared_data
def test_it_learns_real_clips_by_heart_with_their_case_and_punctuation(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "clean_speech" / "misc"
    rows = [
        {"file": str(folder / f"sense_and_sensibility_01_austen_64kb-{part}.wav"), "text": text}
        for part, text in AUSTEN.items()
    ]
    manifest = tmp_path / "austen.jsonl"
    manifest.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    output = tmp_path / "out"
    train.train(recipe(manifest, **OVERFIT | LONGER), output, device="cpu", progress=quiet)
    assert nearly_the_same(transcribed(output, read(manifest).clips), [*AUSTEN.values()])


# --- it goes on ---


def save_at_each_step() -> None:
    train.SAVE_S = 0


def test_the_same_command_gives_the_same_weights_even_when_it_was_killed(
    libritts: Path, speechmill, tmp_path: Path
) -> None:
    settings = [word for key, value in (TINY | {"steps": 30}).items() for word in ("--set", f"{key}={value}")]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = ["train", "asr", libritts, *settings, "--output", killed]
    running = Forked(*command, first=save_at_each_step)
    while not (killed / train.STATE_FILE).exists():
        assert running.poll() is None
        time.sleep(0.02)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert not (killed / "model.safetensors").exists()
    speechmill(*command)
    train.train(recipe(libritts, steps=30), whole, device="cpu", progress=quiet)
    one, other = (load_file(folder / "model.safetensors") for folder in (whole, killed))
    assert one.keys() == other.keys()
    assert all(tensor.equal(other[name]) for name, tensor in one.items())
    first, second = (json.loads((folder / train.METRICS_FILE).read_text()) for folder in (whole, killed))
    assert first == second
    assert [point["step"] for point in first["curve"]] == [*range(1, 31)]


def test_another_seed_gives_other_weights_and_another_recipe_another_run(libritts: Path, tmp_path: Path) -> None:
    found = [
        train.train(recipe(libritts, seed=seed, steps=2), tmp_path / str(seed), device="cpu", progress=quiet)
        for seed in (1, 2)
    ]
    assert found[0]["curve"][-1]["loss"] != found[1]["curve"][-1]["loss"]
    with pytest.raises(ValueError, match="a run with another steps, seed; give another --output"):
        train.train(recipe(libritts, seed=2, steps=3), tmp_path / "1", device="cpu", progress=quiet)


def test_training_goes_on_from_what_was_trained_and_leaves_its_convolutions(
    overfitted: Path, two_clips: Path, tmp_path: Path
) -> None:
    chosen = recipe(two_clips, base=str(overfitted), steps=2, held_out=0)
    report = train.train(chosen, tmp_path, device="cpu", progress=quiet)
    before, after = (load_file(folder / "model.safetensors") for folder in (overfitted, tmp_path))
    frozen = {name for name in before if ".feature_extractor." in name}
    assert frozen
    assert all(before[name].equal(after[name]) for name in frozen)
    assert not before["lm_head.weight"].equal(after["lm_head.weight"])
    assert report["curve"][0]["loss"] < 3  # one that knows nothing begins at 5 and more
    with pytest.raises(ConfigError, match="base: no model"):
        train.train(recipe(two_clips, base=str(two_clips)), tmp_path / "none", device="cpu", progress=quiet)


# --- what is judged ---


def test_held_out_speakers_are_judged_and_the_card_says_how(libritts: Path, speechmill, tmp_path: Path) -> None:
    command = ["train", "asr", libritts, "--output", tmp_path / "net", "--steps", "2", "--seed", "3", "--json"]
    settings = [word for key, value in (TINY | {"steps": 9}).items() for word in ("--set", f"{key}={value}")]
    found = json.loads(speechmill(*command, *settings).stdout)
    metrics = json.loads((tmp_path / "net" / train.METRICS_FILE).read_text())
    assert metrics["recipe"]["steps"] == 2
    assert metrics["data"]["parted_by"] == "speaker"
    assert metrics["data"]["clips"] + metrics["data"]["held_out_clips"] == 4
    assert metrics["held_out"]["clips"] == metrics["data"]["held_out_clips"]
    assert {"wer", "cer", "wer_raw"} <= found["held_out"].keys()
    assert found["held_out"]["wer"] == metrics["held_out"]["figures"]["wer"]["value"] > 0
    card = (tmp_path / "net" / train.CARD_FILE).read_text()
    assert card.startswith("---\n")
    assert "- LibriTTS (libritts): 4 clips" in card
    assert "held out by speaker" in card
    assert f"| word errors | {100 * found['held_out']['wer']:.1f} % |" in card
    assert str(tmp_path) not in card


@pytest.mark.parametrize(
    ("speakers", "sources", "files", "way"),
    [
        ("ab", "xx", ("1.wav", "2.wav"), "speaker"),
        ("aa", "xy", ("1.wav", "2.wav"), "source"),
        ("aa", "xx", ("one/1.wav", "two/1.wav"), "folder"),
        ("aa", "xx", ("1.wav", "2.wav"), "clip"),
    ],
)
def test_what_is_held_out_shares_no_speaker_or_else_no_recording(
    speakers: str, sources: str, files: tuple[str, str], way: str
) -> None:
    clips = [
        Clip(file=file, path=Path(file), text="A.", source=source, speaker=speaker)
        for speaker, source, file in zip(speakers, sources, files)
        for _ in range(3)
    ]
    learnt, held_out, parted_by = material.split(clips, 0.3, seed=1)
    assert parted_by == way
    assert {len(learnt), len(held_out)} == {3}
    assert not {clip.file for clip in learnt} & {clip.file for clip in held_out}
    assert material.split(clips, 0, seed=1)[:2] == (tuple(clips), ())


def test_characters_are_those_of_the_texts_in_their_case_but_for_rare_ones() -> None:
    characters, dropped = material.alphabet(["Ab, bA.", "A|b~", "Ab é"], rare=2)
    assert characters == ("A", "b")
    assert dropped == {",": 1, ".": 1, "|": 1, "~": 1, "é": 1}


def test_a_clip_with_a_rare_letter_is_left_out_and_one_with_a_rare_mark_is_not(tmp_path: Path) -> None:
    texts = ["Tom is “in”.", "Tom is in…", "Tom’s señor.", "Tom's in.", "", None]
    rows = [{"file": "a.wav", "text": text} for text in texts]
    rows += [{"file": f"{name}.wav", "text": "Tom."} for name in ("gone", "short", "long")]
    for name, seconds in (("a", 1), ("short", 0.1), ("long", 31)):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(round(seconds * 16_000)), 16_000)
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = material.gather(recipe(tmp_path / "m.jsonl", held_out=0, rare=2), quiet)
    assert [clip.text for clip in found.learnt] == ['Tom is "in".', "Tom is in", "Tom's in."]
    assert found.summary["not_read"] == {"not_found": 1, "empty": 1, "too_long": 1}
    assert found.summary["hours"] == pytest.approx(4 / 3_600)
    assert found.summary["not_spelt"] == 1
    assert found.summary["inputs"] == [{"kind": "manifest", "name": "m.jsonl", "clips": 8, "without_text": 1}]


def test_every_epoch_has_every_clip_once_in_batches_of_like_length() -> None:
    lengths = [int(length) for length in np.random.default_rng(1).integers(10, 200, 64)]
    epochs = [trainer.shuffled(lengths, 4, np.random.default_rng([1, epoch])) for epoch in (0, 1)]
    assert all(sorted(rows.flatten()) == [*range(64)] for rows in epochs)
    assert not np.array_equal(*epochs)
    assert max(np.ptp([lengths[row] for row in batch]) for batch in epochs[0]) < 40


def test_the_rate_rises_stays_and_falls() -> None:
    rates = [trainer.rate(done) for done in (0, 0.05, 0.1, 0.3, 0.5, 0.75, 1)]
    assert rates[0] < rates[1] < rates[2] == rates[3] == rates[4] == 1 > rates[5] > rates[6]
    assert rates[6] == pytest.approx(trainer.LAST_RATE)


# --- what is read ---


def test_folders_are_read_by_their_layout(libritts: Path, tmp_path: Path) -> None:
    found = read(libritts)
    assert (found.kind, len(found.clips)) == ("libritts", 4)
    assert found.clips[0].text == "Is Anna home?"
    assert [clip.speaker for clip in found.clips] == ["1", "1", "1", "2"]
    assert sound(found.clips[0]).size > 16_000

    hifi = tmp_path / "hi_fi_tts_v0"
    hifi.mkdir()
    line = {"audio_filepath": "audio/92_clean/1/a.flac", "text": "mr. a", "text_no_preprocessing": "Mr. A 1"}
    for part, text in (("train", "Mister A one."), ("test", "Held out.")):
        file = hifi / f"92_manifest_clean_{part}.json"
        file.write_text(json.dumps(line | {"text_normalized": text, "duration": "1.0"}) + "\n")
    (clip,) = read(hifi).clips
    assert (clip.text, clip.speaker, clip.path) == ("Mister A one.", "92", hifi / "audio/92_clean/1/a.flac")
    assert [clip.text for clip in read(hifi / "92_manifest_clean_test.json").clips] == ["Held out."]
    (hifi / "92_manifest_clean_dev.json").write_text("{}\n")
    with pytest.raises(ValueError, match="line 1: no 'audio_filepath'"):
        read(hifi / "92_manifest_clean_dev.json")

    lj = tmp_path / "LJSpeech-1.1"
    (lj / "wavs").mkdir(parents=True)
    (lj / "wavs" / "LJ001-0001.wav").touch()
    (lj / "metadata.csv").write_text('LJ001-0001|Page 1 "so".|Page one "so".\nLJ002-0001|Two.|Two.\n')
    found = read(lj)
    assert [(clip.text, clip.source) for clip in found.clips] == [('Page one "so".', "LJ001"), ("Two.", "LJ002")]
    assert found.clips[0].path == lj / "wavs" / "LJ001-0001.wav"


def test_a_corpus_is_learnt_from_with_the_texts_that_it_was_published_with(tmp_path: Path) -> None:
    rows = {
        "clip_id": ["a", "b", "c"], "recording_id": ["r1", "r1", "r2"], "title": ["One", "One", "Two"],
        "text": ["Heard.", "Read.", None], "reference_text": [None, "READ", None],
        "reference_match": pa.array([None, 0.95, None], pa.float32()), "licence": ["CC0-1.0", "CC0-1.0", "CC-BY-4.0"],
        "speaker_id": ["ann", None, None], "language": ["en", "en", "en"],
        "audio": [{"bytes": encode_flac(np.zeros(16_000, np.int16), 16_000), "path": None}] * 3,
    }  # fmt: skip
    (tmp_path / "corpus" / "data").mkdir(parents=True)
    pq.write_table(pa.table(rows), tmp_path / "corpus" / "data" / "train-00000.parquet")
    assert [clip.text for clip in read(tmp_path / "corpus").clips] == ["READ"]
    found = material.gather(recipe(tmp_path / "corpus", held_out=0), quiet)
    assert [(clip.text, clip.speaker) for clip in found.learnt] == [("Heard.", "ann"), ("Read.", "r1")]
    assert found.summary["licences"] == {"CC0-1.0": 2}


@pytest.mark.parametrize(
    ("data", "settings", "why"),
    [
        ("nowhere", [], "nowhere"),
        ("data", ["stepss=3"], "did you mean 'steps'"),
        ("data", ["hidden=40"], "hidden: "),
        ("data", ["rare=1000"], "no clip is left"),
    ],
)
def test_what_cannot_be_trained_on_is_told_in_one_line(
    libritts: Path, tmp_path: Path, data: str, settings: list[str], why: str
) -> None:
    inputs = (str(libritts if data == "data" else tmp_path / "nowhere"),)
    training = Training(output=str(tmp_path / "out"), settings=settings, device="cpu", quiet=True)
    with pytest.raises(ConfigError, match=why) as caught:
        train_asr(training, inputs=inputs)
    assert "\n" not in str(caught.value)
