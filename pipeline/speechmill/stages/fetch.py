"""List and fetch: from inputs to media with a content id."""

import os
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from speechmill import sources
from speechmill.core.build import FETCHED, PURGE_FILE, Build
from speechmill.core.config import Input, RunConfig
from speechmill.core.footers import FetchFooter
from speechmill.core.models import ModelRef
from speechmill.core.reasons import OUT_OF_REACH, Reason
from speechmill.core.records import Recording, RejectedError, Status, content_id_of, recording_from, stable_id, to_table
from speechmill.core.removals import RemovalRequest, removed_row
from speechmill.core.urls import web_address
from speechmill.decide.licences import licence_allowed
from speechmill.sources import Listed, listing
from speechmill.stages import left_out, spans
from speechmill.stages.base import GroupedByHost, RecordingStage
from speechmill.stages.consent import (
    apply_c2pa,
    feed_permits,
    keep_first_seen,
    keep_stored_signals,
    page_permits,
    with_permitted_licence,
)
from speechmill.stages.decode import note_failure
from speechmill.stages.documents import Documents, fetch_documents
from speechmill.stages.known import stamp_of
from speechmill.stages.work import Outcome, WorkItem, primary_order

DISKS = 8  # local files are read as if they were on so many hosts


def list_input(source: Input, build: Build) -> Iterator[Listed]:
    """List the recordings of an input. An unreadable input gives a row of its own; a removed input gives none."""
    if build.removals.covers_input(web_address(source.address)):
        return
    kind, excluded = source.kind or sources.kind_of(source.address), []
    try:
        for listed in listing.list_recordings(source, build.config, build.store, stopping=build.is_stopping):
            if listed.recording.status is Status.LEFT_OUT:
                excluded.append(listed.recording)
            else:
                yield listed
    except RejectedError as error:
        yield sources.failed(kind, source.address, reason=error.reason, detail=error.detail, signals=error.signals)
    left_out.note(stable_id(kind, source.address), excluded, build)


def host_of(listed: Listed) -> str:
    """Host of a recording, by which concurrent fetches are limited; for local files one of DISKS."""
    if listed.media_path is not None:
        return f"disk {zlib.crc32(listed.recording.recording_id.encode()) % DISKS}"
    try:
        return urlsplit(listed.recording.media_url).netloc
    except ValueError:
        return ""


class Fetch(RecordingStage):
    """Media, documents and metadata of each recording."""

    name = "fetch"
    execution = GroupedByHost()
    typical_speed = 500.0  # 8 MB/s of podcasts at 128 kbit/s

    def profile(self, config: RunConfig, models: tuple[ModelRef, ...], before: Mapping[str, str | None]) -> str | None:
        """One profile for all configs: fetched media stay valid whatever else changes."""
        return FETCHED

    def process(self, element: Listed, build: Build) -> Outcome:
        """Fetch the media of a recording, unless they are stored."""
        return fetch_recording(element, build)


def fetch_recording(listed: Listed, build: Build) -> Outcome:
    """Fetch the media of a recording, unless they are stored and unchanged; store its metadata."""
    name, store = build.fetched(listed.recording.recording_id), build.store
    if request := build.removals.match(listed.recording):
        return _store_removed(listed, listed.recording, request, build)
    known, before = listed.stored or _stored(name, build)
    if listed.recording.status not in (Status.OK, Status.REMOVED) and not listed.known:
        # The source itself says that it failed; earlier media do not matter.
        recording = keep_first_seen(listed.recording, known or listed.recording)
        store.write_table(name, to_table([recording]), FetchFooter(retry=True, unlisted=True))
        return _fetch_outcome("done", recording, None)
    is_unchanged = known is not None and not before.retry and _is_unchanged(listed, known, before, build)
    try:
        if not (is_unchanged and known and known.content_id is None):
            listed = replace(listed, recording=with_permitted_licence(listed.recording, feed_permits(listed, build)))
        if known is not None and is_unchanged:
            fresh, footer = _refreshed(listed, known, before, build)
            work = _work_item(fresh, footer, build)
            is_as_before = (fresh, footer) == (known, before)
            return _fetch_outcome("reused", fresh, work and replace(work, is_as_before=is_as_before))
        recording, footer = _fetch(listed, build)
        if listed.known and listed.media_path and recording.content_id != listed.recording.content_id:
            raise RejectedError(Reason.NOT_FOUND, "another file lies where the media were")
    except RejectedError as error:
        is_bug = error.reason is Reason.INTERNAL_ERROR
        if known is not None and known.content_id is not None and (is_bug or error.reason in OUT_OF_REACH):
            return _out_of_reach(known, before, error, build)
        recording, footer = failed(listed.recording, error), replace(_stamped(listed), retry=error.retry)
    if request := build.removals.match(recording):  # the same bytes under another name
        return _store_removed(listed, recording, request, build)
    store.write_table(name, to_table([recording]), footer)  # first, so that a kill does not cost the media
    recording, footer = _refreshed(replace(listed, recording=recording), recording, footer, build)
    return _fetch_outcome("done", recording, _work_item(recording, footer, build))


