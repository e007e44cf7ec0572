"""List and fetch: from what the inputs name to media whose identity is known."""

import os
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from speechmill import sources
from speechmill.core.build import ERASE_FILE, FETCHED, Build
from speechmill.core.config import Input, RunConfig
from speechmill.core.models import ModelRef
from speechmill.core.reasons import OUT_OF_REACH, Reason
from speechmill.core.records import Recording, RejectedError, Status, content_of, recording_from, stable_id, to_table
from speechmill.core.removals import Tombstone, row_of
from speechmill.core.urls import web_address
from speechmill.decide.licences import licence_allowed
from speechmill.sources import Listed, listing
from speechmill.stages import left_out, spans
from speechmill.stages.base import GroupedByHost, RecordingStage
from speechmill.stages.consent import first_seen, hear_terms, heed_marks, licensed, look_at_page, still_said
from speechmill.stages.documents import Documents, fetch_documents
from speechmill.stages.segment import note_failure
from speechmill.stages.work import Outcome, Work, primary_order

DISKS = 8  # groups that local files are read in


def list_input(source: Input, build: Build) -> Iterator[Listed]:
    """List what an input has; an input that cannot be read gets a row of its own, one that was removed none."""
    if build.removed.closes(web_address(source.address)):
        return
    kind, others = source.kind or sources.kind_of(source.address), []
    try:
        for listed in listing.list_recordings(source, build.config, build.store, stopping=build.is_stopping):
            if listed.recording.status is Status.LEFT_OUT:
                others.append(listed.recording)
            else:
                yield listed
    except RejectedError as error:
        yield sources.failed(kind, source.address, reason=error.reason, detail=error.detail, signals=error.signals)
    left_out.note(stable_id(kind, source.address), others, build)


def host_of(listed: Listed) -> str:
    """What limits how many are fetched at a time: the server, or for local files one of a few heads of a disk."""
    if listed.media_path is not None:
        return f"disk {zlib.crc32(listed.recording.recording_id.encode()) % DISKS}"
    try:
        return urlsplit(listed.recording.media_url).netloc
    except ValueError:
        return ""


class Fetch(RecordingStage):
    """Media, what lies beside them, and what is known of a recording."""

    name = "fetch"
    execution = GroupedByHost()
    typical_speed = 500.0  # 8 MB/s of podcasts at 128 kbit/s

    def profile(self, config: RunConfig, models: tuple[ModelRef, ...], before: Mapping[str, str | None]) -> str | None:
        """One for all configs: what was fetched stands whatever else changes."""
        return FETCHED

    def process(self, element: Listed, build: Build) -> Outcome:
        """Bring the media of a recording here, or find that they are."""
        return fetch_recording(element, build)


def fetch_recording(listed: Listed, build: Build) -> Outcome:
    """Bring the media of a recording here, or find that they are; store what is known of it."""
    name, store = build.fetched(listed.recording.recording_id), build.store
    if stone := build.removed.against(listed.recording):
        return _note_removed(listed, listed.recording, stone, build)
    known, before = listed.stored or _known(name, build)
    if listed.recording.status not in (Status.OK, Status.REMOVED) and not listed.known:
        # As the source itself says, whatever was fetched before.
        recording = first_seen(listed.recording, known or listed.recording)
        store.write_table(name, to_table([recording]), {"retry": True, "unlisted": True})
        return _fetch_outcome("done", recording, None)
    is_unchanged = known is not None and not before["retry"] and _is_unchanged(listed, known, before, build)
    try:
        if not (is_unchanged and known and known.content_id is None):
            listed = replace(listed, recording=licensed(listed.recording, hear_terms(listed, build)))
        if known is not None and is_unchanged:
            fresh, told = _refreshed(listed, known, before, build)
            work = _work(fresh, told, build)
            is_as_before = (fresh, told) == (known, before)
            return _fetch_outcome("reused", fresh, work and replace(work, is_as_before=is_as_before))
        recording, footer = _fetch(listed, build)
        if listed.known and listed.media_path and recording.content_id != listed.recording.content_id:
            raise RejectedError(Reason.NOT_FOUND, "another file lies where the media were")
    except RejectedError as error:
        is_ours = error.reason is Reason.INTERNAL_ERROR  # which says nothing of the recording
        if known is not None and known.content_id is not None and (is_ours or error.reason in OUT_OF_REACH):
            return _out_of_reach(known, before, error, build)
        recording, footer = failed(listed.recording, error), _stamp(listed) | {"retry": error.retry}
    if stone := build.removed.against(recording):  # the same bytes under another name
        return _note_removed(listed, recording, stone, build)
    store.write_table(name, to_table([recording]), footer)  # first, so that a kill does not cost the media
    recording, footer = _refreshed(replace(listed, recording=recording), recording, footer, build)
    return _fetch_outcome("done", recording, _work(recording, footer, build))


