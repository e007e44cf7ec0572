"""Two synthetic readers in turns without a pause: no clip holds both."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from hibari import Hibari
from speechmill.speakers import load_overlap, load_statistics
from speechmill.speakers.turns import STEP, TurnDetector

from tests.commandline import Speechmill, flags

RATE = 24_000
TEXTS = (
    "The old lighthouse keeper climbed the narrow stairs every evening to light the lamp before the ships came near.",
    "She sells sea shells by the sea shore and they say that she is rather rich because so many wished to see it.",
    "In the autumn the wind comes from the sea, and it carries the smell of salt as far as the orchards.",
    "The sound of the stones tells the miller how fine the flour is, and whether the grain was dry or not.",
)
ON = ("turns.model=campplus", "speakers.model=campplus", "asr.model=null", "tokenise.checkpoint=null")


@pytest.fixture(scope="module")
def dialogue(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """A recording of two voices in turns, 50 ms apart, and the times in s at which they change."""
    folder, voice, parts, changes = tmp_path_factory.mktemp("dialogue"), Hibari(), [np.zeros(RATE // 2)], []
    for number, text in enumerate(TEXTS):
        wave = np.asarray(voice(text, seed=number), np.float64)
        wave = np.trim_zeros(np.where(np.abs(wave) < 1e-3, 0, wave)) / np.abs(wave).max() / 2
        if number % 2:  # a larger head: every frequency lower by a fifth, and slower
            wave = np.interp(np.arange(0, wave.size, 0.8), np.arange(wave.size), wave)
        changes.append((sum(map(len, parts))) / RATE)
        parts += [wave, np.zeros(RATE // 20)]
    sound = np.concatenate([*parts, np.zeros(RATE // 2)])
    soundfile.write(folder / "dialogue.flac", sound + np.random.default_rng(0).normal(0, 3e-4, sound.size), RATE)
    return folder, changes[1:]


def spans_over(output: Path, changes: list[float]) -> list[int]:
    """For each clip, how many changes are more than 0.3 s inside it."""
    clips = pq.read_table(output / "pool.parquet", columns=["start", "end"]).to_pylist()
    return [sum(clip["start"] / RATE + 0.3 < at < clip["end"] / RATE - 0.3 for at in changes) for clip in clips]


def test_clips_end_where_the_voice_changes(
    dialogue: tuple[Path, list[float]], tmp_path: Path, speechmill: Speechmill
) -> None:
    folder, changes = dialogue
    output = tmp_path / "corpus"
    speechmill("run", *flags(folder, output, *ON))
    pool = pq.read_table(output / "pool.parquet").to_pylist()
    assert len(pool) == len(TEXTS)
    assert spans_over(output, changes) == [0] * len(TEXTS)
    assert [row["turn_id"] for row in sorted(pool, key=lambda row: row["start"])] == [0, 1, 2, 3]
    assert all(row["voices"] == 1 and row["score_turn"] < 0.5 for row in pool)
    data = pq.read_table(output / "data").to_pylist()
    assert {"voices", "score_turn", "turn_id", "speaker_id"} <= set(data[0])
    assert len({row["speaker_id"] for row in data}) == 2

    stored = json.loads((output / "run.json").read_text())
    assert stored["config"]["turns"] == {"model": "campplus", "overlap": "segmentation-3.0", "cut": True}
    turns = next((output / "work/turns").rglob("*.parquet"))
    made = turns.stat().st_mtime_ns
    speechmill("run", *flags(folder, output, *ON, "segment.edge_s=0.05"))
    assert turns.stat().st_mtime_ns == made  # cut anew, without the network
    assert speechmill("verify", output).returncode == 0


def test_without_a_cut_the_columns_reject_what_has_two_voices(
    dialogue: tuple[Path, list[float]], tmp_path: Path, speechmill: Speechmill
) -> None:
    folder, changes = dialogue
    output = tmp_path / "corpus"
    speechmill("run", *flags(folder, output, *ON, "turns.cut=false", "segment.max_length_s=29"))
    pool = pq.read_table(output / "pool.parquet").to_pylist()
    mixed = [inside > 0 for inside in spans_over(output, changes)]
    assert any(mixed)
    assert [row["voices"] > 1 for row in pool] == mixed
    assert [("two_voices" in (row["reasons"] or ())) for row in pool] == mixed


def test_one_voice_is_one_turn_and_two_at_once_are_noticed(dialogue: tuple[Path, list[float]]) -> None:
    voice = Hibari()
    first, second = (
        np.asarray(voice(text, seed=1), np.float32)[:: RATE // 8_000][: 50 * STEP // 2].repeat(2) for text in TEXTS[:2]
    )
    second = np.interp(np.arange(0, second.size, 0.8), np.arange(second.size), second).astype(np.float32)[: first.size]
    overlap, detector = load_overlap("segmentation-3.0"), TurnDetector(load_statistics("campplus"))
    alone, both = overlap.probabilities(first), overlap.probabilities(first + second)
    assert alone.shape == both.shape == (first.size // STEP,)
    assert alone.mean() < 0.1 < both.mean()
    steps = first.size // STEP
    detector.feed(first, np.ones(steps, bool), np.zeros(steps, np.int64), alone)
    assert set(detector.finish().labels.tolist()) == {0}
