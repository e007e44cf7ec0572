"""Recordings with noise under some of their clips: they are restored, published with their scores, and left alone."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.commandline import Speechmill, fingerprint, flags

RATE = 24_000
BASE = ("thresholds.noise=0.5", "thresholds.edge_ratio=null")
ON = (*BASE, "restore.model=deepfilternet3", "restore.noise=0.5")


@pytest.fixture(scope="module")
def noisy(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of two utterances, the second of which has a hiss."""
    place = tmp_path_factory.mktemp("noisy")
    for name in ("river.flac", "wind.mp3"):
        wave, rate = soundfile.read(folder / name)
        hiss = np.random.default_rng(0).normal(0, 0.007, wave.size)  # 16 dB under speech: noise by any definition
        hiss[: wave.size // 2] *= 0.05
        soundfile.write(place / Path(name).with_suffix(".flac"), wave + hiss, rate)
    return place


def rows(output: Path) -> dict[str, dict]:
    """The pool by clip."""
    return {row["clip_id"]: row for row in pq.read_table(output / "pool.parquet").to_pylist()}


def test_noisy_clips_are_restored_and_nothing_is_made_twice(
    noisy: Path,
    tmp_path: Path,
    speechmill: Speechmill,
) -> None:
    output = tmp_path / "corpus"
    speechmill("run", *flags(noisy, output, *BASE))
    before, without = rows(output), fingerprint(output)
    assert 0 < sum(row["decision"] == "kept" for row in before.values()) < len(before)
    assert "restored" not in next(iter(before.values()))

    speechmill("run", *flags(noisy, output, *ON))
    after = rows(output)
    assert after.keys() == before.keys()
    restored = {clip_id for clip_id, row in after.items() if row["restored"]}
    assert restored == {clip_id for clip_id, row in before.items() if row["score_noise"] > 0.5}
    for clip_id, row in after.items():
        for name in ("score_noise", "score_reverb", "snr_db"):
            original = before[clip_id][name] if clip_id in restored else None
            assert row[f"original_{name}"] == original
        if clip_id in restored:
            assert row["score_noise"] < before[clip_id]["score_noise"]
    assert restored & {clip_id for clip_id, row in after.items() if row["decision"] == "kept"}

    sounds = {row["clip_id"]: row for row in pq.read_table(output / "data").to_pylist()}
    for clip_id in restored & sounds.keys():
        row = sounds[clip_id]
        wave, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
        assert row["text"]
        assert (rate, wave.size) == (RATE, row["end"] - row["start"])
    assert speechmill("verify", output, "--all").returncode == 0

    speechmill("run", *flags(noisy, output, *BASE))
    assert fingerprint(output) == without
    speechmill("run", *flags(noisy, output, *ON))
    stages = json.loads((output / "run.json").read_text())["stages"]
    assert [stages[name]["audio_done_ms"] for name in ("restore", "transcribe", "tokenise")] == [0, 0, 0]
    assert rows(output) == after


def test_a_threshold_does_not_change_which_clips_are_restored(
    noisy: Path,
    tmp_path: Path,
    speechmill: Speechmill,
) -> None:
    output = tmp_path / "corpus"
    speechmill("run", *flags(noisy, output, *ON, "asr.model=null"))
    strict = {row["clip_id"] for row in rows(output).values() if row["restored"]}
    assert strict
    sounds = {row["clip_id"]: row["audio"]["bytes"] for row in pq.read_table(output / "data").to_pylist()}
    speechmill("select", output, "--set", "thresholds.noise=1")
    loose = {row["clip_id"]: row["audio"]["bytes"] for row in pq.read_table(output / "data").to_pylist()}
    assert {row["clip_id"] for row in rows(output).values() if row["restored"]} == strict
    assert sounds.keys() <= loose.keys()
    assert all(loose[clip_id] == sound for clip_id, sound in sounds.items())
