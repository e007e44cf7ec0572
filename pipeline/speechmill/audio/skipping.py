"""Decodes from a given time on: earlier packets are read and not decoded, which is many times as fast.

Packets are skipped by their durations, and the resulting position is checked with the timestamps of decoded frames: the
first of all and the first after the gap. Where the two disagree, as in chained Ogg, everything has to be decoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from speechmill.audio.decoding import Decoding
from speechmill.audio.extent import Extent

PREROLL_S = 2.0  # decoded before the requested time, and dropped: codecs need it to settle
AGREE_S = 0.5  # largest difference of durations and timestamps


class UnskippableError(Exception):
    """Raised for media in which nothing can be skipped: decode them from the start."""


@dataclass
class Skipping(Decoding):
    """Like Decoding, from about PREROLL_S before `from_s` on. Raises UnskippableError before any block."""

    from_s: float = 0.0
    first_s: float = field(default=0.0, init=False)  # start of the first block
    _origin_s: float | None = field(default=None, init=False)  # timestamp of the first frame of the media
    _passed_s: float = field(default=0.0, init=False)  # sum of the durations of packets so far
    _is_there: bool = field(default=False, init=False)

    def _links(self) -> list[tuple[IO[bytes], Extent]]:
        found = super()._links()
        if len(found) > 1:
            raise UnskippableError
        return found

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
            if self._is_there:  # frames before the gap are dropped
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
        """See Decoding; skipped audio counts as decoded."""
        if self.declared_duration_s is None:
            return None
        return (self.first_s + self.samples / self.rate) / self.declared_duration_s

    @property
    def end_s(self) -> float:
        """End of the media in seconds, after all was read."""
        return max(self.first_s + self.samples / self.rate, self._passed_s)


def _duration_s(packet: Any) -> float:
    if not packet.duration:
        raise UnskippableError
    return float(packet.duration * packet.time_base)
