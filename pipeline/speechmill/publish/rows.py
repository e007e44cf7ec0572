"""Assembles published rows of clips from the clip table, the recording, the decision and manual texts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import Build
from speechmill.core.columns import PROVENANCE
from speechmill.core.records import to_table
from speechmill.decide.decision import HALLUCINATIONS, KEPT, REJECTED, Decision
from speechmill.decide.opinions import TextSource, with_word_times
from speechmill.publish.decided import DecidedGroup
from speechmill.publish.tables import read_clips
from speechmill.stages import ASSESS
from speechmill.stages.assess import text_columns
from speechmill.stages.tokenise import fits_trainers

Indices = npt.NDArray[np.int64]
Values = dict[str, Any]  # an array of each column, by its name

BY_TEXT = tuple(field for field in ASSESS.artifact if field.name not in ("clip_id", HALLUCINATIONS))
PLACE = ["start", "end"]
SPOKEN = ["language", *PLACE]  # inputs of `text_columns` beside the text


def clip_rows(decided: DecidedGroup, schema: pa.Schema, build: Build, which: Indices | None = None) -> pa.Table:
    """Rows of the clips of a group, with manual texts in place.

    Args:
        decided: The group.
        schema: Columns to return: any published ones; audio and mel tokens are null.
        build: The corpus.
        which: Indices of clips, in the order wanted; all by default.

    Returns:
        A table with `schema` and a row for each clip.
    """
    at = np.arange(len(decided.rows)) if which is None else which
    by_hand = [*SPOKEN, "clip_id", "words"] if build.by_hand.texts else []
    wanted = list(dict.fromkeys([*schema.names, *PLACE, *by_hand]))
    stored = read_clips(decided.group, build, wanted, decided.rows[at])
    values: Values = dict(zip(stored.column_names, stored.columns, strict=True))
    values |= _manual_texts(values, build)
    values |= _derived_columns(values, len(at), build)
    values |= _recording_columns(decided, at)
    values |= decision_columns(decided.decision, at)
    if decided.speakers is not None:
        values |= {name: decided.speakers[name].take(at) for name in decided.speakers.column_names}
    return pa.table([_column(values, field, len(at)) for field in schema], schema=schema)


def _column(values: Values, field: pa.Field, rows: int) -> Any:
    """A column cast to the type of its field; nulls if it is absent."""
    column = values.get(field.name)
    if column is None:
        return pa.nulls(rows, field.type)
    return column if column.type == field.type else column.cast(field.type)


def _derived_columns(values: Values, rows: int, build: Build) -> Values:
    """Columns computed from start and end of a clip."""
    rate = build.config.audio.sample_rate
    samples = pc.subtract(values["end"], values["start"]).to_numpy()
    return {
        "sampling_rate": pa.array(np.full(rows, rate, np.int32)),
        "duration_s": pa.array((samples / rate).astype(np.float32)),
        "fits_11s6": pa.array(fits_trainers(samples, rate)),
    }


def _recording_columns(decided: DecidedGroup, at: Indices) -> Values:
    """Columns of the recording of each clip."""
    table = to_table(decided.recordings)
    rows = decided.recording[at]
    names = {"recording_id": "recording_id", "source_url": "media_url"}
    names |= {column.name: column.name for column in PROVENANCE if column.name != "source_url"}
    return {name: table[of].take(rows) for name, of in names.items()}


def decision_columns(decision: Decision, at: Indices) -> Values:
    """The columns `decision` and `reasons` of clips."""
    fates = pa.array([REJECTED, KEPT]).take(pa.array(decision.kept[at].astype(np.int8)))
    return {"decision": fates, "reasons": decision.reasons.lists().take(pa.array(at))}


def _manual_texts(values: Values, build: Build) -> Values:
    """The columns of text, with manual texts and their derived columns in place; empty without manual texts."""
    texts = build.by_hand.texts
    if not texts or not build.runs(ASSESS.name):
        return {}
    is_manual = pc.is_in(values["clip_id"], value_set=pa.array(sorted(texts), pa.string())).to_numpy()
    at = np.flatnonzero(is_manual)
    names = ["clip_id", *SPOKEN, "words"]
    rows = pa.table({name: values[name].take(at) for name in names}).to_pylist()
    manual = pa.Table.from_pylist([_manual_text(row, texts[row["clip_id"]], build) for row in rows], pa.schema(BY_TEXT))
    order = np.arange(len(is_manual))
    order[at] = len(is_manual) + np.arange(len(at))
    columns = {}
    for field in BY_TEXT:
        if field.name in values:
            stored = values[field.name].cast(field.type)
            columns[field.name] = pa.chunked_array([*stored.chunks, *manual[field.name].chunks]).take(order)
    return columns


def _manual_text(row: Mapping[str, Any], text: str, build: Build) -> dict[str, Any]:
    """Columns of text of a clip with a manual text; its words get their times from the words of the hypothesis."""
    words = with_word_times(text, row["words"] or ())
    own = {"text": text, "words": words, "text_source": TextSource.MANUAL, "asr_agreement": None}
    return own | text_columns({**row, "text": text}, build.config)
