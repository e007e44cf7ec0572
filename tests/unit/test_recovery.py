"""Recovering an encoder: pairs are read as they are told, and a student comes near a teacher that it never sees."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from speechmill.cli import train as command
from speechmill.core.config_errors import ConfigError
from speechmill.tokens import mel
from speechmill.tokens.dvae import DVAE, Sizes, load, save
from speechmill.tokens.encode import MelTokenizer
from speechmill.training.tokens import agreement, pairs, recover_encoder, student

CODES, DIM = 64, 16
QUICK = {"steps": 150, "batch_size": 8, "crop_tokens": 16, "start": None, "hidden": 24, "blocks": 1}
QUICK |= {"learning_rate": 3e-3}


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def waves(speech) -> dict[str, np.ndarray]:
    """Twelve voices: one voice at twelve sizes of mouth, 6 s each, as they are stored."""
    found = {}
    for at in range(12):
        wave = soxr.resample(speech[at * 90_000 :][: 6 * 24_000], 24_000, 22_050 * (0.85 + 0.03 * at))
        found[f"voice{at}"] = np.round(wave * 32_767).astype(np.float32) / 32_768
    return found


@pytest.fixture(scope="module")
def teacher(waves, tmp_path_factory) -> Path:
    """A dVAE with random weights whose codes are spread over what its encoder makes of speech."""
    torch.manual_seed(5)
    model = DVAE(Sizes(CODES, DIM, 32, 1)).eval()
    with torch.no_grad():
        logs = torch.cat([torch.from_numpy(pairs.spectrogram(wave)) for wave in waves.values()])
        z = model.encoder((logs.T[None]) / torch.tensor(mel.NORMS)[:, None])[0].T
        model.encoder[-1].weight /= z.std()
        model.encoder[-1].bias.sub_(z.mean(0)).div_(z.std())
        z = (z - z.mean(0)) / z.std()
        model.codebook.embed.copy_(z[torch.randperm(len(z))[:CODES]].T)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save(model, path)
    return path


@pytest.fixture(scope="module")
def told(waves, teacher, tmp_path_factory) -> Path:
    """The pairs, as a manifest of recordings with the teacher's tokens."""
    folder, lines = tmp_path_factory.mktemp("pairs"), []
    tokenizer = MelTokenizer(load(teacher))
    for speaker, wave in waves.items():
        soundfile.write(folder / f"{speaker}.flac", wave, mel.RATE, subtype="PCM_16")
        wave = soundfile.read(folder / f"{speaker}.flac", dtype="float32")[0]
        codes = tokenizer.encode([wave])[0].tolist()
        lines.append(json.dumps({"file": f"{speaker}.flac", "speaker": speaker, "mel_tokens": codes}))
    (folder / "pairs.jsonl").write_text("\n".join(lines))
    return folder / "pairs.jsonl"


@pytest.fixture(scope="module")
def known(told, teacher, tmp_path_factory) -> tuple[Path, dict]:
    output = tmp_path_factory.mktemp("known")
    recipe = recover_encoder.Recipe(pairs=(told,), codebook=teacher, held_out=0.25, **QUICK)
    return output, recover_encoder.recover_encoder(recipe, output, device="cpu", progress=quiet)


# --- pairs ---


def test_the_teacher_itself_gives_the_tokens_that_were_told(told, teacher, tmp_path):
    """What is stored of a clip is all that its tokens follow from."""
    found = pairs.collect([told], tmp_path, quiet)
    model = load(teacher)
    for clip in found.clips:
        logs, tokens = found.of(clip)
        with torch.inference_mode():
            z = model.encoder(torch.from_numpy(np.array(logs)).T[None] / torch.tensor(mel.NORMS)[:, None])[0].T
        codes = model.codebook.distances(z[: clip.tokens]).argmin(1).numpy()
        assert (codes == tokens).mean() > 0.99


