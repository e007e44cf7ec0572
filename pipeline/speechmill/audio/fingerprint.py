"""Finds repeated sound by landmarks of its spectrogram, so that duplicates do not enter the training data.

The method is that of A. Wang, "An Industrial-Strength Audio Search Algorithm" (ISMIR 2003): local maxima of the
spectrogram survive coding, noise and gain; a few successive ones make a hash; equal hashes vote for a
place. Wang hashes two peaks, about 2^20 values: too few beyond some hours of speech. Six & Leman hash three in Panako
(ISMIR 2014), Sonnleitner & Widmer four (DAFx 2014); here it is four.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Struct = npt.NDArray[np.void]

# Spectrum. In seconds and hertz, so that any sample rate of the corpus works.
WINDOW_S = 0.064  # bins of 15.6 Hz: two harmonics of a low voice are apart
FRAME_S = 0.006  # a tenth of the window: a clip that is shifted by half a frame has the same peaks
LOW_HZ, HIGH_HZ = 200.0, 3_000.0  # the band that a telephone and 16 kbit/s preserve
# Peaks.
APART_HZ = 250.0  # a peak is the loudest bin within ± this …
APART_S = 0.054  # … and ± this
FLOOR_DB = 30.0  # below the loudest frame around; lower peaks are those of codec and noise
AROUND_S = 1.0
STEADY_DB = 1.0  # a tone that falls less than this within APART_S has no place in time: hum and beeps are everywhere
ROUNDING_DB = 50.0  # power of a sine of one step of 16 bits: 20 lg(0.064 s × 24 kHz / 4) = 51.7
# Hashes.
POINTS = 4  # peaks a hash
REACH = 8  # the others are among the 8 peaks after the first, the anchor: at most C(8, 3) = 56 hashes an anchor
LEAST_STEP_S = 0.04  # between the peaks of a hash, so that their order is certain
LONGEST_S = 0.9  # length of a hash; a tempo 2 % off moves its end by half a STEP_S
STEP_HZ = 22.0  # coarse enough that a peak seldom falls into the next step
STEP_S = 0.03
KEEP = 6  # one hash in so many is kept, chosen by its value, so that every copy keeps the same ones
HASH_S = 0.52  # mean length of a hash in real speech: a match ends so much after its last vote
# Votes.
MOST_ORIGINS = 4  # a jingle of 1,000 episodes makes 4,000 votes a hash, not 500,000
MIN_VOTES = 4
MIN_PLACES = 3  # votes within LONGEST_S of each other share peaks, so they count as one coincidence
MIN_S = 2.0
AGREE_S = 0.12  # largest spread of the offsets of one match
DRIFTS = np.array([0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5]) / 100  # tempo less 1, the likeliest first

HASH = np.dtype([("hash", "<u8"), ("frame", "<u2")])
VOTE = np.dtype([("later", "<i4"), ("earlier", "<i4"), ("frame", "<i4"), ("offset", "<i4")])
MAX_FRAMES = 1 << 16
_ORDERS = np.array(list(itertools.combinations(range(1, REACH + 1), POINTS - 1))).T  # [POINTS - 1, 56]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedSpan:
    """A span of a clip that matches an earlier clip; seconds from the start of each clip, ends to about 0.3 s."""

    earlier: int  # rank of the earlier clip
    start_s: float
    end_s: float
    earlier_start_s: float
    earlier_end_s: float
    votes: int


def fingerprint(samples: npt.NDArray[np.int16], rate: int) -> Struct:
    """Hash the landmarks of a clip, int16[n] mono at `rate` Hz.

    Returns HASH[m], about 28 hashes a second of speech, in order of hash: `hash` is spread evenly over the lowest
    sixth of 64 bits, `frame` is the time of its first peak in steps of FRAME_S. Only the first 393 s are hashed.
    """
    times, hertz = _peaks(_levels(samples, rate), rate)
    keys, anchors = _keys(times, hertz)
    mixed = _mix(keys)
    kept = mixed <= np.uint64((2**64 - 1) // KEEP)
    frames = np.round(times[anchors[kept]] / FRAME_S)
    hashes = np.empty(frames.size, HASH)
    hashes["hash"], hashes["frame"] = mixed[kept], frames
    distinct: Struct = np.unique(hashes[frames < MAX_FRAMES])
    return distinct


def pairs(hashes: npt.NDArray[np.uint64], clips: npt.NDArray[np.integer], frames: npt.NDArray[np.integer]) -> Struct:
    """Votes of equal hashes: each occurrence votes for the first MOST_ORIGINS earlier clips that have the hash.

    All occurrences of a hash must be in the same call.

    Args:
        hashes: uint64[n], in any order.
        clips: [n], rank of the clip of each hash in the corpus's order, so that a vote is for an earlier clip.
        frames: [n], frame of each hash in its clip.

    Returns:
        VOTE[m], m at most MOST_ORIGINS × n, in an order that does not depend on the input's: `frame` is in the later
        clip, frame + `offset` in the first occurrence in the earlier one.
    """
    order = np.lexsort((frames, clips, hashes))
    hashes, ranks, places = hashes[order], clips[order].astype(np.int32), frames[order].astype(np.int32)
    new_hash = np.diff(hashes, prepend=~hashes[:1]) != 0
    new_clip = new_hash | (np.diff(ranks, prepend=-1) != 0)
    firsts, number = np.flatnonzero(new_clip), np.cumsum(new_clip) - 1  # of each clip's occurrences of a hash
    base = np.maximum.accumulate(np.where(new_hash, number, 0))
    return np.concatenate(
        [
            _votes(ranks, places, (later := np.flatnonzero(number - base > k)), firsts[base[later] + k])
            for k in range(MOST_ORIGINS)
        ]
    )


def matched_spans(votes: Struct) -> list[MatchedSpan]:
    """Find the spans of one clip that match earlier clips, from all VOTE[n] of this later clip, in any order.

    A match is at least MIN_VOTES votes for one earlier clip that lie on a line, the same tempo to 5 %: at different
    times, MIN_PLACES of them far apart, over at least MIN_S. A sound that occurs twice gives two matches. In order of
    earlier clip, then of time.
    """
    spans: list[MatchedSpan] = []
    order = np.lexsort((votes["offset"], votes["frame"], votes["earlier"]))
    clips, starts = np.unique(votes["earlier"][order], return_index=True)
    for clip, indices in zip(clips.tolist(), np.split(order, starts[1:])):
        if indices.size >= MIN_VOTES:
            lines = _lines(votes["frame"][indices], votes["offset"][indices])
            spans += sorted(
                (_matched_span(clip, *line) for line in lines), key=lambda span: (span.start_s, span.earlier_start_s)
            )
    return spans


def share(spans: Sequence[MatchedSpan], duration_s: float) -> float:
    """Share, in [0, 1], of a clip of `duration_s` that occurs in any earlier clip."""
    repeated_s = reached_s = 0.0
    for start, end in sorted((span.start_s, span.end_s) for span in spans):
        repeated_s += max(0.0, end - max(start, reached_s))
        reached_s = max(reached_s, end)
    return min(1.0, repeated_s / duration_s) if duration_s > 0 else 0.0


def _levels(samples: npt.NDArray[np.int16], rate: int) -> Floats:
    """Power in dB, float32[frames, bins], from one bin below LOW_HZ to one bin above HIGH_HZ."""
    import scipy.fft  # half a second to import

    window, hop = round(WINDOW_S * rate), round(FRAME_S * rate)
    low, high = round(LOW_HZ * WINDOW_S), round(HIGH_HZ * WINDOW_S)
    if samples.size < window:
        return np.zeros((0, high - low + 3), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), window)[::hop][:MAX_FRAMES]
    shape = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)
    spectrum = scipy.fft.rfft(frames * shape, axis=1, workers=1)[:, low - 1 : high + 2]
    power = spectrum.real**2 + spectrum.imag**2
    levels: Floats = 10 * np.log10(power + np.float32(1))  # 1: far below ROUNDING_DB, so that silence is finite
    return levels


def _peaks(levels: Floats, rate: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Times in seconds and frequencies in hertz of the peaks, [n] each, in order of time, interpolated between bins."""
    from scipy.ndimage import maximum_filter1d

    across, along = round(APART_HZ * WINDOW_S), round(APART_S / FRAME_S)
    if len(levels) <= 2 * along:
        return np.zeros(0), np.zeros(0)
    loudest = maximum_filter1d(maximum_filter1d(levels, 2 * across + 1, axis=1), 2 * along + 1, axis=0)
    around = maximum_filter1d(levels.max(axis=1), 2 * round(AROUND_S / FRAME_S) + 1)[:, None]
    is_peak = (levels == loudest) & (levels > np.maximum(around - FLOOR_DB, ROUNDING_DB))
    t, f = np.nonzero(is_peak[along:-along, 1:-1])
    t, f = t + along, f + 1
    moves = np.maximum(levels[t - along, f], levels[t + along, f]) < levels[t, f] - STEADY_DB
    t, f = t[moves], f[moves]
    times = (t + _vertex(levels[t - 1, f], levels[t, f], levels[t + 1, f])) * round(FRAME_S * rate) / rate
    bins = f + _vertex(levels[t, f - 1], levels[t, f], levels[t, f + 1]) + (round(LOW_HZ * WINDOW_S) - 1)
    order = np.argsort(times, kind="stable")
    return times[order], (bins * rate / round(WINDOW_S * rate))[order]


