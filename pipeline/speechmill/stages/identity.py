"""Which recording that is known a listed one is: a recording stays itself under other names and addresses.

A source mints an id from what it sees: a name below an input, a guid. Two folders may hold equal names, and a file may
be renamed, so a recording is also known by aliases (hashes of its path, or of what a feed says of it) and by its bytes.
What matches without doubt is settled alone; what only claims to be a known recording is compared with other claims.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from speechmill.core.build import Build
from speechmill.core.records import Recording, Status, recording_from, stable_id
from speechmill.sources import Listed
from speechmill.stages.known import (
    FIRST_RUN,
    Known,
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
    """A listed recording and the known ones that it may be, each with the rank of the claim."""

    listed: Listed
    ranked: tuple[tuple[int, str], ...]


def recall(recording_id: str, build: Build) -> Listed:
    """List a recording as an earlier run left it."""
    rows, footer = build.store.load(build.fetched(recording_id))
    return _recalled(recording_from(rows.to_pylist()[0]), footer)


def _recalled(recording: Recording, footer: dict[str, Any]) -> Listed:
    path = footer.get("media") if footer.get("is_local") else None
    aliases, stored = tuple(footer.get("aliases", ())), (recording, footer)
    return Listed(recording=recording, media_path=path, aliases=aliases, known=True, stored=stored)


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
            recording_id = listed[0].recording.recording_id
            recalled = self._recall(recording_id, build)
            if recalled.stored and recalled.stored[1].get("unlisted"):
                build.store.remove(build.fetched(recording_id))
                return []
            return [recalled]
        others = [one for one in fresh if one.media_path is None and one.minted_id is not None]
        own = [one for one in fresh if one not in others]
        if not own:
            own, others = others[:1], others[1:]
        first, *copies = {_real(one): one for one in reversed(own)}.values()
        distinct = (first, *map(self._beside, copies), *map(_as_minted, others))
        return [self._with_stored(self._dated(one, is_new=False)) for one in distinct]

    def _with_stored(self, listed: Listed) -> Listed:
        """A listed recording with what the corpus knew of it when the run began."""
        known = self._by_id.get(listed.recording.recording_id)
        return listed if known is None else replace(listed, stored=known.stored)

    def _recall(self, recording_id: str, build: Build) -> Listed:
        """A recording as an earlier run left it."""
        known = self._by_id.get(recording_id)
        stored = known.stored if known is not None else None
        return recall(recording_id, build) if stored is None else _recalled(*stored)

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


def read_registry(build: Build) -> Registry:
    """What is known, read without writing anything."""
    return Registry(read_known(build))


def load_registry(build: Build) -> Registry:
    """What was known when the run began."""
    return Registry(*load_index(build))
