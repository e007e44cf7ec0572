"""Sources of recordings, one module of `builtin` for each kind; a new file there adds a kind.

A module `builtin/NAME.py` has a function `list_recordings(source, config, store)` that yields `Listed`. It may have
`check(source)`, which raises ConfigError before a run begins, and `resolve(recording, config, store, stopping=)`, for
media without a lasting address.
Only the module that an input needs is imported, so that the dependencies of one kind do not burden others. A plug-in
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
from speechmill.core.footers import FetchFooter
from speechmill.core.languages import language_code
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, Signal, Status, stable_id
from speechmill.core.store import Store
from speechmill.core.terminal import CONTROL
from speechmill.core.urls import web_address
from speechmill.fetch import never
from speechmill.sources import builtin
from speechmill.sources.licences import by_terms

__all__ = [
    "Listed", "by_terms", "check", "failed", "kind_of", "kinds", "language_tag", "list_recordings", "plain_text",
    "resolve", "rest_of",
]  # fmt: skip

MAX_TEXT_CHARACTERS = 10_000
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")


Stored = tuple[Recording, FetchFooter]  # the artifact of fetching: its row and its footer


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A recording of a source, and for a local one the path to open.

    A source computes `recording_id` from what it sees. `aliases` identify the recording if that id is unknown to the
    corpus: hashes that no two recordings of the source share, the most reliable first.
    """

    recording: Recording
    media_path: str | None = None
    known: bool = False  # listed by the corpus, from an earlier run
    aliases: tuple[str, ...] = ()
    former_ids: tuple[str, ...] = ()  # ids that earlier versions computed
    minted_id: str | None = None  # the source's id, if the recording was matched to another one
    sha256: str | None = None  # of the media, if they had to be read to identify the recording
    terms: tuple[str, ...] = ()  # addresses of RSL documents that the recording names, to be read before the media
    places: tuple[str, ...] = ()  # addresses under which the RSL documents may list the recording
    stored: Stored | None = None  # what the corpus knew of it when the run began


def kinds() -> tuple[str, ...]:
    """Names of all kinds of source, sorted. Imports only plug-ins."""
    return tuple(sorted({*_builtin_kinds(), *_plugged_in()}))


def _builtin_kinds() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(builtin.__path__))


@lru_cache(maxsize=1)
def _plugged_in() -> Mapping[str, Any]:
    """Modules of plug-ins by kind, without those that redefine a built-in kind."""
    for plugin in plugins.load(plugins.SOURCES):
        if plugin.name in _builtin_kinds():
            plugins.leave_out(plugin, f"it redefines the kind of source {plugin.name}")
    return {plugin.name: plugin.value for plugin in plugins.load(plugins.SOURCES)}


def kind_of(address: str) -> str:
    """Kind of source of an address: `kind:rest`; a URL or an XML file is a feed; anything else is local."""
    prefix = address.partition(":")[0]
    if prefix in kinds() and not os.path.lexists(address):  # a file may have such a name
        return prefix
    if web_address(address) != address and not os.path.lexists(address):
        return "rss"
    return "rss" if re.match(r"https?://|.*\.(xml|rss|atom|opml)$", address, re.IGNORECASE | re.DOTALL) else "local"


def check(source: Input) -> None:
    """Raise ConfigError for an unknown kind, and for what its module can find missing without the network."""
    module = _module(source)
    if hasattr(module, "check"):
        module.check(source)


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    """List the recordings of an input, in a fixed order.

    Raises ConfigError for an unknown kind or a missing file; RejectedError where the whole source cannot be read.
    """
    listing: Iterator[Listed] = _module(source).list_recordings(source, config, store)
    return listing


def resolve(
    recording: Recording, config: RunConfig, store: Store, *, stopping: Callable[[], bool] = never
) -> tuple[Recording, str]:
    """Find the current address of a recording's media, and add fields that only its page has.

    Args:
        recording: As it was listed.
        config: Of the run.
        store: Cache of fetched documents.
        stopping: Whether the run stops.

    Returns:
        The recording, with these fields, and the address.

    Raises:
        RejectedError: The media cannot be had.
    """
    if not is_resolved_late(recording):
        return recording, recording.media_url
    resolved: tuple[Recording, str] = _module_of_kind(recording.source).resolve(
        recording, config, store, stopping=stopping
    )
    return resolved


def is_resolved_late(recording: Recording) -> bool:
    """Whether a recording's media have no lasting address, so that `resolve` must find it before they are fetched."""
    return recording.source in kinds() and hasattr(_module_of_kind(recording.source), "resolve")


def _module(source: Input) -> Any:
    kind = source.kind or kind_of(source.address)
    if kind not in kinds():
        raise ConfigError(f"inputs: no such kind of source: {kind}; known: {', '.join(kinds())}")
    return _module_of_kind(kind)


def _module_of_kind(kind: str) -> Any:
    """The module of a kind of source, built-in or from a plug-in."""
    return _plugged_in().get(kind) or importlib.import_module(f"{builtin.__name__}.{kind}")


def rest_of(address: str, kind: str) -> str:
    """Drop the `kind:` that an address may start with."""
    return address.removeprefix(f"{kind}:")


def failed(kind: str, place: str, *, reason: Reason, detail: str, signals: tuple[Signal, ...] = ()) -> Listed:
    """Make the row of something that a source lists and that cannot be read, or must not be.

    Args:
        kind: Kind of source.
        place: Address, path or line; it identifies the row.
        reason: Why it failed.
        detail: The same in words.
        signals: A publisher's reservations.
    """
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
    """Make the row of a file in an input that is no recording; it is no failure, but it is reported.

    Args:
        kind: Kind of source.
        place: Its path below the input.
        reason: Why it is left out.
        detail: The same in words.
        size: In bytes.
    """
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
    """Make foreign text safe for terminals, files and Arrow: one line, no control characters, limited length.

    None for other types and for empty text. Markup is kept: it is escaped where it is shown.
    """
    if not isinstance(value, str):
        return None
    words = CONTROL.sub("", value[: 10 * MAX_TEXT_CHARACTERS]).split()
    return " ".join(words)[:MAX_TEXT_CHARACTERS].rstrip() or None


def language_tag(value: object) -> str | None:
    """Return a BCP 47 tag as it is, the code of a language's written name, or None for anything else."""
    text = plain_text(value)
    if text is None:
        return None
    return text if _LANGUAGE.fullmatch(text) else language_code(text)
