"""Whisper in CTranslate2, in batches across recordings; no clip's text depends on the other clips of its batch.

faster-whisper's own batched pipeline pads every clip to 30 s, aligns the words of a whole batch at once and
carries the end of one clip into the next. Here the window is little longer than the clip, which halves the work,
and each clip is aligned on its own. On a GPU the last bit of a probability may still depend on the batch.
"""

import logging
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens, merge_punctuations
from scipy.sparse import csr_array

from speechmill.asr import SAMPLE_RATE_HZ, Transcript, Word
from speechmill.asr.known_languages import ENGLISH, check_language
from speechmill.core.config import Asr
from speechmill.text.normal_form import clean

DIGITS = 4  # probabilities are stored rounded
PREPENDED, APPENDED = (
    "\"'“¿([{-",
    "\"'.。,，!！?？:：”)]}、",
)  # punctuation that belongs to the next and to the previous word
HOP = 160  # samples in a frame of 10 ms
WHOLE_WINDOW = 3_000  # frames: what Whisper was trained on
WINDOW_STEP, MARGIN = 500, 250  # frames: windows are multiples of WINDOW_STEP, and MARGIN longer than the clip
# Whisper's own signs of failed decoding (Radford et al. 2022, section 4.5): repetitive text, and tokens that
# are improbable on average. In a short window it loops now and then; such a clip is decoded again in the whole one.
MAX_COMPRESSION, MIN_LOGPROB = 2.4, -1.0

Wave = npt.NDArray[np.float32]

log = logging.getLogger("speechmill")


