"""Voice activity detection: speech or not, for each 10 ms of a recording, by two detectors.

A detector is fed mono blocks as they are decoded and keeps only its own state, so a ten-hour file
needs the memory of a ten-minute one. Its marks take one byte per frame.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import soxr
from speech_defects.packages import packaged_weights

FRAMES_PER_S = 100
VAD_RATE_HZ = 16_000
FRAME = VAD_RATE_HZ // FRAMES_PER_S  # 160 samples
Float32 = npt.NDArray[np.float32]
Marks = npt.NDArray[np.bool_]


class Vad(Protocol):
    """A voice activity detector for one recording."""

    def feed(self, block: Float32) -> None:
        """Process the next float32[n] block in [-1, 1] at 16 kHz."""

    def marks(self) -> Marks:
        """End the recording; returns bool[frames], whether each 10 ms is speech."""


class WebRtc:
    """The Gaussian mixture detector of WebRTC, through webrtcvad. Mode 0 (lenient) to 3 (strict)."""

    gated = True  # it marks music and steady noise as speech, so it needs the energy gate

    def __init__(self, mode: int = 2) -> None:
        import webrtcvad

        self._vad = webrtcvad.Vad(mode)
        self._rest = b""
        self._marks = bytearray()

    def feed(self, block: Float32) -> None:
        """See Vad."""
        pcm = self._rest + np.clip(block * 32_768, -32_768, 32_767).astype(np.int16).tobytes()
        size = 2 * FRAME
        whole = len(pcm) - len(pcm) % size
        is_speech = self._vad.is_speech
        self._marks += bytes(is_speech(pcm[at : at + size], VAD_RATE_HZ) for at in range(0, whole, size))
        self._rest = pcm[whole:]

    def marks(self) -> Marks:
        """See Vad."""
        if self._rest:
            padded = self._rest.ljust(2 * FRAME, b"\0")
            self._marks.append(self._vad.is_speech(padded, VAD_RATE_HZ))
        return np.frombuffer(bytes(self._marks), np.bool_)


class Silero:
    """The recurrent network Silero v6, from the ONNX file in faster-whisper.

    The network runs over stretches of 30 s, each preceded by 2 s of earlier audio to settle its state, since
    the packaged interface starts each call from a zero state.
    """

    gated = False
    WINDOW = 512  # samples per decision of the network: 32 ms
    STRETCH = 938 * WINDOW  # 30 s
    SETTLE = 63 * WINDOW  # 2 s

    def __init__(self, threshold: float = 0.5) -> None:
        from faster_whisper.vad import get_vad_model

        packaged_weights("faster_whisper", "assets/silero_vad_v6.onnx")
        self._model = get_vad_model()
        self._threshold = threshold
        self._held = np.zeros(0, np.float32)  # settling audio of the next stretch, then audio not processed yet
        self._settle = 0
        self._samples = 0
        self._marks: list[npt.NDArray[np.bool_]] = []

    def feed(self, block: Float32) -> None:
        """See Vad."""
        self._samples += block.size
        self._held = np.concatenate([self._held, block])
        while self._held.size >= self._settle + self.STRETCH:
            self._run(self._settle + self.STRETCH)

    def _run(self, size: int) -> None:
        probabilities = self._model(self._held[:size].copy()).reshape(-1)[self._settle // self.WINDOW :]
        self._marks.append(probabilities >= self._threshold)
        self._settle = min(self.SETTLE, size)
        self._held = self._held[size - self._settle :]

    def marks(self) -> Marks:
        """See Vad."""
        frames = -(-self._samples // FRAME)
        unprocessed = self._held.size - self._settle
        if unprocessed:
            size = self._settle + -(-unprocessed // self.WINDOW) * self.WINDOW
            self._held = np.pad(self._held, (0, size - self._held.size))
            self._run(size)
        if not frames:
            return np.zeros(0, np.bool_)
        windows = np.concatenate(self._marks)
        centres = np.arange(frames) * FRAME + FRAME // 2
        return windows[np.minimum(centres // self.WINDOW, windows.size - 1)]


DETECTORS: dict[str, type[WebRtc] | type[Silero]] = {"webrtc": WebRtc, "silero": Silero}


class Listener:
    """Runs the VAD on a recording at the corpus rate, and measures the level of each 10 ms.

    The level is that of the deviation from the frame's mean, so that a DC offset does not count.
    """

    def __init__(self, vad: str, rate: int) -> None:
        self.detector = DETECTORS[vad]()
        self._rate = rate
        self._to_vad = soxr.ResampleStream(rate, VAD_RATE_HZ, 1, dtype="float32", quality="LQ")
        self._rest = np.zeros(0, np.float32)
        self._first = 0  # index in the recording of the first sample in _rest
        self._levels: list[npt.NDArray[np.float32]] = []
        self._frames = 0

    def hear(self, block: Float32) -> None:
        """Process the next float32[n] block in [-1, 1] at the corpus rate."""
        self.detector.feed(self._to_vad.resample_chunk(block) if self._rate != VAD_RATE_HZ else block)
        samples = np.concatenate([self._rest, block])
        count = (self._first + samples.size) * FRAMES_PER_S // self._rate - self._frames
        if count > 0:
            bounds = frame_start(np.arange(self._frames, self._frames + count + 1), self._rate) - self._first
            self._levels.append(_levels(samples, bounds))
            samples, self._first = samples[bounds[-1] :], self._first + int(bounds[-1])
            self._frames += count
        self._rest = samples

    def finish(self) -> tuple[Marks, Float32]:
        """End the recording; returns speech bool[frames] and level float32[frames] in dBFS, for each started 10 ms."""
        if self._rate != VAD_RATE_HZ:
            self.detector.feed(self._to_vad.resample_chunk(np.zeros(0, np.float32), last=True))
        if self._rest.size:
            self._levels.append(_levels(self._rest, np.array([0, self._rest.size])))
        levels = np.concatenate(self._levels) if self._levels else np.zeros(0, np.float32)
        self._levels.clear()  # ten hours of them are 14 MB
        marks = self.detector.marks()[: levels.size]
        return np.pad(marks, (0, levels.size - marks.size)), levels


def frame_start(frame: npt.NDArray[np.int64], rate: int) -> npt.NDArray[np.int64]:
    """First sample of 10 ms frames at a sample rate; exact also if 100 does not divide it."""
    return frame * rate // FRAMES_PER_S


SILENCE_POWER = 1e-10  # -100 dBFS, under the step of 16 bits


def _levels(samples: Float32, bounds: npt.NDArray[np.int64]) -> Float32:
    lengths = np.diff(bounds)
    inside = samples[: bounds[-1]].astype(np.float64)
    mean = np.add.reduceat(inside, bounds[:-1]) / lengths
    power = np.add.reduceat(inside * inside, bounds[:-1]) / lengths - mean * mean
    return (10 * np.log10(np.maximum(power, SILENCE_POWER))).astype(np.float32)
