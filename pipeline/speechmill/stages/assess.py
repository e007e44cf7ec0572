"""Assess: from hypotheses and reference texts to the text that a clip is published with, and measures of its quality.

It runs no model. Its inputs, transcripts and reference texts, may grow from run to run: the artifact's footer has a
digest of them, and the artifact is made again where that has changed.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa

from speechmill import tokens
from speechmill.core.build import Build
from speechmill.core.columns import UNIT, Column, at_least, steps
from speechmill.core.config import RunConfig
from speechmill.core.footers import InputsFooter
from speechmill.core.models import FindModel, ModelRef, model_file
from speechmill.core.reasons import OF_HALLUCINATIONS, Reason
from speechmill.core.records import TRUSTED_WORD
from speechmill.core.store import Store
from speechmill.decide.decision import HALLUCINATIONS
from speechmill.decide.opinions import ChosenText, TextSource, choose_text, cross_check_text
from speechmill.decide.pauses import pause_agreement
from speechmill.decide.word_confidence import word_confidences
from speechmill.stages import restored
from speechmill.stages.align import Align
from speechmill.stages.base import Isolated, RecordingStage, Row
from speechmill.stages.selection import clip_durations
from speechmill.stages.transcribe import CrossCheck, Transcribe
from speechmill.stages.work import Outcome, WorkItem
from speechmill.text.normal_form import letters, normal_form
from speechmill.tokens.text import load, tortoise_takes

PLACE = ["clip_id", "start", "end"]


class Assess(RecordingStage):
    """Text of each transcribed clip, its normal form and tokens, and hallucination checks."""

    name = "assess"
    version = 7  # decide/, text/, tokens/text.py
    after = ("transcribe", "cross_check", "align")
    clips_only = True
    execution = Isolated()
    reasons = (Reason.NOT_TRANSCRIBED, Reason.ASR_FAILED, Reason.EMPTY_TEXT, Reason.LANGUAGE, *OF_HALLUCINATIONS)
    columns = (
        Column("text", pa.string(), "as spoken, cased and punctuated", in_pool=False),
        Column("text_normalized", pa.string(), "lower case, numbers as words, only characters that TorToiSe's text has",
               in_pool=False),
        Column("text_normalized_reason", pa.string(), "why there is no text_normalized; null where there is one",
               in_pool=False),
        Column("text_tokens", pa.list_(pa.int16()), "BPE ids of text_normalized, see run.json for the tokenizer",
               in_pool=False),
        Column("words", pa.list_(TRUSTED_WORD), "each word with its times within the clip in s, its probability by the"
               " ASR model, confidence: how likely it is right, and agreement: the share of its letters that the"
               " nearest other text has there", in_pool=False),
        Column("text_source", pa.string(), "who wrote the text: asr; publisher, where an ASR model wrote the same; or"
               " manual"),
        Column("asr_agreement", pa.float32(), "1 - CER between the text and the nearest other text; null without one",
               "", UNIT, at_least("asr_agreement", Reason.DISAGREEMENT)),
        Column("text_confidence", pa.float32(), "share of the words that are likely right, by the probabilities of"
               " Whisper; null for other models and for the publisher's text", "", UNIT,
               at_least("text_confidence", Reason.LOW_CONFIDENCE)),
        Column("pause_agreement", pa.float32(),
               "how well pauses and punctuation go together (F1); null with neither"),
        Column("speaking_rate", pa.float32(), "letters of the text in Latin script, numbers as words, a second of the"
               " clip: about sounds a second in any language whose script has vowels", "1/s", steps(0, 30, 1)),
        Column("tortoise_ok", pa.bool_(),
               "TorToiSe's GPT takes it: at most 402 text tokens, all known, and 604 mel tokens", in_pool=False),
        Column(HALLUCINATIONS, pa.list_(pa.string()), "reasons not to trust the transcript", is_published=False),
    )  # fmt: skip
    artifact = pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in columns)])

    def check(self, build: Build) -> None:
        """Raise ConfigError for a file that holds no text tokenizer."""
        load(tokens.text_tokenizer_file(build.config.tokenise))

    def columns_in(self, config: RunConfig) -> tuple[Column, ...]:
        """All columns, but `tortoise_ok` only where there are mel tokens."""
        has_tokens = config.tokenise.checkpoint is not None
        return tuple(column for column in self.columns if has_tokens or column.name != "tortoise_ok")

    def settings(self, config: RunConfig) -> Any:
        """No settings: inputs and tokenizer determine the result."""
        return None if config.asr.model is None else ()

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The text tokenizer."""
        name = config.tokenise.text_tokenizer
        return (model_file("tokenise.text_tokenizer", name, tokens.text_tokenizer_file(config.tokenise)),)

    def is_done(self, element: WorkItem, build: Build) -> bool:
        """Whether the artifact was made from the present transcripts and reference texts."""
        name = build.artifact(self.name, element.content_id)
        if not build.store.exists(name):
            return False
        return build.store.footer(name, InputsFooter).inputs == _inputs(element.content_id, build)

    def process(self, element: WorkItem, build: Build) -> Outcome:
        """Assess every transcribed clip of a recording."""
        is_done = self.is_done(element, build)
        if not is_done:
            table = pa.Table.from_pylist(list(_rows(element.content_id, build)), schema=self.artifact)
            footer = InputsFooter(inputs=_inputs(element.content_id, build))
            build.store.write_table(build.artifact(self.name, element.content_id), table, footer)
        seconds = sum(clip_durations(element.content_id, build).values())
        return Outcome(state="reused" if is_done else "done", seconds_in=seconds, seconds_kept=seconds)