class Whisper:
    """A Whisper model in CTranslate2 format. See asr.Transcriber. Raises ConfigError for another language."""

    def __init__(self, folder: str, config: Asr, device: str = "cpu", compute_type: str = "int8") -> None:
        self._config, self._fills_windows = config, device == "cuda"
        self._whisper = WhisperModel(folder, device=device, compute_type=compute_type)
        # BLAS adds in an order that depends on its threads, and int8 amplifies the last bit; a sparse product
        # adds the non-zero terms in a fixed order.
        extractor = self._whisper.feature_extractor
        extractor.mel_filters = csr_array(extractor.mel_filters)
        self._is_multilingual = bool(self._whisper.model.is_multilingual)
        check_language(Path(folder), config.language)
        self._tokenizers: dict[str, Tokenizer] = {}

    def transcribe(self, waves: Sequence[Wave]) -> list[Transcript]:
        """See Transcriber. Clips of similar length are decoded together, in batches across recordings."""
        transcripts: dict[int, Transcript] = {}
        for part in self.in_parts(waves):
            transcripts |= part
        return [transcripts[i] for i in range(len(waves))]

    def in_parts(self, waves: Sequence[Wave]) -> Iterator[dict[int, Transcript]]:
        """See asr.transcribe_in_parts. Doubtful clips, which are decoded again in the whole window, come last."""
        doubtful: dict[int, int] = {}
        for window, batch in self._batches({i: window_of(wave) for i, wave in enumerate(waves)}, waves):
            made = dict(zip(batch, self._batch([waves[i] for i in batch], window), strict=True))
            doubtful |= {i: WHOLE_WINDOW for i, transcript in made.items() if transcript is None}
            yield {i: transcript for i, transcript in made.items() if transcript is not None}
        for window, batch in self._batches(doubtful, waves):
            made = dict(zip(batch, self._batch([waves[i] for i in batch], window), strict=True))
            yield {i: transcript for i, transcript in made.items() if transcript is not None}

    def _batches(self, windows: dict[int, int], waves: Sequence[Wave]) -> list[tuple[int, list[int]]]:
        """Window in frames, and indices of the waves of each batch, the longest first.

        A GPU gets batches of as much audio, a CPU, whose caches are small, of as many clips.
        """
        batches = []
        for window in sorted({*windows.values()}, reverse=True):
            size = self._config.batch_size * WHOLE_WINDOW // (window if self._fills_windows else WHOLE_WINDOW)
            places = sorted((i for i in windows if windows[i] == window), key=lambda i: -waves[i].size)
            batches += [(window, places[at : at + size]) for at in range(0, len(places), size)]
        return batches

    def _batch(self, waves: Sequence[Wave], window: int) -> list[Transcript | None]:
        """Decode a batch; if it fails, decode its clips one by one, so that a bad one does not affect the others."""
        try:
            return self._decode(waves, window)
        except (RuntimeError, ValueError, IndexError) as error:
            if len(waves) > 1:
                return [self._batch([wave], window)[0] for wave in waves]
            log.warning("transcribe: %s", error)
            return [Transcript(error=f"{type(error).__name__}: {error}")]

    def _decode(self, waves: Sequence[Wave], window: int) -> list[Transcript | None]:
        """Transcripts; None for a hypothesis that failed Whisper's checks and should be decoded in a longer window."""
        if not all(wave.size for wave in waves):
            raise ValueError("a clip without sound")
        encoded = self._whisper.encode(np.stack([self._features(wave, window) for wave in waves]))
        languages = self._languages(encoded, len(waves))
        tokenizers = [self._tokenizer(language) for language, _ in languages]
        outputs = self._whisper.model.generate(
            encoded,
            [self._whisper.get_prompt(tokenizer, [], without_timestamps=True) for tokenizer in tokenizers],
            beam_size=self._config.beam_size,
            max_length=self._whisper.max_length,
            suppress_tokens=get_suppressed_tokens(tokenizers[0], [-1]),
            return_scores=True,
            return_no_speech_prob=True,
        )
        rows = np.asarray(encoded.to_device(ctranslate2.Device.cpu))
        return [
            self._transcript(row[None], output, tokenizer, wave, language, window)
            for row, output, tokenizer, wave, language in zip(rows, outputs, tokenizers, waves, languages, strict=True)
        ]

    def _features(self, wave: Wave, window: int) -> npt.NDArray[np.float32]:
        """Log-mel spectrogram, float32[mels, window], of the clip padded with zeros, as in Whisper's training."""
        padded = np.pad(wave, (0, max(window * HOP - wave.size, 0)))
        features: npt.NDArray[np.float32] = self._whisper.feature_extractor(padded)[:, :window].astype(np.float32)
        return features

    def _languages(self, encoded: Any, clips: int) -> list[tuple[str, float | None]]:
        """Language of each clip, and its probability where it was detected."""
        if self._config.language is not None or not self._is_multilingual:
            return [(self._config.language or ENGLISH, None)] * clips
        detected = self._whisper.model.detect_language(encoded)
        return [(best[0][0].strip("<|>"), round(float(best[0][1]), DIGITS)) for best in detected]

    def _tokenizer(self, language: str) -> Tokenizer:
        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._whisper.hf_tokenizer, self._is_multilingual, task="transcribe", language=language
            )
        return self._tokenizers[language]

    def _transcript(
        self, encoded: npt.NDArray[Any], output: Any, tokenizer: Tokenizer, wave: Wave,
        language: tuple[str, float | None], window: int,
    ) -> Transcript | None:  # fmt: skip
        tokens = [token for token in output.sequences_ids[0] if token < tokenizer.eot]
        text = clean(tokenizer.decode(tokens))
        length = len(output.sequences_ids[0])
        logprob = output.scores[0] * length / (length + 1)  # the end-of-text token counts too
        if window < WHOLE_WINDOW and (logprob < MIN_LOGPROB or _compression(text) > MAX_COMPRESSION):
            return None
        words = self._words(encoded, tokens, tokenizer, wave.size)
        confidence = round(float(np.mean([word.probability for word in words])), DIGITS) if words else None
        return Transcript(
            text=text, words=words, language=language[0], language_probability=language[1],
            asr_confidence=confidence, avg_logprob=round(float(logprob), DIGITS),
            no_speech_probability=round(float(output.no_speech_prob), DIGITS),
        )  # fmt: skip

    def _words(
        self, encoded: npt.NDArray[Any], tokens: list[int], tokenizer: Tokenizer, samples: int
    ) -> tuple[Word, ...]:
        """Words with times from the alignment of the decoder's cross-attention."""
        if not tokens:
            return ()
        view = ctranslate2.StorageView.from_array(np.ascontiguousarray(encoded))
        frames = -(-samples // HOP)
        aligned = self._whisper.find_alignment(tokenizer, [tokens], view, frames)[0]
        merge_punctuations(aligned, PREPENDED, APPENDED)
        end_s = samples / SAMPLE_RATE_HZ
        return tuple(
            Word(
                word=clean(word["word"]),
                start_s=round(min(float(word["start"]), end_s), 2),
                end_s=round(min(float(word["end"]), end_s), 2),
                probability=round(float(word["probability"]), DIGITS),
            )
            for word in aligned
            if clean(word["word"])
        )


def window_of(wave: Wave) -> int:
    """Length of the decoding window of a clip in frames; depends on the clip's length only."""
    return min(-(-(-(-wave.size // HOP) + MARGIN) // WINDOW_STEP) * WINDOW_STEP, WHOLE_WINDOW)


def _compression(text: str) -> float:
    """Compression ratio of a text by zlib: Whisper's measure of repetition."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))
