"""The mean of networks, calibrated on labelled clips; and figures of recordings whose source was not learnt from."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from speech_defects import WEIGHTS, Defect, load
from speech_defects.weights import combine


@pytest.fixture
def networks(tmp_path) -> list[Path]:
    """The shipped weights, a little more and a little less of each."""
    files = []
    for name, change in (("more", 0.01), ("less", -0.01)):
        state = {key: value * (1 + change) for key, value in load_file(WEIGHTS).items() if value.is_floating_point()}
        counters = {key: value for key, value in load_file(WEIGHTS).items() if not value.is_floating_point()}
        files.append(tmp_path / f"{name}.safetensors")
        save_file(state | counters, files[-1])
    return files


@pytest.fixture
def manifest(tmp_path, speech) -> Path:
    """Speech, and the same in noise; and a file that is none."""
    rng, rows = np.random.default_rng(0), []
    for at in range(12):
        voice = speech[at * 24_000 :][: 2 * 24_000] / 2
        wave = voice + (0.05 * rng.standard_normal(len(voice)) if at % 2 else 0)
        soundfile.write(tmp_path / f"{at}.wav", wave, 24_000)
        rows.append({"file": f"{at}.wav", **dict.fromkeys(Defect, 0), "noise": at % 2, "source": f"made {at // 4}"})
    rows.append(rows[0] | {"file": "gone.wav"})
    for defect in set(Defect) - {Defect.NOISE}:
        rows.append(rows[1] | {"noise": None, defect: 1})
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "m.jsonl"


def test_the_mean_of_more_and_less_is_the_middle(networks):
    middle, shipped = combine.mean(networks), load_file(WEIGHTS)
    assert middle.keys() == shipped.keys()
    assert all(torch.allclose(middle[name].float(), shipped[name].float(), atol=1e-6) for name in shipped)


def test_the_command_writes_calibrated_weights(networks, manifest, tmp_path):
    command = [sys.executable, "-m", "speech_defects.weights.combine", *networks, "--calibrate", manifest]
    mix = ["--mix", "noise", "--by", networks[0], "--on", manifest, "--beside", manifest]
    subprocess.run([*command, *mix, "--output", tmp_path / "out"], check=True, capture_output=True)
    told = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert told.keys() == set(Defect)
    scorer = load(device="cpu", weights=tmp_path / "out" / "defects.safetensors")
    noisy, clean = (soundfile.read(tmp_path / f"{at}.wav", dtype="float32")[0] for at in (1, 2))
    found = scorer.score([noisy, clean], 24_000)["noise"]
    assert found[0] > 0.5 > found[1]
    shares = load_file(tmp_path / "out" / "defects.safetensors")["mix"]
    assert torch.equal(shares[1:], load_file(WEIGHTS)["mix"][1:])
    assert not torch.equal(shares[0], load_file(WEIGHTS)["mix"][0])
    assert float(shares[0].sum()) == pytest.approx(1)


def test_each_source_is_measured_by_what_the_others_say(networks, manifest, tmp_path):
    command = [sys.executable, "-m", "speech_defects.weights.left_out", WEIGHTS, "--mix", "noise", "--by", networks[0]]
    wanted = ["--on", manifest, "--thresholds", "noise=0.5", "--output", tmp_path / "out"]
    told = subprocess.run([*command, *wanted], check=True, capture_output=True, text=True).stdout
    assert "| clips with it | 6 | 1 | 1 | 1 | 1 |" in told
    figures = json.loads((tmp_path / "out" / "defects.json").read_text())
    assert figures["thresholds"]["noise"] == 0.5
    assert figures["clean_lost"]["made 0"]["clips"] == 2
    alone = {model["name"]: model["defects"] for model in figures["models"]}["its own logit, noise"]
    assert alone.keys() == {Defect.NOISE}
    assert (tmp_path / "out" / "defects.html").is_file()