def test_pairs_are_read_from_spectrograms_and_arrays_as_from_recordings(told, tmp_path):
    lines = []
    for line in map(json.loads, told.read_text().splitlines()):
        wave = soundfile.read(told.parent / line["file"], dtype="float32")[0]
        np.save(tmp_path / f"{line['speaker']}.npy", pairs.spectrogram(wave).T)
        np.save(tmp_path / f"{line['speaker']}-codes.npy", np.array(line["mel_tokens"], np.uint16))
        name = line["speaker"]
        lines.append(json.dumps({"mel": f"{name}.npy", "mel_tokens": f"{name}-codes.npy", "speaker": name}))
    (tmp_path / "mels.jsonl").write_text("\n".join(lines))
    one, other = (
        pairs.collect([told], tmp_path / "a", quiet),
        pairs.collect([tmp_path / "mels.jsonl"], tmp_path / "b", quiet),
    )
    assert one.clips == other.clips
    np.testing.assert_array_equal(one.tokens, other.tokens)
    np.testing.assert_array_equal(one.mels, other.mels)


def test_speakers_are_parted_and_hours_limited(told, tmp_path):
    found = pairs.collect([told], tmp_path, quiet)
    learnt, held_out = found.split(0.25, 1)
    assert learnt.clips
    assert held_out.clips
    assert not {clip.speaker for clip in learnt.clips} & {clip.speaker for clip in held_out.clips}
    assert learnt.limited(0.005).hours == pytest.approx(0.005, abs=0.002)


@pytest.mark.parametrize(
    ("line", "told_of"),
    [
        ({"file": "voice0.flac", "speaker": "a"}, "mel_tokens"),
        ({"file": "voice0.flac", "speaker": "a", "mel_tokens": [1, -1]}, "codes from 0 on"),
        ({"file": "voice0.flac", "speaker": "a", "mel_tokens": []}, "codes from 0 on"),
        ({"file": "voice0.flac", "speaker": "a", "mel_tokens": [1] * 9}, "four a token"),
        ({"speaker": "a", "mel_tokens": [1]}, "path"),
        ({"mel": "bad.npy", "speaker": "a", "mel_tokens": [1]}, "(80, frames)"),
    ],
)
def test_a_bad_pair_is_named_with_its_line(told, line, told_of):
    np.save(told.parent / "bad.npy", np.zeros((3, 4), np.float32))
    manifest = told.parent / "bad.jsonl"
    manifest.write_text(told.read_text().splitlines()[0] + "\n" + json.dumps(line))
    with pytest.raises(ConfigError) as error:
        command.recover_encoder(
            command.Training(output=str(told.parent / "out"), device="cpu", quiet=True), [str(manifest)]
        )
    assert "line 2" in str(error.value)
    assert told_of in str(error.value)


# --- recovering ---


def test_with_the_codebook_known_the_tokens_of_unseen_voices_are_found(known):
    found = known[1]["test"]
    assert found["top1"] > 0.3 > 10 / CODES
    assert found["top5"] > 0.6 > 20 / CODES
    assert found["distance"] < 0.5 * found["distance_at_random"]
    assert abs(found["l1_gap"]) < 0.1


def test_what_is_recovered_is_a_dvae_that_encodes(known, teacher, waves):
    model = load(known[0] / recover_encoder.WEIGHTS_FILE)
    torch.testing.assert_close(model.codebook.embed, load(teacher).codebook.embed)
    wave = waves["voice3"]
    ours, theirs = (MelTokenizer(one).encode([wave])[0] for one in (model, load(teacher)))
    assert (ours == theirs).mean() > 0.4


def test_codes_that_nobody_knows_are_found_from_where_their_sound_is(told, tmp_path):
    torch.manual_seed(9)
    save(DVAE(Sizes(CODES, DIM, 24, 1)), tmp_path / "start.safetensors")
    quick = QUICK | {"start": tmp_path / "start.safetensors", "codes": CODES}
    recipe = recover_encoder.Recipe(pairs=(told,), held_out=0.25, **quick)
    found = recover_encoder.recover_encoder(recipe, tmp_path / "out", device="cpu", progress=quiet)["test"]
    assert found["top1"] > 8 / CODES
    assert "l1_tokens" not in found  # nothing decodes tokens whose codes nobody knows


