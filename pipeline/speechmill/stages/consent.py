"""What is said of a recording's use beyond its host and its feed: by pages, terms and the file, from run to run."""

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
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, Signal, Status
from speechmill.fetch.consent import provenance, signal_of
from speechmill.sources import Listed

C2PA = "C2PA"
MARKS_VERSION = 1  # raise it when the same file gives other marks
GENERATED = "generated: "  # how the value of a signal begins that says that a machine made the sound
_log = logging.getLogger("speechmill")


def look_at_page(recording: Recording, build: Build) -> tuple[fetch.Permit, ...]:
    """Terms of the page that a feed names for an episode.

    Raises RejectedError(OPTED_OUT) where it reserves the episode.
    """
    if recording.source != "rss" or not recording.page_url or not build.config.fetch.pages:
        return ()
    if recording.page_url in (recording.media_url, *recording.alternates):  # a guid that is taken for a link
        return ()
    seen = fetch.look_at_page(recording.page_url, build.store, build.config.fetch, stopping=build.is_stopping)
    return seen[1] if seen else ()


def hear_terms(listed: Listed, build: Build) -> tuple[fetch.Permit, ...]:
    """Terms that a feed names for an episode. Raises RejectedError where they forbid it, or cannot be had."""
    if not listed.terms:
        return ()
    return fetch.hear_terms(
        listed.terms, listed.places, build.store, build.config.fetch, stopping=build.is_stopping,
        beside=listed.recording.feed_url,
    )  # fmt: skip


def licensed(recording: Recording, permits: tuple[fetch.Permit, ...]) -> Recording:
    """Take terms that permit training for the licence of a recording for which its source states none."""
    fields = sources.by_terms(permits)
    if not fields or recording.licence_evidence is not None:
        return recording
    return replace(recording, **fields | {"consent": (*recording.consent, *fields["consent"])})


def first_seen(recording: Recording, known: Recording) -> Recording:
    """What is said of a recording, with the times at which an earlier run saw the same."""
    before = {(one.signal, one.value, one.url): one for one in known.consent}
    consent = tuple(before.get((one.signal, one.value, one.url), one) for one in recording.consent)
    if consent and consent == known.consent and recording.reason == known.reason:
        return replace(recording, consent=consent, reason_detail=known.reason_detail)
    return replace(recording, consent=consent)


def still_said(fresh: Recording, known: Recording) -> Recording:
    """Keep what was said where the media are and in them, which the source does not list again."""
    fresh = first_seen(fresh, known)
    by_terms = fresh.licence_evidence is None and (known.licence_evidence or "").startswith("RSL ")
    if by_terms:
        names = ("licence", "licence_url", "licence_evidence")
        fresh = replace(fresh, **{name: getattr(known, name) for name in names})
    others = [one for one in known.consent if one not in fresh.consent and _stays(one, known, by_terms=by_terms)]
    is_generated = fresh.ai_generated or any(_is_generated(one) for one in others)
    return replace(fresh, consent=(*fresh.consent, *others), ai_generated=is_generated)


def _stays(signal: Signal, known: Recording, *, by_terms: bool) -> bool:
    return known.status is Status.OPTED_OUT or signal.signal == C2PA or (by_terms and signal.signal == "RSL")


def _is_generated(signal: Signal) -> bool:
    return signal.signal == C2PA and signal.value.startswith(GENERATED)


def heed_marks(recording: Recording, footer: dict[str, Any], build: Build) -> tuple[Recording, dict[str, Any]]:
    """Heed what media say of themselves, once. Media that forbid to learn from them are deleted, and opted out."""
    is_read = footer.get("marks") == MARKS_VERSION
    if recording.content_id is None or is_read or not provenance.is_installed():
        return recording, footer
    with _as_file(f"work/media/{recording.sha256}", footer, build) as path:
        marks = _read(path, build) if path else None
    if marks is None:
        return recording, footer
    footer = footer | {"marks": MARKS_VERSION}
    kept = tuple(one for one in recording.consent if one.signal != C2PA)
    made = tuple(signal_of(C2PA, GENERATED + word, recording.media_url) for word in marks.generated)
    no = tuple(signal_of(C2PA, word, recording.media_url) for word in marks.forbids)
    recording = replace(recording, consent=kept + made + no, ai_generated=recording.ai_generated or bool(made))
    if not no:
        return recording, footer
    if not footer["is_local"]:
        build.store.remove(f"work/media/{recording.sha256}")
    detail = f"{C2PA}: {no[0].value} in the file itself, seen {no[0].seen[:10]}"
    nothing: dict[str, Any] = {
        "content_id": None,
        "sha256": None,
        "bytes": None,
        "reason": Reason.OPTED_OUT,
        "reason_detail": detail,
    }
    return replace(recording, **nothing, status=Status.OPTED_OUT), footer


@contextmanager
def _as_file(name: str, footer: dict[str, Any], build: Build) -> Iterator[str | None]:
    """Path of media on this machine; None where they are gone."""
    store = build.store
    if footer["is_local"] or store.is_local:
        path = footer["media"] if footer["is_local"] else store.path(name)
        yield path if os.path.isfile(path) else None
        return
    if not store.exists(name):
        yield None
        return
    with tempfile.NamedTemporaryFile() as file, store.open(name) as media:
        while chunk := media.read(2**20):
            file.write(chunk)
        file.flush()
        yield file.name


def _read(path: str, build: Build) -> provenance.Marks:
    if not provenance.may_have_marks(path):
        return provenance.Marks()
    try:
        marks, _ = processes.result(processes.pool(build.config.workers).submit(provenance.read, path))
    except processes.DiedError as death:
        _log.warning("%s: its C2PA manifest cannot be read: %s", path, death)
        return provenance.Marks()
    return marks  # type: ignore[no-any-return]