def _vertex(before: Floats, here: Floats, after: Floats) -> npt.NDArray[np.float64]:
    """Offset, in [-1/2, 1/2] steps from the middle value, of the vertex of the parabola through three levels."""
    bend = np.minimum(before - 2.0 * here + after, -1e-6)  # a Hann window's peak is nearly a parabola in dB
    return np.clip((before - after) / (2.0 * bend), -0.5, 0.5).astype(np.float64)


def _keys(times: npt.NDArray[np.float64], hertz: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.uint64], Indices]:
    """Pack each set of POINTS peaks into 4 × 8 + 3 × 5 = 47 bits; returns keys[n] and the first peak of each, [n]."""
    anchors = np.arange(times.size)
    times, hertz = (
        np.append(times, np.full(REACH, 1e9)),
        np.append(hertz, np.zeros(REACH)),
    )  # padding: 1e9 s is always too late
    points = [np.broadcast_to(anchors, (_ORDERS.shape[1], anchors.size)), *(anchors + _ORDERS[:, :, None])]
    fits = times[points[-1]] - times[points[0]] <= LONGEST_S
    for point, next_point in itertools.pairwise(points):
        fits &= times[next_point] - times[point] >= LEAST_STEP_S
    chosen = [point[fits] for point in points]
    pitches, steps = (hertz / STEP_HZ).astype(np.uint64), times / STEP_S
    keys = pitches[chosen[0]]
    for point in chosen[1:]:
        keys = keys << np.uint64(8) | pitches[point]  # 3,000 Hz / 22 Hz < 2^8
        keys = keys << np.uint64(5) | (steps[point] - steps[chosen[0]]).astype(np.uint64)  # 0.9 s / 0.03 s < 2^5
    return keys, chosen[0]


