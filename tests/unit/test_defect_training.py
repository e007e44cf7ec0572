"""Training: small, but the real thing from recordings to weights; what is stopped goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import speech_defects
import torch
from safetensors.torch import load_file, save_file
from speech_defects import Defect, clip_shards, training_clips
from speech_defects.calibrate import CLEAN_LOSS, calibrate, fit
from speech_defects.degrade import Sources, read_manifests
from speech_defects.model import Network
from speechmill.cli.train import Training, train_defects
from speechmill.core.config_errors import ConfigError
from speechmill.core.interrupts import EXIT_INTERRUPTED

from tests.commandline import start
from tests.forked import Forked
from tests.recordings import make_manifest

ENDS_S = 60.0  # on a machine that is busy with other tests; what is not ended takes minutes
SETTINGS = ("hours=0.12", "clip_seconds=3", "calibration_clips=100", "epochs=2", "batch_size=32", "held_out=0.2")


@pytest.fixture(scope="module")
def manifest(speech, tmp_path_factory) -> Path:
    return make_manifest(tmp_path_factory.mktemp("sources"), speech)


def arguments(manifest: Path, output: Path) -> list[str]:
    settings = [part for setting in (*SETTINGS, f"manifests=[{manifest}]") for part in ("--set", setting)]
    return ["train", "defects", "--output", str(output), "--device", "cpu", *settings]


@pytest.fixture(scope="module")
def trained(manifest, speechmill, tmp_path_factory) -> Path:
    """Folder that one undisturbed training wrote."""
    output = tmp_path_factory.mktemp("trained")
    assert "defects.safetensors" in speechmill(*arguments(manifest, output)).stdout
    return output


def test_training_makes_weights_that_score(trained, speech):
    scorer = speech_defects.load(device="cpu", weights=trained / "defects.safetensors")
    found = scorer.score([speech[: 5 * 24_000]], 24_000)
    assert all(np.isfinite(column).all() for column in found.values())
    assert not np.allclose(
        found["noise"], speech_defects.load(device="cpu").score([speech[: 5 * 24_000]], 24_000)["noise"]
    )


def test_training_learns(trained):
    """Two epochs of a handful of clips are no classifier, yet more than chance."""
    report = json.loads((trained / "training.json").read_text())
    aucs = [report["calibration"][defect]["auc_against_clean"] for defect in Defect]
    assert np.mean(aucs) > 0.6
    assert {(line["kind"], line["licence"]) for line in report["recordings"]} >= {
        ("speech", "CC0-1.0"),
        ("room", "CC0-1.0"),
    }


LEARNT = shutil.ignore_patterns("checkpoints", "training.json", "defects.safetensors")


def test_a_killed_training_goes_on_and_ends_the_same(manifest, trained, speechmill, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(trained, output, ignore=LEARNT)  # clips are there, as those of the undisturbed training
    running = Forked(*arguments(manifest, output), said=tmp_path / "log")
    while not any((output / "checkpoints").glob("CKPT*")):  # the end of the first epoch
        assert running.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert not (output / "defects.safetensors").exists()
    shards = {file: file.stat().st_mtime_ns for file in (output / "clips").iterdir()}
    speechmill(*arguments(manifest, output))
    assert {file: file.stat().st_mtime_ns for file in (output / "clips").iterdir()} == shards
    ours, other = (load_file(folder / "defects.safetensors") for folder in (trained, output))
    assert all(torch.equal(ours[name], other[name]) for name in ours)


def test_training_goes_on_from_weights(manifest, trained, speechmill, tmp_path):
    """With a rate so low that the weights stay, the network is the one that it began with, but for what was stacked."""
    stacked = load_file(trained / "defects.safetensors") | {"mix": torch.full((5, 5), 0.2), "band": torch.ones(5)}
    save_file(stacked, tmp_path / "defects.safetensors")
    more = ("learning_rate=1e-9", "epochs=1", f"initial={tmp_path / 'defects.safetensors'}")
    settings = [part for setting in more for part in ("--set", setting)]
    speechmill(*arguments(manifest, tmp_path / "out"), *settings)
    before, after = (load_file(folder / "defects.safetensors") for folder in (trained, tmp_path / "out"))
    assert torch.allclose(before["judge.weight"], after["judge.weight"], atol=1e-6)
    assert torch.equal(after["mix"], torch.eye(5))
    assert not after["band"].any()
    assert json.loads((tmp_path / "out" / "training.json").read_text())["recipe"]["initial"] == "defects.safetensors"


MAKING = """
import os, sys, time
from pathlib import Path
from speech_defects.workers import worker_pool

def make(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(300)

if __name__ == "__main__":
    with worker_pool(2) as pool:
        list(pool.map(make, [sys.argv[1]] * 5))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_process_that_started_them(number, tmp_path):
    script, folder = tmp_path / "making.py", tmp_path / "pids"
    script.write_text(MAKING)
    folder.mkdir()
    process = subprocess.Popen([sys.executable, script, folder], stderr=subprocess.DEVNULL)
    while len(pids := [int(path.name) for path in folder.iterdir()]) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    process.wait(ENDS_S)
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], ENDS_S)
    assert not [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]


