"""Mixes many channels down to one, so that speech keeps its level whatever the layout.

The mean is used where it loses nothing, as in most podcasts. Elsewhere it is the channel with
all the speech, half the difference of two, or the sum of channels with different speakers. This is decided for the
whole recording or, where no single mixdown works, by window.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from speechmill.audio.meter import MIN_CELLS, Meter, Window
from speechmill.audio.samples import Float32

MEAN, SUM, DIFFERENCE, FIRST_CHANNEL = range(4)  # candidates, in the order of the meter
GOOD_DB, BAD_DB = (
    2.0,
    4.5,
)  # largest mean loss over a recording, and in one window: a silent channel costs the mean 6 dB
STEADY_GOOD_DB, STEADY_BAD_DB = (
    5.0,
    5.5,
)  # for steady sound: the mean of two noise channels is 4 dB lower without any loss
TIE_DB = 0.25
SWITCH_DB = 12.0  # cost of a change of the mix, in dB summed over windows
QUIET = 1e-4  # relative to loud windows: below is background
FADE_S = 0.02
AMBISONIC_DB = 4.0
EFFECTS_DB = 15.0  # what a channel of low frequency effects lacks of the speech of all; it ends at 120 Hz
HEADROOM = 0.999


@dataclass(frozen=True, slots=True)
class Format:
    """Sample rate, and FFmpeg's names of the layout and of each channel."""

    rate: int
    layout: str
    names: tuple[str, ...]
    sample_format: str
    has_tracks: bool = False  # the channels are tracks, whatever their names; a layout is often a mere guess

    @property
    def used(self) -> tuple[int, ...]:
        """Channels that can carry speech: without low frequency effects; of ambisonics only W."""
        if self.is_ambisonic:
            return (0,)
        if self.has_tracks:
            return tuple(range(len(self.names)))
        return tuple(i for i, name in enumerate(self.names) if not name.startswith("low frequency")) or (0,)

    @property
    def is_ambisonic(self) -> bool:
        """Whether the layout is ambisonic."""
        return self.layout.startswith("ambisonic")

    def name(self, channel: int) -> str:
        """Name of a channel for messages: left, back right, channel 3."""
        if len(self.names) == 2:
            return ("left", "right")[channel]
        channel_name = self.names[channel]
        return f"channel {channel + 1}" if channel_name in ("none", "unknown", "") else channel_name


@dataclass(frozen=True, slots=True)
class Mix:
    """Mixdown of one stretch of constant format: (first sample, candidate), in order."""

    pieces: tuple[tuple[int, int], ...] = ((0, MEAN),)
    gain: float = 1.0  # gain of the sum, so that it does not clip
    name: str = "mean"
    remark: str | None = None
    has_tracks: bool = False  # see Format

    @property
    def is_default(self) -> bool:
        """Whether it is the mean, the default of a mixer."""
        return self.pieces == ((0, MEAN),) and not self.has_tracks


