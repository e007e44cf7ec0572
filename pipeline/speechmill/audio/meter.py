"""Measures what each way of mixing channels down would lose of the speech in them.

The mean of two channels is silence where their phases are opposite, has holes where one lags, and is 6 dB low where
one is empty. So, in each band and moment in which some channel has speech, the level of every candidate is compared
with that of the channel that has most. Speech is what rises over the background of its own channel and band, so that
noise is no reason to keep a channel. Windows are counted in samples: blocks of any length give the same.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from speechmill.audio.samples import Float32

WINDOW_S = 5.0  # long enough for pauses in each band
FRAME_S = 0.04
MOMENT_FRAMES = 4  # are one moment, so that a channel that lags by 30 ms has the same in it
BANDS = 24
LOWEST_HZ, HIGHEST_HZ = 80.0, 8_000.0
RISE = 10.0  # energy of speech over background
BACKGROUND_PERCENT = 20
RANGE = 3e-4  # of energies in a window that are compared: 35 dB
FAINT = 10 ** (-75 / 20)  # amplitude of a tone: less is no sound
SAME = 1e-4  # difference of two channels, of their peak, that a codec makes of one
WORST_DB = 20.0
MIN_CELLS = 20  # in a window: less says nothing


@dataclass(frozen=True, slots=True)
class Window:
    """Mean distance in dB from the fullest channel, for each candidate, over so many bands and moments."""

    losses_db: Float32
    cells: int
    level: float  # energy of the fullest channel
    has_speech: bool  # else it is a steady sound, which says less
    w_distance_db: float  # of the first channel from the others' joint energy: 0 in ambisonics


@dataclass
class Meter:
    """Hears float32[channels, n] blocks. Candidates are the mean, the sum, half the difference, then each channel."""

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
        """Add a block."""
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
        """The windows, with what is left in a last one."""
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
        own = energies[3:]
        background = np.percentile(own, BACKGROUND_PERCENT, axis=1, keepdims=True)
        fullest = np.where(own > RISE * background, own, 0).max(axis=0)
        has_speech = int(np.count_nonzero(fullest > self._faint)) >= MIN_CELLS
        if not has_speech:
            fullest = own.max(axis=0)
        cells = fullest > max(self._faint, RANGE * float(fullest.max(initial=0)))
        level = float(fullest[cells].mean()) if cells.any() else 0.0
        losses = _distance_db(energies[:, cells], fullest[cells])
        others = _distance_db(own[1:, cells].sum(axis=0), own[0, cells])
        return Window(losses, int(cells.sum()), level, has_speech, float(others))


def _distance_db(energies: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> Float32:
    if not reference.size:
        return np.zeros(energies.shape[:-1], np.float32)
    ratio = np.log10(np.maximum(energies, 1e-30)) - np.log10(np.maximum(reference, 1e-30))
    distance: Float32 = np.minimum(np.abs(10 * ratio), WORST_DB).mean(axis=-1, dtype=np.float64).astype(np.float32)
    return distance


def _band_edges(rate: int, frame: int) -> npt.NDArray[np.int64]:
    """Bins at which bands of even width in mel begin, and the end of the last."""
    highest = min(HIGHEST_HZ, 0.48 * rate)
    mel = np.linspace(math.log1p(LOWEST_HZ / 700), math.log1p(highest / 700), BANDS + 1)
    return np.unique(np.maximum(np.rint(700 * np.expm1(mel) * frame / rate).astype(np.int64), 1))