def test_a_shard_is_a_function_of_its_number(manifest, tmp_path):
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        clip_shards._degrader.cache_clear()
        clip_shards.write_shard(read_manifests([manifest]), (1, 0), 0.5, tmp_path / place, 3)
    one, other = (np.load(tmp_path / place / "00003.npy") for place in ("one", "other"))
    assert one.dtype == np.int16
    assert np.array_equal(one, other)


def test_nothing_held_out_is_learnt_from(manifest):
    learn, hold = training_clips.split(read_manifests([manifest]), 0.3, 1)
    assert {take.speaker for take in learn.speech}.isdisjoint(take.speaker for take in hold.speech)
    assert len(learn.speech) + len(hold.speech) == 6
    assert learn.noise == hold.noise  # there is but one: it serves both, and the model card says so
    assert training_clips.split(read_manifests([manifest]), 0.3, 1) == (learn, hold)
    assert isinstance(learn, Sources)


def test_a_crop_is_judged_by_what_is_left_of_a_defect():
    labels = np.array([[1, 0, 1, 1, np.nan], [1, 1, 0, 1, 0]], np.float32)
    frames = np.zeros((2, 3, 100), np.uint8)
    frames[0, 0, :30] = 1  # noise: 1.2 s are enough
    frames[0, 2, :5] = 1  # overlap: 0.2 s are too little to judge
    frames[1, 1, :] = 255  # music at a level between
    found, everywhere = training_clips.cropped(labels, frames)
    assert np.array_equal(found[0], [1, 0, 1, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(found[1], [0, np.nan, 0, 0, 0], equal_nan=True)
    assert (everywhere[0, 0] == frames[0, 0]).all()
    assert (everywhere[0, 2] == 1).all()
    assert (everywhere[0, 4] == training_clips.UNKNOWN).all()


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("hours=-1", "hours: "),
        ("hour=3", "did you mean 'hours'?"),
        ("manifests=[nowhere.jsonl]", "nowhere.jsonl: No such"),
        ("initial=nowhere.safetensors", "nowhere.safetensors"),
    ],
)
def test_a_recipe_that_is_wrong_is_told_before_anything_is_made(manifest, tmp_path, setting, why):
    settings = [*SETTINGS, f"manifests=[{manifest}]", setting]
    training = Training(output=str(tmp_path / "out"), settings=settings, device="cpu", quiet=True)
    with pytest.raises(ConfigError, match=re.escape(why)):
        train_defects(training)
    assert not list((tmp_path / "out").glob("[!.]*"))


# --- calibration ---


def test_platt_finds_the_slope_and_offset_that_made_the_labels():
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 3, 40_000).astype(np.float32)
    labels = (rng.random(40_000) < 1 / (1 + np.exp(-(0.7 * logits + 0.4)))).astype(np.float32)
    slope, offset = fit(logits, labels)
    assert slope == pytest.approx(0.7, abs=0.05)
    base_rate = np.log(labels.mean() / (1 - labels.mean()))  # both classes weigh the same: the prior is taken out
    assert offset == pytest.approx(0.4 - base_rate, abs=0.08)


def test_thresholds_lose_no_more_clean_clips_than_allowed():
    rng = np.random.default_rng(3)
    clean = rng.normal(-3, 2, (4_000, 5)).astype(np.float32)
    logits = np.concatenate([clean, rng.normal(3, 2, (4_000, 5)).astype(np.float32)])
    labels = np.repeat([[0.0] * 5, [1.0] * 5], 4_000, axis=0).astype(np.float32)
    labels[::7, 2] = np.nan
    for column, (defect, found) in enumerate(calibrate(logits, labels, clean).items()):
        lost = (1 / (1 + np.exp(-(found.slope * clean[:, column] + found.offset))) > found.threshold).mean()
        assert defect is list(Defect)[column]
        assert lost <= CLEAN_LOSS or found.threshold == 0.99


def test_a_calibrated_network_says_what_the_calibration_says():
    network = Network()
    network.calibration.copy_(torch.tensor([[2.0, -1.0]] * 5))
    assert network.calibrated(torch.full((1, 5), 0.5)).allclose(torch.full((1, 5), 0.5))


@pytest.mark.parametrize("made", ["clips/*.npz", "checkpoints/CKPT*"])
def test_a_stopped_training_ends_soon_and_keeps_what_is_made(made, manifest, trained, tmp_path):
    """While it makes clips, and while it learns from them."""
    if not made.startswith("clips"):
        shutil.copytree(trained, tmp_path / "out", ignore=LEARNT)
    said = tmp_path / "said"
    with said.open("w") as log:
        running = start(*arguments(manifest, tmp_path / "out"), stdout=log, stderr=log, start_new_session=True)
        while not (kept := list((tmp_path / "out").glob(made))):
            assert running.poll() is None, said.read_text()
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        assert running.wait(ENDS_S) == EXIT_INTERRUPTED
    assert "speechmill: interrupted" in said.read_text()
    assert "Traceback" not in said.read_text()
    assert all(path.exists() for path in kept)
    assert not (tmp_path / "out" / "defects.safetensors").exists()
