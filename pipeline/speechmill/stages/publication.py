"""What is made when a corpus is published, since it follows from all clips that are kept, or from a row alone."""

from typing import Any

import pyarrow as pa

from speechmill import tokens
from speechmill.core.columns import UNIT, Column, at_least
from speechmill.core.config import RunConfig
from speechmill.core.models import FindModel, ModelRef, model_file
from speechmill.core.reasons import Reason
from speechmill.core.records import WORD
from speechmill.core.store import Store
from speechmill.stages.base import Stage


class Speakers(Stage):
    """Who speaks in each kept clip."""

    name = "speakers"
    is_in_graph = False
    after = ("embed",)
    columns = (
        Column("speaker_id", pa.string(), "who speaks, across recordings; other clips may change it; null if not kept"),
        Column("speaker_purity", pa.float32(), "share of that speaker's clips that are likely of one voice", "", UNIT),
        Column("conditioning_clip_ids", pa.list_(pa.string()),
               "up to 3 kept clips of the speaker, of other passages"),
    )  # fmt: skip
    artifact = pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in columns)])

    def settings(self, config: RunConfig) -> Any:
        """How sure two voices must be one."""
        return None if config.speakers.model is None else (config.speakers.threshold, config.speakers.slope)


class Text(Stage):
    """Normal form and text tokens."""

    name = "text"
    is_in_graph = False
    version = 2  # text/, tokens/text.py
    columns = (
        Column("text", pa.string(), "as spoken, cased and punctuated", in_pool=False),
        Column("text_normalized", pa.string(), "lower case, numbers as words, only characters that TorToiSe's text has",
               in_pool=False),
        Column("text_normalized_reason", pa.string(), "why there is no text_normalized; null where there is one",
               in_pool=False),
        Column("text_tokens", pa.list_(pa.int16()), "BPE ids of text_normalized, see run.json for the tokenizer",
               in_pool=False),
        Column("words", pa.list_(WORD), "times within the clip and probability of each word", "s", in_pool=False),
        Column("text_source", pa.string(), "who wrote the text: asr, or publisher, where an ASR model wrote the same"),
        Column("asr_agreement", pa.float32(), "1 - CER between the text and the nearest other text; null without one",
               "", UNIT, at_least("asr_agreement", Reason.DISAGREEMENT)),
        Column("pause_agreement", pa.float32(),
               "how well pauses and punctuation go together (F1); null with neither"),
        Column("tortoise_ok", pa.bool_(),
               "TorToiSe's GPT takes it: at most 402 text tokens, all known, and 604 mel tokens", in_pool=False),
    )  # fmt: skip

    def columns_in(self, config: RunConfig) -> tuple[Column, ...]:
        """Whether TorToiSe takes a clip is asked only where there are mel tokens."""
        has_tokens = config.tokenise.checkpoint is not None
        return tuple(column for column in self.columns if has_tokens or column.name != "tortoise_ok")

    def settings(self, config: RunConfig) -> Any:
        """Nothing but the tokenizer decides."""
        return None if config.asr.model is None else ()

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The text tokenizer."""
        name = config.tokenise.text_tokenizer
        return (model_file("tokenise.text_tokenizer", name, tokens.text_tokenizer_file(config.tokenise)),)
