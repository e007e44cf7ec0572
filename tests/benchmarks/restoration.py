"""Measures what the stage `restore` wins, and what it costs: words, voice and quality of restored clips.

    python -m tests.benchmarks.restoration --data DIR [--clips 40] [--attenuation 100]

DIR holds manifest.jsonl and its recordings. Clean clips, each of another speaker, get noise or a room; those that the
default thresholds reject for noise or reverberation alone are restored as in a run. Truth for the words is what
Whisper tiny.en (of the demo extra) writes of the clean clip, for the voice CAM++'s embedding of the clean clip;
quality is distillmos. Rows "recorded" are noisy and reverberant recordings, of which no clean version exists.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soxr
from scipy.signal import fftconvolve
from speechmill import asr, speakers
from speechmill.audio import INT16_STEPS, to_int16
from speechmill.core.config import Asr
from speechmill.core.config_file import load
from speechmill.core.store import Store
from speechmill.decide import decision
from speechmill.fetch import PACKAGED_MODEL, model_folder
from speechmill.stages.profiles import build_up_to_scores
from speechmill.stages.restore import RESTORABLE, is_damaged, restore_clip
from speechmill.stages.score import scores_of
from speechmill.stages.selection import early_columns

from tests.benchmarks.doubts import RATE, Wave, read, word_errors

CORPUS_RATE = 24_000
LONGEST_S = 10
SNRS_DB = (20, 15, 10, 5)


@dataclass
class Row:
    """Clips of one kind of damage."""

    clips: int = 0
    rejected: int = 0  # for noise or reverberation alone, and mild
    won: int = 0
    wer: list[tuple[float, float]] = field(default_factory=list)  # of a won clip, damaged and restored
    voice: list[tuple[float, float]] = field(default_factory=list)  # cosine to the clean clip
    mos: list[tuple[float, float, float]] = field(default_factory=list)  # clean (or damaged), damaged, restored
    seconds: float = 0.0  # of restored sound
    cost_s: float = 0.0


class Judges:
    """The models by which clips are compared, all at 16 kHz."""

    def __init__(self) -> None:
        from distillmos import ConvTransformerSQAModel

        config = Asr(model=PACKAGED_MODEL, language="en")
        self._asr = asr.load(str(model_folder(PACKAGED_MODEL)), config, "cpu", config.arithmetic("cpu"))
        self._voices = speakers.load(speakers.PACKAGED, "cpu")
        self._mos = ConvTransformerSQAModel().eval()

    def text(self, wave: Wave) -> str:
        """Hypothesis."""
        (hypothesis,) = self._asr.transcribe([wave])
        return hypothesis.text

    def cosine(self, wave: Wave, clean: Wave) -> float:
        """Similarity of two voices."""
        one, other = (np.asarray(row, np.float64) for row in self._voices.embed([wave, clean]))
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    def mos(self, wave: Wave) -> float:
        """Mean opinion score, 1 to 5."""
        import torch

        with torch.inference_mode():
            return float(self._mos(torch.from_numpy(wave)[None]).item())


def with_noise(wave: Wave, noise: Wave, snr_db: float) -> Wave:
    """Add noise, repeated as needed, by power over the whole clip."""
    noise = np.resize(noise, wave.size)
    gain = np.sqrt(np.mean(wave**2) / max(float(np.mean(noise**2)), 1e-12)) * 10 ** (-snr_db / 20)
    return wave + np.float32(gain) * noise


def in_room(wave: Wave, response: Wave) -> Wave:
    """Convolve with a room's response, at the level of before."""
    wet = fftconvolve(wave, response)[: wave.size]
    return (wet * np.sqrt(np.mean(wave**2) / np.mean(wet**2))).astype(np.float32)


def damages(data: Path, rows: list[dict[str, Any]], seed: int) -> Iterator[tuple[str, Any]]:
    """Name and function of each damage, with a noise and a room drawn for each clip."""
    random = np.random.default_rng(seed)
    noises = [row for row in rows if row["group"] == "noise" and row["duration_s"] > 3]
    rooms = [row for row in rows if row["group"] == "rir"]
    for snr_db in SNRS_DB:
        noise = at_corpus_rate(read(data / noises[random.integers(len(noises))]["file"]))
        yield f"noise {snr_db} dB", partial(with_noise, noise=noise, snr_db=snr_db)
    yield "room", partial(in_room, response=at_corpus_rate(read(data / rooms[random.integers(len(rooms))]["file"])))


def at_corpus_rate(wave: Wave) -> Wave:
    """From 16 kHz."""
    return soxr.resample(wave, RATE, CORPUS_RATE).astype(np.float32)


