"""Which clips are kept and why, from stored columns and thresholds, for all rows of a table at once.

It runs no model, reads no audio and loops over no clips: a reason is a boolean array. A null value fails no test.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.columns import Column
from speechmill.core.config import Thresholds
from speechmill.core.reasons import Reason
from speechmill.decide import hallucinations

Mask = npt.NDArray[np.bool_]  # bool[clips]

KEPT, REJECTED = "kept", "rejected"
HALLUCINATIONS = "hallucinations"  # the column with what the checks for them found
SCORE_PREFIX = "score_"  # of columns that are never undefined: a clip without a score was not judged


@dataclass(slots=True)
class Reasons:
    """Why clips fail: of each reason the clips that fail by it.

    They are named in the order in which they were added first, also where none fails: the same order in every table.
    """

    clips: int
    failing: dict[str, Mask] = field(default_factory=dict)

    def add(self, reason: str, failing: Mask) -> None:
        """Let clips fail by a reason."""
        self.failing[reason] = self.failing[reason] | failing if reason in self.failing else failing

    def add_lists(self, lists: pa.ListArray, words: Iterable[str]) -> None:
        """Let clips fail by the reasons that a column lists for them; `words` are all that may be listed, in order."""
        at = np.repeat(np.arange(self.clips), pc.fill_null(pc.list_value_length(lists), 0).to_numpy())
        listed = pc.list_flatten(lists)
        for reason in words:
            failing = np.zeros(self.clips, bool)
            failing[at[pc.equal(listed, reason).to_numpy(zero_copy_only=False)]] = True
            self.add(reason, failing)

    def update(self, others: Self, where: Mask | None = None) -> None:
        """Add other reasons, where `where` holds."""
        for reason, failing in others.failing.items():
            self.add(reason, failing if where is None else failing & where)

    @property
    def any(self) -> Mask:
        """Which clips fail at all."""
        found: Mask = np.logical_or.reduce([np.zeros(self.clips, bool), *self.failing.values()])
        return found

    def lists(self) -> pa.ListArray:
        """The reasons of each clip: list<string>[clips]."""
        words = pa.array(self.failing.keys(), pa.string())
        failing = np.stack(list(self.failing.values()), axis=1) if self.failing else np.zeros((self.clips, 0), bool)
        offsets = np.concatenate([[0], np.cumsum(failing.sum(axis=1))]).astype(np.int32)
        return pa.ListArray.from_arrays(offsets, words.take(pa.array(np.nonzero(failing)[1])))


def failed(table: pa.Table, columns: Iterable[Column], thresholds: Thresholds) -> Reasons:
    """Which thresholds each row of a table is beyond. Columns that the table does not have fail none."""
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
    """What people decided about clips, which wins over thresholds: bool[clips] each."""

    keep: Mask
    drop: Mask
    text: Mask
    """Whether somebody wrote the text, so that nothing speaks against it."""

    @classmethod
    def none(cls, clips: int) -> Self:
        """No decisions."""
        return cls(keep=np.zeros(clips, bool), drop=np.zeros(clips, bool), text=np.zeros(clips, bool))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of the clips of a table."""

    kept: Mask
    reasons: Reasons
    """Why a clip is rejected; of a clip that somebody kept by hand MANUAL."""


def decide(
    *,
    refused: Reasons,
    by_sound: Reasons,
    by_text: Reasons,
    by_later: Reasons,
    unfinished: Reasons,
    by_hand: Overrides,
) -> Decision:
    """Decide about clips.

    Args:
        refused: what no decision by hand changes: a licence, a removal, a failure.
        by_sound: thresholds on what all clips have.
        by_text: what speaks against a text; counts for clips that pass `refused` and `by_sound` and whose text nobody
            wrote by hand.
        by_later: thresholds of other stages that take only clips that pass `refused` and `by_sound`.
        unfinished: stages that are still to run; counts for clips that pass all else.
        by_hand: what people decided.

    Returns:
        The decision; its reasons in the order of the arguments.
    """
    clips = refused.clips
    by_person = by_hand.keep | by_hand.drop
    reasons = Reasons(clips)
    reasons.update(by_sound, ~by_person)
    reasons.update(refused)
    reasons.add(Reason.MANUAL, by_hand.drop)
    is_judged = ~reasons.any & ~by_person
    reasons.update(by_text, is_judged & ~by_hand.text)
    reasons.update(by_later, is_judged)
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
    """What speaks against clips' texts.

    Args:
        table: with the columns `hallucinations` (reasons; null without a transcript), `language` and
            `language_probability` (null where the language was assumed), and those that are tested.
        columns: those whose thresholds are tested.
        thresholds: the limits.
        languages: those to keep, in ISO 639-1; empty for all.
        may_be_english: bool[clips], whether the source of a clip says that it is English, or nothing.

    Returns:
        The reasons.
    """
    reasons = Reasons(table.num_rows)
    failures = [Reason.ASR_FAILED, Reason.EMPTY_TEXT]
    reasons.add_lists(table[HALLUCINATIONS].combine_chunks(), [*failures, *hallucinations.reasons()])
    has_text = np.logical_and.reduce([~reasons.failing[one] for one in failures])
    reasons.add(Reason.LANGUAGE, has_text & _foreign(table, languages, may_be_english))
    reasons.update(failed(table, columns, thresholds))
    return reasons


def _foreign(table: pa.Table, languages: Iterable[str], may_be_english: Mask) -> Mask:
    """Clips in a language that is not wanted, or that were transcribed by a model that takes all for English."""
    language = pc.fill_null(table["language"], "")
    was_assumed = table["language_probability"].is_null().to_numpy() & pc.equal(language, "en").to_numpy()
    found: Mask = was_assumed & ~may_be_english
    if wanted := list(languages):
        found |= ~pc.is_in(language, value_set=pa.array([*wanted, ""])).to_numpy()
    return found
