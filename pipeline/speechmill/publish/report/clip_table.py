"""The table of all clips that the report holds, from which its script decides again as `select` would.

It is columnar and compressed: two bytes a clip for each threshold, and an index into the few combinations of reasons
that no threshold decides. Of a corpus of more than MOST_CLIPS clips it is a sample, chosen by clip_id.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, SpanKind, Status
from speechmill.core.thresholds import Thresholds
from speechmill.decide.decision import SCORE_PREFIX, Reasons
from speechmill.publish import figures
from speechmill.publish.advice import MEANINGS
from speechmill.publish.columns import columns_of
from speechmill.publish.decided import TEXT_COLUMNS, DecidedGroup, deciding_columns, grounds, is_done
from speechmill.publish.report.clip_ids import ID_BYTES, MOST_CLIPS, MOST_WHOLE_IDS, id_bytes, in_table, share_in_table
from speechmill.publish.report.packing import cut_lines, gzipped, planes
from speechmill.publish.report.stops import codes_of, stops_of
from speechmill.publish.rows import Indices, clip_rows
from speechmill.publish.stats import non_clip_spans
from speechmill.publish.tables import read_clips
from speechmill.stages import SCORE
from speechmill.stages.selection import among, early_columns

MOST_RECORDINGS, MOST_SPEAKERS = 20_000, 20_000
OTHER_RECORDINGS = ["", "all other recordings", "ok", "", 0]
TITLE_CHARACTERS = 80
TICK_S = 0.01  # unit of positions within a recording
HIDDEN = (Reason.LICENCE, Reason.REMOVED)  # of these clips a page that is public shows neither text nor sound
PHASES = ("refused", "by_text", "unfinished")  # of reasons that no threshold decides

Array = npt.NDArray[Any]


class ClipTable:
    """Collects the clips of a corpus, group by group; see `packed`."""

    def __init__(self, build: Build, clips: int, *, most: int = MOST_CLIPS) -> None:
        self._build = build
        self._all = clips
        self._share = share_in_table(clips, most=most)
        self._columns = [column for column in columns_of(build) if column.edges or column.test]
        self._limits = {column.name: _limit(column, build.config.thresholds) for column in self._columns}
        self._values: dict[str, list[npt.NDArray[np.float32]]] = {column.name: [] for column in self._columns}
        self._parts: dict[str, list[Array]] = {}
        self._texts: list[str] = []
        self._bits: dict[tuple[str, str], int] = {}
        self._combos: dict[tuple[int, ...], int] = {}
        self._recordings: list[list[Any]] = []
        self._speakers: dict[str, int] = {}

    @property
    def clips(self) -> int:
        """Clips that the table holds, so far."""
        return sum(part.size for part in self._parts.get("samples", ()))

    @property
    def is_sample(self) -> bool:
        """Whether some clips of the corpus are left out."""
        return self._share < 1

    def through(self, groups: Iterable[DecidedGroup]) -> Iterator[DecidedGroup]:
        """Pass groups on, and collect their clips."""
        for decided in groups:
            self._add(decided)
            yield decided

    def _add(self, decided: DecidedGroup) -> None:
        position = self._add_recordings(decided.recordings)
        clip_ids = decided.places["clip_id"].to_pylist()
        ids, which = id_bytes(clip_ids), np.flatnonzero(in_table(clip_ids, self._share))
        self._append("ids", ids[which])
        self._append("recording", position[decided.recording[which]].astype(np.uint32))
        self._append("samples", decided.samples[which].astype(np.uint32))
        self._append("start", self._ticks(decided.places["start"].to_numpy()[which]))
        self._append("speaker", self._speaker_of(decided, which))
        evidence = self._evidence(decided, which)
        self._append("evidence", evidence)
        self._add_values(decided, which, evidence)
        self._add_spans(decided, position)

    def _add_recordings(self, recordings: Sequence[Recording]) -> Array:
        """Add the recordings of a group; returns the index of each in the table, int64[recordings].

        All past MOST_RECORDINGS are one row, so that the page does not grow with their number.
        """
        listed = [one.status is not Status.LEFT_OUT for one in recordings]
        first, room = len(self._recordings), MOST_RECORDINGS - len(self._recordings)
        self._recordings += [
            [one.recording_id, (one.title or one.media_url)[:TITLE_CHARACTERS], str(one.status), one.reason or "",
             one.decoded_samples or 0]
            for one, is_listed in zip(recordings, listed, strict=True) if is_listed
        ][: max(room, 0)]  # fmt: skip
        if sum(listed) > room and len(self._recordings) == MOST_RECORDINGS:
            self._recordings.append(OTHER_RECORDINGS)
        position: Array = np.minimum(np.cumsum(listed) - 1 + min(first, MOST_RECORDINGS), MOST_RECORDINGS)
        return position

    def _append(self, name: str, values: Array) -> None:
        self._parts.setdefault(name, []).append(values)

    def _ticks(self, samples: Array) -> Array:
        return np.rint(samples / (self._build.config.audio.sample_rate * TICK_S)).astype(np.uint32)

    def _speaker_of(self, decided: DecidedGroup, which: Indices) -> Array:
        """Index of the speaker of each clip, uint32[which], from 1 on; 0: none."""
        if decided.speakers is None:
            return np.zeros(which.size, np.uint32)
        names = decided.speakers["speaker_id"].take(pa.array(which)).to_pylist()
        for name in dict.fromkeys(names):
            if name is not None and len(self._speakers) < MOST_SPEAKERS:
                self._speakers.setdefault(name, len(self._speakers) + 1)
        return np.array([self._speakers.get(name, 0) for name in names], np.uint32)

    def _evidence(self, decided: DecidedGroup, which: Indices) -> Array:
        """Index of the combination of what no threshold decides, uint16[which]."""
        build = _without_thresholds(self._build, self._columns)
        clips = read_clips(decided.group, build, deciding_columns(build), decided.rows[which]).combine_chunks()
        found = grounds(clips, decided.recordings, build)
        masks = {("scored", ""): is_done(clips, SCORE.name)}
        masks |= {("by_hand", name): getattr(found["by_hand"], name) for name in ("keep", "drop", "text")}
        for defect, by_clip in build.by_hand.defects.items():
            for name, wanted in (("present", True), ("absent", False)):
                masks[(name, defect)] = among(clips, {clip_id for clip_id, has in by_clip.items() if has is wanted})
        for phase in PHASES:
            reasons: Reasons = found[phase]
            masks |= {(phase, str(reason)): failing for reason, failing in reasons.failing.items()}
        holding = {self._bits.setdefault(bit, len(self._bits)): mask for bit, mask in masks.items()}
        patterns, of = np.unique(np.stack(list(holding.values()), axis=1), axis=0, return_inverse=True)
        numbers = list(holding)
        combos = [tuple(numbers[at] for at in np.flatnonzero(pattern)) for pattern in patterns]
        index = np.array([self._combos.setdefault(combo, len(self._combos)) for combo in combos], np.uint16)
        return index[of.ravel()] if which.size else np.zeros(0, np.uint16)

    def _add_values(self, decided: DecidedGroup, which: Indices, evidence: Array) -> None:
        fields = [column.field for column in self._columns]
        has_text = self._build.runs("transcribe")
        schema = pa.schema([*fields, *([pa.field("text", pa.string())] if has_text else [])])
        rows = clip_rows(decided, schema, self._build, which)
        for column in self._columns:
            self._values[column.name].append(rows[column.name].to_numpy().astype(np.float32))
        texts = rows["text"].to_pylist() if has_text else [None] * which.size
        hidden = {self._bits.get(("refused", reason)) for reason in HIDDEN}
        is_hidden = np.array([not hidden.isdisjoint(combo) for combo in self._combos], bool)[evidence]
        self._texts += ["" if hide else _line(text) for text, hide in zip(texts, is_hidden, strict=True)]

    def _add_spans(self, decided: DecidedGroup, position: Array) -> None:
        """Add the spans that are neither clips nor silence."""
        spans = non_clip_spans(decided, self._build)
        kinds = [str(kind) for kind in SpanKind]
        number = np.array([kinds.index(kind) for kind in spans["kind"].to_pylist()], np.uint8)
        shown = np.flatnonzero(number != kinds.index(SpanKind.SILENCE))[: int(MOST_CLIPS - self._span_count())]
        self._append("span_kind", number[shown])
        self._append("span_recording", position[spans["recording"].to_numpy()[shown]].astype(np.uint32))
        self._append("span_start", self._ticks(spans["start"].to_numpy()[shown]))
        self._append("span_end", self._ticks(spans["end"].to_numpy()[shown]))

    def _span_count(self) -> int:
        return sum(part.size for part in self._parts.get("span_kind", ()))

    def packed(self, most_bytes: int) -> str:
        """The table as base64 of gzip: the length of the head, uint32; the head, JSON; then the columns, little endian.

        Columns of several bytes are stored plane by plane, all lowest bytes first. Texts are cut so that the result has
        about `most_bytes` bytes at most.
        """
        columns = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        stops = self._add_codes(columns)
        count = len(columns.get("samples", ()))
        if count > MOST_WHOLE_IDS:
            columns["ids"] = columns["ids"][:, :ID_BYTES]
        body = b"".join(planes(values) for values in columns.values())
        left = most_bytes * 3 // 4 - len(gzipped(body))
        texts, cut = cut_lines(self._texts, left)
        kinds = {name: [values.itemsize, values.size] for name, values in columns.items()}
        head = self._head(count, stops) | {
            "buffers": [[name, *kind] for name, kind in kinds.items()],
            "text_characters": cut,
        }
        head["texts_bytes"] = len(texts)
        first = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
        packed = gzipped(len(first).to_bytes(4, "little") + first + body + texts)
        return base64.b64encode(packed).decode()

    def _add_codes(self, columns: dict[str, Array]) -> dict[str, list[float]]:
        """Add the codes of all values to `columns`; returns the stops of each."""
        stops = {}
        for column in self._columns:
            values = np.concatenate([*self._values[column.name], np.zeros(0, np.float32)])
            stops[column.name] = stops_of(column, self._limits[column.name], values)
            codes = codes_of(values, stops[column.name], at_most=_is_at_most(column))
            columns[f"column:{column.name}"] = codes
        return stops

    def _head(self, count: int, stops: dict[str, list[float]]) -> dict[str, Any]:
        return {
            "name": figures.corpus_name(self._build),
            "rate": self._build.config.audio.sample_rate,
            "tick_s": TICK_S,
            "clips": count,
            "all_clips": self._all,
            "columns": [self._column(column, stops[column.name]) for column in self._columns],
            "bits": list(self._bits),
            "combos": list(self._combos),
            "recordings": self._recordings,
            "speakers": list(self._speakers),
            "span_kinds": [str(kind) for kind in SpanKind],
            "meanings": self._meanings(),
        }

    def _meanings(self) -> dict[str, str]:
        """Meaning of each reason that the page may name, those of failed recordings among them."""
        tested = {column.test.reason for column in self._columns if column.test}
        found = tested | {name for _, name in self._bits} | {reason for _, _, _, reason, _ in self._recordings}
        return {str(name): MEANINGS[name] for name in sorted(found) if name in MEANINGS}

    def _column(self, column: Column, stops: list[float]) -> dict[str, Any]:
        test = column.test
        return {
            "name": column.name,
            "about": column.text,
            "unit": column.unit,
            "edges": column.edges,
            "stops": stops,
            "at_most": _is_at_most(column),
            "key": test and test.key,
            "reason": test and str(test.reason),
            "limit": self._limits[column.name],
            "phase": self._phase(column) if test else None,
            "is_score": column.name.startswith(SCORE_PREFIX),
        }

    def _phase(self, column: Column) -> str:
        if column.name in {early.name for early in early_columns(self._build.config)}:
            return "by_audio"
        return "by_text" if column in TEXT_COLUMNS else "by_plugins"


def _limit(column: Column, thresholds: Thresholds) -> float | None:
    return column.test.limit(thresholds) if column.test else None


def _is_at_most(column: Column) -> bool:
    return column.test is not None and column.test.at_most


def _without_thresholds(build: Build, columns: Sequence[Column]) -> Build:
    """The build with all tests of columns switched off."""
    keys = {column.test.key for column in columns if column.test}
    off = build.config.thresholds.model_copy(update=dict.fromkeys(keys))
    return replace(build, config=build.config.model_copy(update={"thresholds": off}))


def _line(text: str | None) -> str:
    """A text in one line."""
    return " ".join((text or "").split())
