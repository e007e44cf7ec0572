import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from faster_whisper import WhisperModel
from speechmill.asr import Transcript, Word
from speechmill.core.config import Asr
from speechmill.fetch import model_folder


class Greedy:
    """A Whisper that takes the likeliest token each time. Its folder names the Whisper: {"whisper": "tiny.en"}."""

    def __init__(self, folder: str, config: Asr, device: str, compute_type: str) -> None:
        whisper = json.loads(Path(folder, "greedy.json").read_text())["whisper"]
        self.model = WhisperModel(str(model_folder(whisper)), device=device, compute_type=compute_type)

    def transcribe(self, waves: Sequence[np.ndarray]) -> list[Transcript]:
        return [self._transcript(wave) for wave in waves]

    def _transcript(self, wave: np.ndarray) -> Transcript:
        segments, about = self.model.transcribe(wave, beam_size=1, word_timestamps=True)
        found = [word for segment in segments for word in segment.words or ()]
        words = [Word(word=w.word.strip(), start_s=w.start, end_s=w.end, probability=w.probability) for w in found]
        confidence = float(np.mean([word.probability for word in words])) if words else None
        text = " ".join(word.word for word in words)
        return Transcript(text=text, words=tuple(words), language=about.language, asr_confidence=confidence)


def can_load(folder: Path) -> bool:
    return (folder / "greedy.json").is_file()


load = Greedy
