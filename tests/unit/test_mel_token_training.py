"""Training of mel tokens: it learns, uses its codes, and goes on after a kill as if nothing had been."""

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from safetensors.torch import load_file
from speechmill.cli.evaluate import Evaluation, evaluate_mel_tokens
from speechmill.cli.train import Training, train_mel_tokens
from speechmill.core.config_errors import ConfigError
from speechmill.tokens import mel
from speechmill.tokens.dvae import load
from speechmill.tokens.encode import MelTokenizer
from speechmill.training.tokens import evaluate, train
from speechmill.training.tokens.sound import collect
from speechmill.training.tokens.train import Recipe

from tests.browser import assert_any_reader_can_use, browser
from tests.forked import Forked

__all__ = ["browser"]

TINY = {"hidden": 32, "code_dim": 16, "codes": 64, "blocks": 1, "batch_size": 8, "crop_tokens": 16, "steps": 200}
TINY |= {"learning_rate": 2e-3}


@pytest.fixture(scope="module")
def voices(speech, tmp_path_factory) -> Path:
    """A folder with a folder for each of twelve voices: one voice at twelve sizes of mouth."""
    folder = tmp_path_factory.mktemp("voices")
    for at in range(12):
        (folder / f"voice{at}").mkdir()
        wave = soxr.resample(speech[at * 90_000 :][: 6 * 24_000], 24_000, 16_000 * (0.85 + 0.03 * at))
        soundfile.write(folder / f"voice{at}" / "a.flac", wave, 16_000)
    return folder


def recipe(voices: Path, **more) -> Recipe:
    return Recipe(inputs=(voices,), **(TINY | {"held_out": 0.2} | more))


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def trained(voices, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("trained")
    train.train(recipe(voices), output, device="cpu", progress=quiet)
    return output


def test_it_learns_speech_and_spreads_over_its_codes(trained):
    report = json.loads((trained / train.REPORT_FILE).read_text())
    first, last = report["curve"][0], report["held_out"]
    assert last["l1_nats"] < 0.7 * 2.7  # what the mean of all frames gives
    assert last["l1_nats"] < 0.8 * first["l1_nats"]
    assert last["perplexity"] > 6  # of one voice, 136 tokens; a codebook that collapsed has 1
    assert last["bits_a_second"] == pytest.approx(np.log2(last["perplexity"]) * mel.RATE / 1_024)


def test_what_it_writes_is_a_tokenizer(trained, voices):
    tokenizer = MelTokenizer(load(trained / train.WEIGHTS_FILE))
    sound = collect([voices], trained / "sound", quiet)
    (codes,) = tokenizer.encode([sound.wave(sound.spans[0])])
    assert len(codes) == (sound.spans[0].last - sound.spans[0].first) // 1_024 + 1
    assert len(set(codes.tolist())) > 10


def test_no_speaker_is_on_both_sides(voices, tmp_path):
    learnt, held_out = collect([voices], tmp_path, quiet).split(0.3, 1)
    ours, theirs = ({span.speaker for span in part.spans} for part in (learnt, held_out))
    assert not ours & theirs
    assert ours | theirs == {f"voice{at}" for at in range(12)}


def save_at_each_step() -> None:
    train.SAVE_S = 0


def test_the_same_command_gives_the_same_weights_even_when_it_was_killed(voices, trained, speechmill, tmp_path):
    settings = [f"inputs=[{voices}]", "held_out=0.2", *(f"{key}={value}" for key, value in TINY.items())]
    words = [word for setting in settings for word in ("--set", setting)]
    command = ["train", "mel-tokens", *words, "--output", tmp_path, "--device", "cpu"]
    running = Forked(*command, first=save_at_each_step)
    while not (tmp_path / train.STATE_FILE).exists():
        assert running.poll() is None
        time.sleep(0.02)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / train.WEIGHTS_FILE).exists()
    kept = torch.load(tmp_path / train.STATE_FILE, weights_only=True)["trainer"]["step"]
    assert 0 < kept < TINY["steps"]
    speechmill(*command)
    one, other = (load_file(folder / train.WEIGHTS_FILE) for folder in (trained, tmp_path))
    assert one.keys() == other.keys()
    for key, tensor in one.items():
        torch.testing.assert_close(tensor, other[key], rtol=0, atol=1e-4, msg=key)


def test_a_run_is_not_continued_with_another_recipe(voices, trained):
    with pytest.raises(ValueError, match="a run with another hidden, seed; give another --output"):
        train.train(recipe(voices, hidden=16, seed=2), trained, device="cpu", progress=quiet)


