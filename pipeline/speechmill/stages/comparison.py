"""Compares all contents of a corpus by their landmarks in one process, with files on disk in place of memory.

What was compared before is remembered, so that only contents are compared whose result may have changed: new ones,
and those after a new one that shares a hash with them. Without either, nothing is read.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill.audio.fingerprint import VOTE
from speechmill.core.build import COMPARED_FOLDER, Build
from speechmill.core.records import stable_id
from speechmill.stages.dedup import CLIP_BITS, MatchedItem, Matches, Order, order_of, votes_between
from speechmill.stages.spill import Spill
from speechmill.stages.work import WorkItem

PART_BYTES = 20_000_000  # of stored landmarks in a file: some 2 million, which take 400 MB while they are compared
MOST_PARTS = 4_096
MOST_HASHES = 20_000_000  # of new contents, by which later ones are looked for: 200 hours, 400 MB
FILTER_BITS = 26  # of a hash, by which landmarks are filtered: 64 MB, and one in a hundred passes for 10 new hours
LANDMARK = np.dtype([("hash", "<u8"), ("clip", "<i8"), ("frame", "<u2")])  # `clip`: rank of the content, and number
MATCH = np.dtype([("later", "<i8"), ("earlier", "<i8"), ("frame", "<i4"), ("offset", "<i4")])
_STATE = pa.schema([("content_id", pa.string()), ("order", pa.list_(pa.string())), ("is_stale", pa.bool_())])

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Compared:
    """What was compared: the order of each content, and those whose result may have changed since."""

    orders: Mapping[str, Order]
    stale: frozenset[str]


def compare(works: Iterable[WorkItem], build: Build, *, is_whole: bool) -> Iterator[MatchedItem]:
    """Find the matches of all contents whose result may have changed; the others come without matches.

    Args:
        works: Items, one per content, whose landmarks are stored.
        build: The build.
        is_whole: Whether these are all contents of the corpus. Else those that were compared before are part of it too.

    Yields:
        Every item, to be stored before the next one is taken: what was compared is noted at the end.
    """
    by_id = {work.content_id: work for work in works}
    before = _load(build)
    after, wanted = _chosen(by_id, before, build, is_whole=is_whole)
    contents = sorted((order, content_id) for content_id, order in after.orders.items())
    is_wanted = np.array([content_id in wanted for _, content_id in contents], bool)
    if wanted:
        for content_id, matches in _matches(contents, is_wanted, build):
            if build.is_stopping():
                return
            yield MatchedItem(work=by_id[content_id], matches=matches)
    yield from (MatchedItem(work=work, matches=None) for content_id, work in by_id.items() if content_id not in wanted)
    if not build.is_stopping() and after != before:
        _save(after, build)


def is_current(works: Iterable[WorkItem], build: Build) -> bool:
    """Whether `compare` of all contents of the corpus would find nothing to do."""
    present = contents_with("fingerprint", build)  # others failed before
    by_id = {work.content_id: work for work in works if work.content_id in present}
    return not _chosen(by_id, _load(build), build, is_whole=True)[1]


def forget(build: Build) -> None:
    """Forget what was compared: the next comparison is of all contents."""
    build.store.remove(_name(build))


def _name(build: Build) -> str:
    return f"{COMPARED_FOLDER}/{stable_id('compared', str(build.profiles['dedup']))}.parquet"


def _load(build: Build) -> _Compared:
    """What was compared, as far as its landmarks are still there; nothing if the file is damaged."""
    name = _name(build)
    try:
        table = build.store.read(name) if build.store.exists(name) else _STATE.empty_table()
    except (OSError, pa.ArrowInvalid):
        table = _STATE.empty_table()
    present = contents_with("fingerprint", build) if table.num_rows else set()
    rows = [row for row in table.to_pylist() if row["content_id"] in present]
    orders = {row["content_id"]: tuple(row["order"]) for row in rows}
    return _Compared(orders, frozenset(row["content_id"] for row in rows if row["is_stale"]))


def _save(compared: _Compared, build: Build) -> None:
    ids = list(compared.orders)
    stale = [content_id in compared.stale for content_id in ids]
    build.store.write_table(_name(build), pa.table([ids, [*compared.orders.values()], stale], schema=_STATE))


def contents_with(stage: str, build: Build) -> set[str]:
    """Ids of the contents with an artifact of a stage, also of a failure, from the listing of its folder."""
    folder = build.artifact(stage, "").rpartition("/")[0]
    return {name.removesuffix(".parquet") for name in build.store.names(folder)}


def _chosen(
    by_id: Mapping[str, WorkItem], before: _Compared, build: Build, *, is_whole: bool
) -> tuple[_Compared, set[str]]:
    """What will have been compared, and which of the items are to be compared for that."""
    orders = {content_id: order_of(work) for content_id, work in by_id.items()}
    known, everything = before.orders, orders if is_whole else {**before.orders, **orders}
    has_moved = any(known.get(content_id, order) != order for content_id, order in orders.items())
    if has_moved or not known.keys() <= everything.keys():  # what is gone or moved may have been what others match
        chosen = set(everything)
    else:
        stored = contents_with("dedup", build)
        chosen = {*before.stale, *(content_id for content_id in everything if content_id not in stored)}
        new = orders.keys() - known.keys()
        chosen |= new | _affected(everything, new, build)
    wanted = chosen & orders.keys()
    return _Compared(everything, frozenset(chosen - wanted)), wanted


def _affected(orders: Mapping[str, Order], new: set[str], build: Build) -> set[str]:
    """Contents that come after a new one and share a hash with it: it may be what they match."""
    if len(new) == len(orders) or not new:
        return set()
    contents = sorted((order, content_id) for content_id, order in orders.items())
    first = next(rank for rank, (_, content_id) in enumerate(contents) if content_id in new)
    later = [(rank, content_id) for rank, (_, content_id) in enumerate(contents) if rank > first]
    if all(content_id in new for _, content_id in later):
        return set()
    known = [(rank, content_id) for rank, (_, content_id) in enumerate(contents) if content_id in new]
    parts = [(rank, _hashes(content_id, build)) for rank, content_id in known]
    if sum(hashes.size for _, hashes in parts) > MOST_HASHES:
        return {content_id for _, content_id in later} - new
    ranks = np.repeat([rank for rank, _ in parts], [hashes.size for _, hashes in parts])
    every = np.concatenate([hashes for _, hashes in parts])
    hashes, firsts = np.unique(every, return_index=True)  # parts are in order of rank: the first is the earliest
    earliest, marks = ranks[firsts], _marks([hashes])
    return {
        content_id
        for rank, content_id in later
        if content_id not in new and _has_earlier(_hashes(content_id, build), marks, rank, hashes, earliest)
    }


def _has_earlier(
    own: Hashes, marks: npt.NDArray[np.bool_], rank: int, hashes: Hashes, earliest: npt.NDArray[Any]
) -> bool:
    """Whether a content of this rank has one of the `hashes`, sorted and marked, whose first content is earlier."""
    own = own[_passes(own, marks)]
    at = np.minimum(np.searchsorted(hashes, own), hashes.size - 1)
    return bool((earliest[at[hashes[at] == own]] < rank).any())


def _marks(parts: Iterable[Hashes]) -> npt.NDArray[np.bool_]:
    """A filter that lets some hashes through, and by chance a few others: bool[2 ** FILTER_BITS]."""
    marks = np.zeros(1 << FILTER_BITS, bool)
    for hashes in parts:
        marks[hashes & np.uint64(marks.size - 1)] = True
    return marks


def _passes(hashes: Hashes, marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which of the hashes a filter lets through."""
    passes: npt.NDArray[np.bool_] = marks[hashes & np.uint64(marks.size - 1)]
    return passes


