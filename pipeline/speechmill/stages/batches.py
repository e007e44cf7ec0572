"""What all clip stages share: only clips that pass so far, only those not done yet, of many contents together.

A model's batches are full only if clips of many short recordings share them; artifacts stay one content's own. When
a threshold is loosened later, only the newly selected clips are run. A part is what a crash costs at most.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill import fetch
from speechmill.audio import decode_flac
from speechmill.core.build import Build
from speechmill.stages.base import ClipStage
from speechmill.stages.selection import clip_durations, selected
from speechmill.stages.work import Outcome, Work

PART_CLIPS = 256

Done = tuple[Work, tuple[Outcome, float]]  # with the seconds that it took


@dataclass(slots=True)
class _Open:
    """A content of which some clips wait."""

    work: Work
    outcome: Outcome | None = None
    waiting: int = 0  # clips that are not done
    seconds: float = 0.0


class Batch:
    """Contents whose clips are worked on together. Memory is bounded by the clips of a part."""

    def __init__(self, stage: ClipStage, build: Build) -> None:
        self._stage, self._build = stage, build
        self._open: dict[str, _Open] = {}
        self._part: dict[str, npt.NDArray[np.int16]] = {}
        self._content_of: dict[str, str] = {}

    @property
    def works(self) -> list[Work]:
        """What was added and is not done."""
        return [one.work for one in self._open.values()]

    def add(self, work: Work) -> Iterator[Done]:
        """Take a content's clips in; yield what is done by then. Raises fetch.StoppedError where the run is to stop."""
        self._open[work.content_id] = one = _Open(work)
        durations = clip_durations(work.content_id, self._build)
        wanted = set(selected(work, self._build) if self._stage.clips_only else durations)
        done = self._stage.read(work.content_id, self._build, ["clip_id"])["clip_id"].to_pylist()
        missing = wanted.difference(done)
        kept, new = (sum(durations[clip_id] for clip_id in clips) for clips in (wanted, missing))
        state = "done" if missing else "reused"
        one.outcome = Outcome(state=state, seconds_in=new if missing else kept, seconds_kept=kept)
        one.waiting = len(missing)
        for clip_id, clip in _clips(work.content_id, missing, self._build):
            self._part[clip_id], self._content_of[clip_id] = clip, work.content_id
            if len(self._part) == PART_CLIPS:
                self._flush()
                yield from self._finished()
        yield from self._finished()

    def rest(self) -> Iterator[Done]:
        """Work on what waits, and yield all that is not done."""
        if self._part:
            self._flush()
        yield from self._finished()

    def _finished(self) -> Iterator[Done]:
        for content_id, one in list(self._open.items()):
            if one.outcome and not one.waiting:
                del self._open[content_id]
                yield one.work, (one.outcome, one.seconds)

    def _flush(self) -> None:
        """Make the rows of the clips that wait, and store those of each content in a file of their own."""
        if self._build.is_stopping():
            raise fetch.StoppedError
        began = time.perf_counter()
        rows: dict[str, list[dict[str, Any]]] = {}
        made = self._stage.rows(self._part, self._build)
        if sorted(row["clip_id"] for row in made) != sorted(self._part):
            raise ValueError(f"{self._stage.name}: {len(made)} rows of {len(self._part)} clips, not one of each")
        for row in made:
            rows.setdefault(self._content_of[row["clip_id"]], []).append(row)
        for content_id, own in rows.items():
            identity = hashlib.sha256("".join(sorted(row["clip_id"] for row in own)).encode()).hexdigest()[:16]
            name = f"{self._build.parts(self._stage.name, content_id)}/{identity}.parquet"
            table = pa.Table.from_pylist(own, schema=self._stage.artifact)
            self._build.store.write_table(name, table, {"retry": False})
        took = time.perf_counter() - began
        for content_id, own in rows.items():
            self._open[content_id].waiting -= len(own)
            self._open[content_id].seconds += took * len(own) / len(self._part)
        self._part, self._content_of = {}, {}


def complete_alone(work: Work, build: Build, stage: ClipStage) -> Outcome:
    """Complete one content by itself."""
    batch = Batch(stage, build)
    return next(outcome for _, (outcome, _) in [*batch.add(work), *batch.rest()])


def _clips(content_id: str, clip_ids: set[str], build: Build) -> Iterator[tuple[str, npt.NDArray[np.int16]]]:
    if not clip_ids:
        return
    for batch in build.store.batches(build.segments(content_id), ["clip_id", "flac"]):
        for row in batch.to_pylist():
            if row["clip_id"] in clip_ids:
                yield row["clip_id"], decode_flac(row["flac"])