def note_unfetched(listed: Listed, build: Build, error: RejectedError) -> Outcome:
    """Store a failure for a recording that met a bug; one that was fetched before keeps its row and artifacts."""
    name = build.fetched(listed.recording.recording_id)
    try:
        known, footer = _stored(name, build)
    except (ValueError, KeyError, TypeError):  # a damaged row, which may be what the error is about
        known, footer = None, FetchFooter()
    if known is not None and known.content_id is not None and known.status is Status.OK:
        return _out_of_reach(known, footer, error, build)
    if known is None or known.status is Status.FAILED:
        build.store.write_table(name, to_table([failed(listed.recording, error)]), FetchFooter(retry=True))
    return Outcome(state="failed", reason=error.reason, detail=error.detail)


def _stored(name: str, build: Build) -> tuple[Recording | None, FetchFooter]:
    """The stored recording and its footer; None and an empty one if there is none."""
    if not build.store.exists(name):
        return None, FetchFooter()
    rows, footer = build.store.load(name, FetchFooter)
    return recording_from(rows.to_pylist()[0]), footer


def _out_of_reach(known: Recording, footer: FetchFooter, error: RejectedError, build: Build) -> Outcome:
    """Keep the row and artifacts of a recording whose media are out of reach; it fails if it was never segmented."""
    work = _work_item(known, footer, build)
    assert work is not None
    if build.is_decoded(work.content_id):
        return _fetch_outcome("reused", known, work)
    return note_failure(work, build, RejectedError(error.reason, error.detail, retry=True))


def _store_removed(listed: Listed, recording: Recording, request: RemovalRequest, build: Build) -> Outcome:
    """Store only a row for a recording with a removal request, and delete its media."""
    row, store, name = removed_row(recording, request), build.store, build.fetched(recording.recording_id)
    # With a content id, it was just fetched.
    before, footer = _stored(name, build) if recording.content_id is None else (None, FetchFooter())
    if before is not None and before.content_id is not None:  # by which the end of the run deletes its artifacts
        recording = replace(recording, content_id=before.content_id, sha256=before.sha256)
        store.write_table(name, to_table([recording]), footer)
        store.write_text(PURGE_FILE, "")
        return _fetch_outcome("done", row, None)
    store.write_table(name, to_table([row]), FetchFooter(aliases=listed.aliases))
    store.remove(f"work/media/{recording.sha256}")
    return _fetch_outcome("done", row, None)


def _fetch(listed: Listed, build: Build) -> tuple[Recording, FetchFooter]:
    """Fetch media only; documents follow once it is clear that the recording is not opted out."""
    permits = page_permits(listed.recording, build)
    recording, url = listing.resolve(listed.recording, build.config, build.store, stopping=build.is_stopping)
    media = spans.fetch_once(replace(recording, media_url=url), listed.media_path, build)
    content_id = content_id_of(media.sha256, recording.start_s, recording.end_s)
    recording = replace(recording, content_id=content_id, sha256=media.sha256, bytes=media.bytes)
    recording = with_permitted_licence(recording, (*media.permits, *permits))
    is_resolved = url != recording.media_url
    footer = replace(_stamped(listed), is_local=listed.media_path is not None, media=media.path, resolved=is_resolved)
    return recording, footer


def _with_documents(recording: Recording, footer: FetchFooter, documents: Documents) -> tuple[Recording, FetchFooter]:
    """Add the documents to a recording's footer, and their remarks to the recording."""
    remarks = "; ".join(documents.remarks) or None
    footer = replace(footer, documents=documents.by_path, documents_retry=documents.retry)
    return replace(recording, reason_detail=remarks), footer


