"""wav2vec 2.0, HuBERT, WavLM and similar models with a CTC head over cased, punctuated characters.

Each clip is transcribed alone and at its own length, so that other clips of a batch cannot change its text: padding
does, where a network normalises over time or was trained without masks. On a CPU a padded batch is slower; on a GPU a
clip of some seconds keeps a large network busy by itself. The last digit of a probability may depend on the number of
threads.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from speech_defects.packages import ensure_torchaudio

from speechmill.asr import SAMPLE_RATE_HZ, Transcript, Word, ctc
from speechmill.core.config import Asr
from speechmill.core.config_errors import ConfigError
from speechmill.text.normal_form import clean

ensure_torchaudio()
from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer  # noqa: E402 - imports torchaudio
from transformers.utils import logging as transformers_logging  # noqa: E402

transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()

DIGITS = 4  # probabilities are stored rounded

Wave = npt.NDArray[np.float32]

log = logging.getLogger("speechmill")


class Wav2Vec2:
    """A CTC model that transformers loads from a folder with safetensors. See asr.Transcriber.

    A character's probability is the highest that its frames give it, a word's the geometric mean over its characters.
    """

    def __init__(self, folder: str, config: Asr, device: str = "cpu") -> None:
        """Load a folder. Raises ConfigError where it, or the language model, cannot be used."""
        self._language, self._device = config.language, device
        self._extractor, network = load_network(folder, "asr.model")
        if not any(name.endswith("ForCTC") for name in network.config.architectures or ()):
            fix = "train one with `speechmill train asr --base`"
            raise ConfigError(f"asr.model: {folder} has no CTC head; {fix}")
        self._network = network.eval().to(device)
        self._frame_s = network.config.inputs_to_logits_ratio / SAMPLE_RATE_HZ
        self._alphabet = alphabet(_load(AutoTokenizer, folder, "asr.model"), network.config.vocab_size)
        self._decode = _decoder(self._alphabet, config)

    def transcribe(self, waves: Sequence[Wave]) -> list[Transcript]:
        """See Transcriber."""
        return [self._transcribe_clip(wave) for wave in waves]

    def in_parts(self, waves: Sequence[Wave]) -> Iterator[dict[int, Transcript]]:
        """See asr.transcribe_in_parts."""
        yield from ({i: self._transcribe_clip(wave)} for i, wave in enumerate(waves))

    def _transcribe_clip(self, wave: Wave) -> Transcript:
        """Transcribe one clip; a failure becomes its `error`."""
        try:
            return self._transcript(self.logprobs(wave), wave.size / SAMPLE_RATE_HZ)
        except (RuntimeError, ValueError) as error:
            log.warning("transcribe: %s", error)
            return Transcript(error=f"{type(error).__name__}: {error}")

    @torch.inference_mode()
    def logprobs(self, wave: Wave) -> ctc.LogProbs:
        """Log-probabilities of each frame: float32[n] samples at 16 kHz to float32[frames, outputs]."""
        if not wave.size:
            raise ValueError("a clip without sound")
        values = self._extractor(wave, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").input_values
        # TF32, which PyTorch allows convolutions, would round to three digits, and on some cards only.
        with torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            logits = self._network(values.to(self._device)).logits[0]
        logprobs: ctc.LogProbs = logits.log_softmax(-1).cpu().numpy()
        return logprobs

    def _transcript(self, logprobs: ctc.LogProbs, seconds: float) -> Transcript:
        characters = list(ctc.spell(self._decode(logprobs), logprobs, self._alphabet))
        words = tuple(self._words(characters, seconds))
        if not words:
            return Transcript(language=self._language)
        return Transcript(
            text=" ".join(word.word for word in words), words=words, language=self._language,
            asr_confidence=round(float(np.mean([word.probability for word in words])), DIGITS),
            avg_logprob=round(float(np.mean([character.logprob for character in characters])), DIGITS),
        )  # fmt: skip

    def _words(self, characters: Sequence[ctc.Character], seconds: float) -> list[Word]:
        """Split characters at spaces into words with times."""
        runs = [list(run) for space, run in groupby(characters, lambda character: character.symbol == " ") if not space]
        return [
            Word(
                word=word,
                start_s=round(min(run[0].first * self._frame_s, seconds), 2),
                end_s=round(min(run[-1].last * self._frame_s, seconds), 2),
                probability=round(math.exp(np.mean([character.logprob for character in run])), DIGITS),
            )
            for run in runs
            if (word := clean("".join(character.symbol for character in run)))
        ]


def load_network(folder: str | Path, key: str, **options: Any) -> tuple[Any, Any]:
    """Load feature extractor and network from a folder; no code in it is run and nothing is unpickled.

    Raises ConfigError that names `key`.
    """
    if not any(Path(folder).glob("*.safetensors")):
        fix = "save the network with transformers' save_pretrained, which writes model.safetensors"
        raise ConfigError(f"{key}: no safetensors in {folder}; {fix}")
    extractor = _load(AutoFeatureExtractor, folder, key)
    if extractor.sampling_rate != SAMPLE_RATE_HZ:
        raise ConfigError(f"{key}: {folder} hears {extractor.sampling_rate} Hz, not {SAMPLE_RATE_HZ}")
    return extractor, _load(AutoModelForCTC, folder, key, use_safetensors=True, dtype=torch.float32, **options)


def _load(part: Any, folder: str | Path, key: str, **options: Any) -> Any:
    try:
        # Left open, a folder that names code of its own would have the user asked whether to run it.
        return part.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        raise ConfigError(f"{key}: {folder}: {' '.join(str(error).split())[:200]}") from None


def alphabet(tokenizer: Any, outputs: int) -> ctc.Alphabet:
    """Alphabet of a tokenizer for `outputs` outputs; outputs that it does not name are silent."""
    names = {index: token for token, index in tokenizer.get_vocab().items()}
    space = tokenizer.word_delimiter_token_id
    silent = {*tokenizer.all_special_ids, *(set(range(outputs)) - names.keys())} - {space}
    tokens = tuple(names.get(index, f"<{index}>") for index in range(outputs))
    return ctc.Alphabet(tokens=tokens, blank=tokenizer.pad_token_id, space=space, silent=frozenset(silent))


def _decoder(letters: ctc.Alphabet, config: Asr) -> ctc.Decoder:
    if config.beam_size == 1 and config.language_model is None:
        return ctc.greedy
    model = Path(config.language_model).expanduser() if config.language_model else None
    try:
        return ctc.Beam(letters, config.beam_size, model, config.language_model_weight)
    except RuntimeError as error:
        fix = "give an ARPA or binary file of KenLM"
        raise ConfigError(f"asr.language_model: {model}: {' '.join(str(error).split())[-200:]}; {fix}") from None
