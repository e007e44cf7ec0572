"""Dedup: which clips have the very sound of an earlier clip, over all recordings of the corpus.

Each content's landmarks are one artifact. To compare all with all, they are spread over buckets by their hash, so that
two of the same meet in one place; what a bucket finds travels to the later of the two recordings, which judges it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill.audio import decode_flac
from speechmill.core.build import Build
from speechmill.core.columns import UNIT, Column, at_most
from speechmill.core.reasons import Reason
from speechmill.core.records import FINGERPRINT_ARTIFACT
from speechmill.dedup import fingerprint
from speechmill.stages.base import Isolated, RecordingStage
from speechmill.stages.selection import clip_durations, selected
from speechmill.stages.work import Outcome, Work

BUCKETS = 256  # at 50,000 hours one of them has 20 million landmarks, half a gigabyte
GATHERED = 2_000_000  # landmarks that are waited for before they are spread: some 20 hours, 40 MB
CLIP_BITS = 20  # a day of the shortest clips is fewer than 2**15
LANDMARK = np.dtype([("hash", "<u8"), ("content", "<i4"), ("clip", "<i4"), ("frame", "<u2")])

Order = tuple[str, ...]  # of two contents the lesser is the earlier: those that may be published, then the older


@dataclass(frozen=True, slots=True, kw_only=True)
class Sounds:
    """The landmarks of some contents that fell into one bucket."""

    contents: tuple[tuple[Order, str], ...]  # order and content_id, by the number that landmarks have
    landmarks: npt.NDArray[Any]  # LANDMARK


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """Landmarks that a content has in common with an earlier one, or with earlier clips of its own."""

    order: Order  # of the earlier content
    content_id: str  # the earlier content
    votes: npt.NDArray[Any]  # as fingerprint.pairs gives them, with clips numbered within their contents


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A work with all that its content has in common with others."""

    work: Work
    votes: tuple[Votes, ...]


REPEATED = (
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

    def process(self, element: Work, build: Build) -> Outcome:
        """Store the landmarks of every clip of a content."""
        is_there = self.is_done(element, build)
        if not is_there:
            name = build.artifact(self.name, element.content_id)
            build.store.write_table(name, _landmarks(element.content_id, build), {"retry": False})
        seconds = sum(clip_durations(element.content_id, build).values())
        return Outcome(state="reused" if is_there else "done", seconds_in=seconds, seconds_kept=seconds)


class Dedup(RecordingStage):
    """Which clips repeat earlier ones. Its elements come from a comparison of all contents, see `Spreader`."""

    name = "dedup"
    after = ("fingerprint",)
    artifact = pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in REPEATED)])
    columns = REPEATED

    def process(self, element: "Compared", build: Build) -> Outcome:
        """Store which clips of a content repeat earlier ones, and how much of each."""
        return note_repeats(element, build)

    def fill(self, content_id: str, build: Build) -> Mapping[str, Any]:
        """A clip without a row repeats nothing, once the content was compared."""
        is_compared = build.store.exists(build.artifact(self.name, content_id))
        return {REPEATED[0].name: 0.0} if is_compared else {}


def _landmarks(content_id: str, build: Build) -> pa.Table:
    """Landmarks of all clips, which are numbered in order of position: a megabyte an hour."""
    rate = build.config.audio.sample_rate
    found = [fingerprint.fingerprint(decode_flac(flac), rate) for flac in _flacs(content_id, build)]
    clip = np.repeat(np.arange(len(found), dtype=np.int32), [one.size for one in found])
    all_ = np.concatenate([np.zeros(0, fingerprint.HASH), *found])
    return pa.table([all_["hash"], clip, all_["frame"].astype(np.int32)], schema=FINGERPRINT_ARTIFACT)


def _flacs(content_id: str, build: Build) -> Iterator[bytes]:
    for batch in build.store.batches(build.segments(content_id), ["flac"]):
        yield from (flac for flac in batch["flac"].to_pylist() if flac is not None)


class Spreader:
    """Gathers the landmarks of many contents and gives each to the bucket of its hash: few elements, whatever comes."""

    def __init__(self) -> None:
        self._contents: list[tuple[Order, str]] = []
        self._landmarks: list[npt.NDArray[Any]] = []

    @property
    def is_full(self) -> bool:
        """Whether it is time to spread."""
        return sum(one.size for one in self._landmarks) >= GATHERED

    def add(self, work: Work, build: Build) -> None:
        """Take the landmarks of a content. What may be published counts as earlier, or a copy that may not hides it."""
        table = build.store.read(build.artifact("fingerprint", work.content_id))
        landmarks = np.empty(table.num_rows, LANDMARK)
        landmarks["content"] = len(self._contents)
        for column in table.column_names:
            landmarks[column] = table[column].to_numpy()
        self._landmarks.append(landmarks)
        self._contents.append((("0" if work.allowed else "1", *work.order), work.content_id))

    def spread(self) -> Iterator[tuple[int, Sounds]]:
        """Give what was gathered to the buckets, and begin anew."""
        landmarks = np.concatenate([np.zeros(0, LANDMARK), *self._landmarks])
        bucket = (landmarks["hash"] % BUCKETS).astype(np.int32)
        order = np.argsort(bucket, kind="stable")
        bounds = np.searchsorted(bucket[order], np.arange(BUCKETS + 1))
        for number in range(BUCKETS):
            mine = landmarks[order[bounds[number] : bounds[number + 1]]]
            if mine.size:
                yield number, self._sounds(mine)
        self._contents, self._landmarks = [], []

    def _sounds(self, landmarks: npt.NDArray[Any]) -> Sounds:
        present, landmarks["content"] = np.unique(landmarks["content"], return_inverse=True)
        return Sounds(contents=tuple(self._contents[at] for at in present), landmarks=landmarks)


