"""A review in progress: what its page asks for, without HTTP."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from threading import Lock
from typing import Any

from speech_defects import Defect

from speechmill.core.config_errors import ConfigError
from speechmill.core.locks import BusyError
from speechmill.corpus.review import queues
from speechmill.corpus.review.agreement import agreement
from speechmill.corpus.review.judgements import JudgementError, Judgements, about, about_all
from speechmill.corpus.review.labels import write_labels
from speechmill.corpus.review.snapshot import Snapshot, take
from speechmill.corpus.review.sounds import clip_flac, surroundings, surroundings_flac
from speechmill.corpus.status import is_active

LOCK_FILE = "work/review"

Json = dict[str, Any]


class Session:
    """A review of one corpus. Methods may be called from several threads.

    Those that take a clip_id raise KeyError for one that the corpus does not have.
    """

    def __init__(self, corpus: str, *, queue: str, who: str) -> None:
        """Read the corpus. Raises ConfigError if there is none, or if nothing can be queued.

        Args:
            corpus: Folder or fsspec URL.
            queue: As `queues.parse` reads it.
            who: Name that goes into decisions.
        """
        self.corpus, self._queue, self._lock = corpus, queues.parse(queue), Lock()
        self._scratch = tempfile.TemporaryDirectory(prefix="speechmill-review-")
        self._snapshot = take(corpus, self._scratch.name)
        self._clip_ids = queues.clip_ids(self._queue, self._snapshot.clips)
        self._judgements = Judgements(self._snapshot.build.store, who=who, queue=queue)
        self._judgements.standing()  # raises here, not in a request, if the file is damaged

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only review of the corpus. Raises BusyError where another one is open."""
        try:
            with self._snapshot.build.store.locked(LOCK_FILE):
                yield
        except BusyError:
            raise BusyError(f"another review of {self.corpus} is open: go on in its page, or end it first") from None

    def private_link(self, address: str) -> str:
        """URL of a file that leads to an address, which is not seen in the list of processes: others may read that."""
        path = Path(self._scratch.name, "review.html")  # in a folder that only its owner can enter
        path.write_text(f'<meta http-equiv="refresh" content="0; url={address}"><a href="{address}">review</a>')
        return path.as_uri()

    def close(self) -> None:
        """Delete the clip tables of this process."""
        self._scratch.cleanup()

    def page(self) -> str:
        """The page, of the corpus as it is now."""
        return self._current().page

    def state(self) -> Json:
        """The queue with what people said about its clips, the progress, and the agreement of models and people."""
        people = self._judgements.people()
        return self._progress() | {
            "queue": {"name": self._queue.name, "clip_ids": self._clip_ids},
            "judged": about_all(self._snapshot.clips.row, people),
            "run_active": is_active(self._snapshot.build.store),
        }

    def clip(self, clip_id: str) -> Json:
        """A clip: its columns, its thresholds, what people said, and the spans around it in the recording."""
        snapshot = self._snapshot
        clip_id = snapshot.clips.clip_id(clip_id)
        (row,) = map(_without_nan, snapshot.rows([clip_id]))
        return {
            "clip": row,
            "kept_by_models": bool(snapshot.clips.kept[snapshot.clips.row[clip_id]]),
            "tests": self._tests(clip_id, row),
            "people": about(clip_id, self._judgements.people()),
            "alike": len(snapshot.alike(clip_id)),
            "has_speakers": snapshot.build.runs("speakers"),
            "surroundings": self._spans(row, snapshot),
        }

    def _spans(self, row: Json, snapshot: Snapshot) -> Json:
        """Where the surroundings of a clip begin and end in the recording, and the spans in them with their texts."""
        rate = snapshot.build.config.audio.sample_rate
        place = surroundings(row["start"], row["end"], self._content_id(row["clip_id"]), snapshot.build)
        neighbours = [span["clip_id"] for span in place.spans if span["clip_id"] in snapshot.clips.row]
        shown = {one["clip_id"]: one for one in snapshot.rows(neighbours)}
        spans = [
            {
                "start_s": span["start"] / rate,
                "end_s": span["end"] / rate,
                "kind": span["kind"],
                **{name: shown.get(span["clip_id"], {}).get(name) for name in ("clip_id", "decision", "text")},
            }
            for span in place.spans
        ]
        return {"start_s": place.start / rate, "end_s": place.end / rate, "spans": spans}

    def sound(self, clip_id: str) -> bytes:
        """FLAC of a clip, kept or rejected."""
        clip_id = self._snapshot.clips.clip_id(clip_id)
        flac = clip_flac(clip_id, self._content_id(clip_id), self._snapshot.build)
        if flac is None:
            raise KeyError(clip_id)
        return flac

    def surroundings(self, clip_id: str) -> bytes:
        """FLAC of a clip with some seconds before and after it, as far as they are stored."""
        build, clips = self._snapshot.build, self._snapshot.clips
        clip_id = clips.clip_id(clip_id)
        content_id = self._content_id(clip_id)
        start, end = (clips.places[name][clips.row[clip_id]].as_py() for name in ("start", "end"))
        return surroundings_flac(surroundings(start, end, content_id, build), content_id, build)

    def judge(self, request: Json) -> Json:
        """Write a decision, and say how the review stands.

        Args:
            request: `clip_id` and the keys of a line of `decisions.jsonl`; `scope: "recording"` for all clips of the
                recording that have the same speaker.

        Raises:
            JudgementError: It is no decision.
        """
        try:
            clip_id = self._snapshot.clips.clip_id(str(request.get("clip_id")))
        except KeyError:
            raise JudgementError("`clip_id` names no clip of this corpus") from None
        if request.get("decision") == "defect" and request.get("defect") not in self._defects():
            raise JudgementError(f"`defect` is one of {', '.join(sorted(self._defects()))}")
        clip_ids = self._snapshot.alike(clip_id) if request.get("scope") == "recording" else [clip_id]
        self._judgements.add(clip_ids, request)
        return self._changed(clip_ids)

    def undo(self) -> Json:
        """Take back the last decision of this session, and say how the review stands."""
        return self._changed(self._judgements.undo())

    def agreement(self) -> Json:
        """How far people agree with the models, over all judged clips and over those that were drawn at random."""
        people, clips = self._judgements.people(), self._snapshot.clips
        drawn = self._judgements.from_random()
        return {
            "agreement": agreement(clips, people),
            "agreement_of_random": agreement(clips, people, among=drawn) if drawn else None,
        }

    def write_labels(self, folder: Path) -> dict[str, int]:
        """Write judged clips with their labels: see `labels.write_labels`."""
        return write_labels(self._snapshot, self._judgements.people(), folder)

    def summary(self) -> str:
        """How far the queue came, in a line."""
        progress = self._progress()["progress"]
        return (
            f"{progress['judged']} of {progress['of']} clips of the queue {self._queue.name} are judged;"
            f" publish with: speechmill select {self.corpus}"
        )

    def _changed(self, clip_ids: list[str]) -> Json:
        people = self._judgements.people()
        return self._progress() | {"changed": {clip_id: about(clip_id, people) for clip_id in clip_ids}}

    def _progress(self) -> Json:
        people = self._judgements.people()
        return {
            "progress": {"judged": len(people.clip_ids.intersection(self._clip_ids)), "of": len(self._clip_ids)},
            "can_undo": self._judgements.can_undo,
            **self.agreement(),
        }

    def _defects(self) -> set[str]:
        """Reasons that people may deny or give: those of the defect models, and of the tests of sound in force."""
        return {*Defect, *(one.reason for one in self._snapshot.clips.thresholds if one.is_of_sound)}

    def _tests(self, clip_id: str, row: Json) -> list[Json]:
        """Each threshold with the clip's value, and whether it passes; None where it has none."""
        clips = self._snapshot.clips
        margins = clips.margins[clips.row[clip_id]].tolist()
        return [
            {
                "column": threshold.column,
                "reason": threshold.reason,
                "value": row.get(threshold.column),
                "limit": threshold.limit,
                "at_most": threshold.at_most,
                "is_of_sound": threshold.is_of_sound,
                "passes": None if isnan(margin) else margin >= 0,
            }
            for threshold, margin in zip(clips.thresholds, margins, strict=True)
        ]

    def _content_id(self, clip_id: str) -> str:
        clips = self._snapshot.clips
        content_id: str = clips.places["content_id"][clips.row[clip_id]].as_py()
        return content_id

    def _current(self) -> Snapshot:
        """The corpus as it is now, which a run may have changed; the queue follows it."""
        with self._lock:
            snapshot = take(self.corpus, self._scratch.name, self._snapshot)
            if snapshot is not self._snapshot:
                try:
                    self._clip_ids = queues.clip_ids(self._queue, snapshot.clips)
                except ConfigError:  # no clip has that reason any more
                    self._clip_ids = []
                self._snapshot = snapshot
            return snapshot


def _without_nan(row: Json) -> Json:
    """A row with None in place of NaN, which JSON does not have."""
    return {name: None if isinstance(value, float) and isnan(value) else value for name, value in row.items()}