def _hashes(content_id: str, build: Build) -> Hashes:
    hashes: Hashes = build.store.read(build.artifact("fingerprint", content_id), ["hash"])["hash"].to_numpy()
    return hashes


def _matches(
    contents: list[tuple[Order, str]], is_wanted: npt.NDArray[np.bool_], build: Build
) -> Iterator[tuple[str, tuple[Matches, ...]]]:
    """Matches of each wanted content; the contents are all of the corpus, sorted."""
    parts = _part_count(build)
    wanted = (_hashes(contents[rank][1], build) for rank in np.flatnonzero(is_wanted).tolist())
    marks = None if is_wanted.all() else _marks(wanted)
    with _spill(parts, LANDMARK, build) as landmarks, _spill(parts, MATCH, build) as matches:
        for rank, (_, content_id) in enumerate(contents):
            records = _landmarks(rank, content_id, build)
            if marks is not None:
                records = records[_passes(records["hash"], marks)]
            landmarks.add((records["hash"] % np.uint64(parts)).astype(np.int32), records)
            if build.is_stopping():
                return
        for bucket in landmarks.parts():
            found = _found(bucket)
            found = found[is_wanted[found["later"] >> CLIP_BITS]]
            matches.add(((found["later"] >> CLIP_BITS) * parts // len(contents)).astype(np.int32), found)
            if build.is_stopping():
                return
        ranks = np.arange(len(contents))
        for number, part in enumerate(matches.parts()):
            own = ranks[(ranks * parts // len(contents) == number) & is_wanted]
            yield from _by_content(own, part, contents)


def _part_count(build: Build) -> int:
    """Number of files for the landmarks of all contents, of about PART_BYTES each."""
    folder = build.artifact("fingerprint", "").rpartition("/")[0]
    total = sum(entry.bytes for entry in build.store.finished_files(folder))
    return min(total // PART_BYTES + 1, MOST_PARTS)


def _landmarks(rank: int, content_id: str, build: Build) -> npt.NDArray[Any]:
    table = build.store.read(build.artifact("fingerprint", content_id))
    records = np.empty(table.num_rows, LANDMARK)
    records["hash"], records["frame"] = table["hash"].to_numpy(), table["frame"].to_numpy()
    records["clip"] = rank << CLIP_BITS | table["clip"].to_numpy().astype(np.int64)
    return records


def _found(bucket: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Matches between the clips of a bucket: MATCH[m]."""
    clips, votes = votes_between(bucket["hash"], bucket["clip"], bucket["frame"])
    found = np.empty(votes.size, MATCH)
    for side in ("later", "earlier"):
        found[side] = clips[votes[side]]
    found["frame"], found["offset"] = votes["frame"], votes["offset"]
    return found


def _by_content(
    ranks: npt.NDArray[np.integer], part: npt.NDArray[Any], contents: list[tuple[Order, str]]
) -> Iterator[tuple[str, tuple[Matches, ...]]]:
    """Matches of the contents of some ranks, ascending, in order."""
    part = part[np.lexsort((part["earlier"], part["later"]))]
    later, earlier = part["later"] >> CLIP_BITS, part["earlier"] >> CLIP_BITS
    begins, ends = np.searchsorted(later, ranks), np.searchsorted(later, ranks, "right")
    for rank, begin, end in zip(ranks.tolist(), begins.tolist(), ends.tolist(), strict=True):
        own, of = part[begin:end], earlier[begin:end]
        matches = (_as_matches(own[of == other], contents[other]) for other in np.unique(of).tolist())
        yield contents[rank][1], tuple(matches)


def _as_matches(found: npt.NDArray[Any], earlier: tuple[Order, str]) -> Matches:
    votes = np.empty(found.size, VOTE)
    for side in ("later", "earlier"):
        votes[side] = found[side] % (1 << CLIP_BITS)
    votes["frame"], votes["offset"] = found["frame"], found["offset"]
    return Matches(order=earlier[0], content_id=earlier[1], votes=votes)


@contextmanager
def _spill(parts: int, dtype: np.dtype[Any], build: Build) -> Iterator[Spill]:
    folder = Path(tempfile.mkdtemp(dir=build.store.temporary_folder()))
    try:
        with Spill(folder, parts, dtype) as spill:
            yield spill
    finally:
        shutil.rmtree(folder, ignore_errors=True)
