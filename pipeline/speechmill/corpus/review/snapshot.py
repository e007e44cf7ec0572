"""A corpus as it stands when a page is opened: its clips, its decisions and the report about them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechmill import publish
from speechmill.core.build import Build
from speechmill.core.manual import ManualDecisions
from speechmill.core.state import read_run
from speechmill.corpus.review.clips import Clips, load_clips
from speechmill.corpus.review.scratch import ScratchStore
from speechmill.publish import report, tables
from speechmill.publish.columns import columns_of, data_schema, pool_schema
from speechmill.publish.decided import DecidedGroup
from speechmill.publish.groups import all_groups, content_digest
from speechmill.publish.report.extension import Extension
from speechmill.publish.rows import clip_rows
from speechmill.publish.stats import Tally
from speechmill.stages.profiles import stored_build

SHOWN = (
    *("clip_id", "recording_id", "title", "author", "source_url", "start", "end", "duration_s", "licence", "language"),
    *("text", "text_source", "reference_text", "asr_confidence", "asr_agreement", "decision", "reasons", "speaker_id"),
)  # columns of a clip beside its scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A corpus at one moment. `digest` changes when it does."""

    digest: str
    build: Build
    clips: Clips
    groups: Sequence[DecidedGroup]
    """Its groups, as decided by models and people; their clips are in the order of `clips`."""
    page: str
    """The report, with what a review adds: HTML."""

    def rows(self, clip_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The columns SHOWN, and those with a threshold, of clips in the order given; texts are the models'."""
        machine = replace(self.build, by_hand=ManualDecisions())
        fields = {field.name: field for of in (pool_schema, data_schema) for field in of(columns_of(machine))}
        tested = [threshold.column for threshold in self.clips.thresholds]
        schema = pa.schema([fields[name] for name in dict.fromkeys([*SHOWN, *tested]) if name in fields])
        rows = []
        for clip_id in clip_ids:
            decided, at = self._place(clip_id)
            rows += clip_rows(decided, schema, machine, np.array([at])).to_pylist()
        return rows

    def alike(self, clip_id: str) -> list[str]:
        """The clips of the same recording that have the same speaker, itself among them; only it before clustering."""
        decided, at = self._place(clip_id)
        speakers = None if decided.speakers is None else decided.speakers["speaker_id"]
        if speakers is None or not speakers[at].is_valid:
            return [clip_id]
        is_same = pc.equal(speakers, speakers[at]).fill_null(fill_value=False).to_numpy()
        where = np.flatnonzero(is_same & (decided.recording == decided.recording[at]))
        ids: list[str] = decided.places["clip_id"].take(pa.array(where)).to_pylist()
        return ids

    def _place(self, clip_id: str) -> tuple[DecidedGroup, int]:
        """The group of a clip, and its place in it."""
        row = self.clips.row[clip_id]
        ends = np.cumsum([len(decided.rows) for decided in self.groups])
        number = int(np.searchsorted(ends, row, side="right"))
        return self.groups[number], row - int(ends[number] - len(self.groups[number].rows))


def take(corpus: str, scratch: str, before: Snapshot | None = None) -> Snapshot:
    """Read a corpus, whether a run is at work on it or not; `before` is returned if nothing changed since.

    Args:
        corpus: Folder or fsspec URL.
        scratch: Folder for its clip tables, empty before the first call.
        before: What the last call returned.

    Raises:
        ConfigError: There is no corpus.
    """
    store = ScratchStore(corpus, scratch)
    if before is None:
        store.copy_tables()
    build = replace(stored_build(corpus), store=store)
    tables.tabulate_all(build)
    digest = _digest(build)
    if before is not None and before.digest == digest:
        return before
    groups = list(publish.decide_all(build))
    return Snapshot(digest=digest, build=build, clips=load_clips(build), groups=groups, page=_page(build, groups))


def _digest(build: Build) -> str:
    """Digest of the clip tables, the settings, and the last publication."""
    contents = [content_digest(group, build) for group in all_groups(build)]
    published = (read_run(build.store) or {}).get("fingerprint")
    parts = [contents, build.config.model_dump(mode="json"), sorted(build.profiles.items(), key=str), published]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _page(build: Build, groups: Sequence[DecidedGroup]) -> str:
    tally = Tally(build)
    for decided in groups:
        tally.add(decided)
    published: Mapping[str, Any] = build.store.read_json(publish.STATS_FILE) or {}
    stats = tally.stats() | {"mel_tokens": published.get("mel_tokens")}  # counted over all tokens when published
    script, style = (files(__package__).joinpath(name).read_text("utf-8") for name in ("review.js", "review.css"))
    return report.render(build, stats, groups, extension=Extension(script=script, style=style))
