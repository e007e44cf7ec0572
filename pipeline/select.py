"""Decides what is kept, from stored scores, stored transcripts and thresholds. Runs no model, reads no audio.

Every test is a row of a table, so that a threshold, its column and its reason stand side by side. An
undefined value fails no test.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.config import Licences, Thresholds
from pipeline.records import Reason

MIN_CHARACTERS_PER_S = 3.0  # a drawl with pauses of just under min_silence
MAX_CHARACTERS_PER_S = 30.0  # auctioneers reach about 25
SCORE_PREFIX = "score_"  # of columns that are never undefined: a clip without a score was not judged
MIN_WORDS_TO_JUDGE = 20
MAX_REPEATS = 5  # King Lear says "never" five times in a row, on purpose
MAX_PHRASE_REPEATS = 3  # of five to twenty words
LOOP = re.compile(rf"\b(?:((?:\w+ ){{1,4}})\1{{{MAX_REPEATS}}}|((?:\w+ ){{5,20}})\2{{{MAX_PHRASE_REPEATS}}})")


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
    Test("phone", "score_phone", Reason.PHONE, at_most=True),
    Test("overlap", "score_overlap", Reason.OVERLAP, at_most=True),
    Test("reverb", "score_reverb", Reason.REVERB, at_most=True),
    Test("snr_db", "snr_db", Reason.LOW_SNR, at_most=False),
    Test("c50_db", "c50_db", Reason.REVERB, at_most=False),
    Test("bandwidth_hz", "bandwidth_hz", Reason.BAND_LIMITED, at_most=False),
    Test("loudness_lufs", "loudness_lufs", Reason.TOO_QUIET, at_most=False),
    Test("clipped_ratio", "clipped_ratio", Reason.CLIPPED, at_most=True),
    Test("repeated_ratio", "repeated_ratio", Reason.DUPLICATE, at_most=True),
)
TRANSCRIPT_TESTS = (
    Test("no_speech", "no_speech_probability", Reason.NO_SPEECH, at_most=True),
    Test("asr_confidence", "asr_confidence", Reason.LOW_CONFIDENCE, at_most=False),
)

# SPDX ids that forbid derivatives: a clip is one.
FORBIDDING = re.compile(r"-ND(-|$)|^LicenseRef-(proprietary|all-rights-reserved)$", re.IGNORECASE)


def licence_allowed(licence: str, rules: Licences) -> bool:
    """Whether recordings under an SPDX id may be published."""
    if rules.allow is not None:
        return licence in rules.allow
    return licence != "unknown" and not FORBIDDING.search(licence)


def reasons_by_score(scores: pa.Table, thresholds: Thresholds) -> list[tuple[Reason, ...]]:
    """Why each row of a score artifact is rejected; an empty tuple keeps it."""
    return _failed(scores, SCORE_TESTS, thresholds)


def reasons_by_transcript(
    transcripts: pa.Table, durations_s: Sequence[float], thresholds: Thresholds, languages: Sequence[str] = ()
) -> list[tuple[Reason, ...]]:
    """Why each row of a transcript artifact is not to be trusted."""
    measured = _failed(transcripts, TRANSCRIPT_TESTS, thresholds)
    rows = transcripts.select(["text", "language", "error"]).to_pylist()
    return [
        (*_doubts(row, duration, languages), *found)
        for row, duration, found in zip(rows, durations_s, measured, strict=True)
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


def _doubts(row: Mapping[str, Any], duration_s: float, languages: Sequence[str]) -> tuple[Reason, ...]:
    """Marks of a hallucinating recogniser: nothing, loops, rates that no mouth reaches; a wrong language."""
    text = row["text"] or ""
    if row["error"]:
        return (Reason.ASR_FAILED,)
    if not any(character.isalnum() for character in text):
        return (Reason.EMPTY_TEXT,)
    rate = len(text) / duration_s
    found = {
        Reason.REPETITION: repeats(text),
        Reason.SPEECH_RATE: not MIN_CHARACTERS_PER_S <= rate <= MAX_CHARACTERS_PER_S,
        Reason.LANGUAGE: bool(languages) and row["language"] not in languages,
    }
    return tuple(reason for reason, is_so in found.items() if is_so)


def repeats(text: str) -> bool:
    """Whether one to four words stand more than MAX_REPEATS times in a row, a longer phrase more than
    MAX_PHRASE_REPEATS times, or one word makes up most of a long text.
    """
    words = re.findall(r"\w+", text.lower())
    common = Counter(words).most_common(1)
    is_monotonous = len(words) >= MIN_WORDS_TO_JUDGE and common[0][1] > len(words) / 2
    return is_monotonous or LOOP.search(" ".join([*words, ""])) is not None
