"""Sources of recordings, one module a kind: dropping a file into this folder adds a kind.

A module `sources/NAME.py`, unless its name begins with `_`, has a function `list_recordings(source, config, store)`
that yields `Listed`. It may have `check(source)`, which raises ConfigError before a run begins, and
`resolve(recording, config, store, stopping=)`, which finds where media are that have no lasting address.
Only the module that an input needs is imported, so that an odd dependency of one burdens no other. Another package
adds a kind by an entry point of the group `speechmill.sources`: its name is the kind, and it has the same functions.
"""

import importlib
import os
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from speechmill.core import plugins
from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.filenames import readable
from speechmill.core.languages import language_code
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, Signal, Status, stable_id
from speechmill.core.store import Store
from speechmill.core.terminal import CONTROL
from speechmill.core.urls import web_address
from speechmill.fetch import never
from speechmill.sources._licences import by_terms

__all__ = [
    "Listed", "by_terms", "check", "failed", "kind_of", "kinds", "language_tag", "list_recordings", "plain_text",
    "resolve", "rest_of",
]  # fmt: skip

MAX_TEXT_CHARACTERS = 10_000
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")


Stored = tuple[Recording, dict[str, Any]]  # the artifact of fetching: its row and its footer


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A recording that a source has, and for a local one the path to open.

    A source mints `recording_id` from what it sees. It may give aliases, by which the recording is known if that id is
    not: hashes that no two recordings of the source share, the surest first.
    """

    recording: Recording
    media_path: str | None = None
    known: bool = False  # listed by the corpus itself, from an earlier run
    aliases: tuple[str, ...] = ()
    former_ids: tuple[str, ...] = ()  # that earlier versions would have minted
    minted_id: str | None = None  # by the source, where the recording turned out to be another one
    sha256: str | None = None  # of the media, where they had to be read to know which recording it is
    terms: tuple[str, ...] = ()  # addresses of RSL documents that it names, to be read before the media
    places: tuple[str, ...] = ()  # addresses that these may name it by
    stored: "Stored | None" = None  # what the corpus knew of it when the run began


def kinds() -> tuple[str, ...]:
    """Names of all kinds of source, sorted. Imports only those of plug-ins."""
    return tuple(sorted({*_own_kinds(), *_plugged_in()}))


def _own_kinds() -> frozenset[str]:
    return frozenset(name for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_"))


@lru_cache(maxsize=1)
def _plugged_in() -> Mapping[str, Any]:
    """What plug-ins bring, by kind; one that redefines a kind of ours is left out."""
    for plugin in plugins.load(plugins.SOURCES):
        if plugin.name in _own_kinds():
            plugins.leave_out(plugin, f"it redefines the kind of source {plugin.name}")
    return {plugin.name: plugin.value for plugin in plugins.load(plugins.SOURCES)}


def kind_of(address: str) -> str:
    """Kind of source that an address means: `kind:rest`; a URL or an XML file is a feed; anything else is local."""
    prefix = address.partition(":")[0]
    if prefix in kinds() and not os.path.lexists(address):  # a file may be called so
        return prefix
    if web_address(address) != address and not os.path.lexists(address):
        return "rss"
    return "rss" if re.match(r"https?://|.*\.(xml|rss|atom|opml)$", address, re.IGNORECASE | re.DOTALL) else "local"


def check(source: Input) -> None:
    """Raise ConfigError for an unknown kind, and for what its module finds missing without looking at the network."""
    module = _module(source)
    if hasattr(module, "check"):
        module.check(source)


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    """List what an input has, in a fixed order.

    Raises ConfigError for an unknown kind or a missing file; RejectedError where the whole source cannot be read.
    """
    listing: Iterator[Listed] = _module(source).list_recordings(source, config, store)
    return listing


def resolve(
    recording: Recording, config: RunConfig, store: Store, *, stopping: Callable[[], bool] = never
) -> tuple[Recording, str]:
    """Say where the media of a recording are now, and what only a look at that place tells of it.

    Raises RejectedError.
    """
    if not is_resolved_late(recording):
        return recording, recording.media_url
    found: tuple[Recording, str] = _of_kind(recording.source).resolve(recording, config, store, stopping=stopping)
    return found


def is_resolved_late(recording: Recording) -> bool:
    """Whether only its source can say where the media of a recording are."""
    return recording.source in kinds() and hasattr(_of_kind(recording.source), "resolve")


def _module(source: Input) -> Any:
    kind = source.kind or kind_of(source.address)
    if kind not in kinds():
        raise ConfigError(f"inputs: no such kind of source: {kind}; known: {', '.join(kinds())}")
    return _of_kind(kind)


def _of_kind(kind: str) -> Any:
    """The module of a kind of source, or what a plug-in has in its place."""
    return _plugged_in().get(kind) or importlib.import_module(f"{__name__}.{kind}")


def rest_of(address: str, kind: str) -> str:
    """Drop the `kind:` that an address may start with."""
    return address.removeprefix(f"{kind}:")


def failed(kind: str, place: str, *, reason: Reason, detail: str, signals: tuple[Signal, ...] = ()) -> Listed:
    """Make the row of something that a source lists but that cannot be read, or may not be."""
    return Listed(
        recording=Recording(
            recording_id=stable_id(kind, "failed", place),
            source=kind,
            media_url=plain_text(place) or "",
            status=Status.OPTED_OUT if reason is Reason.OPTED_OUT else Status.FAILED,
            reason=reason,
            reason_detail=plain_text(detail),
            consent=signals,
        )
    )


def left_out(kind: str, place: str, *, reason: Reason, detail: str, size: int | None = None) -> Listed:
    """Make the row of what lies in an input and is no recording: no failure, but no silence either."""
    return Listed(
        recording=Recording(
            recording_id=stable_id(kind, "left out", place, reason),
            source=kind,
            media_url=readable(place),
            bytes=size,
            status=Status.LEFT_OUT,
            reason=reason,
            reason_detail=plain_text(detail),
        )
    )


def plain_text(value: object) -> str | None:
    """Make foreign text harmless for terminals, files and Arrow: one line, no control characters, of bounded length.

    None for what is no string or has nothing in it. Markup stays as it is: escaping is for who shows it.
    """
    if not isinstance(value, str):
        return None
    words = CONTROL.sub("", value[: 10 * MAX_TEXT_CHARACTERS]).split()
    return " ".join(words)[:MAX_TEXT_CHARACTERS].rstrip() or None


def language_tag(value: object) -> str | None:
    """A tag of BCP 47 as it is, the code of a language that is written out, or None for what is no language."""
    text = plain_text(value)
    if text is None:
        return None
    return text if _LANGUAGE.fullmatch(text) else language_code(text)