@pytest.mark.parametrize("kind", ["rotation", "simvq", "fsq", "none"])
def test_other_quantisers_learn_too(voices, tmp_path, kind):
    codes = 256 if kind == "fsq" else 64
    report = train.train(recipe(voices, quantiser=kind, codes=codes, steps=120), tmp_path, device="cpu", progress=quiet)
    assert report["held_out"]["l1_nats"] < 0.8 * 2.7
    assert (tmp_path / train.WEIGHTS_FILE).exists() == (kind in ("rotation", "simvq"))


def test_what_simvq_writes_are_the_codes_it_learnt_with(voices, tmp_path):
    trainer = train.Trainer(recipe(voices, quantiser="simvq"), collect([voices], tmp_path, quiet), "cpu")
    trainer.begin()
    for _ in range(3):
        trainer.learn()
    trainer.quantiser.eval()
    z = torch.randn(1, 50, TINY["code_dim"])
    codes = trainer.quantiser(z)[1][0]
    assert trainer.finished().codebook.distances(z[0]).argmin(1).equal(codes)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("inputs=[nowhere]", "nowhere: No such file or directory"),
        ("stepss=3", "did you mean 'steps'"),
        ("codes=1", "codes: "),
        ("held_out=0.49", None),
    ],
)
def test_a_recipe_that_is_wrong_is_told(voices, tmp_path, setting, why, monkeypatch):
    monkeypatch.setattr(evaluate, "VOCODED", 1)  # of the six recordings that are held out
    settings = [f"inputs=[{voices}]", *(f"{key}={value}" for key, value in (TINY | {"steps": 1}).items()), setting]
    training = Training(output=str(tmp_path), settings=settings, device="cpu", quiet=True)
    if why is None:
        assert train_mel_tokens(training)["held_out"]
        return
    with pytest.raises(ConfigError, match=why):
        train_mel_tokens(training)


def test_a_broken_recording_is_named(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "broken.flac").write_bytes(b"no sound")
    with pytest.raises(ValueError, match=r"broken\.flac: "):
        collect([tmp_path], tmp_path / "sound", quiet)


# --- measuring ---


def test_any_reader_can_use_the_page(trained, browser):
    assert_any_reader_can_use(browser, trained / "mel-tokens.html")


def test_training_leaves_a_page_with_the_curve_and_what_became_of_held_out_speech(trained):
    page = (trained / "mel-tokens.html").read_text()
    figures = json.loads((trained / "mel-tokens.json").read_text())
    assert "<polyline" in page
    assert page.count("data:image/png;base64,") == 2 * page.count('class="pair"') > 0
    assert 0 < figures["codes_used"] <= 1
    assert figures["l1_not_quantised"] < figures["l1_nats"]


def test_evaluation_measures_error_codes_stability_and_sound(trained, voices, tmp_path):
    settings = [f"tokenise.checkpoint={trained / train.WEIGHTS_FILE}"]
    found = evaluate_mel_tokens(
        Evaluation(data=str(voices), output=str(tmp_path), settings=settings, limit=2, device="cpu", quiet=True)
    )
    figures = json.loads((tmp_path / "mel-tokens.json").read_text())
    assert found["recordings"] == figures["recordings"] == 2
    assert figures["tokens"] > 100
    assert figures["perplexity"] <= 64
    stable = figures["stability"]
    assert stable["16-bit rounding"] > 0.95 > stable["6 dB quieter"]
    heard = figures["heard"]
    assert heard["true spectrogram"].keys() == heard["tokens"].keys()
    assert "not TorToiSe's dVAE by its SHA-256" in found["what"]


def test_sound_is_made_of_a_spectrogram(voices):
    """What is heard again has the spectrogram that it was made of."""
    wave = soxr.resample(soundfile.read(voices / "voice3" / "a.flac", dtype="float32")[0], 16_000, mel.RATE)
    logs = mel.log_mel(mel.mirrored(torch.from_numpy(wave[None])), torch.ones(80))[0]
    again = evaluate.vocode(logs)
    logs_again = mel.log_mel(mel.mirrored(torch.from_numpy(again[None])), torch.ones(80))[0]
    frames = min(logs.shape[1], logs_again.shape[1])
    loud = logs[:, :frames] > -6
    assert float((logs[:, :frames] - logs_again[:, :frames]).abs()[loud].mean()) < 0.5


@pytest.mark.parametrize(
    ("settings", "where", "told_of"),
    [
        (["tokenise.checkpoint=null"], "voices", "null means no mel tokens"),
        (["tokenise.checkpoint=missing.pth"], "voices", "missing.pth"),
        ([], "nowhere", "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(voices, tmp_path, settings, where, told_of):
    folder = voices if where == "voices" else tmp_path / "nowhere"
    out = str(tmp_path / "out")
    with pytest.raises(ConfigError, match=told_of):
        evaluate_mel_tokens(Evaluation(data=str(folder), output=out, settings=settings, device="cpu", quiet=True))
