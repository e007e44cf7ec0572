"""How well the signal measures do on real recordings: `python -m tests.benchmarks.measures --data DIR`.

The defaults of `thresholds` and the constants of pipeline/speechmill/audio/measures.py rest on these figures.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from scipy.signal import butter, sosfilt
from speechmill.audio.measures import NAMES, measure
from speechmill.core.thresholds import Thresholds

RATE = 24_000
LONGEST = 20 * RATE
SNRS_DB = (0, 5, 10, 15, 20, 30)
Signal = npt.NDArray[np.float64]
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl")
    parser.add_argument("--clips", type=int, default=120, help="clean clips to use")
    options = parser.parse_args()
    rows = [json.loads(line) for line in (options.data / "manifest.jsonl").read_text().splitlines()]
    rng = np.random.default_rng(0)
    clean = [r for r in rows if r["group"] == "clean_speech" and r.get("duration_s", 0) >= 5]
    clean = [clean[i] for i in sorted(rng.permutation(len(clean))[: options.clips])]
    speech = [_load(options.data, r) for r in clean]
    noises = [_load(options.data, r) for r in rows if r["group"] == "noise" and r["duration_s"] >= 4]
    calls = [_load(options.data, r) for r in rows if r["group"] == "telephone" and r["duration_s"] >= 4]
    table = measure([_pcm(x) for x in speech], RATE)
    _report_speed(speech)
    _report_clean(clean, table)
    _report_snr(table["snr_db"], clean, speech, noises)
    _report_bandwidth(speech, calls)
    _report_clipping(speech)


def _load(data: Path, row: Row) -> Signal:
    samples, rate = soundfile.read(data / row["file"], always_2d=True)
    signal: Signal = np.asarray(soxr.resample(samples.mean(axis=1), rate, RATE), dtype=np.float64)
    return signal[:LONGEST]


def _pcm(signal: Signal) -> npt.NDArray[np.int16]:
    return np.clip(np.round(signal * 32768), -32768, 32767).astype(np.int16)


def _report_speed(speech: list[Signal]) -> None:
    clips = [_pcm(x) for x in speech]
    start = time.perf_counter()
    measure(clips, RATE)
    seconds = time.perf_counter() - start
    print(f"speed: {sum(map(len, clips)) / RATE / seconds:.0f} x real time")


def _report_clean(clean: list[Row], table: dict[str, npt.NDArray[np.float32]]) -> None:
    thresholds = Thresholds()
    flagged = np.array([bool(r.get("flags")) for r in clean])
    for kind, chosen in (("unflagged", ~flagged), ("flagged", flagged)):
        bad = np.zeros(len(clean), dtype=bool)
        print(f"clean speech, {kind}: {chosen.sum()} clips; quantiles 0, 2, 50, 98, 100 %; rejected by the default")
        for name in NAMES:
            limit = getattr(thresholds, name, None)
            over = table[name] > (limit or 1) if name == "clipped_ratio" else table[name] < (limit or -np.inf)
            bad |= over
            quantiles = np.nanquantile(table[name][chosen], (0, 0.02, 0.5, 0.98, 1))
            print(f"  {name:14}", *(f"{q:10.4f}" for q in quantiles), f"{over[chosen].mean():8.1%}")
        print(f"  all together: {bad[chosen].mean():.1%} rejected")


def _level(signal: Signal, *, active: bool) -> float:
    """Mean power above 80 Hz; of speech only that of its active frames (within 25 dB of the loud ones)."""
    filtered = sosfilt(butter(4, 80, "high", fs=RATE, output="sos"), signal)
    frames = np.square(filtered[: filtered.size // 480 * 480]).reshape(-1, 480).mean(axis=1)
    return float(frames[frames > np.quantile(frames, 0.95) * 10**-2.5].mean() if active else frames.mean())


def _mixtures(speech: list[Signal], noises: list[Signal]) -> Iterator[tuple[int, int, Signal]]:
    rng = np.random.default_rng(1)
    for index, clip in enumerate(speech):
        for choice in rng.choice(len(noises), 2, replace=False):
            noise = np.tile(noises[choice], -(-clip.size // noises[choice].size) + 1)
            start = rng.integers(noise.size - clip.size)
            noise = noise[start : start + clip.size]
            gain = np.sqrt(_level(clip, active=True) / max(_level(noise, active=False), 1e-12))
            for snr in SNRS_DB:
                mixed = clip + noise * gain * 10 ** (-snr / 20)
                yield index, snr, mixed / max(1.0, np.abs(mixed).max())


def _report_snr(
    measured_clean: npt.NDArray[np.float32], clean: list[Row], speech: list[Signal], noises: list[Signal]
) -> None:
    results = [(i, snr, float(measure([_pcm(x)], RATE)["snr_db"][0])) for i, snr, x in _mixtures(speech, noises)]
    index, true, found = (np.array(column) for column in zip(*results, strict=True))
    # A clip's own background limits what can be known about what was mixed in.
    quiet = np.array([r["measured"]["snr_est"] > 30 for r in clean])[index.astype(int)]
    error = (found - true)[quiet]
    correlation = np.corrcoef(found[quiet], true[quiet])[0, 1]
    print(f"snr_db: bias {error.mean():.2f}, rmse {np.sqrt(np.mean(error**2)):.2f}, correlation {correlation:.3f}")
    for snr in SNRS_DB:
        mixed, known = found[true == snr], found[quiet & (true == snr)]
        auc = np.mean(measured_clean[:, None] > mixed)
        below = np.mean(mixed < (Thresholds().snr_db or 0))
        print(f"  {snr:2} dB: bias {known.mean() - snr:5.2f} sd {known.std():4.2f} auc {auc:.3f} rejected {below:.0%}")


def _report_bandwidth(speech: list[Signal], calls: list[Signal]) -> None:
    rng = np.random.default_rng(2)
    some = [x / 2 for x in speech[:60]]  # room for the overshoot of resampling: clipping is full band
    kinds = {
        "16 kHz": some,
        "16 kHz, -40 dB": [x / 100 for x in some],
        "11.025 kHz": [_through(x, 11_025) for x in some],
        "8 kHz": [_through(x, 8_000) for x in some],
        "8 kHz, white noise at 30 dB": [_through(x, 8_000) + _white(rng, x, 30) for x in some],
        "8 kHz, white noise at 15 dB": [_through(x, 8_000) + _white(rng, x, 15) for x in some],
        "16 kHz, white noise at 25 dB": [x + _white(rng, x, 25) for x in some],
        "16 kHz, white noise at 15 dB": [x + _white(rng, x, 15) for x in some],
        "telephone": calls,
    }
    print("bandwidth_hz: quantiles 0, 10, 50, 90, 100 %, undefined")
    for name, clips in kinds.items():
        values = measure([_pcm(x) for x in clips], RATE)["bandwidth_hz"]
        quantiles = np.nanquantile(values, (0, 0.1, 0.5, 0.9, 1))
        print(f"  {name:30}", *(f"{q:6.0f}" for q in quantiles), np.isnan(values).sum())


def _through(signal: Signal, rate: int) -> Signal:
    """Speech that once was at a lower rate."""
    return np.asarray(soxr.resample(soxr.resample(signal, RATE, rate), rate, RATE), dtype=np.float64)


def _white(rng: np.random.Generator, signal: Signal, snr: float) -> Signal:
    noise: Signal = rng.standard_normal(signal.size) * np.sqrt(_level(signal, active=True) * 10 ** (-snr / 10))
    return noise


def _report_clipping(speech: list[Signal]) -> None:
    loud = [x / np.abs(x).max() * 0.999 for x in speech[:60]]
    wide = [soxr.resample(x, RATE, 44_100) for x in loud]
    kinds = {
        "clean, peak at full scale": loud,
        "4 x, clipped": [4 * x for x in loud],
        "4 x, clipped at 44.1 kHz": [soxr.resample(np.clip(4 * x, -1, 1), 44_100, RATE) for x in wide],
        "2 x, clipped at 44.1 kHz": [soxr.resample(np.clip(2 * x, -1, 1), 44_100, RATE) for x in wide],
        "4 x, clipped, -3 dB": [np.clip(4 * x, -1, 1) * 0.7 for x in loud],
    }
    print("clipped_ratio: quantiles 0, 5, 50, 95, 100 %, over the default")
    for name, clips in kinds.items():
        values = measure([_pcm(x) for x in clips], RATE)["clipped_ratio"]
        quantiles = np.quantile(values, (0, 0.05, 0.5, 0.95, 1))
        over = np.mean(values > (Thresholds().clipped_ratio or 1))
        print(f"  {name:30}", *(f"{q:7.4f}" for q in quantiles), f"{over:.0%}")


if __name__ == "__main__":
    main()
