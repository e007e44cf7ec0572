"""CTC decoding: from per-frame log-probabilities to characters and their frames.

Graves et al., ICML 2006. The language model is of characters: case and punctuation are characters too, and no word is
out of its vocabulary (Likhomanenko, Synnaeve & Collobert, Interspeech 2019, arXiv:1904.04479).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from flashlight.lib.text.decoder import CriterionType, LexiconFreeDecoder, LexiconFreeDecoderOptions, ZeroLM
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary

THRESHOLD = 50.0  # nats: hypotheses that are further behind the best are pruned

LogProbs = npt.NDArray[np.float32]
Frames = npt.NDArray[np.int64]  # a path: the output chosen for each frame
Decoder = Callable[[LogProbs], Frames]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphabet:
    """The token of each output of a network. `silent` outputs, the blank among them, are not written."""

    tokens: tuple[str, ...]
    blank: int
    space: int
    silent: frozenset[int]


@dataclass(frozen=True, slots=True)
class Character:
    """A character, its frames [first, last), and the highest log-probability that one of them gives it."""

    symbol: str
    first: int
    last: int
    logprob: float


def greedy(logprobs: LogProbs) -> Frames:
    """Best output of each frame: float32[T, outputs] to int64[T]."""
    return np.asarray(logprobs.argmax(axis=1), np.int64)


class Beam:
    """Beam search for the text with the highest probability summed over its paths; returns the best path like `greedy`.

    `language_model` is a KenLM file, ARPA or binary, of characters, where the space is written as the network's token
    for it; `weight` multiplies its log10 probabilities. Raises RuntimeError for another file.
    """

    def __init__(self, alphabet: Alphabet, size: int, language_model: Path | None = None, weight: float = 0.0) -> None:
        self._alphabet = alphabet
        letters = Dictionary(list(alphabet.tokens))
        self._model = KenLM(str(language_model), letters) if language_model else ZeroLM()
        self._options = LexiconFreeDecoderOptions(
            beam_size=size, beam_size_token=len(alphabet.tokens), beam_threshold=THRESHOLD, lm_weight=weight,
            sil_score=0.0, log_add=True, criterion_type=CriterionType.CTC,
        )  # fmt: skip

    def __call__(self, logprobs: LogProbs) -> Frames:
        """See `greedy`."""
        rows = np.ascontiguousarray(logprobs, np.float32)
        decoder = LexiconFreeDecoder(self._options, self._model, self._alphabet.space, self._alphabet.blank, [])
        best = decoder.decode(rows.ctypes.data, *rows.shape)[0]
        return np.array(best.tokens[1:-1], np.int64)  # between a space before the first frame and one after the last


def spell(path: Frames, logprobs: LogProbs, alphabet: Alphabet) -> Iterator[Character]:
    """Collapse a path int64[T] through float32[T, outputs] to characters: merge repeats and drop blanks."""
    bounds = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    for first, last in pairwise(bounds):
        token = int(path[first])
        if token not in alphabet.silent:
            symbol = " " if token == alphabet.space else alphabet.tokens[token]
            yield Character(symbol, first, last, float(logprobs[first:last, token].max()))
