"""Assess: from transcripts and reference texts to the text that a clip is published with, and how far to trust it.

It runs no model. What it depends on, transcripts and reference texts, may grow from run to run: its artifact names a
digest of them, and is made anew where that has changed.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from speechmill import tokens
from speechmill.core.build import Build
from speechmill.core.columns import UNIT, Column, at_least
from speechmill.core.config import RunConfig
from speechmill.core.models import FindModel, ModelRef, model_file
from speechmill.core.reasons import Reason
from speechmill.core.records import WORD
from speechmill.core.store import Store
from speechmill.decide.decision import HALLUCINATIONS
from speechmill.decide.hallucinations import Heard, doubted, reasons
from speechmill.decide.opinions import judge, opinion
from speechmill.decide.pauses import pause_agreement
from speechmill.stages.align import Align
from speechmill.stages.base import Isolated, RecordingStage, Row
from speechmill.stages.selection import clip_durations
from speechmill.stages.transcribe import CrossCheck, Transcribe
from speechmill.stages.work import Outcome, Work
from speechmill.text.normal_form import normal_form
from speechmill.tokens.text import load, tortoise_takes

PLACE = ["clip_id", "start", "end"]


class Assess(RecordingStage):
    """The text of each clip that was transcribed, its normal form and tokens, and what speaks against it."""

    name = "assess"
    version = 3  # decide/, text/, tokens/text.py
    after = ("transcribe", "cross_check", "align")
    clips_only = True
    execution = Isolated()
    reasons = (Reason.NOT_TRANSCRIBED, Reason.ASR_FAILED, Reason.EMPTY_TEXT, Reason.LANGUAGE, *reasons())
    columns = (
        Column("text", pa.string(), "as spoken, cased and punctuated", in_pool=False),
        Column("text_normalized", pa.string(), "lower case, numbers as words, only characters that TorToiSe's text has",
               in_pool=False),
        Column("text_normalized_reason", pa.string(), "why there is no text_normalized; null where there is one",
               in_pool=False),
        Column("text_tokens", pa.list_(pa.int16()), "BPE ids of text_normalized, see run.json for the tokenizer",
               in_pool=False),
        Column("words", pa.list_(WORD), "times within the clip and probability of each word", "s", in_pool=False),
        Column("text_source", pa.string(), "who wrote the text: asr; publisher, where an ASR model wrote the same; or"
               " manual"),
        Column("asr_agreement", pa.float32(), "1 - CER between the text and the nearest other text; null without one",
               "", UNIT, at_least("asr_agreement", Reason.DISAGREEMENT)),
        Column("pause_agreement", pa.float32(),
               "how well pauses and punctuation go together (F1); null with neither"),
        Column("tortoise_ok", pa.bool_(),
               "TorToiSe's GPT takes it: at most 402 text tokens, all known, and 604 mel tokens", in_pool=False),
        Column(HALLUCINATIONS, pa.list_(pa.string()), "reasons not to trust the transcript", is_published=False),
    )  # fmt: skip
    artifact = pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in columns)])

    def columns_in(self, config: RunConfig) -> tuple[Column, ...]:
        """Whether TorToiSe takes a clip is asked only where there are mel tokens."""
        has_tokens = config.tokenise.checkpoint is not None
        return tuple(column for column in self.columns if has_tokens or column.name != "tortoise_ok")

    def settings(self, config: RunConfig) -> Any:
        """Nothing but transcripts, reference texts and the tokenizer decides."""
        return None if config.asr.model is None else ()

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The text tokenizer."""
        name = config.tokenise.text_tokenizer
        return (model_file("tokenise.text_tokenizer", name, tokens.text_tokenizer_file(config.tokenise)),)

    def is_done(self, element: Work, build: Build) -> bool:
        """Whether the artifact was made of the transcripts and reference texts that are there now."""
        name = build.artifact(self.name, element.content_id)
        if not build.store.exists(name):
            return False
        return bool(build.store.footer(name).get("inputs") == _inputs(element.content_id, build))

    def process(self, element: Work, build: Build) -> Outcome:
        """Assess every clip of a recording that was transcribed."""
        is_done = self.is_done(element, build)
        if not is_done:
            table = pa.Table.from_pylist(list(_rows(element.content_id, build)), schema=self.artifact)
            footer = {"retry": False, "inputs": _inputs(element.content_id, build)}
            build.store.write_table(build.artifact(self.name, element.content_id), table, footer)
        seconds = sum(clip_durations(element.content_id, build).values())
        return Outcome(state="reused" if is_done else "done", seconds_in=seconds, seconds_kept=seconds)