def find_votes(sounds: Iterable[Sounds]) -> Iterator[tuple[str, Votes]]:
    """Find what the sounds of one bucket have in common: the later content's id, and its votes for an earlier one."""
    gathered = list(sounds)
    ordered = sorted(content for one in gathered for content in one.contents)
    rank_of = {content: rank for rank, content in enumerate(ordered)}
    ranks = [np.array([rank_of[content] for content in one.contents])[one.landmarks["content"]] for one in gathered]
    landmarks = np.concatenate([one.landmarks for one in gathered])
    clips, rank = np.unique(_numbered(np.concatenate(ranks), landmarks["clip"]), return_inverse=True)
    votes = fingerprint.pairs(landmarks["hash"], rank, landmarks["frame"])
    later, earlier = (clips[votes[side]] >> CLIP_BITS for side in ("later", "earlier"))
    for side in ("later", "earlier"):
        votes[side] = clips[votes[side]] % (1 << CLIP_BITS)
    order = np.lexsort((earlier, later))
    starts = np.flatnonzero(np.diff(later[order], prepend=-1) | np.diff(earlier[order], prepend=-1))
    for mine in np.split(order, starts[1:]) if order.size else ():
        of, content_id = ordered[earlier[mine[0]]]
        yield ordered[later[mine[0]]][1], Votes(order=of, content_id=content_id, votes=votes[mine])


def _numbered(content: npt.ArrayLike, clip: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """One number for a clip of a content, in order of both."""
    number: npt.NDArray[np.int64] = (np.asarray(content, np.int64) << CLIP_BITS) | clip
    return number


def compared(works: Iterable[Work], votes: Iterable[Votes]) -> Iterator[Compared]:
    """Join a work with the votes of its content. A run that stops may have votes without a work."""
    yield from (Compared(work=work, votes=tuple(votes)) for work in works)


def note_repeats(compared: Compared, build: Build) -> Outcome:
    """Store which clips of a content repeat earlier ones, and how much of each."""
    work, store = compared.work, build.store
    durations = clip_durations(work.content_id, build)
    rows = list(_repeats(compared, durations, build))
    name, table = build.artifact("dedup", work.content_id), pa.Table.from_pylist(rows, schema=Dedup.artifact)
    is_known = store.exists(name) and table.equals(store.read(name))
    if not is_known:
        store.write_table(name, table, {"retry": False})
    return Outcome(
        state="reused" if is_known else "done",
        seconds_in=sum(durations.values()),
        seconds_kept=sum(durations[clip_id] for clip_id in selected(work, build)),
        work=work,
    )


def _repeats(compared: Compared, durations: dict[str, float], build: Build) -> Iterator[dict[str, Any]]:
    """Rows of the artifact: clips in order, each with the earlier one that has most of it."""
    if not compared.votes:
        return
    contents = sorted({(one.order, one.content_id) for one in compared.votes})
    votes = np.concatenate([one.votes for one in compared.votes])
    content = np.concatenate(
        [np.full(one.votes.size, contents.index((one.order, one.content_id))) for one in compared.votes]
    )
    clips, votes["earlier"] = np.unique(_numbered(content, votes["earlier"]), return_inverse=True)
    clips_of: dict[str, list[str]] = {}
    for clip_id, mine in _by_clip(votes, list(durations)):
        if found := fingerprint.repeats(mine):
            of = int(clips[max(found, key=lambda one: (one.votes, -one.earlier)).earlier])
            content_id = contents[of >> CLIP_BITS][1]
            earlier = clips_of.get(content_id) or list(clip_durations(content_id, build))
            clips_of[content_id] = earlier
            ratio = round(fingerprint.share(found, durations[clip_id]), 4)
            yield {"clip_id": clip_id, "repeated_ratio": ratio, "duplicate_of": earlier[of % (1 << CLIP_BITS)]}


def _by_clip(votes: npt.NDArray[Any], clip_ids: list[str]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    for number in np.unique(votes["later"]):
        yield clip_ids[number], votes[votes["later"] == number]