def _stamped(listed: Listed) -> FetchFooter:
    """Footer with the aliases of a recording, and the time of the request, or size and time of change of a file."""
    footer = FetchFooter(aliases=listed.aliases)
    if listed.media_path is None:
        return replace(footer, asked=time.time())
    return _with_stamp(footer, listed.media_path)


def _with_stamp(footer: FetchFooter, path: str) -> FetchFooter:
    """Set size and time of change of a local file, by which a change is noticed, unless it is gone."""
    stamp = stamp_of(path)
    return footer if stamp is None else replace(footer, size=stamp[0], mtime_ns=stamp[1])


def _is_unchanged(listed: Listed, known: Recording, footer: FetchFooter, build: Build) -> bool:
    """Whether the stored recording is still valid, so that its media need not be fetched."""
    if known.status is Status.REMOVED or (listed.known and known.content_id is None):
        return True
    if listed.media_path is not None:  # a file that failed is tried again once it has changed
        is_same = listed.sha256 is not None and listed.sha256 == known.sha256
        if is_same or stamp_of(listed.media_path) in (None, footer.stamp):
            return True
        is_unlisted = listed.known and known.content_id is not None  # its artifacts stay, whatever the file is now
        return is_unlisted and build.is_decoded(known.content_id or "")
    if known.content_id is None:  # gone, forbidden or opted out: asked again, but not every day
        return time.time() - (footer.asked or 0.0) < build.config.fetch.ask_again_s
    is_decoded = build.is_complete or build.is_decoded(known.content_id)
    return is_decoded or build.store.exists(f"work/media/{known.sha256}")


def _refreshed(listed: Listed, known: Recording, footer: FetchFooter, build: Build) -> tuple[Recording, FetchFooter]:
    """Update metadata and documents of a recording whose media are stored, from its present listing."""
    kept = {key: getattr(known, key) for key in ("content_id", "sha256", "bytes", "status", "reason", "reason_detail")}
    fresh = known if footer.resolved or known.status is Status.REMOVED else replace(listed.recording, **kept)
    updated = footer if listed.known or known.status is Status.REMOVED else _located(listed, footer)
    fresh, updated = apply_c2pa(keep_stored_signals(fresh, known), updated, build)
    is_new = fresh.attachments != known.attachments or footer.documents_retry
    if fresh.content_id and build.config.fetch.transcripts and is_new:
        fresh, updated = _with_documents(fresh, updated, fetch_documents(fresh, listed.media_path, build))
    if (fresh, updated) != (known, footer):
        build.store.write_table(build.fetched(known.recording_id), to_table([fresh]), updated)
    return fresh, updated


def _located(listed: Listed, footer: FetchFooter) -> FetchFooter:
    """Update the aliases of a recording and, for local files, its present path."""
    footer = replace(footer, aliases=listed.aliases)
    if listed.media_path is None:
        return footer
    moved = replace(footer, is_local=True, media=os.path.abspath(listed.media_path))
    return _with_stamp(moved, listed.media_path)


def failed(recording: Recording, error: RejectedError) -> Recording:
    """The recording with status, reason and consent signals of an error."""
    status = Status.OPTED_OUT if error.reason is Reason.OPTED_OUT else Status.FAILED
    consent = (*recording.consent, *error.signals)
    return replace(recording, status=status, reason=error.reason, reason_detail=error.detail, consent=consent)


def _work_item(recording: Recording, footer: FetchFooter, build: Build) -> WorkItem | None:
    """The item that the next stages process; None without media."""
    if recording.content_id is None or footer.media is None:
        return None
    return WorkItem(
        recording_id=recording.recording_id,
        content_id=recording.content_id,
        sha256=recording.sha256,
        span=None if recording.start_s is None else (recording.start_s, recording.end_s),
        media=footer.media,
        is_local=footer.is_local,
        allowed=licence_allowed(recording.licence, build.config.licences),
        order=primary_order(recording),
    )


def _fetch_outcome(state: str, recording: Recording, work: WorkItem | None) -> Outcome:
    if recording.status is not Status.OK:
        return Outcome(state="failed", reason=recording.reason, detail=recording.reason_detail or "")
    seconds = recording.declared_duration_s or 0.0
    return Outcome(state=state, seconds_in=seconds, seconds_kept=seconds, work=work)
