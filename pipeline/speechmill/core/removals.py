"""What was taken out of a corpus on somebody's request, so that no later run brings it back.

The list lies beside the corpus, not in `work/`, so that it outlives everything that can be made again. Of a person it
keeps a hash of the name only: whoever asks to be forgotten should not be on a list for it.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Literal, Self

from speechmill.core.config_errors import ConfigError
from speechmill.core.ownership import REMOVALS_FILE
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, Status, stable_id
from speechmill.core.store import Store
from speechmill.core.urls import public_url

TOMBSTONES_FILE = REMOVALS_FILE
_SEPARATORS = re.compile(r"[,;/&]| and ")  # between the names of several authors in one line

_KIND = re.compile(r"^[a-z]+:(?=https?://)")  # of an input
_SCHEME = re.compile(r"^https?://")

Kind = Literal["recording", "source", "person"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """One request: what it is about, why, and the contents that were found to be it."""

    kind: Kind
    value: str  # recording_id; URL without scheme, with a slash at its end for all below it; hash of a name or a secret
    reason: str
    when: str  # ISO 8601, UTC
    contents: tuple[str, ...] = ()  # whatever name the same bytes come back under
    clips: tuple[str, ...] = ()  # of other recordings, in which its sound is heard as well
    erased: bool = False  # whether all that was made of it is deleted


@dataclass(frozen=True, slots=True)
class Tombstones:
    """All requests of a corpus. Small and picklable: it travels to every worker."""

    all: tuple[Tombstone, ...] = ()

    @classmethod
    def load(cls, store: Store) -> Self:
        """Read those of a corpus; none where it has no list. Raises ConfigError for a list that is not ours."""
        lists = ("contents", "clips")
        try:
            told = (store.read_json(TOMBSTONES_FILE) or {}).get("removed", [])
            return cls(tuple(Tombstone(**one | {name: tuple(one.get(name, ())) for name in lists}) for one in told))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            fix = "move it elsewhere if it is another's, else take it from a copy"
            raise ConfigError(f"{store.root}/{TOMBSTONES_FILE}: no list of removals ({error}); {fix}") from None

    @property
    def clips(self) -> frozenset[str]:
        """Clips of other recordings that may not be published either."""
        return frozenset(clip_id for one in self.all for clip_id in one.clips)

    def save(self, store: Store) -> None:
        """Write the list whole."""
        store.write_json(TOMBSTONES_FILE, {"removed": [asdict(one) for one in self.all]})

    def against(self, recording: Recording) -> Tombstone | None:
        """The first request that a recording falls under, by what is said of it or by its bytes; None if none."""
        names = set(_names(recording)) if self.all else set()
        bytes_ = {recording.content_id, recording.sha256} - {None}  # a stretch of what was removed is removed
        is_meant = (one for one in self.all if bytes_ & set(one.contents) or (one.kind, one.value) in names)
        return next(is_meant, None)

    def closes(self, address: str) -> bool:
        """Whether a whole input is removed, so that it needs no listing."""
        places = {*_with_parents(address), *_with_parents(_KIND.sub("", address))}
        return any(one.kind == "source" and one.value in places for one in self.all)


def named(kind: Kind, value: str) -> str:
    """The value by which a tombstone knows a recording, source or person."""
    if kind == "person":
        return stable_id("person", " ".join(unicodedata.normalize("NFKC", value).casefold().split()))
    return _place(value) if kind == "source" else value.strip()


def row_of(recording: Recording, tombstone: Tombstone) -> Recording:
    """What is left to be known of a removed recording: that it was there, and why it is not."""
    empty = Recording(recording_id=recording.recording_id, source=recording.source, media_url="")
    detail = f"{tombstone.reason}, removed {tombstone.when[:10]}"
    return replace(empty, status=Status.REMOVED, reason=Reason.REMOVED, reason_detail=detail)


def _names(recording: Recording) -> Iterator[tuple[Kind, str]]:
    """All that a tombstone could know a recording by."""
    yield "recording", recording.recording_id
    for url in (recording.feed_url, recording.page_url, recording.media_url, *recording.alternates):
        yield from (("source", place) for place in _with_parents(url or ""))
    author = recording.author or ""
    for name in (*recording.persons, author, *_SEPARATORS.split(author)):
        yield "person", named("person", name)


def _place(url: str) -> str:
    """A URL as the list has it: a hash where it names a password or a token, since the list lies beside the corpus."""
    plain = _plain(url)
    return plain if plain == _plain(public_url(url)) else stable_id("source", plain)


def _with_parents(url: str) -> Iterator[str]:
    """A URL, whole and as it is published, and every folder that it is below, up to its host."""
    yield _place(url)
    plain = _plain(public_url(url))
    yield plain
    if plain.startswith("//"):
        parts = plain.removeprefix("//").split("/")
        yield from (f"//{'/'.join(parts[:count])}/" for count in range(1, len(parts)))


def _plain(url: str) -> str:
    """A URL as it is compared: whichever of http and https, and in small letters."""
    plain = _SCHEME.sub("//", url.strip().casefold())
    return f"{plain}/" if plain.startswith("//") and "/" not in plain[2:] else plain
