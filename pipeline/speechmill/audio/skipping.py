"""Decoding from some time on: what comes before is read and not decoded, which is many times as fast.

Packets are passed over by their durations, and where that ends is told by the timestamps of what is decoded: the first
frame of all and the first after the gap. Where the two do not agree, as in chained Ogg, all is to be decoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from speechmill.audio.decoding import Decoding

PREROLL_S = 2.0  # decoded before the time that is asked for, and dropped: what a codec needs to settle
AGREE_S = 0.5  # between durations and timestamps


class UnskippableError(Exception):
    """Nothing can be passed over in these media: decode them from the start."""


@dataclass
class Skipping(Decoding):
    """As Decoding, from about PREROLL_S before `from_s` on. Raises UnskippableError, before any block."""

    from_s: float = 0.0
    first_s: float = field(default=0.0, init=False)  # where the first block begins
    _origin_s: float | None = field(default=None, init=False)  # timestamp of the first frame of all
    _passed_s: float = field(default=0.0, init=False)  # durations of packets up to here
    _is_there: bool = field(default=False, init=False)

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        skipped = False
        for packet in super()._packets(container, stream):
            if packet.size and not self._is_there:
                begins_s = self._passed_s
                self._passed_s += _duration_s(packet)
                if self._origin_s is not None and self._passed_s < self.from_s - PREROLL_S:
                    skipped = True
                    continue
                self._is_there = self._origin_s is not None
                if self._is_there and skipped:
                    stream.codec_context.flush_buffers()
                if self._is_there:
                    self._passed_s = begins_s
            yield packet

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        is_first = True
        for frame in super()._frames(container, stream):
            if is_first and frame.time is None:
                raise UnskippableError
            if self._origin_s is None:
                self._origin_s = frame.time
            if self._is_there:  # else it was decoded before anything was passed over
                if is_first:
                    self._begin(frame.time)
                is_first = False
                yield frame

    def _begin(self, time: float) -> None:
        self.first_s = time - (self._origin_s or 0.0)
        if abs(self.first_s - self._passed_s) > AGREE_S:
            raise UnskippableError

    def _check_end(self) -> None:
        if self.samples:
            super()._check_end()

    @property
    def decoded_ratio(self) -> float | None:
        """See Decoding; what was passed over counts as decoded."""
        if self.declared_duration_s is None:
            return None
        return (self.first_s + self.samples / self.rate) / self.declared_duration_s

    @property
    def end_s(self) -> float:
        """Where the media end, when all was read."""
        return max(self.first_s + self.samples / self.rate, self._passed_s)


def _duration_s(packet: Any) -> float:
    if not packet.duration:
        raise UnskippableError
    return float(packet.duration * packet.time_base)
