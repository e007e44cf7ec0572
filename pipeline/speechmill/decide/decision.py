"""Decides which clips are kept and why, from stored columns and thresholds, for all rows of a table at once.

Vectorised: the clips that fail by a reason are a boolean array. A null value fails no test.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.columns import Column
from speechmill.core.reasons import OF_HALLUCINATIONS, Reason
from speechmill.core.thresholds import Thresholds

Mask = npt.NDArray[np.bool_]  # bool[clips]

KEPT, REJECTED = "kept", "rejected"
HALLUCINATIONS = "hallucinations"  # column with the reasons of failed hallucination checks
SCORE_PREFIX = "score_"  # columns that are never undefined: a null or NaN there is a failed measurement


@dataclass(slots=True)
class Reasons:
    """The reasons for which clips fail: for each reason a mask of the clips that fail by it, bool[clips].

    Reasons keep the order in which they were first added, even if no clip fails by them, so that lists of reasons
    have the same order in every table.
    """

    clips: int
    failing: dict[str, Mask] = field(default_factory=dict)

    def add(self, reason: str, failing: Mask) -> None:
        """Add clips that fail by a reason."""
        self.failing[reason] = self.failing[reason] | failing if reason in self.failing else failing

    def add_lists(self, lists: pa.ListArray, reasons: Iterable[str]) -> None:
        """Add the reasons that a column list<string>[clips] has; `reasons` are all possible ones, in order."""
        at = np.repeat(np.arange(self.clips), pc.fill_null(pc.list_value_length(lists), 0).to_numpy())
        listed = pc.list_flatten(lists)
        for reason in reasons:
            failing = np.zeros(self.clips, bool)
            failing[at[pc.equal(listed, reason).to_numpy(zero_copy_only=False)]] = True
            self.add(reason, failing)

    def update(self, others: Self, where: Mask | None = None) -> None:
        """Add other reasons, for the clips selected by `where` only."""
        for reason, failing in others.failing.items():
            self.add(reason, failing if where is None else failing & where)

    @property
    def any(self) -> Mask:
        """Whether each clip fails by any reason, bool[clips]."""
        mask: Mask = np.logical_or.reduce([np.zeros(self.clips, bool), *self.failing.values()])
        return mask

    def lists(self) -> pa.ListArray:
        """The reasons of each clip: list<string>[clips]."""
        names = pa.array(self.failing.keys(), pa.string())
        failing = np.stack(list(self.failing.values()), axis=1) if self.failing else np.zeros((self.clips, 0), bool)
        offsets = np.concatenate([[0], np.cumsum(failing.sum(axis=1))]).astype(np.int32)
        return pa.ListArray.from_arrays(offsets, names.take(pa.array(np.nonzero(failing)[1])))


def failed(table: pa.Table, columns: Iterable[Column], thresholds: Thresholds) -> Reasons:
    """Reasons of the thresholds that each row of a table fails. Columns that the table lacks are skipped."""
    reasons = Reasons(table.num_rows)
    for column in columns:
        test = column.test
        limit = None if test is None else test.limit(thresholds)
        if test is None or limit is None or column.name not in table.column_names:
            continue
        values: npt.NDArray[np.float32] = table[column.name].to_numpy().astype(np.float32)
        reasons.add(test.reason, values > np.float32(limit) if test.at_most else values < np.float32(limit))
        if column.name.startswith(SCORE_PREFIX):
            reasons.add(Reason.NOT_FINITE, np.isnan(values))
    return reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Manual decisions about clips, which override thresholds: bool[clips] each."""

    keep: Mask
    drop: Mask
    text: Mask
    """Whether the text is manual, so that it passes all tests of text."""

    @classmethod
    def none(cls, clips: int) -> Self:
        """No manual decisions."""
        return cls(keep=np.zeros(clips, bool), drop=np.zeros(clips, bool), text=np.zeros(clips, bool))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision about the clips of a table."""

    kept: Mask
    reasons: Reasons
    """Reasons of rejected clips, and MANUAL for clips that were kept by hand."""


def decide(
    *,
    refused: Reasons,
    by_audio: Reasons,
    by_text: Reasons,
    by_plugins: Reasons,
    unfinished: Reasons,
    by_hand: Overrides,
) -> Decision:
    """Decide about clips.

    Args:
        refused: Reasons that manual decisions cannot override: licences, removal requests, failures.
        by_audio: Reasons of the thresholds on columns of all clips.
        by_text: Reasons of the tests of text; apply to clips that pass `refused` and `by_audio`, without manual text.
        by_plugins: Reasons of the thresholds of plug-in stages that run only on clips that pass `refused` and
            `by_audio`.
        unfinished: Reasons for stages that have not run yet; apply to clips that pass all else.
        by_hand: Manual decisions.

    Returns:
        The decision. Reasons are in the order `by_audio`, `refused`, manual, `by_text`, `by_plugins`, `unfinished`.
    """
    clips = refused.clips
    is_manual = by_hand.keep | by_hand.drop
    reasons = Reasons(clips)
    reasons.update(by_audio, ~is_manual)
    reasons.update(refused)
    reasons.add(Reason.MANUAL, by_hand.drop)
    is_tested = ~reasons.any & ~is_manual
    reasons.update(by_text, is_tested & ~by_hand.text)
    reasons.update(by_plugins, is_tested)
    reasons.update(unfinished, ~reasons.any)
    kept = ~reasons.any
    reasons.add(Reason.MANUAL, kept & by_hand.keep)
    return Decision(kept=kept, reasons=reasons)


def by_text(
    table: pa.Table,
    columns: Iterable[Column],
    thresholds: Thresholds,
    *,
    languages: Iterable[str] = (),
    may_be_english: Mask,
) -> Reasons:
    """Test the texts of clips.

    Args:
        table: A table with `hallucinations` (reasons; null without a transcript), `language`,
            `language_probability` (null if the language was assumed) and tested columns.
        columns: Columns with thresholds to test.
        thresholds: The thresholds.
        languages: ISO 639-1 codes of the languages to keep; empty for all.
        may_be_english: Whether the source of each clip declares English or no language, bool[clips].

    Returns:
        Reasons of failed hallucination checks, languages and thresholds.
    """
    reasons = Reasons(table.num_rows)
    failures = [Reason.ASR_FAILED, Reason.EMPTY_TEXT]
    reasons.add_lists(table[HALLUCINATIONS].combine_chunks(), [*failures, *OF_HALLUCINATIONS])
    has_text = np.logical_and.reduce([~reasons.failing[reason] for reason in failures])
    reasons.add(Reason.LANGUAGE, has_text & _foreign(table, languages, may_be_english))
    reasons.update(failed(table, columns, thresholds))
    return reasons


def _foreign(table: pa.Table, languages: Iterable[str], may_be_english: Mask) -> Mask:
    """Whether each clip is in a language that is not wanted, or is not English but transcribed by an English model."""
    language = pc.fill_null(table["language"], "")
    was_assumed = table["language_probability"].is_null().to_numpy() & pc.equal(language, "en").to_numpy()
    mask: Mask = was_assumed & ~may_be_english
    if wanted := list(languages):
        mask |= ~pc.is_in(language, value_set=pa.array([*wanted, ""])).to_numpy()
    return mask
