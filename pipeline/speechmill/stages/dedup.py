"""Dedup: finds clips that contain the same audio as an earlier clip of any recording of the corpus.

The landmarks of each content are one artifact. To compare all clips with all, landmarks are distributed to buckets by
hash, so that equal ones meet in one bucket; the matches of a bucket go to the later of the two recordings.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill.audio import decode_flac, fingerprint
from speechmill.core.build import Build
from speechmill.core.columns import UNIT, Column, at_most
from speechmill.core.reasons import Reason
from speechmill.core.records import FINGERPRINT_ARTIFACT
from speechmill.stages.base import Isolated, RecordingStage
from speechmill.stages.selection import clip_durations, select_clips
from speechmill.stages.work import Outcome, WorkItem

BUCKETS = 256  # at 50,000 hours one of them has 20 million landmarks, half a gigabyte
SPREAD_LANDMARKS = 2_000_000  # landmarks gathered before they are sent to buckets: some 20 hours, 40 MB
CLIP_BITS = 20  # a day of the shortest clips is fewer than 2**15
LANDMARK = np.dtype([("hash", "<u8"), ("content", "<i4"), ("clip", "<i4"), ("frame", "<u2")])

Order = tuple[str, ...]  # sort key of contents: first those that may be published, then the older


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketLandmarks:
    """Landmarks of one bucket, of several contents."""

    contents: tuple[tuple[Order, str], ...]  # order and content_id; `content` of landmarks is an index into it
    landmarks: npt.NDArray[Any]  # LANDMARK[n]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """Landmarks that a content shares with an earlier content, or with earlier clips of its own."""

    order: Order  # of the earlier content
    content_id: str  # the earlier content
    votes: npt.NDArray[Any]  # of fingerprint.pairs, with clips numbered within their contents


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedItem:
    """An item with all matches of its content."""

    work: WorkItem
    matches: tuple[Matches, ...] | None  # None: they are as when they were stored


COLUMNS = (
    Column("repeated_ratio", pa.float32(), "share of the clip whose very sound an earlier clip has", "", UNIT,
           at_most("repeated_ratio", Reason.DUPLICATE)),
    Column("duplicate_of", pa.string(), "the earlier clip that has most of it; null if none"),
)  # fmt: skip


class Fingerprint(RecordingStage):
    """Landmarks of every clip."""

    name = "fingerprint"
    after = ("segment",)
    artifact = FINGERPRINT_ARTIFACT
    execution = Isolated()

    def process(self, element: WorkItem, build: Build) -> Outcome:
        """Store the landmarks of every clip of a content."""
        is_done = self.is_done(element, build)
        if not is_done:
            name = build.artifact(self.name, element.content_id)
            build.store.write_table(name, _landmarks(element.content_id, build))
        seconds = sum(clip_durations(element.content_id, build).values())
        return Outcome(state="reused" if is_done else "done", seconds_in=seconds, seconds_kept=seconds)


class Dedup(RecordingStage):
    """Duplicates of earlier clips. Its elements come from a comparison of all contents, see `BucketSpreader`."""

    name = "dedup"
    after = ("fingerprint",)
    artifact = pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in COLUMNS)])
    columns = COLUMNS

    def process(self, element: "MatchedItem", build: Build) -> Outcome:
        """Store the duplicates among the clips of a content."""
        return store_duplicates(element, build)

    def fill(self, content_id: str, build: Build) -> Mapping[str, Any]:
        """A ratio of 0 for clips without a row, once the content was compared."""
        is_compared = build.store.exists(build.artifact(self.name, content_id))
        return {COLUMNS[0].name: 0.0} if is_compared else {}


def _landmarks(content_id: str, build: Build) -> pa.Table:
    """Landmarks of all clips, about 1 MB for an hour; clips are numbered in order of position."""
    rate = build.config.audio.sample_rate
    by_clip = [fingerprint.fingerprint(decode_flac(flac), rate) for flac in _flacs(content_id, build)]
    clip = np.repeat(np.arange(len(by_clip), dtype=np.int32), [landmarks.size for landmarks in by_clip])
    landmarks = np.concatenate([np.zeros(0, fingerprint.HASH), *by_clip])
    return pa.table([landmarks["hash"], clip, landmarks["frame"].astype(np.int32)], schema=FINGERPRINT_ARTIFACT)


def _flacs(content_id: str, build: Build) -> Iterator[bytes]:
    for batch in build.store.batches(build.segments(content_id), ["clip_id", "flac"]):
        yield from (row["flac"] for row in batch.to_pylist() if row["clip_id"])


def order_of(work: WorkItem) -> Order:
    """Sort key of a content: of two that match, the first is the original."""
    return ("0" if work.allowed else "1", *work.order)


class BucketSpreader:
    """Gathers landmarks of many contents and distributes them to buckets by hash, in few large elements."""

    def __init__(self) -> None:
        self._contents: list[tuple[Order, str]] = []
        self._landmarks: list[npt.NDArray[Any]] = []

    @property
    def is_full(self) -> bool:
        """Whether SPREAD_LANDMARKS are gathered."""
        return sum(landmarks.size for landmarks in self._landmarks) >= SPREAD_LANDMARKS

    def add(self, work: WorkItem, build: Build) -> None:
        """Add the landmarks of a content. Contents that may be published count as earlier than those that may not."""
        table = build.store.read(build.artifact("fingerprint", work.content_id))
        landmarks = np.empty(table.num_rows, LANDMARK)
        landmarks["content"] = len(self._contents)
        for column in table.column_names:
            landmarks[column] = table[column].to_numpy()
        self._landmarks.append(landmarks)
        self._contents.append((order_of(work), work.content_id))

    def spread(self) -> Iterator[tuple[int, BucketLandmarks]]:
        """Yield the gathered landmarks by bucket number, and empty this."""
        landmarks = np.concatenate([np.zeros(0, LANDMARK), *self._landmarks])
        bucket = (landmarks["hash"] % BUCKETS).astype(np.int32)
        order = np.argsort(bucket, kind="stable")
        bounds = np.searchsorted(bucket[order], np.arange(BUCKETS + 1))
        for number in range(BUCKETS):
            in_bucket = landmarks[order[bounds[number] : bounds[number + 1]]]
            if in_bucket.size:
                yield number, self._bucket_landmarks(in_bucket)
        self._contents, self._landmarks = [], []

    def _bucket_landmarks(self, landmarks: npt.NDArray[Any]) -> BucketLandmarks:
        """Landmarks of a bucket with their contents only, renumbered."""
        present, landmarks["content"] = np.unique(landmarks["content"], return_inverse=True)
        return BucketLandmarks(contents=tuple(self._contents[at] for at in present), landmarks=landmarks)


def find_matches(bucket: Iterable[BucketLandmarks]) -> Iterator[tuple[str, Matches]]:
    """Find equal landmarks in one bucket; yields the later content's id and its matches with each earlier content."""
    parts = list(bucket)
    ordered = sorted(content for part in parts for content in part.contents)
    rank_of = {content: rank for rank, content in enumerate(ordered)}
    ranks = [np.array([rank_of[content] for content in part.contents])[part.landmarks["content"]] for part in parts]
    landmarks = np.concatenate([part.landmarks for part in parts])
    numbered = _numbered(np.concatenate(ranks), landmarks["clip"])
    clips, votes = votes_between(landmarks["hash"], numbered, landmarks["frame"])
    later, earlier = (clips[votes[side]] >> CLIP_BITS for side in ("later", "earlier"))
    for side in ("later", "earlier"):
        votes[side] = clips[votes[side]] % (1 << CLIP_BITS)
    order = np.lexsort((earlier, later))
    starts = np.flatnonzero(np.diff(later[order], prepend=-1) | np.diff(earlier[order], prepend=-1))
    for pair in np.split(order, starts[1:]) if order.size else ():
        of, content_id = ordered[earlier[pair[0]]]
        yield ordered[later[pair[0]]][1], Matches(order=of, content_id=content_id, votes=votes[pair])


