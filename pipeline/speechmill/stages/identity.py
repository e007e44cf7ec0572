"""Which recording that is known a listed one is: a recording stays itself under other names and addresses.

A source mints an id from what it sees: a name below an input, a guid. Two folders may hold equal names, and a file may
be renamed, so a recording is also known by aliases (hashes of its path, or of what a feed says of it) and by its bytes.
What matches without doubt is settled alone; what only claims to be a known recording is compared with other claims.
"""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import KNOWN_FILE, Build
from speechmill.core.ownership import RECORDINGS_FILE
from speechmill.core.records import Recording, Status, recording_from, stable_id
from speechmill.core.store import Store
from speechmill.sources import Listed

READERS = 16  # footers that are read at a time, which helps where a store is far away
FIRST_RUN = 1
# Ranks of claims, the strongest first.
SAME_PLACE, SAME_NAME, SAME_LEAF, SAME_BYTES, CHANGED, NAMESAKE, ALIAS, FORMER = 0, 1, 2, 3, 4, 5, 6, 1000

Span = tuple[float | None, float | None]  # in seconds, of what is a stretch of its media
Stamp = tuple[int, int]  # size in bytes and time of change in ns of a local file


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the corpus knows a recording by."""

    recording_id: str
    path: str | None  # of a local file
    stamp: Stamp | None
    sha256: str | None  # of the media; None where nothing was ever read of them
    span: Span
    aliases: tuple[str, ...]
    first_url: str
    added_in_run: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """A listed recording and the known ones that it may be, each with the rank of the claim."""

    listed: Listed
    ranked: tuple[tuple[int, str], ...]


def stamp_of(path: str) -> Stamp | None:
    """Size and time of change of a file that can be read again; None where there is none."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return (facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else None


def file_aliases(path: str, span: Span = (None, None)) -> tuple[str, ...]:
    """Aliases of a local file, or a stretch of it: its path as it was given, and without links."""
    paths = dict.fromkeys((path, os.path.realpath(path)))
    stretch = () if span == (None, None) else map(repr, span)
    return tuple(stable_id("file", one, *stretch) for one in paths)


def span_of(recording: Recording) -> Span:
    """The stretch of its media that a recording is; two None for all of them."""
    return recording.start_s, recording.end_s


def recall(recording_id: str, build: Build) -> Listed:
    """List a recording as an earlier run left it."""
    rows, footer = build.store.load(build.fetched(recording_id))
    path = footer.get("media") if footer.get("is_local") else None
    aliases = tuple(footer.get("aliases", ()))
    return Listed(recording=recording_from(rows.to_pylist()[0]), media_path=path, aliases=aliases, known=True)


def placeholder(recording_id: str) -> Listed:
    """Stand in for a known recording, which is recalled only if no input lists it."""
    return Listed(recording=Recording(recording_id=recording_id, source="", media_url=""), known=True)


