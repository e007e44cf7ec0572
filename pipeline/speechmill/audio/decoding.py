"""Decodes any container to mono blocks at the corpus sample rate, in bounded memory.

Packets are decoded one by one, because FFmpeg's convenient interfaces silently drop what they cannot decode:
a 20 s MP3 with 200 flipped bytes gives 0.9 s and no error. Here each bad packet is counted and its
position kept, so that no clip contains it.
"""

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import soxr

from speechmill.audio import index, links
from speechmill.audio.extent import Extent, bounded
from speechmill.audio.frames import check_format, planes, scaled
from speechmill.audio.mixdown import Format, Mix, Mixer
from speechmill.audio.opening import TIME_BASE, hidden_by_edits, media_errors, open_media, sound_of
from speechmill.audio.samples import Float32
from speechmill.core.config import Audio
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError

BLOCK_S = 1.0
BLOCK_SAMPLES = 2**21  # of all channels together: largest block, at any number of channels and sample rate
MAX_FORMAT_CHANGES = 1_000  # of rate or channels: as many as a day of songs of 90 s
MAX_SECONDS_PER_BYTE = 1.0  # FLAC, the densest, has 0.1 s of digital silence per byte
MAX_FRAME_S = 300.0  # the longest is 147 s, of Monkey's Audio at 8 kHz
MIN_DECODED_RATIO = 0.5  # below half of the declared audio, a file counts as truncated
GAP_S = 0.05  # smallest jump of the timestamps: a page of Ogg is 1 s, rounding to milliseconds is far less
UNINDEXED = {"aac", "ac3", "eac3", "amr"}  # FFmpeg guesses their duration from the bit rate
PCM_CONTAINERS = {"wav", "aiff", "caf", "w64", "rf64"}  # FFmpeg uses their length, not what they state
MAX_HIDDEN_S = 1.0  # hidden by an edit list; encoders hide their delay, 0.1 s
WRONG_RATIO, WRONG_S = 0.02, 0.5  # of durations: larger differences are reported


