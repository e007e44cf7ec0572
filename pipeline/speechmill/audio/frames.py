"""Converts decoded frames of any sample format to float32."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from speechmill.audio.mixdown import Format
from speechmill.audio.opening import MAX_CHANNELS
from speechmill.audio.samples import Float32
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

SAMPLE_TYPES = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}
MAX_RATE_HZ = 768_000
MIN_RATE_HZ = 1_000


def check_format(rate: int, channels: int) -> None:
    """Raise RejectedError for a sample rate in Hz or a number of channels that no recording has."""
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ or not 1 <= channels <= MAX_CHANNELS:
        raise RejectedError(Reason.BAD_HEADER, f"{rate} Hz, {channels} channels")


def planes(frame: Any) -> list[npt.NDArray[Any]]:
    """Views of a frame's samples, one for each plane; its own to_ndarray() copies them and takes five times as long."""
    dtype = SAMPLE_TYPES.get(frame.format.name.removesuffix("p"))
    if dtype is None:  # 64-bit integers: no microphone has such a range
        raise RejectedError(Reason.BAD_HEADER, f"{frame.format.name} samples")
    channels = frame.layout.nb_channels
    planes, count = (channels, frame.samples) if frame.format.is_planar else (1, frame.samples * channels)
    # PyAV reads up to the next null pointer: for 42 channels it gives 48 planes, six of them invalid memory.
    return [np.frombuffer(plane, dtype, count) for plane in frame.planes[:planes]]


def scaled(frames: list[list[npt.NDArray[Any]]], form: Format) -> Float32:
    """Convert frames to float32[channels, n] in [-1, 1]; planar frames have a plane per channel, packed ones one."""
    planes = len(frames[0])
    samples = np.concatenate([*itertools.chain.from_iterable(zip(*frames, strict=True))]).reshape(planes, -1)
    if not form.sample_format.endswith("p"):
        samples = samples.reshape(-1, len(form.names)).T
    scaled: Float32 = samples.astype(np.float32, copy=False)
    if samples.dtype.kind == "u":
        scaled = (scaled - 128) / np.float32(128)
    elif samples.dtype.kind == "i":
        scaled = scaled / np.float32(-float(np.iinfo(samples.dtype).min))
    return scaled
