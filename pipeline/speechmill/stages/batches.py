"""Runs clip stages on batches across contents: on selected clips that are not done yet.

Clips of many short recordings share a batch, so that a model's batches are full; each content keeps its own artifact.
When a threshold is loosened later, only the newly selected clips are processed. A crash costs at most one part.
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
from speechmill.core import pulse
from speechmill.core.build import Build
from speechmill.core.last_acts import before_exit
from speechmill.stages.base import ClipStage
from speechmill.stages.restored import read_restored, restored_ids, sound_id
from speechmill.stages.selection import clip_durations, clips_for
from speechmill.stages.work import Outcome, WorkItem, identify

PART_CLIPS = 256  # clips processed and stored at a time

Done = tuple[WorkItem, tuple[Outcome, float]]  # outcome, and processing time in seconds


@dataclass(slots=True)
class _OpenContent:
    """A content that is not done."""

    work: WorkItem
    outcome: Outcome | None = None
    waiting: int = 0  # clips that are not done
    seconds: float = 0.0  # processing time so far
    done_s: float = 0.0  # seconds of audio done so far


class Batch:
    """Contents whose clips are processed together. Memory is bounded by the clips of a part."""

    def __init__(self, stage: ClipStage, build: Build) -> None:
        self._stage, self._build = stage, build
        self._open: dict[str, _OpenContent] = {}
        self._part: dict[str, npt.NDArray[np.int16]] = {}
        self._content_of: dict[str, str] = {}

    @property
    def works(self) -> list[WorkItem]:
        """Items that were added and are not done."""
        return [content.work for content in self._open.values()]

    def add(self, work: WorkItem) -> Iterator[Done]:
        """Add a content's clips; yield the items that are done by then. Raises fetch.StoppedError if the run stops."""
        self._open[work.content_id] = content = _OpenContent(work)
        durations = clip_durations(work.content_id, self._build, self._stage.clips_of)
        wanted = clips_for(self._stage, work, self._build)
        done = self._stage.read(work.content_id, self._build, ["clip_id"])["clip_id"].to_pylist()
        missing = wanted.difference(done)
        kept, new = (sum(durations[clip_id] for clip_id in clips) for clips in (wanted, missing))
        state = "done" if missing else "reused"
        content.outcome = Outcome(state=state, seconds_in=new if missing else kept, seconds_kept=kept)
        missing -= self._store_known(work.content_id, missing)
        content.waiting = len(missing)
        for clip_id, clip in _clips(self._stage, work.content_id, missing, self._build):
            self._part[clip_id], self._content_of[clip_id] = clip, work.content_id
            if len(self._part) == PART_CLIPS:
                self._flush()
                yield from self._finished()
        yield from self._finished()

    def _store_known(self, content_id: str, clip_ids: set[str]) -> set[str]:
        """Store the rows that need no processing; returns their ids."""
        rows = self._stage.known_rows(content_id, clip_ids, self._build) if clip_ids else []
        if rows:
            self._store(content_id, rows)
        return {row["clip_id"] for row in rows}

    def _store(self, content_id: str, rows: list[dict[str, Any]]) -> None:
        """Store rows of a content in a file of their own, named by the clips in it."""
        if self._stage.of_restored and (restored := restored_ids(content_id, self._build)):
            own_ids = {clip_id: sound_id(clip_id, self._build) for clip_id in restored}
            rows = [row | {"clip_id": own_ids.get(row["clip_id"], row["clip_id"])} for row in rows]
        identity = hashlib.sha256("".join(sorted(row["clip_id"] for row in rows)).encode()).hexdigest()[:16]
        name = f"{self._build.parts(self._stage.name, content_id)}/{identity}.parquet"
        self._build.store.write_table(name, pa.Table.from_pylist(rows, schema=self._stage.artifact))

    def rest(self) -> Iterator[Done]:
        """Process the remaining clips, and yield the items that were not done."""
        if self._part:
            self._flush()
        yield from self._finished()

    def _finished(self) -> Iterator[Done]:
        """Remove and yield the items without waiting clips."""
        for content_id, content in list(self._open.items()):
            if content.outcome and not content.waiting:
                del self._open[content_id]
                yield content.work, (content.outcome, content.seconds)

    def _flush(self) -> None:
        """Process the waiting clips, and store the rows of each content in a file of its own.

        If the run stops meanwhile, what is done is stored. Raises fetch.StoppedError.
        """
        began = time.perf_counter()
        rows: list[dict[str, Any]] = []
        with before_exit(lambda: self._keep(rows)):
            is_stopped = self._process(rows)
        if not is_stopped and sorted(row["clip_id"] for row in rows) != sorted(self._part):
            raise ValueError(f"{self._stage.name}: {len(rows)} rows of {len(self._part)} clips, not one of each")
        by_content = self._keep(rows)
        if is_stopped:
            raise fetch.StoppedError
        took = time.perf_counter() - began
        for content_id, own in by_content.items():
            content = self._open[content_id]
            content.waiting -= len(own)
            content.seconds += took * len(own) / len(self._part)
            content.done_s += sum(map(self._seconds, own))
        self._part, self._content_of = {}, {}

    def _process(self, rows: list[dict[str, Any]]) -> bool:
        """Process the waiting clips, and add their rows as soon as they are there; returns whether the run stops."""
        first = self._open[next(iter(self._content_of.values()))].work
        done_s = sum(content.done_s for content in self._open.values())
        with pulse.at_work(self._build.store, self._stage.name, identify(first), done_s):
            if self._build.is_stopping():
                return True
            for part in self._stage.in_parts(self._part, self._build):
                rows += part
                pulse.add(sum(self._seconds(row) for row in part if row["clip_id"] in self._part))
                if len(rows) < len(self._part) and self._build.is_stopping():
                    return True
        return False

    def _keep(self, rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """Store rows, in the order of the clips however a model took them; returns them by content."""
        by_content: dict[str, list[dict[str, Any]]] = {}
        places = {clip_id: at for at, clip_id in enumerate(self._part)}
        for row in sorted(rows, key=lambda row: places[row["clip_id"]]):
            by_content.setdefault(self._content_of[row["clip_id"]], []).append(row)
        for content_id, own in by_content.items():
            self._store(content_id, own)
        return by_content

    def _seconds(self, row: dict[str, Any]) -> float:
        """Length of the clip of a row."""
        return self._part[row["clip_id"]].size / self._build.config.audio.sample_rate


def complete_content(work: WorkItem, build: Build, stage: ClipStage) -> Outcome:
    """Process one content alone."""
    batch = Batch(stage, build)
    return next(outcome for _, (outcome, _) in [*batch.add(work), *batch.rest()])


def _clips(
    stage: ClipStage, content_id: str, clip_ids: set[str], build: Build
) -> Iterator[tuple[str, npt.NDArray[np.int16]]]:
    """Decode clips of a content for a stage, the restored ones first: int16[n] at the corpus rate, by clip_id."""
    rest = set(clip_ids)
    for clip_id, flac in read_restored(content_id, clip_ids, build) if stage.of_restored else ():
        rest.remove(clip_id)
        yield clip_id, decode_flac(flac)
    if not rest:
        return
    for batch in build.store.batches(build.artifact(stage.clips_of, content_id), ["clip_id", "flac"]):
        for row in batch.to_pylist():
            if row["clip_id"] in rest:
                yield row["clip_id"], decode_flac(row["flac"])
