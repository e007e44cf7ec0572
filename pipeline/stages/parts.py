"""What transcribing and tokenising share: only selected clips, only those not done yet, in parts.

When a threshold is loosened later, only the newly selected clips are run. A part is one artifact: what a crash
costs at most.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import fetch
from pipeline.audio import decode_flac
from pipeline.build import Build
from pipeline.stages.score import clip_durations, selected
from pipeline.stages.work import Outcome, Work

PART_CLIPS = 256

Clips = Mapping[str, npt.NDArray[np.int16]]  # int16[n] at the corpus rate, by clip_id


def complete(
    work: Work,
    build: Build,
    folder: str,
    *,
    known: Iterable[str],
    make: Callable[[Clips, Build], list[dict[str, Any]]],
    schema: pa.Schema,
) -> Outcome:
    """Run `make` on the selected clips that are not `known`, and store its rows in `folder`, a file a part."""
    durations = clip_durations(work.content_id, build)
    wanted = set(selected(work, build))
    missing = wanted.difference(known)
    for part in _parts(work.content_id, missing, build):
        if build.is_stopping():
            raise fetch.Stopped
        identity = hashlib.sha256("".join(sorted(part)).encode()).hexdigest()[:16]
        table = pa.Table.from_pylist(make(part, build), schema=schema)
        build.store.write_table(f"{folder}/{identity}.parquet", table, {"retry": False})
    seconds, new = (sum(durations[clip_id] for clip_id in clips) for clips in (wanted, missing))
    return Outcome(state="done" if missing else "reused", seconds_in=new if missing else seconds, seconds_kept=seconds)


def _parts(content_id: str, clip_ids: set[str], build: Build) -> Iterator[Clips]:
    part: dict[str, npt.NDArray[np.int16]] = {}
    if not clip_ids:
        return
    for batch in build.store.batches(build.segments(content_id), ["clip_id", "flac"]):
        for row in batch.to_pylist():
            if row["clip_id"] in clip_ids:
                part[row["clip_id"]] = decode_flac(row["flac"])
            if len(part) == PART_CLIPS:
                yield part
                part = {}
    if part:
        yield part