class Registry:
    """All known recordings of a corpus, and which of them a listed one is."""

    def __init__(self, known: Iterable[Known] = (), run: int = FIRST_RUN) -> None:
        self._by_id = {one.recording_id: one for one in known}
        self._run = run
        self._by_alias: defaultdict[str, list[Known]] = defaultdict(list)
        for one in self._by_id.values():
            for alias in one.aliases:
                self._by_alias[alias].append(one)

    @cached_property
    def _lost(self) -> dict[int, list[Known]]:
        """Files that are not where they were, or are others now, by their size in bytes."""
        lost: defaultdict[int, list[Known]] = defaultdict(list)
        for one in self._by_id.values():
            if one.path and one.stamp and one.sha256 and stamp_of(one.path) != one.stamp:
                lost[one.stamp[0]].append(one)
        return lost

    def settle(self, listed: Listed) -> Listed | Claims:
        """Give a listed recording its id, or say which known ones it may be. Reads files that may have been moved."""
        if listed.recording.status is not Status.OK:
            return listed
        if listed.recording.source == "local" and listed.media_path is not None:
            aliases = file_aliases(listed.media_path, span_of(listed.recording))
            return self._settle_file(replace(listed, aliases=aliases), listed.media_path)
        minted = listed.recording.recording_id
        if minted in self._by_id:
            return listed
        ranked = [(ALIAS + at, one) for at, alias in enumerate(listed.aliases) for one in self._by_alias[alias]]
        ranked += [(FORMER, self._by_id[one]) for one in listed.former_ids if self._is_former(one)]
        return Claims(listed=listed, ranked=_ids(ranked)) if ranked else listed

    def _is_former(self, recording_id: str) -> bool:
        return recording_id in self._by_id and not self._by_id[recording_id].aliases

    def _settle_file(self, listed: Listed, path: str) -> Listed | Claims:
        stamp, minted = stamp_of(path), listed.recording.recording_id
        here = [one for alias in listed.aliases for one in self._by_alias.get(alias, ())]
        here.sort(key=lambda one: (one.path != path, one.recording_id != minted))
        if same := next((one for one in here if one.stamp is not None and one.stamp == stamp), None):
            return _as(listed, same.recording_id)
        namesake = self._by_id.get(minted)
        if namesake and namesake.path is None and not namesake.aliases:  # by older versions, who knew its name only
            return listed
        lost = [one for one in self._lost.get(stamp[0], ()) if one.span == span_of(listed.recording)] if stamp else []
        digest = _digest(path, stamp) if lost else None
        ranked = [(_rank(one, listed, here), one) for one in lost if one.sha256 == digest]
        ranked += [(CHANGED, one) for one in here]
        if namesake and namesake.path and not namesake.sha256 and not os.path.lexists(namesake.path):
            ranked.append((NAMESAKE, namesake))  # nothing was ever read of it
        listed = replace(listed, sha256=digest)
        return Claims(listed=listed, ranked=_ids(ranked)) if ranked else self._new(listed)

    def _new(self, listed: Listed) -> Listed:
        """A recording that is not known, under an id that no known one has."""
        if listed.media_path is None or listed.recording.source != "local":
            return listed
        recording_id = listed.recording.recording_id
        while recording_id in self._by_id:
            recording_id = stable_id(recording_id, listed.media_path)
        return _as(listed, recording_id)

    def resolve(self, claims: Iterable[Claims]) -> Iterator[Listed]:
        """Give each known recording to the strongest claim; who gets none is new. Their order does not count."""
        ordered = sorted(claims, key=lambda one: (place_of(one.listed), repr(one.listed)))
        wanted = sorted(
            (rank, place_of(one.listed), self._by_id[known].path or "", known)
            for one in ordered
            for rank, known in one.ranked
        )
        given: dict[tuple[str, str], tuple[str, int]] = {}
        taken: set[str] = set()
        for rank, place, _, known in wanted:
            if place not in given and known not in taken:
                given[place] = known, rank
                taken.add(known)
        for one in ordered:
            known_id, rank = given.get(place_of(one.listed), (None, 0))
            settled = self._new(one.listed) if known_id is None else _as(one.listed, known_id)
            yield self._dated(settled, is_new=rank in (CHANGED, NAMESAKE))

    def distinct(self, same: Iterable[Listed], build: Build) -> list[Listed]:
        """Of listings with one id keep one; but files of equal names below two inputs are two recordings.

        What no input lists is as an earlier run left it; what a source itself could not read is then forgotten.
        """
        listed = sorted(same, key=lambda one: (one.known, one.sha256 is not None, one.media_path or "", repr(one)))
        fresh = [one for one in listed if not one.known]
        if not fresh:
            name = build.fetched(listed[0].recording.recording_id)
            if build.store.footer(name).get("unlisted"):
                build.store.remove(name)
                return []
            return [recall(listed[0].recording.recording_id, build)]
        others = [one for one in fresh if one.media_path is None and one.minted_id is not None]
        own = [one for one in fresh if one not in others]
        if not own:
            own, others = others[:1], others[1:]
        first, *copies = {_real(one): one for one in reversed(own)}.values()
        return [self._dated(one, is_new=False) for one in (first, *map(self._beside, copies), *map(_as_minted, others))]

    def _beside(self, listed: Listed) -> Listed:
        """A file whose minted id another one of this run has."""
        renamed = _as(listed, stable_id(listed.recording.recording_id, listed.media_path or ""))
        return self._new(renamed)

    def _dated(self, listed: Listed, *, is_new: bool) -> Listed:
        """Say in which run and as what it came, unless that is said already; `is_new`: a known one has new content."""
        recording = listed.recording
        known = self._by_id.get(recording.recording_id)
        run = recording.added_in_run or (self._run if known is None or is_new else known.added_in_run)
        first = recording.media_url if known is None else known.first_url
        return replace(listed, recording=replace(recording, added_in_run=run, first_url=first))


def _ids(ranked: list[tuple[int, Known]]) -> tuple[tuple[int, str], ...]:
    return tuple(sorted((rank, one.recording_id) for rank, one in ranked))


def _rank(known: Known, listed: Listed, here: list[Known]) -> int:
    """How strong the claim of a file with the bytes of a known one is."""
    if known in here:
        return SAME_PLACE
    if known.recording_id == listed.recording.recording_id:
        return SAME_NAME
    leaf = os.path.basename(listed.media_path or "")
    return SAME_LEAF if known.path and os.path.basename(known.path) == leaf else SAME_BYTES


