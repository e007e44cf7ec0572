"""Rows of decided clips as they are published: columns of the clip table, of the recording, and of the decision."""

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
from speechmill.decide.opinions import TextSource, retimed
from speechmill.publish.decided import Decided
from speechmill.publish.tables import read_clips
from speechmill.stages import ASSESS
from speechmill.stages.assess import text_columns
from speechmill.tokens.text import fits_trainers

Indices = npt.NDArray[np.int64]
Values = dict[str, Any]  # an array of each column, by its name

BY_TEXT = tuple(field for field in ASSESS.artifact if field.name not in ("clip_id", HALLUCINATIONS))
PLACE = ["start", "end"]
SPOKEN = ["language", *PLACE]  # what normal forms and limits of lengths need beside a text


def clip_rows(decided: Decided, schema: pa.Schema, build: Build, which: Indices | None = None) -> pa.Table:
    """Columns of decided clips.

    Args:
        decided: of a group.
        schema: the columns wanted: any that are published, but audio and mel tokens, which are null.
        build: the corpus.
        which: of the clips that count, in this order; by default all.

    Returns:
        A row a clip, with texts that somebody wrote in the place of those that were.
    """
    at = np.arange(len(decided.rows)) if which is None else which
    by_hand = [*SPOKEN, "clip_id", "words"] if build.by_hand.texts else []
    wanted = list(dict.fromkeys([*schema.names, *PLACE, *by_hand]))
    stored = read_clips(decided.group, build, wanted, decided.rows[at])
    values: Values = dict(zip(stored.column_names, stored.columns, strict=True))
    values |= _written(values, build)
    values |= _derived(values, len(at), build)
    values |= _of_recordings(decided, at)
    values |= decisions(decided.decision, at)
    if decided.speakers is not None:
        values |= {name: decided.speakers[name].take(at) for name in decided.speakers.column_names}
    return pa.table([_column(values, field, len(at)) for field in schema], schema=schema)


def _column(values: Values, field: pa.Field, rows: int) -> Any:
    found = values.get(field.name)
    if found is None:
        return pa.nulls(rows, field.type)
    return found if found.type == field.type else found.cast(field.type)


def _derived(values: Values, rows: int, build: Build) -> Values:
    """What follows from a clip's place."""
    rate = build.config.audio.sample_rate
    samples = pc.subtract(values["end"], values["start"]).to_numpy()
    return {
        "sampling_rate": pa.array(np.full(rows, rate, np.int32)),
        "duration_s": pa.array((samples / rate).astype(np.float32)),
        "fits_11s6": pa.array(fits_trainers(samples, rate)),
    }


def _of_recordings(decided: Decided, at: Indices) -> Values:
    table = to_table(decided.recordings)
    rows = decided.recording[at]
    names = {"recording_id": "recording_id", "source_url": "media_url"}
    names |= {column.name: column.name for column in PROVENANCE if column.name != "source_url"}
    return {name: table[of].take(rows) for name, of in names.items()}


def decisions(decision: Decision, at: Indices) -> Values:
    """The columns `decision` and `reasons`."""
    fates = pa.array([REJECTED, KEPT]).take(pa.array(decision.kept[at].astype(np.int8)))
    return {"decision": fates, "reasons": decision.reasons.lists().take(pa.array(at))}


def _written(values: Values, build: Build) -> Values:
    """Columns with the texts that somebody wrote; none where nobody did."""
    texts = build.by_hand.texts
    if not texts or not build.runs(ASSESS.name):
        return {}
    is_written = pc.is_in(values["clip_id"], value_set=pa.array(sorted(texts), pa.string())).to_numpy()
    at = np.flatnonzero(is_written)
    names = ["clip_id", *SPOKEN, "words"]
    rows = pa.table({name: values[name].take(at) for name in names}).to_pylist()
    own = pa.Table.from_pylist([_by_hand(row, texts[row["clip_id"]], build) for row in rows], pa.schema(BY_TEXT))
    order = np.arange(len(is_written))
    order[at] = len(is_written) + np.arange(len(at))
    return {
        field.name: pa.chunked_array([*values[field.name].cast(field.type).chunks, *own[field.name].chunks]).take(order)
        for field in BY_TEXT
        if field.name in values
    }


def _by_hand(row: Mapping[str, Any], text: str, build: Build) -> dict[str, Any]:
    """Columns of a clip whose text somebody wrote: words have the times of those that the ASR model wrote there."""
    words = retimed(text, row["words"] or ())
    own = {"text": text, "words": words, "text_source": TextSource.MANUAL, "asr_agreement": None}
    return own | text_columns({**row, "text": text}, build.config)