def _inputs(content_id: str, build: Build) -> str:
    """Digest of the inputs of a content's rows; names of transcript files are digests of the clips in them."""
    parts = [
        build.store.names(build.parts(stage, content_id)) if build.runs(stage) else []
        for stage in (Transcribe.name, CrossCheck.name)
    ]
    if build.runs(restored.STAGE):
        parts += [[str(build.profiles[restored.STAGE])], sorted(restored.restored_ids(content_id, build))]
    aligned = build.artifact(Align.name, content_id)
    reference = build.store.footer(aligned, InputsFooter).inputs if build.store.exists(aligned) else None
    return hashlib.sha256(json.dumps([parts, reference]).encode()).hexdigest()


def _rows(content_id: str, build: Build) -> Iterator[Row]:
    """Rows of the artifact, in the order of the transcripts."""
    clips = {row["clip_id"]: row for row in build.store.read(build.segments(content_id), PLACE).to_pylist()}
    checks = {row["clip_id"]: row for row in CrossCheck().read(content_id, build).to_pylist()}
    references = {row["clip_id"]: row for row in Align().read(content_id, build).to_pylist()}
    for transcript in Transcribe().read(content_id, build).to_pylist():
        clip_id = transcript["clip_id"]
        chosen = choose_text(
            transcript["text"] or "",
            transcript["words"] or (),
            transcript["language"],
            cross_check=cross_check_text(checks.get(clip_id), transcript["language"]),
            reference=references.get(clip_id, {}).get("reference_text"),
        )
        row = clips[clip_id] | transcript | asdict(chosen)
        row |= _confidence(chosen, transcript)
        row["pause_agreement"] = pause_agreement(chosen.words, chosen.text)
        row[HALLUCINATIONS] = hallucinations(row, build.config)
        yield row | text_columns(row, build.config)


def _confidence(chosen: ChosenText, transcript: Mapping[str, Any]) -> Row:
    """Columns `words`, with the confidence of each word that has a probability, and `text_confidence`.

    The weights are of Whisper's probabilities; only Whisper says how probable it is that nobody speaks.
    """
    if transcript["no_speech_probability"] is None:
        return {"words": chosen.words, "text_confidence": None}
    sure = [word["probability"] is not None for word in chosen.words]
    found = iter(word_confidences([word["probability"] for word in compress(chosen.words, sure)]))
    words = [{**word, "confidence": next(found) if is_sure else None} for word, is_sure in zip(chosen.words, sure)]
    values = [word["confidence"] for word in words if word["confidence"] is not None]
    is_own = chosen.text_source == TextSource.ASR and values
    return {"words": words, "text_confidence": round(float(np.mean(values)), 4) if is_own else None}


def hallucinations(row: Mapping[str, Any], config: RunConfig) -> list[Reason]:
    """Reasons to reject a clip for its transcript: the ASR model failed, the text is empty, or a check failed.

    Args:
        row: Columns of the transcript, and the clip's `start` and `end` in samples.
        config: For the sample rate.
    """
    from speechmill.decide.hallucinations import Hypothesis, failed_checks  # most commands check no texts

    text = row["text"] or ""
    if row["error"]:
        return [Reason.ASR_FAILED]
    if not any(character.isalnum() for character in text):
        return [Reason.EMPTY_TEXT]
    hypothesis = Hypothesis(
        text=text,
        duration_s=(row["end"] - row["start"]) / config.audio.sample_rate,
        words=row["words"] or (),
        language=row["language"],
        no_speech_probability=row["no_speech_probability"],
        avg_logprob=row["avg_logprob"],
    )
    return list(dict.fromkeys(check.reason for check in failed_checks(hypothesis)))


def text_columns(row: Mapping[str, Any], config: RunConfig) -> Row:
    """Columns that follow from a clip's text and length: normal form, text tokens, `speaking_rate`, `tortoise_ok`.

    Args:
        row: `text` and `language`, and the clip's `start` and `end` in samples.
        config: For the sample rate and the text tokenizer.
    """
    form = normal_form(row["text"], row["language"])
    tokenizer = load(tokens.text_tokenizer_file(config.tokenise))
    ids = None if form.text is None else tokenizer.encode(form.text)
    seconds = (row["end"] - row["start"]) / config.audio.sample_rate
    return {
        "text_normalized": form.text,
        "text_normalized_reason": form.reason,
        "text_tokens": ids,
        "speaking_rate": float(np.float32(len(letters(row["text"], row["language"])) / seconds)),
        "tortoise_ok": tortoise_takes(row["end"] - row["start"], config.audio.sample_rate, ids),
    }
