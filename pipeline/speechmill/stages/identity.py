"""Matches listed recordings with known ones, so that a recording keeps its id under other names and addresses.

A source makes an id from a name below an input, or a guid. Two folders may hold equal names, and a file may be renamed,
so recordings are also matched by aliases (hashes of the path, or of fields of a feed) and by their bytes. A certain
match is settled at once; uncertain ones are claims, of which `Registry.resolve` chooses the strongest.
"""

import hashlib
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from speechmill.core.build import KNOWN_FILE, Build
from speechmill.core.footers import FetchFooter
from speechmill.core.records import Recording, Status, recording_from, stable_id
from speechmill.sources import Listed
from speechmill.stages.known import (
    FIRST_RUN,
    KnownRecording,
    Span,
    Stamp,
    file_aliases,
    load_index,
    read_known,
    span_of,
    stamp_of,
)

# Ranks of claims, the strongest first.
SAME_PLACE, SAME_NAME, SAME_LEAF, SAME_BYTES, CHANGED, NAMESAKE, ALIAS, FORMER = 0, 1, 2, 3, 4, 5, 6, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """A listed recording and the known recordings that it may be."""

    listed: Listed
    ranked: tuple[tuple[int, str], ...]  # rank of the claim and id of each known recording


def recall(recording_id: str, build: Build) -> Listed:
    """List a recording as an earlier run stored it."""
    rows, footer = build.store.load(build.fetched(recording_id), FetchFooter)
    return _recalled(recording_from(rows.to_pylist()[0]), footer)


def _recalled(recording: Recording, footer: FetchFooter) -> Listed:
    path = footer.media if footer.is_local else None
    return Listed(recording=recording, media_path=path, aliases=footer.aliases, known=True, stored=(recording, footer))


def placeholder(recording_id: str) -> Listed:
    """Stand-in for a known recording, which is recalled only if no input lists it."""
    return Listed(recording=Recording(recording_id=recording_id, source="", media_url=""), known=True)


class Registry:
    """All known recordings of a corpus, to match listed recordings with them."""

    def __init__(self, known: Iterable[KnownRecording] = (), run: int = FIRST_RUN) -> None:
        self._by_id = {recording.recording_id: recording for recording in known}
        self._run = run
        self._by_alias: defaultdict[str, list[KnownRecording]] = defaultdict(list)
        for recording in self._by_id.values():
            for alias in recording.aliases:
                self._by_alias[alias].append(recording)

    @cached_property
    def _lost(self) -> dict[int, list[KnownRecording]]:
        """Known recordings whose files were moved, removed or changed, by their size in bytes."""
        lost: defaultdict[int, list[KnownRecording]] = defaultdict(list)
        for known in self._by_id.values():
            if known.path and known.stamp and known.sha256 and stamp_of(known.path) != known.stamp:
                lost[known.stamp[0]].append(known)
        return lost

    def settle(self, listed: Listed) -> Listed | Claims:
        """Give a listed recording its id, or return its claims. Hashes files that may have been moved."""
        if listed.recording.status is not Status.OK:
            return listed
        if listed.recording.source == "local" and listed.media_path is not None:
            aliases = file_aliases(listed.media_path, span_of(listed.recording))
            return self._settle_file(replace(listed, aliases=aliases), listed.media_path)
        minted = listed.recording.recording_id
        if minted in self._by_id:
            return listed
        ranked = [
            (ALIAS + at, known) for at, alias in enumerate(listed.aliases) for known in self._by_alias.get(alias, ())
        ]
        ranked += [(FORMER, self._by_id[former]) for former in listed.former_ids if self._is_former(former)]
        return Claims(listed=listed, ranked=_ranked_ids(ranked)) if ranked else listed

    def _is_former(self, recording_id: str) -> bool:
        """Whether an id is known from an older version, which stored no aliases."""
        return recording_id in self._by_id and not self._by_id[recording_id].aliases

    def _settle_file(self, listed: Listed, path: str) -> Listed | Claims:
        """`settle` for a local file."""
        stamp, minted = stamp_of(path), listed.recording.recording_id
        here = [known for alias in listed.aliases for known in self._by_alias.get(alias, ())]
        here.sort(key=lambda known: (known.path != path, known.recording_id != minted))
        if same := next((known for known in here if known.stamp is not None and known.stamp == stamp), None):
            return _with_id(listed, same.recording_id)
        namesake = self._by_id.get(minted)
        if namesake and namesake.path is None and not namesake.aliases:  # stored by older versions, without a path
            return listed
        moved = self._lost.get(stamp[0], ()) if stamp else ()
        moved = [known for known in moved if known.span == span_of(listed.recording)]
        digest = _digest(path, stamp) if moved else None
        ranked = [(_rank(known, listed, here), known) for known in moved if known.sha256 == digest]
        ranked += [(CHANGED, known) for known in here]
        if namesake and namesake.path and not namesake.sha256 and not os.path.lexists(namesake.path):
            ranked.append((NAMESAKE, namesake))  # it was never read
        listed = replace(listed, sha256=digest)
        return Claims(listed=listed, ranked=_ranked_ids(ranked)) if ranked else self._as_new(listed)

    def _as_new(self, listed: Listed) -> Listed:
        """A recording that is not known, with an id that no known one has."""
        if listed.media_path is None or listed.recording.source != "local":
            return listed
        recording_id = listed.recording.recording_id
        while recording_id in self._by_id:
            recording_id = stable_id(recording_id, listed.media_path)
        return _with_id(listed, recording_id)

    def resolve(self, claims: Iterable[Claims]) -> Iterator[Listed]:
        """Give each known recording to its strongest claim; recordings without one are new. Order does not matter."""
        ordered = sorted(claims, key=lambda claim: (place_of(claim.listed), repr(claim.listed)))
        ranked = sorted(
            (rank, place_of(claim.listed), self._by_id[known].path or "", known)
            for claim in ordered
            for rank, known in claim.ranked
        )
        given: dict[tuple[str, str], tuple[str, int]] = {}
        taken: set[str] = set()
        for rank, place, _, known in ranked:
            if place not in given and known not in taken:
                given[place] = known, rank
                taken.add(known)
        for claim in ordered:
            known_id, rank = given.get(place_of(claim.listed), (None, 0))
            settled = self._as_new(claim.listed) if known_id is None else _with_id(claim.listed, known_id)
            yield self._dated(settled, is_new=rank in (CHANGED, NAMESAKE))

    def distinct(self, same: Iterable[Listed], build: Build) -> list[Listed]:
        """Merge the listings of one id; but files of equal names below two inputs are two recordings.

        A recording that no input lists is recalled as stored, or removed if its source could not be read then.
        """
        ordered = sorted(same, key=lambda one: (one.known, one.sha256 is not None, one.media_path or "", repr(one)))
        fresh = [listed for listed in ordered if not listed.known]
        if not fresh:
            recording_id = ordered[0].recording.recording_id
            recalled = self._recall(recording_id, build)
            if recalled.stored and recalled.stored[1].unlisted:
                build.store.remove(build.fetched(recording_id))
                return []
            return [recalled]
        others = [listed for listed in fresh if listed.media_path is None and listed.minted_id is not None]
        own = [listed for listed in fresh if listed not in others]
        if not own:
            own, others = others[:1], others[1:]
        first, *copies = {_real_place(listed): listed for listed in reversed(own)}.values()
        distinct = (first, *map(self._renamed_copy, copies), *map(_as_minted, others))
        return [self._with_stored(self._dated(listed, is_new=False)) for listed in distinct]

    def _with_stored(self, listed: Listed) -> Listed:
        """Add the recording and footer that were stored when the run began."""
        known = self._by_id.get(listed.recording.recording_id)
        return listed if known is None else replace(listed, stored=known.stored)

    def _recall(self, recording_id: str, build: Build) -> Listed:
        """List a recording as an earlier run stored it."""
        known = self._by_id.get(recording_id)
        stored = known.stored if known is not None else None
        return recall(recording_id, build) if stored is None else _recalled(*stored)

    def _renamed_copy(self, listed: Listed) -> Listed:
        """A file whose id another file of this run has already."""
        renamed = _with_id(listed, stable_id(listed.recording.recording_id, listed.media_path or ""))
        return self._as_new(renamed)

    def _dated(self, listed: Listed, *, is_new: bool) -> Listed:
        """Set `added_in_run`, unless it is set, and `first_url`. `is_new`: a known recording has new content."""
        recording = listed.recording
        known = self._by_id.get(recording.recording_id)
        run = recording.added_in_run or (self._run if known is None or is_new else known.added_in_run)
        first = recording.media_url if known is None else known.first_url
        return replace(listed, recording=replace(recording, added_in_run=run, first_url=first))


