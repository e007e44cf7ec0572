"""ASR models: clips in, transcripts with word times out. One module for each backend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from speechmill.core import plugins
from speechmill.core.config import Asr

SAMPLE_RATE_HZ = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word with its start and end in the clip, in seconds, and its probability, 0 to 1."""

    word: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """The hypothesis of an ASR model for a clip. `error` says why there is none."""

    text: str = ""
    words: tuple[Word, ...] = ()
    language: str | None = None
    language_probability: float | None = None
    asr_confidence: float | None = None
    avg_logprob: float | None = None  # of the text's tokens
    no_speech_probability: float | None = None
    error: str | None = None


class Transcriber(Protocol):
    """A loaded ASR model."""

    def transcribe(self, waves: Sequence[npt.NDArray[np.float32]]) -> list[Transcript]:
        """Transcribe float32[T] waves in [-1, 1] at 16 kHz, shorter than 30 s; one result each, in order.

        A clip's result does not depend on the others.
        """
        ...


def transcribe_in_parts(
    model: Transcriber, waves: Sequence[npt.NDArray[np.float32]]
) -> Iterator[dict[int, Transcript]]:
    """Transcribe waves, in the order that suits the model: transcripts by index, as soon as there are any.

    A model with a method `in_parts` gives them batch by batch; others, such as those of plug-ins, all at the end.
    """
    in_parts = getattr(model, "in_parts", None)
    if in_parts is None:
        yield dict(enumerate(model.transcribe(waves)))
    else:
        yield from in_parts(waves)


@lru_cache(maxsize=2)  # the model and the cross-check; loaded once a process and shared by its threads
def load(model: str, config: Asr, device: str, compute_type: str) -> Transcriber:
    """Load an ASR model. A plug-in that can load the folder takes precedence over the backends of this package.

    Args:
        model: Folder of the model.
        config: Settings of the ASR stage.
        device: cpu or cuda.
        compute_type: A compute type of CTranslate2; wav2vec2 models ignore it.
    """
    if backend := plugins.asr_backend(Path(model)):
        plugged_in: Transcriber = backend.value.load(model, config, device, compute_type)
        return plugged_in
    if (Path(model) / "model.bin").is_file():
        from speechmill.asr.whisper import Whisper

        return Whisper(model, config, device, compute_type)
    from speechmill.asr.wav2vec2 import Wav2Vec2

    return Wav2Vec2(model, config, device)
