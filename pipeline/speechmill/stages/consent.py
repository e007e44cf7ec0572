"""Consent signals of episode pages, licence terms (RSL) and media files (C2PA), and those of earlier runs."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from speechmill import fetch, sources
from speechmill.core import processes
from speechmill.core.build import Build
from speechmill.core.footers import FetchFooter
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, Signal, Status
from speechmill.fetch.consent import provenance, signal_of
from speechmill.sources import Listed

C2PA = "C2PA"
MARKS_VERSION = 1  # raise it when the same file gives other marks
GENERATED = "generated: "  # prefix of a signal's value for audio that a machine generated
_log = logging.getLogger("speechmill")


def page_permits(recording: Recording, build: Build) -> tuple[fetch.Permit, ...]:
    """Permits of the web page of an episode, if its feed names one.

    Raises RejectedError(OPTED_OUT) if the page reserves the episode.
    """
    if recording.source != "rss" or not recording.page_url or not build.config.fetch.pages:
        return ()
    if recording.page_url in (recording.media_url, *recording.alternates):  # a guid that was taken for a link
        return ()
    page = fetch.look_at_page(recording.page_url, build.store, build.config.fetch, stopping=build.is_stopping)
    return page[1] if page else ()


def feed_permits(listed: Listed, build: Build) -> tuple[fetch.Permit, ...]:
    """Permits of the licence terms that a feed names. Raises RejectedError if they forbid use or cannot be fetched."""
    if not listed.terms:
        return ()
    return fetch.read_terms(
        listed.terms, listed.places, build.store, build.config.fetch, stopping=build.is_stopping,
        beside=listed.recording.feed_url,
    )  # fmt: skip


def with_permitted_licence(recording: Recording, permits: tuple[fetch.Permit, ...]) -> Recording:
    """Set the licence from terms that permit training, unless the source states a licence."""
    fields = sources.by_terms(permits)
    if not fields or recording.licence_evidence is not None:
        return recording
    return replace(recording, **fields | {"consent": (*recording.consent, *fields["consent"])})


def keep_first_seen(recording: Recording, known: Recording) -> Recording:
    """Give each consent signal of a recording the time at which an earlier run saw it first."""
    before = {(signal.signal, signal.value, signal.url): signal for signal in known.consent}
    consent = tuple(before.get((signal.signal, signal.value, signal.url), signal) for signal in recording.consent)
    if consent and consent == known.consent and recording.reason == known.reason:
        return replace(recording, consent=consent, reason_detail=known.reason_detail)
    return replace(recording, consent=consent)


def keep_stored_signals(fresh: Recording, known: Recording) -> Recording:
    """Add the stored signals of the media's host and of the file itself, which a new listing does not repeat."""
    fresh = keep_first_seen(fresh, known)
    by_terms = fresh.licence_evidence is None and (known.licence_evidence or "").startswith("RSL ")
    if by_terms:
        names = ("licence", "licence_url", "licence_evidence")
        fresh = replace(fresh, **{name: getattr(known, name) for name in names})
    missing = [signal for signal in known.consent if signal not in fresh.consent]
    kept = [signal for signal in missing if _is_kept(signal, known, by_terms=by_terms)]
    is_generated = fresh.ai_generated or any(_is_generated(signal) for signal in kept)
    return replace(fresh, consent=(*fresh.consent, *kept), ai_generated=is_generated)


def _is_kept(signal: Signal, known: Recording, *, by_terms: bool) -> bool:
    """Whether a stored signal holds although the listing lacks it; `by_terms`: the stored licence is from terms."""
    return known.status is Status.OPTED_OUT or signal.signal == C2PA or (by_terms and signal.signal == "RSL")


def _is_generated(signal: Signal) -> bool:
    return signal.signal == C2PA and signal.value.startswith(GENERATED)


def apply_c2pa(recording: Recording, footer: FetchFooter, build: Build) -> tuple[Recording, FetchFooter]:
    """Read the C2PA manifest of media, once, and add its signals. Media that forbid training are deleted.

    Returns:
        The recording, opted out if its media forbid training, and the footer of its artifact.
    """
    is_read = footer.marks == MARKS_VERSION
    if recording.content_id is None or is_read or not provenance.is_installed():
        return recording, footer
    with _as_file(f"work/media/{recording.sha256}", footer, build) as path:
        marks = _read_marks(path, build) if path else None
    if marks is None:
        return recording, footer
    footer = replace(footer, marks=MARKS_VERSION)
    kept = tuple(signal for signal in recording.consent if signal.signal != C2PA)
    generated = tuple(signal_of(C2PA, GENERATED + word, recording.media_url) for word in marks.generated)
    forbids = tuple(signal_of(C2PA, word, recording.media_url) for word in marks.forbids)
    is_generated = recording.ai_generated or bool(generated)
    recording = replace(recording, consent=kept + generated + forbids, ai_generated=is_generated)
    if not forbids:
        return recording, footer
    if not footer.is_local:
        build.store.remove(f"work/media/{recording.sha256}")
    detail = f"{C2PA}: {forbids[0].value} in the file itself, seen {forbids[0].seen[:10]}"
    opted_out: dict[str, Any] = {
        "content_id": None,
        "sha256": None,
        "bytes": None,
        "reason": Reason.OPTED_OUT,
        "reason_detail": detail,
    }
    return replace(recording, **opted_out, status=Status.OPTED_OUT), footer


@contextmanager
def _as_file(name: str, footer: FetchFooter, build: Build) -> Iterator[str | None]:
    """Path of media on this machine, a temporary copy if the store is remote; None if they are gone."""
    store = build.store
    if footer.is_local or store.is_local:
        path = footer.media if footer.is_local else store.path(name)
        yield path if path and os.path.isfile(path) else None
        return
    if not store.exists(name):
        yield None
        return
    with tempfile.NamedTemporaryFile() as file, store.open(name) as media:
        while chunk := media.read(2**20):
            file.write(chunk)
        file.flush()
        yield file.name


def _read_marks(path: str, build: Build) -> provenance.Marks:
    """Read the marks of a file in a process of its own; none if that crashes."""
    if not provenance.may_have_marks(path):
        return provenance.Marks()
    try:
        marks, _ = processes.result(processes.pool(build.config.workers).submit(provenance.read, path))
    except processes.DiedError as error:
        _log.warning("%s: its C2PA manifest cannot be read: %s", path, error)
        return provenance.Marks()
    return marks  # type: ignore[no-any-return]
