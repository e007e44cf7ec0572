"""The lists of recordings behind the shipped weights, and the programs that gather them."""

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from speech_defects import Defect
from speech_defects.degrade import read_manifests
from speech_defects.degrade.takes import Sources
from speech_defects.evaluate.clips import read_manifest
from speech_defects.weights import compose, gather

WEIGHTS = Path(__file__).parents[2] / "classifiers" / "speech_defects" / "weights"
LISTS = ("recordings.csv", "held_out.csv")
REAL = "real.csv"  # recordings whose defects are known


def rows(name: str) -> list[dict[str, str]]:
    with (WEIGHTS / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", [*LISTS, REAL])
def test_each_recording_has_a_licence_an_origin_and_a_name_of_its_own(name):
    listed = rows(name)
    assert all(row["licence"] and row["path"] and row["url"].startswith("https://") for row in listed)
    assert {row["kind"] for row in listed} <= set(Sources.kinds())
    names = [(row["kind"], row["file"]) for row in listed]
    assert len(set(names)) == len(names)


def test_what_was_learnt_from_is_not_what_is_judged_on():
    learnt, judged = (rows(name) for name in LISTS)
    assert not {(row["path"], row["url"]) for row in learnt} & {(row["path"], row["url"]) for row in judged}
    readers = [{row["speaker"] for row in part if row["kind"] == "speech"} for part in (learnt, judged)]
    assert not readers[0] & readers[1] - {""}


def test_recordings_for_tuning_and_for_judging_are_of_other_readers_and_files():
    folds = {fold: [row for row in rows("held_out.csv") if row["fold"] == fold] for fold in ("tune", "judge")}
    tune, judge = ({row["speaker"] for row in listed if row["kind"] == "speech"} for listed in folds.values())
    assert not tune & judge - {""}
    assert all({row["kind"] for row in listed} >= {"speech", "noise", "music", "room"} for listed in folds.values())
    packages = [{row["url"] for row in listed if row["kind"] in ("noise", "music")} for listed in folds.values()]
    assert not packages[0] & packages[1]
    wheels = [row["url"] for name in LISTS for row in rows(name) if "pypi.org" in row["url"]]
    assert all(url.strip("/").count("/") == 5 for url in wheels)  # with a version: another has other files


def test_each_real_source_is_on_one_side_and_says_which_defects_it_has():
    listed = rows(REAL)
    sides: dict[str, set[str]] = {}
    for row in listed:
        sides.setdefault(row["source"], set()).add(row["fold"])
        assert {row[defect] for defect in Defect} <= {"0", "1", ""}
    assert all(len(folds) == 1 for folds in sides.values())
    assert {row["fold"] for row in listed} == {"a", "b", "held"}
    assert not [
        row for row in listed if row["fold"] != "held" and "GPL" in row["licence"]
    ]  # may be judged on, not learnt


def test_the_model_card_is_that_of_the_shipped_weights():
    digest = hashlib.sha256((WEIGHTS / "defects.safetensors").read_bytes()).hexdigest()
    assert f"`{digest}`" in (WEIGHTS / "README.md").read_text(encoding="utf-8")


def test_recordings_are_joined_cut_and_listed(tmp_path):
    clone = tmp_path / "downloads" / "voices"
    clone.mkdir(parents=True)
    rng = np.random.default_rng(1)
    parts = [rng.uniform(-0.5, 0.5, (8_000, 2)).astype(np.float32) for _ in range(3)]
    for at, part in enumerate(parts):
        soundfile.write(clone / f"{at}_anna.wav", part, 16_000, subtype="FLOAT")
    columns = ["kind", "source", "licence", "speaker", "minutes", "file", "path", "start", "end", "channel", "url"]
    made = [
        ["speech", "voices", "CC0-1.0", "anna", "0.01", "anna.flac", "[0-1]_anna.wav", "0.25", "0.75", "1"],
        ["speech", "voices", "CC0-1.0", "anna", "0.01", "gone.flac", "9_anna.wav", "", "", ""],
    ]
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *([*row, "https://github.com/one/voices/blob/0/a"] for row in made)])
    command = [
        sys.executable,
        "-m",
        "speech_defects.weights.gather",
        tmp_path / "list.csv",
        "--local",
        tmp_path / "downloads",
    ]
    told = subprocess.run([*command, "--output", tmp_path / "out"], check=True, capture_output=True, text=True)
    assert "1 recordings" in told.stdout
    assert "9_anna.wav: not found" in told.stderr
    wave, rate = soundfile.read(tmp_path / "out" / "speech" / "anna.flac", dtype="float32")
    assert rate == 16_000
    np.testing.assert_allclose(wave, np.concatenate(parts[:2])[4_000:12_000, 1], atol=1e-4)
    (take,) = read_manifests([tmp_path / "out" / "manifest.jsonl"]).speech
    assert (take.speaker, take.source, take.licence) == ("anna", "voices", "CC0-1.0")
    assert [json.loads(line)["file"] for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()] == [
        "speech/anna.flac"
    ]


def test_labels_of_real_recordings_are_listed(tmp_path):
    clone = tmp_path / "downloads" / "street"
    clone.mkdir(parents=True)
    soundfile.write(clone / "car.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 16_000), 16_000)
    columns = ["kind", "source", "licence", "speaker", "minutes", "file", "path", "start", "end", "channel", "url"]
    made = [
        "labelled",
        "one/street",
        "MIT",
        "",
        "0.01",
        "car.flac",
        "car.wav",
        "",
        "",
        "",
        "https://github.com/one/street",
    ]
    more = dict.fromkeys(Defect, "") | {"noise": "1", "music": "0", "group": "noisy", "language": "cy", "fold": "a"}
    with (tmp_path / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[*columns, *more], [*made, *more.values()]])
    arguments = ["gather", str(tmp_path / "list.csv"), "--local", str(tmp_path / "downloads"), "--output"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*arguments, str(tmp_path / "out")])
        gather.main()
    line = json.loads((tmp_path / "out" / "manifest.jsonl").read_text())
    assert (line["noise"], line["music"], line["overlap"], line["language"]) == (1, 0, None, "cy")
    (take,) = read_manifests([tmp_path / "out" / "manifest.jsonl"]).labelled
    assert take.labels[:2] == (1.0, 0.0)
    (clip,) = read_manifest(tmp_path / "out" / "manifest.jsonl")
    assert (clip.group, clip.language, clip.labels[Defect.MUSIC]) == ("noisy", "cy", 0)


def test_a_piece_is_a_function_of_its_style_and_number(tmp_path):
    def notes(style, number):
        compose.compose(style, number).save(tmp_path / "piece.mid")
        return (tmp_path / "piece.mid").read_bytes()

    for style in compose.STYLES:
        assert notes(style, 3) == notes(style, 3) != notes(style, 4)
        assert compose.compose(style, 3).length >= compose.SECONDS


def test_every_piece_that_was_learnt_from_can_be_composed():
    pieces = [row["path"].removeprefix("compose:") for row in rows("recordings.csv") if "compose:" in row["path"]]
    assert pieces
    assert {piece.partition("/")[0] for piece in pieces} == set(compose.STYLES)
