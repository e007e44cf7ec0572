"""Texts of passages. `segment` cuts where their sentences end, and the texts of clips are parts of them.

With a cross-check, passages are transcribed twice, and words on which the texts disagree are cut off at a pause, where
the rest is a clip.

A clip has the words whose middles lie nearer to it than to the clip beside it.
"""

import hashlib
import itertools
import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechmill.audio.cutting import FRAMES_PER_S
from speechmill.audio.sentences import TimedText, TimedWord
from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.config import RunConfig
from speechmill.core.records import SpanKind
from speechmill.core.thresholds import Thresholds
from speechmill.decide import decision
from speechmill.decide.opinions import cross_check_text, word_agreements
from speechmill.stages.base import Row
from speechmill.stages.hypotheses import Hypotheses
from speechmill.stages.passages import read_passages
from speechmill.stages.score import EDGE_RATIO, Score
from speechmill.stages.selection import clip_places
from speechmill.stages.work import WorkItem


class PassageScores(Score):
    """Scores of passages, by which those are chosen that are worth an ASR model's time."""

    name = "passage_scores"
    after = ("passages",)
    clips_of = "passages"
    columns: ClassVar[tuple[Column, ...]] = ()

    def settings(self, config: RunConfig) -> Any:
        """None where clips are cut without the words."""
        return super().settings(config) if config.cuts_at_sentences else None

    def columns_in(self, config: RunConfig) -> tuple[Column, ...]:
        """None: they are not published."""
        return ()

    def schema_in(self, config: RunConfig) -> pa.Schema:
        """As of clips."""
        return Score().schema_in(config)

    def passing(self, work: WorkItem, build: Build) -> Iterable[str]:
        """Passages that pass the default thresholds.

        The configured thresholds may not decide: clips would be cut in other places after a change of thresholds.
        """
        if not work.allowed:
            return []
        scores = self.read(work.content_id, build)
        columns = [column for column in Score().columns_in(build.config) if column.name != EDGE_RATIO.name]
        fails = decision.failed(scores, columns, Thresholds()).any
        passing: list[str] = scores["clip_id"].filter(pa.array(~fails)).to_pylist()
        return passing


class PassageTexts(Hypotheses):
    """Hypotheses for passages."""

    name = "passage_texts"
    after = ("passage_scores",)
    clips_of = "passages"

    def settings(self, config: RunConfig) -> Any:
        """None where clips are cut without the words."""
        return super().settings(config) if config.cuts_at_sentences else None

    def choose(self, work: WorkItem, build: Build) -> Iterable[str]:
        """Passages that pass."""
        return PassageScores().passing(work, build)


class PassageCrossCheck(PassageTexts):
    """Hypotheses of the second ASR model for passages."""

    name = "passage_cross_check"
    key = "cross_check"


def text_digest(content_id: str, build: Build) -> str:
    """Digest of the texts of a content: names of their files are digests of the passages in them."""
    names = [*build.store.names(build.parts(PassageTexts.name, content_id))]
    if build.runs(PassageCrossCheck.name):
        checks = build.store.names(build.parts(PassageCrossCheck.name, content_id))
        names += [f"{PassageCrossCheck.name}/{name}" for name in checks]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def timed_texts(content_id: str, build: Build) -> list[TimedText]:
    """Texts of the passages of a content that have one, in order, with times in frames of the recording."""
    checks = {row["clip_id"]: row for row in PassageCrossCheck().read(content_id, build).to_pylist()}
    rate = build.config.audio.sample_rate
    return [passage.timed(rate, checks.get(passage.transcript["clip_id"])) for passage in _passages(content_id, build)]


DIGITS = 4  # confidences are stored rounded
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")  # scripts without spaces between words


def join_texts(texts: list[str]) -> str:
    """Join successive parts of a text, with a space where its script has any.

    >>> join_texts(["He came.", "She went."]), join_texts(["你好。", "再见。"])
    ('He came. She went.', '你好。再见。')
    """
    joined = ""
    for text in texts:
        is_unspaced = text and unicodedata.name(text[0], "").startswith(UNSPACED)
        joined += text if not joined or is_unspaced else f" {text}"
    return joined


@dataclass(frozen=True, slots=True)
class _Passage:
    """A passage with its transcript, in samples."""

    start: int
    end: int
    transcript: Row

    def words_in(self, stretch: tuple[float, float], rate: int) -> list[Row]:
        """Words whose middles are in a stretch of samples."""
        first, last = ((at - self.start) / rate for at in stretch)
        return [w for w in self.transcript["words"] or () if first <= (w["start_s"] + w["end_s"]) / 2 < last]

    def text_of(self, words: list[Row]) -> str:
        """The part of the text that some of its successive words are written in."""
        text, at, places = str(self.transcript["text"]), 0, {}
        for word in self.transcript["words"]:
            if (place := text.find(word["word"], at)) < 0:
                return " ".join(word["word"] for word in words)
            at = place + len(word["word"])
            places[id(word)] = (place, at)
        return text[places[id(words[0])][0] : places[id(words[-1])][1]]

    def timed(self, rate: int, check: Row | None) -> TimedText:
        """The words with their times in frames, and how far the transcript of the cross-check agrees."""
        first, last = (round(at * FRAMES_PER_S / rate) for at in (self.start, self.end))
        words, language = self.transcript["words"] or (), self.transcript["language"]
        other = cross_check_text(check, language)
        agreements = (
            [None] * len(words) if other is None else word_agreements([word["word"] for word in words], other, language)
        )
        middles = (first + FRAMES_PER_S * (word["start_s"] + word["end_s"]) / 2 for word in words)
        timed = map(TimedWord, middles, (word["word"] for word in words), agreements)
        return TimedText(first, last, tuple(timed))


