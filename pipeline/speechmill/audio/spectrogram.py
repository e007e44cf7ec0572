"""Draws spectrograms as small PNGs, so that defects can be seen at a glance.

Those of clips are linear in frequency up to half the corpus rate, which shows band limits, hum and coding.
"""

import math
import struct
import zlib

import numpy as np
import numpy.typing as npt

COLUMNS, ROWS = 480, 96
BINS_A_ROW = 4
WINDOW = 2 * ROWS * BINS_A_ROW  # 768 samples: 32 ms at 24 kHz
RANGE_DB = 75.0  # range below the loudest point
LEVELS = 48  # as many as can be distinguished; fewer bytes than 256
COLOURS = (
    (8, 8, 20),
    (61, 20, 94),
    (160, 45, 107),
    (236, 105, 75),
    (252, 233, 165),
)  # dark to light, even in lightness


def draw(samples: npt.NDArray[np.int16]) -> bytes:
    """PNG of int16[n] samples, n ≥ 1, at most COLUMNS × ROWS pixels. Time to the right, frequency upwards."""
    hop = max(WINDOW // 4, math.ceil(len(samples) / COLUMNS))
    padded = np.pad(samples.astype(np.float32), (0, WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: len(samples) : hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32)))[:, 1:] ** 2
    pooled = power.reshape(len(frames), ROWS, BINS_A_ROW).mean(axis=2).T[::-1]
    decibels = 10 * np.log10(pooled + 1.0)  # 1.0: far below one step of 16 bits, so silence is finite
    return paint((decibels - decibels.max()) / RANGE_DB + 1)


def paint(levels: npt.NDArray[np.float32]) -> bytes:
    """PNG with a pixel per value of float32[rows, columns]: dark at 0 and below, light at 1 and above."""
    return _png(np.round(np.clip(levels, 0, 1) * (LEVELS - 1)).astype(np.uint8))


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    """Indexed PNG of uint8[height, width] (https://www.w3.org/TR/png-3/)."""
    height, width = image.shape
    rows = np.pad(image, ((0, 0), (1, 0))).tobytes()  # each row begins with its filter: none
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", _palette()), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _palette() -> bytes:
    at = np.linspace(0, len(COLOURS) - 1, LEVELS)
    channels = [np.interp(at, range(len(COLOURS)), channel) for channel in zip(*COLOURS, strict=True)]
    return np.stack(channels, axis=1).round().astype(np.uint8).tobytes()
