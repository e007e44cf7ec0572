"""Spectra and mel filters as the baselines' networks expect them."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from speech_defects import RATE, Float32


def spectra(wave: Float32, *, size: int, hop: int, window: int | None = None) -> npt.NDArray[np.complex128]:
    """Spectra complex[F, size // 2 + 1] of Hann windows of `window` samples, centred in frames of `size`.

    Args:
        wave: float32[T].
        size: Samples of a frame.
        hop: Samples between frames.
        window: Samples of the Hann window; None: `size`.
    """
    wave = np.pad(wave, (0, max(0, size - len(wave))))
    window = window or size
    frames = np.lib.stride_tricks.sliding_window_view(wave, size)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    left = (size - window) // 2
    return np.asarray(np.fft.rfft(frames * np.pad(hann, (left, size - window - left))))


def slaney(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mel as in Slaney's Auditory Toolbox: linear up to 1 kHz, 27 steps an octave of 6.4 above."""
    return np.where(hertz < 1000, hertz * 3 / 200, 15 + 27 * np.log(np.maximum(hertz, 1.0) / 1000) / np.log(6.4))


def htk(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mel as in HTK: logarithmic throughout."""
    return 2595 * np.log10(1 + hertz / 700)


Scale = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def mel_edges(bands: int, scale: Scale, low_hz: float, high_hz: float) -> npt.NDArray[np.float64]:
    """Start, peak and end frequencies in Hz of triangular bands: float64[bands + 2], equally spaced in mel.

    Args:
        bands: Number of bands.
        scale: From Hz to mel.
        low_hz: Start of the first band.
        high_hz: End of the last band.
    """
    grid = np.linspace(low_hz, high_hz, 100_000)
    mel = scale(grid)
    return np.interp(np.linspace(mel[0], mel[-1], bands + 2), mel, grid)


def mel_filters(edges: npt.NDArray[np.float64], *, size: int) -> npt.NDArray[np.float64]:
    """Triangles of height 1 over the bins of a spectrum, float64[len(edges) - 2, size // 2 + 1]."""
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.fft.rfftfreq(size, 1 / RATE)
    return np.maximum(0.0, np.minimum((bins - low) / (peak - low), (high - bins) / (high - peak)))