def note_unfetched(listed: Listed, build: Build, error: RejectedError) -> Outcome:
    """Keep a row for what met a bug of ours. A known recording keeps its own, and what was made of it stands."""
    name = build.fetched(listed.recording.recording_id)
    try:
        known, footer = _known(name, build)
    except (ValueError, KeyError, TypeError):  # a damaged row, which may be what the error is about
        known, footer = None, {}
    if known is not None and known.content_id is not None and known.status is Status.OK:
        return _out_of_reach(known, footer, error, build)
    if known is None or known.status is Status.FAILED:
        build.store.write_table(name, to_table([failed(listed.recording, error)]), {"retry": True})
    return Outcome(state="failed", reason=error.reason, detail=error.detail)


def _known(name: str, build: Build) -> tuple[Recording | None, dict[str, Any]]:
    if not build.store.exists(name):
        return None, {}
    rows, footer = build.store.load(name)
    return recording_from(rows.to_pylist()[0]), footer


def _out_of_reach(known: Recording, footer: dict[str, Any], error: RejectedError, build: Build) -> Outcome:
    """Keep what is known of a recording whose media cannot be had now; what was made of them stands."""
    work = _work(known, footer, build)
    assert work is not None
    if build.store.is_done(build.segments(work.content_id)):
        return _fetch_outcome("reused", known, work)
    return note_failure(work, build, RejectedError(error.reason, error.detail, retry=True))


def _note_removed(listed: Listed, recording: Recording, stone: Tombstone, build: Build) -> Outcome:
    """Keep a row for what may not come back, and nothing else of it."""
    row, store, name = row_of(recording, stone), build.store, build.fetched(recording.recording_id)
    before, footer = _known(name, build) if recording.content_id is None else (None, {})  # else it was just fetched
    if before is not None and before.content_id is not None:  # what was made of it goes at the end of the run, by it
        recording = replace(recording, content_id=before.content_id, sha256=before.sha256)
        store.write_table(name, to_table([recording]), footer)
        store.write_text(ERASE_FILE, "")
        return _fetch_outcome("done", row, None)
    store.write_table(name, to_table([row]), {"retry": False, "aliases": list(listed.aliases)})
    store.remove(f"work/media/{recording.sha256}")
    return _fetch_outcome("done", row, None)


def _fetch(listed: Listed, build: Build) -> tuple[Recording, dict[str, Any]]:
    """Fetch media. What lies beside them is left for later: whoever reserves the media is not asked for the rest."""
    permits = look_at_page(listed.recording, build)
    recording, url = listing.resolve(listed.recording, build.config, build.store, stopping=build.is_stopping)
    got = spans.fetch_once(replace(recording, media_url=url), listed.media_path, build)
    content_id = content_of(got.sha256, recording.start_s, recording.end_s)
    recording = replace(recording, content_id=content_id, sha256=got.sha256, bytes=got.bytes)
    recording = licensed(recording, (*got.permits, *permits))
    footer = {"retry": False, "is_local": listed.media_path is not None, **_stamp(listed), "media": got.path}
    footer["resolved"] = url != recording.media_url
    return recording, footer | {"documents": {}, "documents_retry": True}


def _with_documents(
    recording: Recording, footer: dict[str, Any], documents: Documents
) -> tuple[Recording, dict[str, Any]]:
    remarks = "; ".join(documents.remarks) or None
    told = {"documents": documents.found, "documents_retry": documents.retry}
    return replace(recording, reason_detail=remarks), footer | told