def judged(clip: Any, build: Any) -> tuple[pa.Table, decision.Reasons]:
    """Scores of an int16[n] clip, and the tests that it fails by the defaults; a cut word is none of this."""
    scores = pa.table(scores_of([clip], build))
    columns = [column for column in early_columns(build.config) if column.name != "edge_ratio"]
    return scores, decision.failed(scores, columns, build.config.thresholds)


def measure(clip: Any, clean: Any, row: Row, build: Any, judges: Judges) -> None:
    """Restore a clip if it is rejected for mild noise or reverberation alone, and compare if it then passes."""
    row.clips += 1
    scores, fails = judged(clip, build)
    reasons = {reason for reason, failing in fails.failing.items() if failing.any()}
    if not reasons or reasons - set(RESTORABLE) or not is_damaged(scores, build.config.restore).any():
        return
    row.rejected += 1
    began = time.process_time()
    restored = restore_clip(clip, CORPUS_RATE, build.config.restore.attenuation_db)
    row.cost_s += time.process_time() - began
    row.seconds += clip.size / CORPUS_RATE
    if judged(restored, build)[1].any.any():
        return
    row.won += 1
    before, after = (at_16k(samples) for samples in (clip, restored))
    if clean is None:
        row.mos.append((np.nan, judges.mos(before), judges.mos(after)))
        row.voice.append((1.0, judges.cosine(after, before)))
        return
    truth = at_16k(clean)
    said = judges.text(truth)
    row.wer.append(tuple(word_errors(said, judges.text(wave), "en") for wave in (before, after)))
    row.voice.append(tuple(judges.cosine(wave, truth) for wave in (before, after)))
    row.mos.append(tuple(judges.mos(wave) for wave in (truth, before, after)))


def at_16k(samples: Any) -> Wave:
    """From int16 at the corpus rate."""
    return soxr.resample(samples.astype(np.float32) / INT16_STEPS, CORPUS_RATE, RATE).astype(np.float32)


def report(table: dict[str, Row]) -> None:
    """Print a table in Markdown."""
    print("| damage | clips | rejected | won back | WER, damaged → restored | voice | MOS clean, damaged → restored |")
    print("|---|---|---|---|---|---|---|")
    for name, row in table.items():
        wer = _means(row.wer, "{:.1%} → {:.1%}")
        voice, mos = _means(row.voice, "{:.2f} → {:.2f}"), _means(row.mos, "{:.2f}, {:.2f} → {:.2f}")
        print(f"| {name} | {row.clips} | {row.rejected} | {row.won} | {wer} | {voice} | {mos} |", flush=True)
    seconds, cost = (sum(getattr(row, key) for row in table.values()) for key in ("seconds", "cost_s"))
    print(f"\nrestoration: {seconds / max(cost, 1e-9):.0f} x real time, one core")


def _means(values: list[tuple[float, ...]], form: str) -> str:
    return form.format(*np.mean(values, axis=0)) if values else ""


def main() -> None:
    """Damage, restore, judge, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.restoration", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--attenuation", type=float, default=100.0)
    options = parser.parse_args()
    rows = [json.loads(line) for line in (options.data / "manifest.jsonl").open()]
    settings = ("restore.model=deepfilternet3", f"restore.attenuation_db={options.attenuation}")
    build, judges = build_up_to_scores(load(settings=settings), Store("memory://restoration")), Judges()
    readers = {row.get("speaker"): row for row in rows if row["group"] == "clean_speech" and row["duration_s"] > 5}
    table: dict[str, Row] = {}
    for number, row in enumerate([*readers.values()][:: max(len(readers) // options.clips, 1)]):
        clean = at_corpus_rate(read(options.data / row["file"]))[: LONGEST_S * CORPUS_RATE]
        if judged(to_int16(clean), build)[1].any.any():
            continue
        for name, damage in damages(options.data, rows, number):
            wave = damage(clean)
            scale = min(1.0, 0.95 / np.abs(wave).max())
            clip, truth = to_int16(wave * scale), to_int16(clean * scale)
            measure(clip, truth, table.setdefault(name, Row()), build, judges)
    for row in rows:
        if row["group"] in ("noisy_speech", "reverb_speech", "podcast") and row["duration_s"] > 3:
            wave = at_corpus_rate(read(options.data / row["file"]))[: LONGEST_S * CORPUS_RATE]
            name = f"recorded: {row['group']}"
            measure(to_int16(wave), None, table.setdefault(name, Row()), build, judges)
    report(table)


if __name__ == "__main__":
    main()
