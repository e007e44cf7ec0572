"""Whisper through faster-whisper's batched pipeline, made independent of batch mates.

The pipeline times words of a whole batch at once and carries the end of one clip into the next. Here each
clip is aligned on its own, so that its words are the same in any batch.
"""

import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import ctranslate2
import numpy as np
import numpy.typing as npt
from faster_whisper import BatchedInferencePipeline, WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import merge_punctuations
from scipy.sparse import csr_array

from pipeline.config import Transcribe
from pipeline.transcribe import SAMPLE_RATE_HZ, Transcript, Word
from pipeline.transcribe.text import clean

DIGITS = 4  # probabilities are stored rounded
PREPENDED, APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # punctuation that belongs to the next, the last word
PLACEHOLDER_LANGUAGE = "en"  # replaced clip by clip where the language is detected

log = logging.getLogger("speechmill")


class Whisper:
    """A Whisper model in CTranslate2 format. See transcribe.Transcriber."""

    def __init__(self, folder: str, config: Transcribe, device: str = "cpu", compute_type: str = "int8") -> None:
        self._config = config
        self._whisper = WhisperModel(folder, device=device, compute_type=compute_type)
        # A product of BLAS adds in an order that depends on its threads, and int8 makes much of the last bit; this one
        # adds what is not zero, from first to last.
        extractor = self._whisper.feature_extractor
        extractor.mel_filters = csr_array(extractor.mel_filters)
        self._heard = _Remembering(self._whisper.model)
        self._whisper.model = self._heard
        self._pipeline = _Independent(self._whisper)

    def transcribe(self, waves: Sequence[npt.NDArray[np.float32]]) -> list[Transcript]:
        """See Transcriber. Batches are made in the given order: sort the waves by length first."""
        size = self._config.batch_size
        groups = [waves[at : at + size] for at in range(0, len(waves), size)]
        return [transcript for group in groups for transcript in self._batch(group)]

    def _batch(self, waves: Sequence[npt.NDArray[np.float32]]) -> list[Transcript]:
        """One batch; if it fails, its clips one by one, so that a bad one harms no neighbour."""
        try:
            return list(self._run(waves))
        except (RuntimeError, ValueError, IndexError) as error:
            if len(waves) > 1:
                return [self._batch([wave])[0] for wave in waves]
            log.warning("transcribe: %s", error)
            return [Transcript(error=f"{type(error).__name__}: {error}")]

    def _run(self, waves: Sequence[npt.NDArray[np.float32]]) -> Iterator[Transcript]:
        config, multilingual = self._config, self._heard.is_multilingual
        detect = config.language is None and multilingual
        bounds = (
            np.cumsum([0, *(wave.size for wave in waves)]) + 0.5
        ) / SAMPLE_RATE_HZ  # it truncates times to samples
        segments, _ = self._pipeline.transcribe(
            np.concatenate(waves),
            language=config.language or PLACEHOLDER_LANGUAGE,
            multilingual=detect,
            clip_timestamps=[{"start": a, "end": b} for a, b in itertools.pairwise(bounds)],
            batch_size=len(waves),
            beam_size=config.beam_size,
            word_timestamps=True,
        )
        heard = list(segments)
        languages = self._heard.languages if detect else [(config.language or PLACEHOLDER_LANGUAGE, None)] * len(waves)
        for segment, (language, probability) in zip(heard, languages, strict=True):
            yield _transcript(segment, language, probability)


def _transcript(segment: Any, language: str, probability: float | None) -> Transcript:
    words = tuple(
        Word(
            word=clean(word.word),
            start_s=round(float(word.start), 2),
            end_s=round(float(word.end), 2),
            probability=round(float(word.probability), DIGITS),
        )
        for word in segment.words
        if clean(word.word)
    )
    confidence = float(np.mean([word.probability for word in words])) if words else None
    return Transcript(
        text=clean(segment.text),
        words=words,
        language=language,
        language_probability=None if probability is None else round(probability, DIGITS),
        asr_confidence=None if confidence is None else round(confidence, DIGITS),
        no_speech_probability=round(float(segment.no_speech_prob), DIGITS),
    )


class _Remembering:
    """A CTranslate2 model that remembers the languages it detected, which the pipeline throws away."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.languages: list[tuple[str, float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def detect_language(self, features: Any) -> Any:
        """As CTranslate2's: for each clip, languages with probabilities, best first."""
        found = self._model.detect_language(features)
        self.languages = [(best[0][0].strip("<|>"), float(best[0][1])) for best in found]
        return found


class _Independent(BatchedInferencePipeline):  # type: ignore[misc]
    """The batched pipeline, with each clip's words timed on their own, from the start of the clip."""

    def forward(
        self, features: Any, tokenizer: Tokenizer, chunks_metadata: Any, options: Any
    ) -> list[list[dict[str, Any]]]:
        """Decode a batch; one segment a clip."""
        encoded, outputs = self.generate_segment_batched(features, tokenizer, options)
        rows = np.asarray(encoded.to_device(ctranslate2.Device.cpu))
        return [
            [self._segment(rows[i : i + 1], output, tokenizer, chunks_metadata[i]["duration"])]
            for i, output in enumerate(outputs)
        ]

    def _segment(
        self, encoded: npt.NDArray[Any], output: Any, tokenizer: Tokenizer, duration_s: float
    ) -> dict[str, Any]:
        tokens = [token for token in output["tokens"] if token < tokenizer.eot]
        frames = min(
            int(np.ceil(duration_s * self.model.frames_per_second)), self.model.feature_extractor.nb_max_frames
        )
        view = ctranslate2.StorageView.from_array(np.ascontiguousarray(encoded))
        words = self.model.find_alignment(tokenizer, [tokens], view, [frames])[0] if tokens else []
        merge_punctuations(words, PREPENDED, APPENDED)
        keys = ("word", "start", "end", "probability")
        return {
            "text": tokenizer.decode(tokens),
            "tokens": tokens,
            "avg_logprob": output["avg_logprob"],
            "no_speech_prob": output["no_speech_prob"],
            "compression_ratio": 0.0,
            "start": 0.0,
            "end": duration_s,
            "seek": 0,
            "words": [{key: word[key] for key in keys} for word in words],
        }