def test_a_consumers_embeddings_help_with_an_unknown_codebook(told, teacher, tmp_path):
    torch.manual_seed(4)
    turned = load(teacher).codebook.embed.T @ torch.linalg.qr(torch.randn(40, DIM)).Q.T  # the same shape, elsewhere
    torch.save({"mel_embedding.weight": torch.cat([turned, torch.zeros(2, 40)])}, tmp_path / "consumer.pth")
    every = recover_encoder.collect((told,), tmp_path / "pairs", quiet)
    few, test = every.clips[:1], every.clips[-4:]
    found = {}
    for name, embedding in (("with", tmp_path / "consumer.pth"), ("without", None)):
        recipe = recover_encoder.Recipe(
            pairs=(told,), **(QUICK | {"codes": CODES, "code_dim": DIM, "embedding": embedding})
        )
        recovery = student.Recovery(recipe, "cpu")
        recovery.begin(recover_encoder.Pairs(every.mels, every.tokens, few))
        found[name] = recovery.judge(recover_encoder.Pairs(every.mels, every.tokens, test))["top5"]
    assert found["with"] > found["without"] + 0.05


def test_good_pairs_and_the_decoder_follow_the_others(told, teacher, tmp_path):
    more = QUICK | {"steps": 20, "good_pairs": (told,), "good_steps": 10, "decoder_steps": 10}
    recipe = recover_encoder.Recipe(pairs=(told,), codebook=teacher, held_out=0.25, **more)
    curve = recover_encoder.recover_encoder(recipe, tmp_path, device="cpu", progress=quiet)["curve"]
    assert list(dict.fromkeys(one["stage"] for one in curve[1:])) == ["pairs", "good pairs", "decoder"]
    assert curve[-1]["step"] == 40


def test_the_same_recipe_gives_the_same_encoder(told, teacher, tmp_path):
    recipe = recover_encoder.Recipe(pairs=(told,), codebook=teacher, held_out=0.25, **(QUICK | {"steps": 15}))
    for name in "ab":
        recover_encoder.recover_encoder(recipe, tmp_path / name, device="cpu", progress=quiet)
    one, other = ((tmp_path / name / recover_encoder.WEIGHTS_FILE).read_bytes() for name in "ab")
    assert one == other


@pytest.mark.parametrize(
    ("settings", "told_of"),
    [
        (["codes=8", "held_out=0.25"], "set codes"),
        (["codebook=a.pth", "embedding=b.pth"], "needs no embedding"),
        (["decoder_steps=10"], "needs codebook"),
        (["embedding=EMPTY", "held_out=0.25"], "embedding_key may be one of"),
        (["codebook=missing.pth", "held_out=0.25"], "missing.pth"),
        (["held_out=0"], "pairs of one speaker only"),
    ],
)
def test_a_recipe_that_cannot_work_is_told_in_one_line(told, tmp_path, settings, told_of):
    torch.save({"other": torch.zeros(3, 3)}, tmp_path / "empty.pth")
    settings = [setting.replace("EMPTY", str(tmp_path / "empty.pth")) for setting in settings]
    training = command.Training(output=str(tmp_path / "out"), settings=settings, device="cpu", quiet=True)
    with pytest.raises(ConfigError, match=told_of):
        command.recover_encoder(training, [str(told)])


# --- the measures ---


def test_the_measures_of_an_encoder_that_is_right_and_of_one_that_guesses():
    rng = np.random.default_rng(1)
    embed = torch.from_numpy(rng.standard_normal((50, 4)).astype(np.float32))
    true = [rng.integers(50, size=90) for _ in range(8)]
    mels = [torch.from_numpy(rng.standard_normal((80, 360)).astype(np.float32)) for _ in true]
    right = [np.stack([codes, *(rng.integers(50, size=(4, 90)))], 1) for codes in true]
    guessed = [rng.integers(50, size=(90, 5)) for _ in true]
    good, bad = (agreement.agreement(true, ranked, embed, None, mels, true) for ranked in (right, guessed))
    assert good["top1"] == good["top5"] == good["within_5_nearest"] == good["top1_one_aside"] == 1
    assert good["distance"] == good["edits"] == good["jensen_shannon_bits"] == 0
    assert good["consumer_bits"] == good["consumer_bits_true"]
    assert bad["top1"] < 0.1 < good["top1"]
    assert bad["distance"] == pytest.approx(bad["distance_at_random"], rel=0.2)
    assert bad["edits"] > 0.5
    assert bad["consumer_bits"] > bad["consumer_bits_true"]


def test_runs_count_once():
    one = [np.array([1, 1, 1, 2, 3, 3])]
    other = np.array([1, 2, 2, 2, 3, 3])[:, None].repeat(5, 1)
    found = agreement.agreement(one, [other], torch.eye(4), None, [torch.zeros(80, 24)], [])
    assert found["edits"] > 0 == found["edits_of_runs"]
