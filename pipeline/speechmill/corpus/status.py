"""Reports the state of a corpus, whether finished, running or interrupted.

Only finished files are read; no folder, lock or cache is created.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

from speechmill.core import pulse
from speechmill.core.build import Build
from speechmill.core.filesystem import Entry
from speechmill.core.locks import is_held
from speechmill.core.records import Status
from speechmill.core.state import read_run
from speechmill.core.store import LOCK_FILE, Store
from speechmill.corpus.next_steps import WAITING, next_steps
from speechmill.corpus.progress import RecordingProgress, clip_stages, progress
from speechmill.publish.advice import other_profile
from speechmill.runner.events import last_events
from speechmill.stages import SCORE, left_out
from speechmill.stages.profiles import stored_build

TOP, STATE = "tables_and_pages", "work/log_and_state"
LOG_EVENTS, LAST_FAILURES = 5, 5
SEARCHED_EVENTS = 2_000  # the last of the log, in which failures are looked for


class _ListedOnce(Store):
    """A store whose files are listed by the first call of `files`, and are the same in all later ones."""

    @cached_property
    def _all(self) -> list[Entry]:
        return list(super().files())

    def files(self, folder: str = "") -> Iterator[Entry]:
        """See Store."""
        below = f"{folder}/" if folder else ""
        return (entry for entry in self._all if entry.name.startswith(below))


def status(corpus: str) -> dict[str, Any]:
    """Content and progress of a corpus, and whether a run is active. Raises ConfigError if there is no corpus."""
    build = replace(stored_build(corpus), store=_ListedOnce(corpus))
    store, events = build.store, last_events(build.store, SEARCHED_EVENTS)
    recordings, contents, failures = _progress(build)
    found: dict[str, Any] = {
        "corpus": store.root,
        "run_active": is_active(store),
        "at_work": _at_work(store),
        "published": _published(store),
        "recordings": recordings,
        "contents": contents,
        "bytes": sizes(store),
    }
    found["bytes_total"] = sum(found["bytes"].values())
    found["last_failures"] = _latest(failures, events)
    found["log"] = [_event(event) for event in events[-LOG_EVENTS:]]
    return found | {"next": next_steps(found, build)}


def _at_work(store: Store) -> list[str]:
    """What a run is working on, a line for each element."""
    lines = []
    for each in pulse.read(store)[0]:
        name = each.names.get("title") or each.names.get("file") or each.names.get("recording_id", "")
        of = f" of {each.total_s / 60:.1f}" if each.total_s else ""
        lines.append(f"{each.stage} {name}" + (f", {each.done_s / 60:.1f}{of} min" if each.done_s else ""))
    return lines


def _published(store: Store) -> dict[str, Any] | None:
    """Key figures of the published corpus; None if it was never published."""
    run, stats = read_run(store), store.read_json("stats.json")
    if run is None or stats is None:
        return None
    in_hour = 3600 * stats["sampling_rate"]
    return {
        "finished": run["finished"],
        "speechmill": run["speechmill"],
        "fingerprint": run["fingerprint"],
        "clips_kept": stats["clips"].get("kept", 0),
        "hours_kept": stats["samples"].get("kept", 0) / in_hour,
        "hours_in": stats["samples"]["in"] / in_hour,
        "advice": other_profile(stats, run["config"]["segment"]["profile"]) or None,
    }


def _latest(failures: dict[str, str], events: list[dict[str, Any]]) -> list[str]:
    """The failures that the log has last, then those that it does not have: at most LAST_FAILURES lines."""
    logged = (event.get("recording_id") for event in reversed(events) if event.get("state") == "failed")
    names = dict.fromkeys(name for name in (*logged, *failures) if name in failures)
    return [failures[str(name)] for name in list(names)[:LAST_FAILURES]]


def _progress(build: Build) -> tuple[dict[str, Any], dict[str, int], dict[str, str]]:
    """Counts of recordings by status, of contents by finished stage, and a line for each failure, by recording_id."""
    fates: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    contents: Counter[str] = Counter(fetched=0, decoded=0, **{SCORE.name: 0})
    contents.update({stage.name: 0 for stage in clip_stages(build)})
    counted, failures = set[str](), dict[str, str]()
    for row in progress(build):
        fate, reason = _fate(row)
        if row.recording.content_id in counted:
            fate, reason = Status.DUPLICATE, row.recording.reason
        elif row.recording.content_id is not None:
            counted.add(row.recording.content_id)
            contents.update(["fetched"] + ([] if fate == WAITING else ["decoded", *row.finished]))
        fates[fate] += 1
        if fate in (Status.FAILED, Status.OPTED_OUT):
            failed[reason or "unknown"] += 1
            failures[row.recording.recording_id] = _failure(row, reason)
    stats = build.store.read_json("stats.json")
    fates.update([Status.LEFT_OUT] * sum(1 for _ in left_out.read(build)))
    if not fates and stats:  # work/ was deleted: the published counts hold
        fates, failed = Counter(stats["recordings"]), Counter(stats["failed_by_reason"])
    return {"seen": fates.total(), **fates, "failed_by_reason": dict(failed)}, dict(contents), failures


def _failure(row: RecordingProgress, reason: str | None) -> str:
    """Title of a recording, or its path if it is local, with the reason why it failed."""
    recording, decoded = row.recording, row.decoded
    name = recording.media_url if recording.source == "local" or not recording.title else recording.title
    detail = (decoded.detail if decoded else None) or recording.reason_detail
    return f"{name}  {reason or 'unknown'}" + (f": {detail}" if detail else "")


def _fate(row: RecordingProgress) -> tuple[str, str | None]:
    """Status of a recording after decoding, or WAITING, and the reason of a failure."""
    if row.recording.content_id is None:
        return row.recording.status, row.recording.reason
    return (WAITING, None) if row.decoded is None else (row.decoded.status, row.decoded.reason)


def is_active(store: Store) -> bool:
    """Whether a run holds the lock of a corpus; the lock file is not created."""
    return store.is_local and store.exists(LOCK_FILE) and is_held(store.path(LOCK_FILE))


def sizes(store: Store) -> dict[str, int]:
    """Bytes of all files by area: a folder, or a folder in `work/`; TOP, or STATE, for files directly in them."""
    by_area: Counter[str] = Counter()
    for entry in store.files():
        *folders, _ = entry.name.split("/")
        area = "/".join(folders[: 1 + (folders[0] == "work")]) if folders else TOP
        by_area[STATE if area == "work" else area] += entry.bytes
    return {area: count for area, count in sorted(by_area.items()) if count}


def _event(event: dict[str, Any]) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(event["time"]))
    subject = event.get("content_id", event.get("recording_id", event.get("file", "")))
    return f"{moment} UTC  {event['level']}  {event['message']}  {subject[:40]}".rstrip()
