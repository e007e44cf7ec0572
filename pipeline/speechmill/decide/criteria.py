"""Decides what is kept, from stored scores, stored transcripts and thresholds. Runs no model, reads no audio.

Every test is a row of a table, so that a threshold, its column and its reason stand side by side. An
undefined value fails no test.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill.core.config import Licences, Thresholds
from speechmill.core.records import Reason
from speechmill.decide.hallucinations import Heard, doubted

ENGLISH = {"en", "eng"}
SCORE_PREFIX = "score_"  # of columns that are never undefined: a clip without a score was not judged


@dataclass(frozen=True, slots=True)
class Test:
    """One threshold: the column it looks at, the reason it gives, and on which side the limit is."""

    key: str
    column: str
    reason: Reason
    at_most: bool


SCORE_TESTS = (
    Test("noise", "score_noise", Reason.NOISE, at_most=True),
    Test("music", "score_music", Reason.MUSIC, at_most=True),
    Test("telephone", "score_telephone", Reason.TELEPHONE, at_most=True),
    Test("overlap", "score_overlap", Reason.OVERLAP, at_most=True),
    Test("reverb", "score_reverb", Reason.REVERB, at_most=True),
    Test("snr_db", "snr_db", Reason.LOW_SNR, at_most=False),
    Test("c50_db", "c50_db", Reason.REVERB, at_most=False),
    Test("bandwidth_hz", "bandwidth_hz", Reason.BAND_LIMITED, at_most=False),
    Test("loudness_lufs", "loudness_lufs", Reason.TOO_QUIET, at_most=False),
    Test("clipped_ratio", "clipped_ratio", Reason.CLIPPED, at_most=True),
    Test("edge_ratio", "edge_ratio", Reason.CUT_WORD, at_most=True),
    Test("repeated_ratio", "repeated_ratio", Reason.DUPLICATE, at_most=True),
)
TRANSCRIPT_TESTS = (
    Test("no_speech", "no_speech_probability", Reason.NO_SPEECH, at_most=True),
    Test("language_probability", "language_probability", Reason.LANGUAGE, at_most=False),
    Test("asr_confidence", "asr_confidence", Reason.LOW_CONFIDENCE, at_most=False),
    Test("asr_agreement", "asr_agreement", Reason.DISAGREEMENT, at_most=False),
)

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


def reasons_by_score(scores: pa.Table, thresholds: Thresholds) -> list[tuple[Reason, ...]]:
    """Why each row of a score artifact is rejected; an empty tuple keeps it."""
    return _failed(scores, SCORE_TESTS, thresholds)


def reasons_by_transcript(
    transcripts: pa.Table,
    durations_s: Sequence[float],
    thresholds: Thresholds,
    languages: Sequence[str] = (),
    declared: str | None = None,
) -> list[tuple[Reason, ...]]:
    """Why each row of a transcript artifact is not to be trusted.

    languages: the ones to keep, empty for all; declared: what the source says is spoken, in BCP 47.
    """
    measured = _failed(transcripts, TRANSCRIPT_TESTS, thresholds)
    return [
        tuple(dict.fromkeys([*_doubts(row, duration, languages, declared), *found]))
        for row, duration, found in zip(transcripts.to_pylist(), durations_s, measured, strict=True)
    ]


def _failed(table: pa.Table, tests: Sequence[Test], thresholds: Thresholds) -> list[tuple[Reason, ...]]:
    failed: list[list[Reason]] = [[] for _ in range(table.num_rows)]
    for test in tests:
        limit = getattr(thresholds, test.key)
        if limit is None or test.column not in table.column_names:
            continue
        values: npt.NDArray[np.float32] = table[test.column].to_numpy().astype(np.float32)
        bad = values > np.float32(limit) if test.at_most else values < np.float32(limit)
        unscored = np.isnan(values) & test.column.startswith(SCORE_PREFIX)
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