def votes_between(
    hashes: npt.NDArray[np.uint64], clips: npt.NDArray[np.int64], frames: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Votes between clips that have any numbers, in their order.

    Returns the numbers of all clips, int64[c], and VOTE[m], whose clips are indices into these.
    """
    numbers, rank = np.unique(clips, return_inverse=True)
    return numbers, fingerprint.pairs(hashes, rank, frames)


def _numbered(content: npt.ArrayLike, clip: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Pack content and clip number into one int64, in order of both."""
    number: npt.NDArray[np.int64] = (np.asarray(content, np.int64) << CLIP_BITS) | clip
    return number


def join_matches(works: Iterable[WorkItem], matches: Iterable[Matches]) -> Iterator[MatchedItem]:
    """Join the item of a content, of which a stopping run may have none, with its matches."""
    yield from (MatchedItem(work=work, matches=tuple(matches)) for work in works)


def store_duplicates(matched: MatchedItem, build: Build) -> Outcome:
    """Store the duplicates among the clips of a content, with the share that an earlier clip has."""
    work = matched.work
    durations = clip_durations(work.content_id, build)
    is_unchanged = matched.matches is None or not _store(work.content_id, matched.matches, durations, build)
    return Outcome(
        state="reused" if is_unchanged else "done",
        seconds_in=sum(durations.values()),
        seconds_kept=sum(durations[clip_id] for clip_id in select_clips(work, build)),
        work=work,
    )


def _store(content_id: str, matches: Sequence[Matches], durations: dict[str, float], build: Build) -> bool:
    """Store the duplicates of a content, unless they are as before; returns whether they are not."""
    rows = list(_duplicates(matches, durations, build))
    name, table = build.artifact("dedup", content_id), pa.Table.from_pylist(rows, schema=Dedup.artifact)
    if build.store.exists(name) and table.equals(build.store.read(name)):
        return False
    build.store.write_table(name, table)
    return True


def _duplicates(matches: Sequence[Matches], durations: dict[str, float], build: Build) -> Iterator[dict[str, Any]]:
    """Rows of the artifact: duplicates in order of position, each with the earlier clip that has most of it."""
    if not matches:
        return
    contents = sorted({(match.order, match.content_id) for match in matches})
    votes = np.concatenate([match.votes for match in matches])
    content = np.concatenate(
        [np.full(match.votes.size, contents.index((match.order, match.content_id))) for match in matches]
    )
    clips, votes["earlier"] = np.unique(_numbered(content, votes["earlier"]), return_inverse=True)
    clips_of: dict[str, list[str]] = {}
    for clip_id, votes_of_clip in _by_clip(votes, list(durations)):
        if spans := fingerprint.matched_spans(votes_of_clip):
            of = int(clips[max(spans, key=lambda span: (span.votes, -span.earlier)).earlier])
            content_id = contents[of >> CLIP_BITS][1]
            earlier = clips_of.get(content_id) or list(clip_durations(content_id, build))
            clips_of[content_id] = earlier
            ratio = round(fingerprint.share(spans, durations[clip_id]), 4)
            yield {"clip_id": clip_id, "repeated_ratio": ratio, "duplicate_of": earlier[of % (1 << CLIP_BITS)]}


def _by_clip(votes: npt.NDArray[Any], clip_ids: list[str]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    for number in np.unique(votes["later"]):
        yield clip_ids[number], votes[votes["later"] == number]