@dataclass
class Decoding:
    """One media file being decoded: iterate it for float32[n] mono blocks in [-1, 1] at `rate` Hz.

    The counts are complete when the iteration ends. Raises RejectedError for what is not decodable audio.
    """

    file: IO[bytes]
    rate: int
    limits: Audio
    container: str = ""
    codec: str = ""
    source_rate: int = 0
    channels: int = 0
    declared_duration_s: float | None = None
    packets: int = 0
    bad_packets: int = 0
    source_frames: int = 0  # decoded samples a channel, at the source's rate
    seconds: float = 0.0  # decoded seconds
    samples: int = 0
    breaks: list[int] = field(default_factory=list)  # samples at `rate` where audio is missing
    remarks: list[str] = field(default_factory=list)  # faults of the file that were corrected
    _excess: float = field(default=1.0, init=False)
    _ends_broken: bool = field(default=False, init=False)
    mixes: tuple[Mix, ...] = ()  # mixdown of each stretch of constant format; empty: the mean
    _mixers: list[Mixer] = field(default_factory=list, init=False)
    _shape: tuple[int, int, str, str] = field(default=(0, 0, "", ""), init=False)
    _size: int = field(default=0, init=False)
    _due_s: float | None = field(default=None, init=False)  # expected timestamp of the next frame

    def __iter__(self) -> Iterator[Float32]:
        for block in self._resampled(self._linked()):
            yield self._checked(block)
        self._check_end()

    def describe(self) -> None:
        """Read only the header. Raises RejectedError."""
        with self._opened(*bounded(self.file)):
            pass

    def _linked(self) -> Iterator[tuple[int, Float32]]:
        """Blocks of all links of a chain, each with its rate; a link that is broken costs itself."""
        self._size, self.declared_duration_s = 0, None
        for number, (file, extent) in enumerate(self._links()):
            self._due_s = None
            try:
                with self._opened(file, extent) as (container, stream):
                    yield from self._blocks(container, stream)
            except RejectedError as error:
                if not number or error.reason == Reason.TOO_LONG:
                    raise
                self._note_bad_packet()
                self._ends_broken = True

    def _links(self) -> list[tuple[IO[bytes], Extent]]:
        return links.opened(self.file)

    @contextmanager
    def _opened(self, file: IO[bytes], extent: Extent) -> Iterator[tuple[Any, Any]]:
        """The container and the audio stream, limited to the bytes of the file."""
        with ExitStack() as stack:
            container = stack.enter_context(open_media(file))
            stream = sound_of(container)
            hidden_s = hidden_by_edits(container, stream)
            if hidden_s > MAX_HIDDEN_S:
                self._note(f"an edit list hides {hidden_s:.1f} s of the sound: decoded without it")
                container = stack.enter_context(open_media(file, ignore_editlist="1"))
                stream = sound_of(container)
            place = file.tell()  # the demuxer continues from here
            self._excess = max(extent.excess, index.excess(container, stream, file))
            if extent.remark:
                self._note(extent.remark)
            self._describe(container, stream, file)
            file.seek(place)
            yield container, stream

    def _note(self, remark: str) -> None:
        if remark not in self.remarks:
            self.remarks.append(remark)

    def _resampled(self, blocks: Iterator[tuple[int, Float32]]) -> Iterator[Float32]:
        """Resample blocks to the corpus rate; a stream may change its sample rate."""
        for rate, group in itertools.groupby(blocks, key=lambda pair: pair[0]):
            if rate == self.rate:
                yield from (block for _, block in group)
                continue
            resampler = soxr.ResampleStream(rate, self.rate, 1, dtype="float32", quality="HQ")
            yield from (resampler.resample_chunk(block) for _, block in group)
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    def _describe(self, container: Any, stream: Any, file: IO[bytes]) -> None:
        context = stream.codec_context
        self._size += container.size
        self.container, self.codec = container.format.name, context.name
        self.source_rate, self.channels = context.sample_rate or 0, context.channels
        duration = stream.duration * stream.time_base if stream.duration else (container.duration or 0) / TIME_BASE
        is_mp3 = self.container == "mp3"
        is_stated = index.mp3_header(file) is not None if is_mp3 else self.container not in UNINDEXED
        # For some containers, FFmpeg's duration leaves out stated audio that the file does not have.
        stated = float(duration) * (self._excess if self.container in PCM_CONTAINERS else 1)
        if is_stated and stated > 0:
            self.declared_duration_s = (self.declared_duration_s or 0.0) + stated
        check_format(self.source_rate, self.channels)

    def _blocks(self, container: Any, stream: Any) -> Iterator[tuple[int, Float32]]:
        """Collect frames into mono blocks of about a second, to reduce the number of NumPy calls."""
        gathered: list[list[npt.NDArray[Any]]] = []
        count, last, mixer = 0, None, None
        for frame in self._frames(container, stream):
            form = self._format(frame, last)
            if gathered and mixer and (form is not last or count >= _block_length(mixer.format)):
                yield mixer.format.rate, mixer.take(scaled(gathered, mixer.format))
                gathered, count = [], 0
            if form is not last or mixer is None:
                mixer = self._next_mixer(form)
            last = form
            gathered.append(planes(frame))
            count += frame.samples
            self._check_growth(frame)
        if gathered and mixer:
            yield mixer.format.rate, mixer.take(scaled(gathered, mixer.format))

    def _format(self, frame: Any, last: Format | None) -> Format:
        """Format of a frame: the same object as long as it does not change."""
        shape = (frame.sample_rate, frame.layout.nb_channels, frame.layout.name, frame.format.name)
        if last is None or shape != self._shape:
            self._shape = shape
            check_format(shape[0], shape[1])
            return Format(shape[0], shape[2], tuple(channel.description for channel in frame.layout.channels), shape[3])
        return last

    def _next_mixer(self, form: Format) -> Mixer:
        """Start a mixer for a new format, which may differ from that in the header."""
        if len(self._mixers) >= MAX_FORMAT_CHANGES:
            raise RejectedError(Reason.CORRUPT, f"rate or channels change over {MAX_FORMAT_CHANGES} times")
        mix = self.mixes[len(self._mixers)] if len(self._mixers) < len(self.mixes) else None
        self._mixers.append(Mixer(form, mix))
        return self._mixers[-1]

    def decided_mixes(self) -> tuple[Mix, ...]:
        """Best mixdown of each stretch of constant format, after decoding: for a second pass, as `mixes`."""
        return tuple(mixer.decide() for mixer in self._mixers)

    def _check_growth(self, frame: Any) -> None:
        """Raise RejectedError where a file decompresses to more than any real audio does."""
        seconds = frame.samples / frame.sample_rate
        self.source_frames += frame.samples
        self.seconds += seconds
        if seconds > MAX_FRAME_S or self.seconds > MAX_SECONDS_PER_BYTE * self._size:
            raise RejectedError(Reason.TOO_LONG, f"{self.seconds:.0f} s of sound in {self._size} bytes")

    def _frames(self, container: Any, stream: Any) -> Iterator[Any]:
        for packet in self._packets(container, stream):
            try:
                frames = packet.decode()
            except media_errors():
                self._note_bad_packet()
                self._ends_broken = True
                continue
            if packet.size:
                self._ends_broken = self._is_partial(packet)
            for frame in frames:
                self._note_jump(frame)
                yield frame

    def _is_partial(self, packet: Any) -> bool:
        """Whether the file ends inside a packet; the last one of PCM may have any length."""
        if self.container == "mp3":
            return index.frame_bytes(bytes(packet)[:4]) > int(packet.size)
        return bool(packet.is_corrupt) and not self.codec.startswith("pcm")

    def _note_jump(self, frame: Any) -> None:
        """Detect audio that a container lost: after damage, Ogg and Matroska continue at a later page without error."""
        if frame.time is None:
            return
        if self._due_s is not None and abs(frame.time - self._due_s) > GAP_S:
            self._note_break()
        self._due_s = frame.time + frame.samples / frame.sample_rate

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        demuxer = container.demux(stream)
        while True:
            try:
                packet = next(demuxer)
            except StopIteration:
                return
            except media_errors():  # the container is broken from here on
                self._note_bad_packet()
                self._ends_broken = True
                return
            if packet.size or packet.dts is None:  # the empty packet at the end flushes the decoder
                self.packets += bool(packet.size)
                yield packet

    def _note_bad_packet(self) -> None:
        self.bad_packets += 1
        self._note_break()

    def _note_break(self) -> None:
        self.breaks.append(round(self.seconds * self.rate))

    def _checked(self, block: Float32) -> Float32:
        if not np.isfinite(block).all():
            raise RejectedError(Reason.NOT_FINITE, f"NaN or infinity after {self.samples / self.rate:.1f} s")
        self.samples += block.size
        if self.samples > self.limits.max_duration_s * self.rate:
            raise RejectedError(Reason.TOO_LONG, f"over audio.max_duration_s of {self.limits.max_duration_s:g} s")
        return block

    def _check_end(self) -> None:
        ratio = self.decoded_ratio
        if self.samples and ratio is not None and ratio < MIN_DECODED_RATIO and self.is_cut:
            raise RejectedError(Reason.TRUNCATED, self.shortfall)
        if self.bad_packets > self.limits.max_bad_packet_ratio * max(self.packets, 1):
            nothing = Reason.NOT_AUDIO if not self.samples else Reason.CORRUPT
            raise RejectedError(nothing, f"{self.bad_packets} of {self.packets} packets did not decode")
        if not self.samples:
            raise RejectedError(Reason.EMPTY, f"{self.container} without samples")
        if ratio is not None and not self.is_cut and abs(1 - ratio) > WRONG_RATIO and self._is_far_off():
            self._note(f"the header states {self.declared_duration_s:.1f} s: all {self._decoded_s:.1f} s are decoded")

    @property
    def is_cut(self) -> bool:
        """Whether bytes are missing by the index or the last packet, not only by the duration."""
        return self._ends_broken or self._excess > 1 + WRONG_RATIO

    @property
    def _decoded_s(self) -> float:
        return self.samples / self.rate

    def _is_far_off(self) -> bool:
        return abs(self._decoded_s - (self.declared_duration_s or 0)) > WRONG_S

    @property
    def decoded_ratio(self) -> float | None:
        """Decoded divided by declared duration; None where the container declares none."""
        return None if self.declared_duration_s is None else self._decoded_s / self.declared_duration_s

    @property
    def shortfall(self) -> str:
        """Decoded and declared duration, for a message."""
        return f"decoded {self._decoded_s:.1f} s of {self.declared_duration_s or 0:.1f} s declared"


def declared_duration_s(path: str, limits: Audio) -> float | None:
    """Duration in the header of a file, in seconds.

    Raises RejectedError, or OSError where it cannot be read.
    """
    with open(path, "rb") as file:
        decoding = Decoding(file, limits.sample_rate, limits)
        decoding.describe()
        return decoding.declared_duration_s


def _block_length(form: Format) -> float:
    """Samples per channel in a block."""
    return min(BLOCK_S * form.rate, BLOCK_SAMPLES / len(form.names))
