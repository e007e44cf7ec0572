"""What people say in a review, written to `decisions.jsonl` as they say it, and taken back by undo."""

import time
from collections.abc import Collection, Sequence
from threading import RLock
from typing import Any

from pydantic import ValidationError

from speechmill.core.config_errors import ConfigError
from speechmill.core.manual import Entry, ManualDecisions, append_entries, read_entries, standing
from speechmill.core.ownership import DECISIONS_FILE, is_corpus
from speechmill.core.store import Store

MOST_AT_ONCE = 10_000  # of one decision: those of a speaker in a recording
KEYS = ("decision", "text", "speaker", "defect", "present", "why")  # of a line that a page may fill in


class JudgementError(Exception):
    """A decision that cannot be written; the message says why."""


class Judgements:
    """The decisions of a corpus, and those of this session, which `undo` takes back one after the other.

    Each is written before a method returns. Lines that others wrote meanwhile stay, and count.
    """

    def __init__(self, store: Store, *, who: str, queue: str) -> None:
        """Open the decisions of a corpus, whose review the caller has locked.

        Args:
            store: The corpus.
            who: Name that goes into each line.
            queue: Name of the queue that the clips come from, which goes into each line too.
        """
        self._store, self._about = store, {"who": who, "queue": queue}
        self._lock = RLock()
        self._done: list[list[str]] = []
        self._version: str | None = None
        self._entries: list[Entry] = []
        self._people = ManualDecisions()

    def add(self, clip_ids: Sequence[str], line: dict[str, Any]) -> None:
        """Write one decision about one clip or several, which `undo` takes back together.

        Raises JudgementError for a decision that `decisions.jsonl` cannot hold, ConfigError if that file is damaged or
        the corpus is gone, and OSError; nothing is written then.
        """
        if not 0 < len(clip_ids) <= MOST_AT_ONCE:
            raise JudgementError(f"a decision is about 1 to {MOST_AT_ONCE} clips, not {len(clip_ids)}")
        given = {key: line[key] for key in KEYS if line.get(key) is not None}
        try:
            entries = [Entry(clip_id=clip_id, **given, **self._stamp()) for clip_id in clip_ids]
        except ValidationError as error:
            raise JudgementError(error.errors(include_url=False)[0]["msg"]) from None
        with self._lock:
            self._append(entries)
            self._done.append(list(clip_ids))

    def undo(self) -> list[str]:
        """Take back the last decision of this session that still stands; returns its clips, none if there is none.

        Raises ConfigError as `add` does.
        """
        with self._lock:
            if not self._done:
                return []
            clip_ids = self._done[-1]
            self._append([Entry(clip_id=clip_id, decision="undo", **self._stamp()) for clip_id in clip_ids])
            return self._done.pop()

    def _append(self, entries: Sequence[Entry]) -> None:
        """Append lines, unless nobody could read them: to a damaged file, or in place of a corpus that was moved."""
        if not is_corpus(self._store):
            raise ConfigError(f"{self._store.root}: the corpus is not there any more; nothing was written")
        self.standing()
        append_entries(self._store, entries)

    @property
    def can_undo(self) -> bool:
        """Whether there is a decision of this session to take back."""
        return bool(self._done)

    def standing(self) -> list[Entry]:
        """All lines that count, of whoever wrote them. Raises ConfigError if the file was damaged meanwhile."""
        with self._lock:
            version = self._store.version(DECISIONS_FILE)
            if version != self._version:
                self._entries, self._version = standing(read_entries(self._store)), version
                self._people = ManualDecisions.from_entries(self._entries)
            return self._entries

    def people(self) -> ManualDecisions:
        """All decisions that count."""
        self.standing()
        return self._people

    def from_random(self) -> set[str]:
        """Ids of the clips that were judged in a random queue."""
        return {entry.clip_id for entry in self.standing() if _queue(entry).startswith("random")}

    def _stamp(self) -> dict[str, Any]:
        return self._about | {"when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def _queue(entry: Entry) -> str:
    """Name of the queue that a line was written in; empty for lines from elsewhere."""
    return str((entry.model_extra or {}).get("queue", ""))


def about(clip_id: str, people: ManualDecisions) -> dict[str, Any]:
    """What people say about one clip: `fate` (keep, drop or None), `text`, `speaker`, and `defects` by reason.

    >>> about("a", ManualDecisions(dropped=frozenset("a")))
    {'fate': 'drop', 'text': None, 'speaker': None, 'defects': {}}
    """
    fate = "keep" if clip_id in people.kept else "drop" if clip_id in people.dropped else None
    defects = {name: by_clip[clip_id] for name, by_clip in people.defects.items() if clip_id in by_clip}
    return {
        "fate": fate,
        "text": people.texts.get(clip_id),
        "speaker": people.speakers.get(clip_id),
        "defects": defects,
    }


def about_all(clip_ids: Collection[str], people: ManualDecisions) -> dict[str, dict[str, Any]]:
    """What people say about each of these clips, without those that they say nothing about."""
    return {clip_id: about(clip_id, people) for clip_id in people.clip_ids.intersection(clip_ids)}