@dataclass
class Mixer:
    """Mixes float32[channels, n] blocks of one stretch down as in `mix`; if None, to the mean, and measures others."""

    format: Format
    mix: Mix | None  # None: the mean, and measure the others
    _at: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.mix is not None and self.mix.has_tracks:
            self.format = replace(self.format, has_tracks=True)
        self._used = self.format.used
        is_plain = len(self._used) == 1 or self.mix is not None
        self._meter = None if is_plain else Meter(self.format.rate, len(self._used))
        self._tracks = replace(self.format, has_tracks=True)
        is_same = self.mix is not None or self._tracks.used == self._used
        self._meter_of_tracks = None if is_same else Meter(self.format.rate, len(self._tracks.used))

    def take(self, block: Float32) -> Float32:
        """Mix the next block, float32[channels, n], to float32[n]."""
        tracks, block = block, block if len(self._used) == len(block) else block[list(self._used)]
        with np.errstate(all="ignore"):  # values that are not finite are rejected later
            if self._meter is not None:
                self._meter.hear(block)
            if self._meter_of_tracks is not None:
                self._meter_of_tracks.hear(tracks)
        mix = self.mix or Mix()
        start, self._at = self._at, self._at + block.shape[1]
        if len(mix.pieces) == 1:
            return _mixed(block, mix.pieces[0][1], mix.gain)
        return self._faded(block, mix, start)

    def _faded(self, block: Float32, mix: Mix, start: int) -> Float32:
        """Mix with crossfades between pieces."""
        fade, places = FADE_S * self.format.rate, np.arange(start, start + block.shape[1])
        mixed = np.zeros(block.shape[1], np.float32)
        for number, (first, candidate) in enumerate(mix.pieces):
            last = mix.pieces[number + 1][0] if number + 1 < len(mix.pieces) else None
            if first >= places[-1] + 1 or (last is not None and last + fade < start):
                continue
            weight = np.clip((places - first) / fade, 0, 1) if number else np.ones(places.size)
            if last is not None:
                weight = weight - np.clip((places - last) / fade, 0, 1)
            mixed += weight.astype(np.float32) * _mixed(block, candidate, mix.gain)
        return mixed

    def decide(self) -> Mix:
        """The best mixdown of these channels, after all blocks were taken."""
        if self.mix is not None:
            return self.mix
        if self.format.is_ambisonic:
            return Mix(name="w")
        if len(self.format.names) == 1:
            return Mix(name="mono")
        if self._meter_of_tracks is not None and _speaks(self._meter_of_tracks, self.format):
            return replace(_decided(self._meter_of_tracks, self._tracks), has_tracks=True)
        if self._meter is None:
            return Mix(name=self.format.name(self._used[0]))
        return _decided(self._meter, self.format)


def _mixed(block: Float32, candidate: int, gain: float) -> Float32:
    if candidate >= FIRST_CHANNEL or len(block) == 1:
        channel: Float32 = block[max(candidate - FIRST_CHANNEL, 0)]
        return channel
    if candidate == DIFFERENCE:
        mixed: Float32 = (block[0] - block[1]) / np.float32(2)
        return mixed
    total: Float32 = np.add.reduce(block, axis=0)
    return total / np.float32(len(block)) if candidate == MEAN else total * np.float32(gain)


def _decided(meter: Meter, form: Format) -> Mix:
    windows = meter.finish()
    informative = _informative_windows(windows)
    gain = min(1.0, HEADROOM / max(meter.peak_of_sum, 1e-9))
    if not informative:
        return Mix()
    losses = np.stack([windows[i].losses_db for i in informative]).astype(np.float64)
    weights = np.array([windows[i].cells for i in informative], np.float64)
    means = weights @ losses / weights.sum()
    if _is_first_order(windows, informative, weights, form):
        return Mix(((0, FIRST_CHANNEL),), name="w")
    is_steady = not windows[informative[0]].has_speech
    candidate = _for_all(means, losses.max(axis=0), is_steady=is_steady, is_stereo=len(form.names) == 2)
    if candidate is not None:
        return Mix(((0, candidate),), gain, _name(candidate, form))
    return _by_window(losses, informative, meter.window_samples, gain=gain, form=form)


def _speaks(meter: Meter, form: Format) -> bool:
    """Whether a channel that is named low frequency effects carries speech: it is the track of a microphone."""
    windows = meter.finish()
    informative = [windows[i] for i in _informative_windows(windows) if windows[i].has_speech]
    if not informative:
        return False
    losses = np.average([window.losses_db for window in informative], axis=0, weights=[w.cells for w in informative])
    return bool(min(losses[FIRST_CHANNEL + i] for i in range(len(form.names)) if i not in form.used) < EFFECTS_DB)


def _informative_windows(windows: Sequence[Window]) -> list[int]:
    """Indices of windows with speech or, where there are none, with any sound; without background."""
    for kinds in ((True,), (False,)):
        indices = [i for i, window in enumerate(windows) if window.has_speech in kinds and window.cells >= MIN_CELLS]
        if indices:
            loud = float(np.percentile([windows[i].level for i in indices], 95))
            return [i for i in indices if windows[i].level >= QUIET * loud]
    return []


