"""Decides what is kept, from stored scores, stored transcripts and thresholds. Runs no model, reads no audio.

A threshold stands beside its column and its reason, where a stage defines them. An undefined value fails no test.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill.core.columns import Column
from speechmill.core.config import Licences, Thresholds
from speechmill.core.reasons import Reason
from speechmill.decide.hallucinations import Heard, doubted

ENGLISH = {"en", "eng"}
SCORE_PREFIX = "score_"  # of columns that are never undefined: a clip without a score was not judged


# SPDX ids that forbid derivatives: a clip is one.
FORBIDDING = re.compile(r"-ND(-|$)|^LicenseRef-(proprietary|all-rights-reserved)$", re.IGNORECASE)


def licence_allowed(licence: str, rules: Licences) -> bool:
    """Whether recordings under an SPDX id may be published."""
    if rules.allow is not None:
        return licence in rules.allow
    return licence != "unknown" and not FORBIDDING.search(licence)


def reasons_by_licence(licence: str, rules: Licences, *, ai_generated: bool) -> list[Reason]:
    """Why no clip of a recording may be published; empty where they may."""
    by_licence = [] if licence_allowed(licence, rules) else [Reason.LICENCE]
    return by_licence + ([Reason.AI_GENERATED] if ai_generated and rules.ai_generated == "reject" else [])


def reasons_by_transcript(
    transcripts: pa.Table,
    durations_s: Sequence[float],
    columns: Iterable[Column],
    thresholds: Thresholds,
    languages: Sequence[str] = (),
    declared: str | None = None,
) -> list[tuple[str, ...]]:
    """Why each row of a transcript artifact is not to be trusted.

    Args:
        transcripts: rows of a transcript artifact.
        durations_s: length of each clip.
        columns: those whose thresholds are tested.
        thresholds: the limits.
        languages: the ones to keep, empty for all.
        declared: what the source says is spoken, in BCP 47.

    Returns:
        The reasons of each row; an empty tuple trusts it.
    """
    measured = failed(transcripts, columns, thresholds)
    return [
        tuple(dict.fromkeys([*_doubts(row, duration, languages, declared), *found]))
        for row, duration, found in zip(transcripts.to_pylist(), durations_s, measured, strict=True)
    ]


def failed(table: pa.Table, columns: Iterable[Column], thresholds: Thresholds) -> list[tuple[str, ...]]:
    """Which thresholds each row of a table is beyond; an empty tuple keeps it. Columns that are not there fail none."""
    failed: list[list[str]] = [[] for _ in range(table.num_rows)]
    for column in columns:
        test = column.test
        limit = None if test is None else test.limit(thresholds)
        if test is None or limit is None or column.name not in table.column_names:
            continue
        values: npt.NDArray[np.float32] = table[column.name].to_numpy().astype(np.float32)
        bad = values > np.float32(limit) if test.at_most else values < np.float32(limit)
        unscored = np.isnan(values) & column.name.startswith(SCORE_PREFIX)
        for reason, rows in ((test.reason, bad), (Reason.NOT_FINITE, unscored)):
            for row in np.flatnonzero(rows):
                if reason not in failed[row]:
                    failed[row].append(reason)
    return [tuple(row) for row in failed]


def _doubts(
    row: Mapping[str, Any], duration_s: float, languages: Sequence[str], declared: str | None
) -> tuple[Reason, ...]:
    """Nothing to read, marks of a wrong transcript, a wrong language."""
    text = row["text"] or ""
    if row["error"]:
        return (Reason.ASR_FAILED,)
    if not any(character.isalnum() for character in text):
        return (Reason.EMPTY_TEXT,)
    heard = Heard(
        text=text, duration_s=duration_s, words=row["words"] or (), language=row["language"],
        no_speech_probability=row["no_speech_probability"], avg_logprob=row["avg_logprob"],
    )  # fmt: skip
    marks = [rule.reason for rule in doubted(heard)]
    foreign = [Reason.LANGUAGE] if _is_foreign(row, languages, declared) else []
    return tuple(dict.fromkeys([*marks, *foreign]))


def _is_foreign(row: Mapping[str, Any], languages: Sequence[str], declared: str | None) -> bool:
    """Whether a clip is in a language that is not wanted, or was heard by a recogniser that takes all for English."""
    by_assumption = row["language"] == "en" and row["language_probability"] is None
    told = (declared or "en").partition("-")[0].lower()
    return bool(languages and row["language"] not in languages) or (by_assumption and told not in ENGLISH)