def _stamp(listed: Listed) -> dict[str, Any]:
    """What the recording is known by, and when one from the web was asked for."""
    aliases = {"aliases": list(listed.aliases)}
    return aliases | ({"asked": time.time()} if listed.media_path is None else _file_stamp(listed.media_path))


def _file_stamp(path: str) -> dict[str, Any]:
    """What tells that a local file is still the same."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return {}
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _is_unchanged(listed: Listed, known: Recording, footer: dict[str, Any], build: Build) -> bool:
    """Whether what is known of a recording stands, so that its media need not be fetched."""
    if known.status is Status.REMOVED or (listed.known and known.content_id is None):
        return True
    if listed.media_path is not None:  # a file that failed is tried again once it is another file
        is_same = listed.sha256 is not None and listed.sha256 == known.sha256
        is_left_out = listed.known and known.content_id is not None  # what was made of it stands, whatever it is now
        is_made = is_left_out and build.store.is_done(build.segments(known.content_id or ""))
        return is_same or is_made or _file_stamp(listed.media_path).items() <= footer.items()
    if known.content_id is None:  # gone, forbidden or opted out: not for ever, but not to be asked for every day
        return bool(time.time() - footer.get("asked", 0.0) < build.config.fetch.ask_again_s)
    return build.store.is_done(build.segments(known.content_id)) or build.store.exists(f"work/media/{known.sha256}")


def _refreshed(
    listed: Listed, known: Recording, footer: dict[str, Any], build: Build
) -> tuple[Recording, dict[str, Any]]:
    """Take over what the source now says of a recording whose media are here, and what now lies beside it."""
    kept = {key: getattr(known, key) for key in ("content_id", "sha256", "bytes", "status", "reason", "reason_detail")}
    fresh = known if footer.get("resolved") or known.status is Status.REMOVED else replace(listed.recording, **kept)
    told = footer if listed.known or known.status is Status.REMOVED else footer | _found_at(listed)
    fresh, told = heed_marks(still_said(fresh, known), told, build)
    is_new = fresh.attachments != known.attachments or footer.get("documents_retry", True)
    if fresh.content_id and build.config.fetch.transcripts and is_new:
        fresh, told = _with_documents(fresh, told, fetch_documents(fresh, listed.media_path, build))
    if (fresh, told) != (known, footer):
        build.store.write_table(build.fetched(known.recording_id), to_table([fresh]), told)
    return fresh, told


def _found_at(listed: Listed) -> dict[str, Any]:
    """Where a recording is now, and what it is known by."""
    aliases = {"aliases": list(listed.aliases)}
    if listed.media_path is None:
        return aliases
    return aliases | {"is_local": True, "media": os.path.abspath(listed.media_path)} | _file_stamp(listed.media_path)


def failed(recording: Recording, error: RejectedError) -> Recording:
    """Say on a recording why it failed."""
    status = Status.OPTED_OUT if error.reason is Reason.OPTED_OUT else Status.FAILED
    consent = (*recording.consent, *error.signals)
    return replace(recording, status=status, reason=error.reason, reason_detail=error.detail, consent=consent)


def _work(recording: Recording, footer: dict[str, Any], build: Build) -> Work | None:
    if recording.content_id is None:
        return None
    return Work(
        recording_id=recording.recording_id,
        content_id=recording.content_id,
        sha256=recording.sha256,
        span=None if recording.start_s is None else (recording.start_s, recording.end_s),
        media=footer["media"],
        is_local=footer["is_local"],
        allowed=licence_allowed(recording.licence, build.config.licences),
        order=primary_order(recording),
    )


def _fetch_outcome(state: str, recording: Recording, work: Work | None) -> Outcome:
    if recording.status is not Status.OK:
        return Outcome(state="failed", reason=recording.reason, detail=recording.reason_detail or "")
    seconds = recording.declared_duration_s or 0.0
    return Outcome(state=state, seconds_in=seconds, seconds_kept=seconds, work=work)
