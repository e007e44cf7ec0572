"""Removal requests: recordings that were taken out of a corpus, which no later run may bring back.

The list, `removed.json`, is beside the corpus rather than in `work/`, which may be deleted. Of a person it has only a
hash of the name, so that people who ask to be forgotten are not listed by name.
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

_SEPARATORS = re.compile(r"[,;/&]| and ")  # between the names of several authors in one line

_KIND = re.compile(r"^[a-z]+:(?=https?://)")  # kind of source before the address of an input
_SCHEME = re.compile(r"^https?://")

Kind = Literal["recording", "source", "person"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalRequest:
    """One request: the recording, source or person, the reason, and the contents and clips that match."""

    kind: Kind
    value: str  # see `stored_value`
    reason: str
    when: str  # ISO 8601, UTC
    contents: tuple[str, ...] = ()  # content ids, which match the same bytes under any other name
    clips: tuple[str, ...] = ()  # ids of clips in other recordings with the same sound
    erased: bool = False  # whether all files of matching recordings are purged


@dataclass(frozen=True, slots=True)
class Removals:
    """All removal requests of a corpus. Small and picklable, since it is sent to every worker."""

    all: tuple[RemovalRequest, ...] = ()

    @classmethod
    def load(cls, store: Store) -> Self:
        """Read the requests of a corpus; empty without a list. Raises ConfigError for a list that is not ours."""
        lists = ("contents", "clips")
        try:
            rows = (store.read_json(REMOVALS_FILE) or {}).get("removed", [])
            return cls(
                tuple(RemovalRequest(**row | {name: tuple(row.get(name, ())) for name in lists}) for row in rows)
            )
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            fix = "move it elsewhere if it is another's, else take it from a copy"
            raise ConfigError(f"{store.root}/{REMOVALS_FILE}: no list of removals ({error}); {fix}") from None

    @property
    def clips(self) -> frozenset[str]:
        """Ids of clips in other recordings that may not be published either."""
        return frozenset(clip_id for request in self.all for clip_id in request.clips)

    def save(self, store: Store) -> None:
        """Write the list."""
        store.write_json(REMOVALS_FILE, {"removed": [asdict(request) for request in self.all]})

    def match(self, recording: Recording) -> RemovalRequest | None:
        """The first request that matches a recording, by its metadata or its content; None if none does."""
        keys = set(_keys(recording)) if self.all else set()
        contents = {recording.content_id, recording.sha256} - {None}  # a span of removed media is removed too
        matches = (
            request for request in self.all if contents & set(request.contents) or (request.kind, request.value) in keys
        )
        return next(matches, None)

    def covers_input(self, address: str) -> bool:
        """Whether a request removes all recordings of an input, which is then not listed."""
        values = {*_with_parents(address), *_with_parents(_KIND.sub("", address))}
        return any(request.kind == "source" and request.value in values for request in self.all)


def stored_value(kind: Kind, value: str) -> str:
    """The form in which `removed.json` has a recording, source or person.

    A recording_id; a URL without scheme, hashed if it has a secret, which ends with a slash for all URLs below it; or
    the hash of a person's name.
    """
    if kind == "person":
        return stable_id("person", " ".join(unicodedata.normalize("NFKC", value).casefold().split()))
    return _stored_url(value) if kind == "source" else value.strip()


def removed_row(recording: Recording, request: RemovalRequest) -> Recording:
    """Row of a removed recording: its id, and the reason and date of the removal, without metadata."""
    empty = Recording(recording_id=recording.recording_id, source=recording.source, media_url="")
    detail = f"{request.reason}, removed {request.when[:10]}"
    return replace(empty, status=Status.REMOVED, reason=Reason.REMOVED, reason_detail=detail)


def _keys(recording: Recording) -> Iterator[tuple[Kind, str]]:
    """Kind and value of all requests that would match a recording."""
    yield "recording", recording.recording_id
    for url in (recording.feed_url, recording.page_url, recording.media_url, *recording.alternates):
        yield from (("source", value) for value in _with_parents(url or ""))
    author = recording.author or ""
    for name in (*recording.persons, author, *_SEPARATORS.split(author)):
        yield "person", stored_value("person", name)


def _stored_url(url: str) -> str:
    """A normalised URL; its hash if it has a password or a token, since the list is beside the corpus."""
    normal = _normal(url)
    return normal if normal == _normal(public_url(url)) else stable_id("source", normal)


def _with_parents(url: str) -> Iterator[str]:
    """A URL as stored and as published, and the folders above it, up to its host."""
    yield _stored_url(url)
    normal = _normal(public_url(url))
    yield normal
    if normal.startswith("//"):
        parts = normal.removeprefix("//").split("/")
        yield from (f"//{'/'.join(parts[:count])}/" for count in range(1, len(parts)))


def _normal(url: str) -> str:
    """A URL for comparison: without http or https, in lower case."""
    normal = _SCHEME.sub("//", url.strip().casefold())
    return f"{normal}/" if normal.startswith("//") and "/" not in normal[2:] else normal