def _as(listed: Listed, recording_id: str) -> Listed:
    minted = listed.minted_id or listed.recording.recording_id
    return replace(listed, recording=replace(listed.recording, recording_id=recording_id), minted_id=minted)


def _as_minted(listed: Listed) -> Listed:
    return _as(listed, listed.minted_id or listed.recording.recording_id)


def place_of(listed: Listed) -> tuple[str, str]:
    """What tells one listed recording from another, whichever known one it turns out to be."""
    where = listed.media_path or listed.minted_id or listed.recording.recording_id
    return where, repr(span_of(listed.recording))


def _real(listed: Listed) -> tuple[str, Span] | None:
    return None if listed.media_path is None else (os.path.realpath(listed.media_path), span_of(listed.recording))


@lru_cache(maxsize=256)  # of a file with many stretches once
def _digest(path: str, stamp: Stamp | None) -> str | None:  # noqa: ARG001 - tells whether what is remembered holds
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


# The index: what is known when a run begins, read once, so that no worker reads every footer again.
_INDEX = pa.schema(
    [
        ("recording_id", pa.string()),
        ("path", pa.binary()),  # a file's name may be any bytes
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.string()),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("aliases", pa.list_(pa.string())),
        ("first_url", pa.string()),
        ("added_in_run", pa.int64()),
    ]
)


def write_index(build: Build) -> list[str]:
    """Store what is known, for every worker of a run; returns the ids that the corpus lists by itself."""
    rows, listed = [], []
    for recording, footer in _all(build):
        rows.append(_row(recording, footer))
        if not footer["retry"] or footer.get("unlisted"):
            listed.append(recording.recording_id)
    build.store.write_table(KNOWN_FILE, pa.Table.from_pylist(rows, schema=_INDEX), {"run": _run_number(build.store)})
    return listed


def read_registry(build: Build) -> Registry:
    """What is known, read without writing anything."""
    return Registry(_known(_row(*one)) for one in _all(build))


def _all(build: Build) -> Iterator[tuple[Recording, dict[str, Any]]]:
    with ThreadPoolExecutor(READERS) as threads:
        yield from threads.map(lambda one: _read(one, build), build.known_recordings())


def load_registry(build: Build) -> Registry:
    """What `write_index` stored; nothing where it did not."""
    if not build.store.exists(KNOWN_FILE):
        return Registry()
    table, footer = build.store.load(KNOWN_FILE)
    return Registry(map(_known, table.to_pylist()), footer["run"])


def _read(recording_id: str, build: Build) -> tuple[Recording, dict[str, Any]]:
    rows, footer = build.store.load(build.fetched(recording_id))
    return recording_from(rows.to_pylist()[0]), footer


def _row(recording: Recording, footer: dict[str, Any]) -> dict[str, Any]:
    path = footer.get("media") if footer.get("is_local") else None
    return {
        "recording_id": recording.recording_id,
        "path": None if path is None else os.fsencode(path),
        "size": footer.get("size"),
        "mtime_ns": footer.get("mtime_ns"),
        "sha256": recording.sha256,
        "start_s": recording.start_s,
        "end_s": recording.end_s,
        "aliases": footer.get("aliases")
        or list(file_aliases(path, span_of(recording)) if path else ()),  # none by older versions
        "first_url": recording.first_url or recording.media_url,
        "added_in_run": recording.added_in_run,
    }


def _known(row: dict[str, Any]) -> Known:
    has_stamp = row["size"] is not None and row["mtime_ns"] is not None
    return Known(
        recording_id=row["recording_id"],
        path=None if row["path"] is None else os.fsdecode(row["path"]),
        stamp=(row["size"], row["mtime_ns"]) if has_stamp else None,
        sha256=row["sha256"],
        span=(row["start_s"], row["end_s"]),
        aliases=tuple(row["aliases"]),
        first_url=row["first_url"],
        added_in_run=row["added_in_run"],
    )


def _run_number(store: Store) -> int:
    """Number of a run that adds to what is published: a run that goes on where one was killed has the same."""
    if not store.exists(RECORDINGS_FILE):
        return FIRST_RUN
    try:
        table = store.read(RECORDINGS_FILE)
    except (OSError, pa.ArrowInvalid):  # damaged, as `verify` says
        return FIRST_RUN
    found = pc.max(table["added_in_run"]).as_py() if "added_in_run" in table.column_names else None
    return (found or FIRST_RUN) + 1
