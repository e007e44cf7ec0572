"""What clustering by speaker costs for a generated corpus: `python -m tests.benchmarks.clustering [--clips N]`.

Embeddings are made as they are read: those of a speaker spread about a mean as CAM++'s do, a recording has one to three
speakers, and most speakers are in many recordings.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from speechmill.core.build import Build
from speechmill.core.records import Recording, stable_id
from speechmill.publish import speakers

from tests.benchmarks.timing import HEADING, Figure, show, write_json
from tests.media import RATE, a_build

CLIPS, CLIPS_A_RECORDING, RECORDINGS_A_GROUP = 1_000_000, 100, 1_000
RECORDINGS_A_SPEAKER = 10
DIMENSIONS = 192
SPREAD = 0.9  # of a clip about its speaker's mean: the cosine of two clips of one speaker is 1 / (1 + 0.81) = 0.55
MOST_MB, MOST_S = 2_000, 300


def main() -> None:
    """Cluster, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.clustering", description=__doc__)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(a_build(Path(folder)), options.clips)
    print(HEADING)
    show(figures)
    if options.json:
        write_json(options.json, figures, {"cores": os.cpu_count(), "clips": options.clips})


def measure(build: Build, clips: int) -> list[Figure]:
    """Assign speakers to all clips, as publication does, and count mistakes."""
    recordings = clips // CLIPS_A_RECORDING
    speakers._embeddings = lambda content_id, _: embeddings(int(content_id), recordings)  # type: ignore[assignment]
    begin, cpu = time.monotonic(), time.process_time()
    assigned = speakers.assign(groups(recordings), build)
    for group in groups(recordings):
        assigned.add_to(group)
    wall, busy = time.monotonic() - begin, time.process_time() - cpu
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    name = f"{clips:,} clips"
    return [
        Figure(name, f"of {recordings:,} recordings, CPU", busy, wall, "s", MOST_S, at_most=True),
        Figure(name, "peak", megabytes, None, "MB", MOST_MB, at_most=True),
    ]


def groups(recordings: int) -> Iterator[Any]:
    """Groups with what the clustering reads of them: all clips are kept."""
    for first in range(0, recordings, RECORDINGS_A_GROUP):
        numbers = range(first, min(first + RECORDINGS_A_GROUP, recordings))
        recording = np.repeat(np.arange(len(numbers)), CLIPS_A_RECORDING)
        start = np.tile(np.arange(CLIPS_A_RECORDING) * 10 * RATE, len(numbers))
        ids = [clip_id for number in numbers for clip_id in _clip_ids(number)]
        columns = {"recording": recording, "clip_id": ids, "start": start, "end": start + 8 * RATE}
        yield SimpleNamespace(
            recordings=[Recording(recording_id=_id(n), source="rss", media_url="", content_id=str(n)) for n in numbers],
            recording=recording,
            places=pa.table(columns),
            decision=SimpleNamespace(kept=np.ones(len(ids), bool)),
        )


def embeddings(number: int, recordings: int) -> dict[str, Any]:
    """Embeddings of the clips of a recording."""
    dice = np.random.default_rng(number)
    own = dice.integers(0, max(recordings // RECORDINGS_A_SPEAKER, 1), dice.integers(1, 4))
    means = np.stack([np.random.default_rng(10**9 + int(one)).standard_normal(DIMENSIONS) for one in own])
    rows = means[dice.integers(0, len(own), CLIPS_A_RECORDING)]
    rows = rows + SPREAD * dice.standard_normal(rows.shape)
    rows = np.round(rows / np.linalg.norm(rows, axis=1, keepdims=True), 4).astype(np.float32)
    return dict(zip(_clip_ids(number), rows, strict=True))


def _id(number: int) -> str:
    return stable_id("recording", str(number))


def _clip_ids(number: int) -> list[str]:
    return [stable_id(str(number), str(at)) for at in range(CLIPS_A_RECORDING)]


if __name__ == "__main__":
    main()
