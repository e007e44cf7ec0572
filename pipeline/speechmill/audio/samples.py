"""Conversions of samples: 16-bit integers, FLAC, other sample rates."""

import io

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

Float32 = npt.NDArray[np.float32]
Int16 = npt.NDArray[np.int16]

INT16_STEPS = 32_768


def to_int16(block: Float32) -> Int16:
    """Round float32 in [-1, 1] to int16; values beyond full scale are clipped. Exact for 16-bit sources."""
    return np.clip(np.rint(block * INT16_STEPS), -INT16_STEPS, INT16_STEPS - 1).astype(np.int16)


def encode_flac(samples: Int16, rate: int) -> bytes:
    """Encode int16[n] mono samples as FLAC; deterministic."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(data: bytes | memoryview) -> Int16:
    """Decode FLAC bytes made by `encode_flac` to int16[n]."""
    samples: Int16 = soundfile.read(io.BytesIO(data), dtype="int16")[0]
    return samples


def resample(samples: Int16, rate: int, target: int) -> Float32:
    """Resample a whole clip, int16[n] at `rate` Hz, to float32 in [-1, 1] at `target` Hz."""
    floats: Float32 = samples.astype(np.float32) / np.float32(INT16_STEPS)
    return floats if rate == target else np.asarray(soxr.resample(floats, rate, target, quality="HQ"), np.float32)
