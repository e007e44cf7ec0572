"""Evaluation of speaker models: figures against known answers, bad input, and the page in a browser."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from speechmill.speakers.clusters import CAMPPLUS
from speechmill.training import inputs
from speechmill.training.speakers.evaluate import all_pairs, clustering, evaluate, verification

from tests.browser import AXE, NARROW, WIDE, browser, opened, overflow, serious_faults
from tests.commandline import Speechmill

__all__ = ["browser"]

RATE = 16_000


class Pitches:
    """A speaker model for tones: a direction in the plane for each frequency, and a little noise."""

    def embed(self, waves: list[np.ndarray]) -> np.ndarray:
        """Rows of length 1."""
        rows = []
        for wave in waves:
            hertz = np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave)
            angle = hertz / 1_000 * np.pi
            rows.append([np.cos(angle), np.sin(angle)])
        return np.round(np.array(rows, np.float32), 4)


def manifest(folder: Path, speakers: dict[str, list[float]], **more: object) -> Path:
    """Tones of each speaker, a file each."""
    lines = []
    for name, tones in speakers.items():
        for number, hertz in enumerate(tones):
            wave = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE) / 2
            soundfile.write(folder / f"{name}-{number}.wav", wave, RATE)
            lines.append({"path": f"{name}-{number}.wav", "speaker": name})
    path = folder / "voices.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *more.get("lines", [])]))
    return path


def run(path: Path, output: Path) -> dict:
    """Figures of the clips of a manifest."""
    clips = inputs.read(path)
    assert clips
    return evaluate(clips, Pitches(), output, calibration=CAMPPLUS, about={"model": "tones"})


def test_voices_that_are_far_apart_have_no_error(tmp_path: Path) -> None:
    report = run(manifest(tmp_path, {"low": [100, 110, 120], "high": [600, 610]}), tmp_path / "out")
    assert (report["clips"], report["speakers"]) == (5, 2)
    assert report["verification"] | {"low": 0, "high": 0} == {
        "eer": 0.0, "low": 0, "high": 0, "same_pairs": 4, "different_pairs": 6,
    }  # fmt: skip
    assert (report["clustering"]["clusters"], report["clustering"]["precision"]) == (2, 1.0)
    assert report["clustering"]["recall"] == 1.0
    assert json.loads((tmp_path / "out/speakers.json").read_text()) == report


def test_a_wrong_label_is_the_first_pair_to_hear(tmp_path: Path) -> None:
    report = run(manifest(tmp_path, {"low": [100, 110, 120], "high": [600, 610], "wrong": [105]}), tmp_path / "out")
    first = report["worst"]["different"][0]
    assert {one["speaker"] for one in first["clips"]} == {"low", "wrong"}
    page = (tmp_path / "out/speakers.html").read_text()
    assert page.count("<audio") == 2 * sum(len(rows) for rows in report["worst"].values())


def test_figures_agree_with_their_definitions() -> None:
    angles = np.array([0.0, 0.1, 1.5, 1.6, 0.05])
    names = np.array(["a", "a", "b", "b", "b"])
    rows = np.round(np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32), 4)
    pairs = all_pairs(rows, names)
    assert len(pairs.cosine) == 10
    assert int(pairs.is_same.sum()) == 1 + 3
    figures = verification(pairs, names)
    assert 0 < figures["eer"] < 1
    assert figures["low"] <= figures["eer"] <= figures["high"]
    clusters = clustering(rows, names, CAMPPLUS)  # {a, a, b} and {b, b}
    assert clusters["clusters"] == 2
    assert clusters["precision"] == pytest.approx((2 * 2 / 3 + 1 / 3 + 2 * 1) / 5)
    assert clusters["recall"] == pytest.approx((2 * 1 + 1 / 3 + 2 * 2 / 3) / 5)
    assert clusters["purity"] == pytest.approx(4 / 5)


def test_what_cannot_be_read_is_listed_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "short.wav", np.zeros(100), RATE)
    odd = [{"path": name, "speaker": "low"} for name in ("gone.wav", "text.wav", "short.wav")]
    path = manifest(tmp_path, {"low": [100, 110], "high": [600]}, lines=[*odd, {"path": "low-0.wav"}])
    report = run(path, tmp_path / "out")
    reasons = [row["reason"] for row in report["left_out"]]
    assert reasons == ["not_found", "not_audio", "empty"]
    assert report["without_speaker"] == 1


@pytest.mark.parametrize(
    ("speakers", "problem"),
    [({"one": [100, 110]}, "two speakers or more"), ({"one": [100], "two": [200]}, "none has two clips")],
)
def test_without_pairs_of_both_kinds_there_is_nothing_to_measure(
    tmp_path: Path, speakers: dict[str, list[float]], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        run(manifest(tmp_path, speakers), tmp_path / "out")


def test_the_command_says_what_is_wrong(tmp_path: Path, speechmill: Speechmill) -> None:
    (tmp_path / "empty").mkdir()
    problems = {"none": "none: No such file", "none.jsonl": "none.jsonl", "empty": "neither a JSONL manifest nor"}
    for path, problem in ((tmp_path / name, problem) for name, problem in problems.items()):
        done = speechmill("evaluate", "speakers", path, "--output", tmp_path / "out", code=2)
        assert problem in done.stderr


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_the_page_fits_the_screen_and_any_reader(tmp_path: Path, browser: Any, size: tuple[int, int]) -> None:
    hostile = "<script>alert(1)</script>" + "x" * 200
    path = manifest(tmp_path, {"low": [100, 110, 120], "high": [600, 610]})
    lines = [json.loads(line) | {"source": hostile} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(path, tmp_path / "out")
    with opened(browser, tmp_path / "out/speakers.html", size, ready="footer") as page:
        assert overflow(page) <= 0
        assert not AXE.exists() or serious_faults(page) == []
        assert page.locator("audio").count() > 0