def _inputs(content_id: str, build: Build) -> str:
    """Digest of what the texts of a content's clips follow from; names of transcripts name the clips in them."""
    parts = [
        build.store.names(build.parts(stage, content_id)) if build.runs(stage) else []
        for stage in (Transcribe.name, CrossCheck.name)
    ]
    aligned = build.artifact(Align.name, content_id)
    reference = build.store.footer(aligned).get("inputs") if build.store.exists(aligned) else None
    return hashlib.sha256(json.dumps([parts, reference]).encode()).hexdigest()


def _rows(content_id: str, build: Build) -> Iterator[Row]:
    """Rows of the artifact, in the order of the transcripts."""
    clips = {row["clip_id"]: row for row in build.store.read(build.segments(content_id), PLACE).to_pylist()}
    checks = {row["clip_id"]: row for row in CrossCheck().read(content_id, build).to_pylist()}
    references = {row["clip_id"]: row for row in Align().read(content_id, build).to_pylist()}
    for transcript in Transcribe().read(content_id, build).to_pylist():
        clip_id = transcript["clip_id"]
        chosen = judge(
            transcript["text"] or "",
            transcript["words"] or (),
            transcript["language"],
            second=opinion(checks.get(clip_id), transcript["language"]),
            human=references.get(clip_id, {}).get("reference_text"),
        )
        row = clips[clip_id] | transcript | asdict(chosen)
        row["pause_agreement"] = pause_agreement(chosen.words, chosen.text)
        row[HALLUCINATIONS] = hallucinations(row, build.config)
        yield row | text_columns(row, build.config)


def hallucinations(row: Mapping[str, Any], config: RunConfig) -> list[Reason]:
    """Reasons not to trust a clip's transcript: it failed, it has nothing to read, or the ASR model made it up.

    Args:
        row: `text`, `words` and `error` of the transcript, what else the ASR model says of it, and the clip's `start`
            and `end` in samples.
        config: for the sample rate.
    """
    text = row["text"] or ""
    if row["error"]:
        return [Reason.ASR_FAILED]
    if not any(character.isalnum() for character in text):
        return [Reason.EMPTY_TEXT]
    transcript = Heard(
        text=text,
        duration_s=(row["end"] - row["start"]) / config.audio.sample_rate,
        words=row["words"] or (),
        language=row["language"],
        no_speech_probability=row["no_speech_probability"],
        avg_logprob=row["avg_logprob"],
    )
    return list(dict.fromkeys(rule.reason for rule in doubted(transcript)))


def text_columns(row: Mapping[str, Any], config: RunConfig) -> Row:
    """What follows from a clip's text and length: normal form, text tokens, and whether TorToiSe takes it.

    Args:
        row: `text` and `language`, and the clip's `start` and `end` in samples.
        config: for the sample rate and the text tokenizer.
    """
    form = normal_form(row["text"], row["language"])
    tokenizer = load(tokens.text_tokenizer_file(config.tokenise))
    ids = None if form.text is None else tokenizer.encode(form.text)
    return {
        "text_normalized": form.text,
        "text_normalized_reason": form.reason,
        "text_tokens": ids,
        "tortoise_ok": tortoise_takes(row["end"] - row["start"], config.audio.sample_rate, ids),
    }