def _ranked_ids(ranked: list[tuple[int, KnownRecording]]) -> tuple[tuple[int, str], ...]:
    return tuple(sorted((rank, known.recording_id) for rank, known in ranked))


def _rank(known: KnownRecording, listed: Listed, here: list[KnownRecording]) -> int:
    """Rank of the claim of a file with the bytes of a known recording; `here` are those known at its path."""
    if known in here:
        return SAME_PLACE
    if known.recording_id == listed.recording.recording_id:
        return SAME_NAME
    leaf = os.path.basename(listed.media_path or "")
    return SAME_LEAF if known.path and os.path.basename(known.path) == leaf else SAME_BYTES


def _with_id(listed: Listed, recording_id: str) -> Listed:
    """Set the id, and keep the one that the source made in `minted_id`."""
    minted = listed.minted_id or listed.recording.recording_id
    return replace(listed, recording=replace(listed.recording, recording_id=recording_id), minted_id=minted)


def _as_minted(listed: Listed) -> Listed:
    return _with_id(listed, listed.minted_id or listed.recording.recording_id)


def place_of(listed: Listed) -> tuple[str, str]:
    """Key of a listed recording before its id is settled: path or source's id, and span."""
    where = listed.media_path or listed.minted_id or listed.recording.recording_id
    return where, repr(span_of(listed.recording))


def _real_place(listed: Listed) -> tuple[str, Span] | None:
    """Path without links, and span, of a local file; None for others."""
    return None if listed.media_path is None else (os.path.realpath(listed.media_path), span_of(listed.recording))


@lru_cache(maxsize=256)  # a file with many stretches is hashed once
def _digest(path: str, stamp: Stamp | None) -> str | None:  # noqa: ARG001 - part of the cache key
    """SHA-256 of a file; None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def read_registry(build: Build) -> Registry:
    """All known recordings, read without writing anything."""
    return Registry(read_known(build))


_loaded: dict[tuple[str, str | None], Registry] = {}  # the last one: it is large, and several steps of a run use it
_loading = threading.Lock()


def load_registry(build: Build) -> Registry:
    """The recordings known when the run began; loaded once in a process."""
    key = build.store.path(KNOWN_FILE), build.store.version(KNOWN_FILE)
    with _loading:
        registry = _loaded.get(key)
        if registry is None:
            registry = Registry(*load_index(build))
            _loaded.clear()
            _loaded[key] = registry
        return registry