def _mix(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread keys over 64 bits, one to one (the finaliser of SplitMix64: Steele, Lea & Flood, OOPSLA 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        keys = (keys ^ keys >> np.uint64(shift)) * np.uint64(factor)
    return keys ^ keys >> np.uint64(31)


def _votes(clips: npt.NDArray[np.int32], frames: npt.NDArray[np.int32], later: Indices, earlier: Indices) -> Struct:
    votes = np.empty(later.size, VOTE)
    votes["later"], votes["earlier"] = clips[later], clips[earlier]
    votes["frame"], votes["offset"] = frames[later], frames[earlier] - frames[later]
    return votes


def _lines(frames: Any, offsets: Any) -> Iterator[tuple[Any, Any]]:
    """Frames and offsets of each set of votes on a line that is more than coincidence, the largest set first."""
    while frames.size >= MIN_VOTES:
        on = _largest_line(frames, offsets)
        if np.count_nonzero(on) < MIN_VOTES:
            return
        if _suffice(np.unique(frames[on])):
            yield frames[on], offsets[on]
        frames, offsets = frames[~on], offsets[~on]


def _suffice(frames: npt.NDArray[np.int32]) -> bool:
    """Whether votes at these distinct frames, ascending, are more than coincidence."""
    places, free = 0, 0.0
    for frame in frames.tolist():
        if frame >= free:
            places, free = places + 1, frame + LONGEST_S / FRAME_S
    return frames.size >= MIN_VOTES and places >= MIN_PLACES and (frames[-1] - frames[0]) * FRAME_S >= MIN_S


def _largest_line(frames: npt.NDArray[np.int32], offsets: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Mask of the largest set of votes whose offsets, less a constant drift, lie within AGREE_S."""
    straight = offsets - DRIFTS[:, None] * frames
    rows = np.sort(straight, axis=1)
    width = AGREE_S / FRAME_S
    counts = np.stack([np.searchsorted(row, row + width, "right") for row in rows]) - np.arange(frames.size)
    drift, first = np.unravel_index(np.argmax(counts), counts.shape)
    lowest = rows[drift, first]
    inside: npt.NDArray[np.bool_] = (straight[drift] >= lowest) & (straight[drift] <= lowest + width)
    return inside


def _matched_span(earlier: int, frames: npt.NDArray[np.int32], offsets: npt.NDArray[np.int32]) -> MatchedSpan:
    first, last = np.argmin(frames), np.argmax(frames)
    places = [float(frame) * FRAME_S for at in (first, last) for frame in (frames[at], frames[at] + offsets[at])]
    start, earlier_start, end, earlier_end = places
    return MatchedSpan(
        earlier=earlier,
        start_s=start,
        end_s=end + HASH_S,
        earlier_start_s=earlier_start,
        earlier_end_s=earlier_end + HASH_S,
        votes=int(np.unique(frames).size),
    )
