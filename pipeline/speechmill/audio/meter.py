"""Measures how much of the speech each candidate mixdown would lose.

The mean of two channels is silent where their phases are opposite, has notches where one is delayed, and is 6 dB low
where one is empty. So in each band and moment with speech in some channel, the level of every candidate is compared
with that of the loudest channel. Speech is what rises above the background of its own channel and band, so that
noise does not favour a channel. Windows are counted in samples: blocks of any length give the same result.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from speechmill.audio.samples import Float32

WINDOW_S = 5.0  # long enough to contain pauses in each band
FRAME_S = 0.04
MOMENT_FRAMES = 4  # frames of a moment, so that a channel delayed by 30 ms has the same content
BANDS = 24
LOWEST_HZ, HIGHEST_HZ = 80.0, 8_000.0
RISE = 10.0  # smallest energy ratio of speech to background
BACKGROUND_PERCENT = 20
RANGE = 3e-4  # range of energies in a window that are compared: 35 dB
FAINT = 10 ** (-75 / 20)  # amplitude of a tone: below counts as silence
SAME = 1e-4  # difference of two equal channels after coding, relative to their peak
WORST_DB = 20.0
MIN_CELLS = 20  # fewer in a window are not significant


@dataclass(frozen=True, slots=True)
class Window:
    """For each candidate, mean level difference in dB from the loudest channel, over `cells` bands and moments."""

    losses_db: Float32
    cells: int
    level: float  # energy of the loudest channel
    has_speech: bool  # else it is steady sound, which is less informative
    w_distance_db: float  # level difference of the first channel and the sum of the others: 0 in ambisonics


@dataclass
class Meter:
    """Measures float32[channels, n] blocks. Candidates: mean, sum, half the difference, then each channel."""

    rate: int
    channels: int
    windows: list[Window] = field(default_factory=list)
    peak_of_sum: float = 0.0
    _gathered: list[Float32] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.frame = 1 << round(math.log2(self.rate * FRAME_S))
        self.window_frames = round(WINDOW_S * self.rate / self.frame)
        self._rest = np.zeros((self.channels, 0), np.float32)
        self._shape = np.hanning(self.frame).astype(np.float32)
        self._edges = _band_edges(self.rate, self.frame)
        self._faint = (FAINT * self.frame / 4) ** 2

    @property
    def window_samples(self) -> int:
        """Samples of a channel in a window."""
        return self.window_frames * self.frame

    def hear(self, block: Float32) -> None:
        """Add a block, float32[channels, n]."""
        data = np.concatenate([self._rest, block], axis=1)
        whole = data.shape[1] // self.frame * self.frame
        self._rest = data[:, whole:].copy()
        self.peak_of_sum = max(self.peak_of_sum, float(np.abs(np.add.reduce(block, axis=0)).max(initial=0)))
        if whole:
            self._gathered.append(self._energies(data[:, :whole].reshape(self.channels, -1, self.frame)))
        while sum(part.shape[1] for part in self._gathered) >= self.window_frames:
            joined = np.concatenate(self._gathered, axis=1)
            self.windows.append(self._window(joined[:, : self.window_frames]))
            self._gathered = [joined[:, self.window_frames :]]

    def finish(self) -> list[Window]:
        """All windows, the last one shorter."""
        if any(part.shape[1] for part in self._gathered):
            self.windows.append(self._window(np.concatenate(self._gathered, axis=1)))
            self._gathered = []
        return self.windows

    def _energies(self, frames: Float32) -> Float32:
        """Energies of the candidates, [candidates, frames, bands]."""
        is_same = self.channels == 2 and np.abs(frames[0] - frames[1]).max() <= SAME * np.abs(frames[0]).max()
        spectra = np.fft.rfft((frames[:1] if is_same else frames) * self._shape)
        spectra = spectra[..., : self._edges[-1]]
        if is_same:
            spectra = np.repeat(spectra, 2, axis=0)
        total = spectra.sum(axis=0)
        difference = (spectra[0] - spectra[1]) / 2
        mixes = np.concatenate([np.stack([total / self.channels, total, difference]), spectra])
        squares = mixes.real**2 + mixes.imag**2
        energies: Float32 = np.add.reduceat(squares, self._edges[:-1], axis=-1).astype(np.float32)
        return energies

    def _window(self, energies: Float32) -> Window:
        energies = np.add.reduceat(energies, np.arange(0, energies.shape[1], MOMENT_FRAMES), axis=1)
        channel_energies = energies[3:]
        background = np.percentile(channel_energies, BACKGROUND_PERCENT, axis=1, keepdims=True)
        loudest = np.where(channel_energies > RISE * background, channel_energies, 0).max(axis=0)
        has_speech = int(np.count_nonzero(loudest > self._faint)) >= MIN_CELLS
        if not has_speech:
            loudest = channel_energies.max(axis=0)
        cells = loudest > max(self._faint, RANGE * float(loudest.max(initial=0)))
        level = float(loudest[cells].mean()) if cells.any() else 0.0
        losses = _distance_db(energies[:, cells], loudest[cells])
        others = _distance_db(channel_energies[1:, cells].sum(axis=0), channel_energies[0, cells])
        return Window(losses, int(cells.sum()), level, has_speech, float(others))


def _distance_db(energies: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> Float32:
    if not reference.size:
        return np.zeros(energies.shape[:-1], np.float32)
    ratio = np.log10(np.maximum(energies, 1e-30)) - np.log10(np.maximum(reference, 1e-30))
    distance: Float32 = np.minimum(np.abs(10 * ratio), WORST_DB).mean(axis=-1, dtype=np.float64).astype(np.float32)
    return distance


def _band_edges(rate: int, frame: int) -> npt.NDArray[np.int64]:
    """FFT bins at which bands of equal width in mel begin, and the end of the last band."""
    highest = min(HIGHEST_HZ, 0.48 * rate)
    mel = np.linspace(math.log1p(LOWEST_HZ / 700), math.log1p(highest / 700), BANDS + 1)
    return np.unique(np.maximum(np.rint(700 * np.expm1(mel) * frame / rate).astype(np.int64), 1))