def _is_first_order(
    windows: Sequence[Window], informative: Sequence[int], weights: npt.NDArray[np.float64], form: Format
) -> bool:
    """Whether four unnamed channels are W, Y, Z and X: the last three have together as much energy as the first."""
    is_unnamed = len(form.names) == 4 and set(form.names) <= {"none", "unknown", ""}
    distances = np.array([windows[i].w_distance_db for i in informative])
    return is_unnamed and float(weights @ distances / weights.sum()) < AMBISONIC_DB


def _for_all(
    means: npt.NDArray[np.float64], worst: npt.NDArray[np.float64], *, is_steady: bool, is_stereo: bool
) -> int | None:
    """The first candidate that is good for the whole recording: mean, difference, loudest channel, sum; else None."""
    good, bad = (STEADY_GOOD_DB, STEADY_BAD_DB) if is_steady else (GOOD_DB, BAD_DB)
    if means[MEAN] <= good and worst[MEAN] <= bad:
        return MEAN
    is_good = (means <= GOOD_DB) & (worst <= BAD_DB)
    if is_stereo and is_good[DIFFERENCE] and means[DIFFERENCE] <= means[FIRST_CHANNEL:].min() + TIE_DB:
        return DIFFERENCE
    loudest = FIRST_CHANNEL + int(np.argmax(means[FIRST_CHANNEL:] <= means[FIRST_CHANNEL:].min() + TIE_DB))
    if is_good[loudest]:
        return loudest
    return SUM if is_good[SUM] else None


def _by_window(
    losses: npt.NDArray[np.float64], informative: Sequence[int], window_samples: int, *, gain: float, form: Format
) -> Mix:
    """The cheapest sequence of candidates over the windows, where each change has a cost (Viterbi).

    Args:
        losses: float64[windows, candidates] in dB.
        informative: Index of each window in the recording.
        window_samples: Length of a window.
        gain: Of the sum.
        form: Of the channels.
    """
    if len(form.names) != 2:
        losses[:, DIFFERENCE] = np.inf
    cost, came_from = losses[0], np.zeros(losses.shape, np.int64)
    for number in range(1, len(losses)):
        switched = cost.min() + SWITCH_DB
        came_from[number] = np.where(cost <= switched, np.arange(cost.size), cost.argmin())
        cost = np.minimum(cost, switched) + losses[number]
    path = [int(cost.argmin())]
    for number in range(len(losses) - 1, 0, -1):
        path.append(int(came_from[number, path[-1]]))
    path.reverse()
    pieces = [(0, path[0])]
    pieces += [(informative[i] * window_samples, path[i]) for i in range(1, len(path)) if path[i] != path[i - 1]]
    distance = float(np.mean([losses[i, path[i]] for i in range(len(path))]))
    return _in_words(pieces, distance, gain=gain, form=form)


def _in_words(pieces: Sequence[tuple[int, int]], distance_db: float, *, gain: float, form: Format) -> Mix:
    names = [f"{_name(candidate, form)} from {first / form.rate:.0f} s" for first, candidate in pieces]
    remarks = [f"mixed down by the window: {', '.join(names[:5])}"] if len(pieces) > 1 else []
    if distance_db > GOOD_DB:
        remarks.append(f"no mixdown keeps the level of all channels, this one is {distance_db:.1f} dB off on average")
    name = "varying" if len(pieces) > 1 else _name(pieces[0][1], form)
    return Mix(tuple(pieces), gain, name, "; ".join(remarks) or None)


def _name(candidate: int, form: Format) -> str:
    if candidate < FIRST_CHANNEL:
        return ("mean", "sum", "difference")[candidate]
    return form.name(form.used[candidate - FIRST_CHANNEL])


def name_of(mixes: Sequence[Mix]) -> str:
    """One name for the mixdowns of a recording."""
    names = {mix.name for mix in mixes}
    if len(names) > 1:
        names -= {"mono"}
    return names.pop() if len(names) == 1 else "varying"