def _passages(content_id: str, build: Build, stage: type[PassageTexts] = PassageTexts) -> list[_Passage]:
    """Passages of a content that a stage transcribed, in order."""
    texts = {row["clip_id"]: row for row in stage().read(content_id, build).to_pylist()}
    places = clip_places(content_id, build, clips_of=PassageTexts.clips_of).to_pylist()
    rows = ((row, texts.get(row["clip_id"])) for row in places)
    return [_Passage(row["start"], row["end"], text) for row, text in rows if text is not None and not text["error"]]


def texts_of_clips(content_id: str, clip_ids: set[str], build: Build, stage: type[PassageTexts]) -> list[Row]:
    """Transcripts of those clips all of whose passages have one by a stage: rows as of `transcribe`."""
    rate, transcribed = build.config.audio.sample_rate, _passages(content_id, build, stage)
    all_passages = clip_places(content_id, build, clips_of=PassageTexts.clips_of)
    starts, ends = (all_passages[name].to_numpy() for name in ("start", "end"))
    rows = []
    for clip_id, (start, end), (first, last) in _stretches(content_id, build):
        if clip_id not in clip_ids:
            continue
        own = [passage for passage in transcribed if passage.start < end and passage.end > start]
        if len(own) == np.count_nonzero((starts < end) & (ends > start)):
            rows.append({"clip_id": clip_id, **_part(own, (start, end), (first, last), rate)})
    return rows


def _stretches(content_id: str, build: Build) -> Iterator[tuple[str, tuple[int, int], tuple[float, float]]]:
    """Clip id, start and end of each clip in samples, and the stretch whose words it has: half of the gaps beside it.

    A gap is one without speech by the VAD, as where the clips were cut. An utterance that is no clip has its words too.
    """
    rate, speech = build.config.audio.sample_rate, read_passages(content_id, build).speech
    table = build.store.read(build.segments(content_id), ["start", "end", "kind", "clip_id"])
    spans = table.filter(pc.not_equal(table["kind"], SpanKind.SILENCE)).to_pylist()
    spoken = np.concatenate([np.flatnonzero(speech), [speech.size]])
    middles = []
    for before, after in itertools.pairwise(spans):
        end, start = before["end"] * FRAMES_PER_S / rate, after["start"] * FRAMES_PER_S / rate
        last, first = spoken[max(np.searchsorted(spoken, end) - 1, 0)] + 1, spoken[np.searchsorted(spoken, start)]
        middles.append(float(last + first) / 2 * rate / FRAMES_PER_S)
    for span, begin, finish in zip(spans, [0.0, *middles], [*middles, np.inf], strict=True):
        if span["kind"] == SpanKind.CLIP:
            yield span["clip_id"], (span["start"], span["end"]), (begin, finish)


def _part(passages: list[_Passage], clip: tuple[int, int], stretch: tuple[float, float], rate: int) -> Row:
    """Transcript of a clip from those of its passages.

    Args:
        passages: The passages that it has a part of.
        clip: Start and end of the clip in samples.
        stretch: First and last sample of its words' middles.
        rate: Corpus sample rate in Hz.
    """
    parts = [(passage, passage.words_in(stretch, rate)) for passage in passages]
    begin_s, seconds = clip[0] / rate, (clip[1] - clip[0]) / rate
    words = []
    for passage, own in parts:
        shift_s = passage.start / rate - begin_s
        words += [
            word | {key: round(min(max(word[key] + shift_s, 0.0), seconds), 2) for key in ("start_s", "end_s")}
            for word in own
        ]
    most = max(parts, key=lambda part: len(part[1]))[0].transcript
    known = [passage.transcript for passage, own in parts if own] or [most]
    return {
        "text": join_texts([passage.text_of(own) for passage, own in parts if own]),
        "words": words,
        "language": most["language"],
        "language_probability": min((row["language_probability"] for row in known), key=_none_last),
        "asr_confidence": round(float(np.mean([word["probability"] for word in words])), DIGITS) if words else None,
        "avg_logprob": min((row["avg_logprob"] for row in known), key=_none_last),
        "no_speech_probability": max((row["no_speech_probability"] for row in known), key=_none_first),
        "error": None,
    }


def _none_last(value: float | None) -> float:
    return np.inf if value is None else value


def _none_first(value: float | None) -> float:
    return -np.inf if value is None else value
