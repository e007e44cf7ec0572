"""The public benchmark of defects: clips of the folds that nothing was learnt from, the same wherever they are made."""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from speech_defects import Defect
from speech_defects.evaluate.clips import read_manifest
from speech_defects.weights import benchmark

RATE = 16_000
COLUMNS = ["kind", "source", "licence", "speaker", "minutes", "file", "path", "start", "end", "channel", "url", "fold"]


@pytest.fixture
def lists(tmp_path: Path, speech, monkeypatch) -> Path:
    """Lists of five readers, one of them for tuning, music, and recordings with defects, one of which was learnt."""
    clone, rng = tmp_path / "downloads" / "repo", np.random.default_rng(0)
    clone.mkdir(parents=True)
    held_out = []
    for at in range(6):
        kind = "music" if at == 5 else "speech"
        wave = rng.normal(0, 0.1, 6 * RATE) if kind == "music" else speech[at * RATE :][: 6 * RATE]
        soundfile.write(clone / f"{at}.wav", wave, RATE)
        fold = "tune" if at == 0 else "judge"
        held_out.append([kind, "repo", "CC0-1.0", f"s{at}", "0.1", f"{at}.flac", f"{at}.wav", "", "", "", fold])
    real = []
    for name, fold in (("learnt", "a"), ("met", "held"), ("gone", "held")):
        if name != "gone":
            soundfile.write(clone / f"{name}.wav", rng.normal(0, 0.1, 70 * RATE), RATE)  # too long to be scored
        labels = {**dict.fromkeys(Defect, "0"), "noise": "1", "reverb": ""}
        row = ["labelled", "repo", "MIT", "", "0.1", f"{name}.flac", f"{name}.wav", "", "", "", fold]
        real.append([*row, "street", "cy", *labels.values()])
    at_url = COLUMNS.index("url")
    for name, columns, rows in (
        ("held_out", COLUMNS, held_out),
        ("real", [*COLUMNS, "group", "language", *Defect], real),
    ):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            whole = [[*row[:at_url], "https://github.com/one/repo", *row[at_url:]] for row in rows]
            csv.writer(file).writerows([columns, *whole])
    monkeypatch.setattr(benchmark, "LISTS", tmp_path)
    return tmp_path


def test_the_clips_are_those_of_recordings_that_nothing_was_learnt_from(lists: Path):
    missing = benchmark.make(lists / "downloads", lists / "out", clips=6)
    assert missing == [f"repo: gone.wav: not found in {lists / 'downloads'}"]
    clips = read_manifest(lists / "out" / "manifest.jsonl")
    assert Counter(clip.group for clip in clips) == {"made": 6, "clean: repo": 4, "recorded: street": 1}
    assert "s0" not in {clip.speaker for clip in clips}
    recorded = clips[-1]
    assert (recorded.file, recorded.language, recorded.labels[Defect.NOISE]) == ("labelled/met.flac", "cy", 1)
    assert np.isnan(recorded.labels[Defect.REVERB])


def test_the_digest_is_that_of_sounds_and_labels(lists: Path):
    found = []
    for folder in ("one", "other"):
        benchmark.make(lists / "downloads", lists / folder, clips=3)
        found.append(benchmark.digest(lists / folder / "manifest.jsonl"))
    assert found[0] == found[1]
    manifest = lists / "other" / "manifest.jsonl"
    text = manifest.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    lines[-1]["noise"] = 0
    manifest.write_text("\n".join(map(json.dumps, lines)))
    assert benchmark.digest(manifest) != found[0]
    manifest.write_text(text)
    soundfile.write(lists / "other" / "labelled" / "met.flac", np.zeros(2 * RATE), RATE)
    assert benchmark.digest(manifest) != found[0]
