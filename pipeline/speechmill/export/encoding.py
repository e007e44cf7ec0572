"""Audio files of a clip: decoded, resampled and encoded once, for all formats that want the same.

Equal samples give equal bytes: the headers have neither times nor random numbers.
"""

import io
import struct
from typing import Any

import numpy as np

from speechmill.audio import Int16, decode_flac, encode_flac, resample, to_int16
from speechmill.export.base import Audio, Content

OPUS_BITS = 64_000  # bits per second, one voice
WAV_HEADER_BYTES = 44


class Sound:
    """The audio of one clip. Raises ValueError where its FLAC cannot be decoded."""

    def __init__(self, flac: Content, rate: int) -> None:
        self._flac, self._rate = flac, rate
        self._samples: dict[int, Int16] = {}
        self._encoded: dict[Audio, Content] = {}

    def encoded(self, audio: Audio) -> Content:
        """Bytes of an audio file: 16-bit WAV or FLAC, or Opus in Ogg."""
        if audio not in self._encoded:
            self._encoded[audio] = self._encode(audio)
        return self._encoded[audio]

    def _encode(self, audio: Audio) -> Content:
        if audio.is_copy:
            return self._flac
        samples = self._at(audio.rate)
        if audio.kind == "wav":
            return wav(samples, audio.rate)
        return encode_flac(samples, audio.rate) if audio.kind == "flac" else opus(samples, audio.rate)

    def _at(self, rate: int) -> Int16:
        """Samples at a rate."""
        if not self._samples:
            try:
                self._samples[self._rate] = decode_flac(self._flac)
            except RuntimeError as error:  # of libsndfile
                raise ValueError(f"its FLAC cannot be decoded ({error})") from None
        if rate not in self._samples:
            self._samples[rate] = to_int16(resample(self._samples[self._rate], self._rate, rate))
        return self._samples[rate]


def wav(samples: Int16, rate: int) -> bytes:
    """16-bit mono WAV of int16[n], with the shortest header.

    >>> len(wav(np.zeros(10, np.int16), 22_050))
    64
    """
    data = samples.astype("<i2", copy=False).tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data",
        len(data),
    )  # fmt: skip
    return head + data


def opus(samples: Int16, rate: int) -> bytes:
    """Ogg Opus of int16[n]; `rate` is one of Opus' own."""
    import av

    buffer = io.BytesIO()
    exact = {"fflags": "+bitexact"}  # else serial numbers are random
    with av.open(buffer, "w", format="ogg", container_options=exact) as container:
        stream: Any = container.add_stream("libopus", rate=rate, layout="mono", options={"flags": "+bitexact"})
        stream.bit_rate = OPUS_BITS
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return buffer.getvalue()


def length_in_bytes(audio: Audio, seconds: float, flac_bytes: float, rate: int) -> float:
    """Size of an audio file: exact for WAV and copies, else an estimate from the size of the FLAC at `rate`."""
    if audio.kind == "wav":
        return WAV_HEADER_BYTES + 2 * round(seconds * audio.rate)
    return seconds * OPUS_BITS / 8 if audio.kind == "opus" else flac_bytes * audio.rate / rate
