"""Transcribe: from selected clips to hypotheses with word times; and the cross-check by a second ASR model."""

from collections.abc import Iterable
from typing import ClassVar

import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.columns import UNIT, Column, at_least, at_most
from speechmill.core.config import RunConfig
from speechmill.core.reasons import Reason
from speechmill.stages.base import Row
from speechmill.stages.hypotheses import Hypotheses
from speechmill.stages.passage_texts import PassageCrossCheck, PassageTexts, texts_of_clips


class Transcribe(Hypotheses):
    """Hypothesis, word times and confidences of the ASR model."""

    name = "transcribe"
    version = Hypotheses.version + 1  # passage_texts.py: parts of texts by networks with a CTC head
    columns: ClassVar[tuple[Column, ...]] = (
        Column("language", pa.string(), "language of the speech", "ISO 639-1"),
        Column("language_probability", pa.float32(), "probability of that language", "", UNIT,
               at_least("language_probability", Reason.LANGUAGE)),
        Column("asr_confidence", pa.float32(), "mean word probability", "", UNIT,
               at_least("asr_confidence", Reason.LOW_CONFIDENCE)),
        Column("no_speech_probability", pa.float32(), "probability, by the ASR model, that nobody speaks", "", (),
               at_most("no_speech", Reason.NO_SPEECH), is_published=False),
    )  # fmt: skip

    def speed(self, config: RunConfig) -> float | None:
        """Of the ASR model, where passages are not transcribed before."""
        return None if config.cuts_at_sentences else super().speed(config)

    def known_rows(self, content_id: str, clip_ids: Iterable[str], build: Build) -> list[Row]:
        """Parts of the texts of passages."""
        return _parts_of_passages(content_id, clip_ids, build, PassageTexts)


class CrossCheck(Hypotheses):
    """Hypotheses of a second ASR model, to be compared with those of the first."""

    name = "cross_check"
    key = "cross_check"

    def speed(self, config: RunConfig) -> float | None:
        """Of the ASR model, where passages are not cross-checked before."""
        return None if config.cuts_at_sentences else super().speed(config)

    def known_rows(self, content_id: str, clip_ids: Iterable[str], build: Build) -> list[Row]:
        """Parts of the texts of passages."""
        return _parts_of_passages(content_id, clip_ids, build, PassageCrossCheck)


def _parts_of_passages(content_id: str, clip_ids: Iterable[str], build: Build, stage: type[PassageTexts]) -> list[Row]:
    """Rows of clips, from the texts of passages by a stage; none where it does not run."""
    return texts_of_clips(content_id, set(clip_ids), build, stage) if build.runs(stage.name) else []
