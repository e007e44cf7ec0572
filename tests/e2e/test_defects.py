"""Labelled clips are made, and the classifiers measured on them, as a user does it."""

import json
from pathlib import Path

import pytest
import soundfile

from tests.commandline import Speechmill
from tests.recordings import OVERLAPS_S, make_manifest

DEFECTS = ("noise", "music", "telephone", "overlap", "reverb")


@pytest.fixture(scope="module")
def recordings(speech, tmp_path_factory) -> Path:
    return make_manifest(tmp_path_factory.mktemp("sources"), speech)


@pytest.fixture(scope="module")
def labelled(recordings: Path, speechmill: Speechmill, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("labelled")
    speechmill("degrade", recordings, "--output", output, "--clips", 60, "--seconds", 2, 4, "--seed", 3, "--quiet")
    return output


def rows_of(manifest: Path) -> list[dict]:
    return [json.loads(line) for line in manifest.read_text().splitlines()]


def test_made_clips_have_their_length_and_their_labels(labelled: Path) -> None:
    rows = [row for row in rows_of(labelled / "manifest.jsonl") if row["group"] == "made"]
    assert len(rows) == 60
    for row in rows:
        info = soundfile.info(labelled / row["file"])
        assert (info.samplerate, info.channels) == (16_000, 1)
        assert 2 <= info.duration <= 4
    for defect in DEFECTS:
        assert {0, 1} <= {row[defect] for row in rows}


def test_recordings_as_found_claim_only_what_is_known(labelled: Path) -> None:
    rows = rows_of(labelled / "manifest.jsonl")
    clean = [row for row in rows if row["group"] == "clean: made"]
    assert len(clean) == 6
    assert all(row[defect] == 0 for row in clean for defect in DEFECTS)
    (call,) = [row for row in rows if row["group"] == "telephone: made"]
    assert [call[defect] for defect in DEFECTS] == [None, None, 1, None, None]
    talk = [row for row in rows if row["group"] == "conversation: made"]
    both = [sum(max(0, min(end, at + 5) - max(start, at)) for start, end in OVERLAPS_S) for at in (0, 5, 10)]
    assert [row["overlap_s"] for row in talk] == pytest.approx(both, abs=0.05)
    assert [row["overlap"] for row in talk] == [1, 1, None]


def test_the_same_seed_makes_the_same_clips(labelled: Path, recordings: Path, speechmill: Speechmill, tmp_path) -> None:
    speechmill("degrade", recordings, "--output", tmp_path, "--clips", 3, "--seconds", 2, 4, "--seed", 3, "--quiet")
    ours, other = (rows_of(folder / "manifest.jsonl")[:3] for folder in (tmp_path, labelled))
    assert ours == other
    for row in ours:
        assert (tmp_path / row["file"]).read_bytes() == (labelled / row["file"]).read_bytes()


def test_an_evaluation_writes_figures_and_a_page(labelled: Path, speechmill: Speechmill, tmp_path: Path) -> None:
    output = tmp_path / "evaluation"
    manifest = labelled / "manifest.jsonl"
    done = speechmill("evaluate", "defects", manifest, "--output", output, "--baseline", "wada", "--json", "--quiet")
    said, found = json.loads(done.stdout), json.loads((output / "defects.json").read_text())
    assert said["clips"] == found["clips"] == len(rows_of(manifest))
    assert {"speechmill", "wada"} <= {model["tool"] for model in found["models"]}
    assert found["thresholds_are_given"]
    page = (output / "defects.html").read_text()
    assert all(found["profile"] in text for text in (page, json.dumps(found)))
    assert page.count("<svg") > 5


def test_what_is_wrong_with_an_evaluation_is_one_line(labelled: Path, speechmill: Speechmill, tmp_path: Path) -> None:
    for arguments, why in (
        (("nowhere.jsonl",), "nowhere.jsonl: No such file"),
        ((labelled / "manifest.jsonl", "--baseline", "magic"), "no baseline named magic"),
        ((labelled / "manifest.jsonl", "--set", "defects.weights=null"), "defects.weights: "),
        ((labelled / "manifest.jsonl", "--set", "defects.weights=no.safetensors"), "no.safetensors"),
    ):
        failed = speechmill("evaluate", "defects", *arguments, "--output", tmp_path / "out", code=2)
        assert why in failed.stderr
        assert len(failed.stderr.splitlines()) == 1
    wrong = speechmill("degrade", labelled / "manifest.jsonl", "--output", tmp_path / "out", code=2)
    assert "line 1: unknown or missing key 'kind'" in wrong.stderr
    assert not [path.name for path in (tmp_path / "out").glob("[!.]*")]  # but perhaps the list of its names
