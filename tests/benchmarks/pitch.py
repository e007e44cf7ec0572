"""Measures the pitch columns: their speed, and how far they are from those of another detector.

    python -m tests.benchmarks.pitch --data DIR [--clips 100]

DIR holds manifest.jsonl and its recordings, of which clean speech is taken. The other detector is Praat's, of the
package praat-parselmouth, if it is installed; it is no dependency, since its licence is the GPL.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from speechmill.stages.pitch import HIGHEST_HZ, LOWEST_HZ, SAMPLE_RATE_HZ, pitch_columns, voiced_hz

from tests.benchmarks.doubts import read

Wave = np.ndarray


def praat_hz(wave: Wave) -> Wave:
    """Voiced frames by Praat's autocorrelation method, float32[voiced] in Hz."""
    import parselmouth

    sound = parselmouth.Sound(wave.astype(np.float64), SAMPLE_RATE_HZ)
    hz = sound.to_pitch_ac(time_step=0.016, pitch_floor=LOWEST_HZ, pitch_ceiling=HIGHEST_HZ)
    frames = hz.selected_array["frequency"]
    return frames[frames > 0].astype(np.float32)


def main() -> None:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pitch", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=100)
    options = parser.parse_args()
    rows = map(json.loads, (options.data / "manifest.jsonl").open())
    clean = [row for row in rows if row["group"] == "clean_speech" and row["duration_s"] > 2]
    waves = [read(options.data / row["file"]) for row in clean[:: max(len(clean) // options.clips, 1)]]
    voiced_hz(waves[0])  # loads the network
    begin = time.process_time()
    ours = [pitch_columns(voiced_hz(wave)) for wave in waves]
    seconds = time.process_time() - begin
    print(f"{len(waves)} clips: {sum(map(len, waves)) / SAMPLE_RATE_HZ / seconds:.0f} x real time, one core")
    try:
        theirs = [pitch_columns(praat_hz(wave)) for wave in waves]
    except ModuleNotFoundError:
        print("to compare with Praat: pip install praat-parselmouth")
        return
    for column in ours[0]:
        pairs = [
            (a[column], b[column]) for a, b in zip(ours, theirs, strict=True) if None not in (a[column], b[column])
        ]
        apart = [abs(a - b) / b for a, b in pairs]
        print(f"{column}: relative difference, median {np.median(apart):.1%}, 90 % {np.percentile(apart, 90):.1%}")


if __name__ == "__main__":
    main()
