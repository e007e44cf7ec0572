"""What an export format is: limits, text rules, and what it writes of each clip."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, Any, ClassVar, Protocol

from speechmill.export.sanitise import one_line

Content = bytes | memoryview
"""Bytes of a file or member; the FLAC of a corpus is a view into what was read of a shard."""
KINDS = ("wav", "flac", "opus")
NO_TEXT, TOO_SHORT, TOO_LONG, TEXT_TOO_LONG = REASONS = ("no_text", "too_short", "too_long", "text_too_long")
"""Reasons why a format leaves out a clip. Formats may have further ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a trainer takes. Lengths in seconds, samples at `samples_rate` Hz, text in characters as it is written.

    >>> Limits(min_seconds=0.5, max_samples=255_995, samples_rate=22_050).reason(seconds=12.0, characters=40)
    'too_long'
    """

    min_seconds: float = 0.0
    max_seconds: float = math.inf
    max_samples: float = math.inf
    samples_rate: int = 1
    max_characters: float = math.inf

    def reason(self, *, seconds: float, characters: int) -> str | None:
        """The first limit that a clip is beyond, one of REASONS; None for a clip that fits."""
        if seconds < self.min_seconds:
            return TOO_SHORT
        if seconds > self.max_seconds or math.ceil(round(seconds * self.samples_rate, 3)) > self.max_samples:
            return TOO_LONG
        return TEXT_TOO_LONG if characters > self.max_characters else None


@dataclass(frozen=True, slots=True)
class Audio:
    """How audio is written: `kind`, one of KINDS; `rate` in Hz; whether the FLAC of the corpus is copied unchanged."""

    kind: str
    rate: int
    is_copy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Another clip of the speaker, which the format takes too."""

    id: str
    seconds: float
    text: str
    audio_file: str
    """Name of its file below the export; empty for a format with audio of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip as a format sees it: its texts went through the format's own `clean`."""

    id: str
    split: str
    """`train` or `validation`."""
    seconds: float
    speaker: str
    """`speaker_id`; where that is unknown, the `recording_id`."""
    language: str | None
    text: str
    """As `--text` says, by default with case and punctuation."""
    normalized: str
    """`text_normalized`, or `text` where there is none; with `--text` the same as `text`."""
    row: Mapping[str, Any]
    """The row of `data/`, without its audio: BASE columns and those that the exporter names."""
    audio_file: str
    """Name of its file, `wavs/<id>.wav`, below the export; empty for a format with audio of its own."""
    references: tuple[Reference, ...] = ()
    """Its conditioning clips that are in the export and its split, the best first; for formats with `references`."""


class Part(Protocol):
    """What is written of one shard of the corpus. Names are relative to the export."""

    audio: Audio
    number: int
    """Number of the shard, from 0."""
    file_number: int
    """Number of the file, within its split, that this clip goes to, if the exporter sets `clips_per_file`."""
    root: str
    """Absolute path, or URL, of the export."""

    def line(self, file: str, line: str) -> None:
        """Add a line to a file; the lines of all shards are joined in their order."""

    def member(self, tar: str, name: str, content: Content) -> None:
        """Add a member to a tar file, which is complete when `file_number` changes."""

    def file(self, name: str, content: Content) -> None:
        """Write a small file of this clip."""

    def sound(self, clip: Clip) -> Content:
        """Bytes of the audio file of the clip, as `audio` says."""


class Readable(Protocol):
    """Content that is read in one piece."""

    def read(self) -> bytes:
        """All of it."""


class Exported(Protocol):
    """A finished export, for `finish` and `read_back`."""

    root: str

    def names(self, prefix: str = "") -> list[str]:
        """Sorted names of the files of lines and of the tar files that the format has written."""

    def walk(self, folder: str) -> Iterator[str]:
        """Names of all files in a folder of the export."""

    def lines(self, file: str) -> Iterator[str]:
        """Lines of a file, without line ends."""

    def members(self, tar: str) -> Iterator[tuple[str, Readable]]:
        """Names of the members of a tar file, each with its content, which `read()` gives."""

    def create(self, file: str) -> AbstractContextManager[IO[bytes]]:
        """Open a further file of the format for writing; in `finish` only."""


class Exporter(ABC):
    """A format. A subclass sets `name`, `about` and whatever differs from the defaults, and has one method, `add`.

    An exporter has no state: `add` is called in several processes, for shards in any order. What it writes may depend
    on the clip and the part only, neither on time nor on chance.
    """

    name: ClassVar[str]
    """As `--to` takes it."""
    about: ClassVar[str]
    """What is written, and who reads it, in one line."""
    version: ClassVar[int] = 1
    """Raise it when the same clips give other files."""
    loading: ClassVar[str] = ""
    """How the export is read, in Markdown, for the card."""
    limits: ClassVar[Limits] = Limits()
    sample_rate: ClassVar[int | None] = None
    """Rate that the trainer expects, in Hz; None: that of the corpus, or of others who share the audio."""
    kinds: ClassVar[tuple[str, ...]] = ("wav", "flac")
    """Kinds of audio that its reader takes, the usual one first."""
    shares_audio: ClassVar[bool] = True
    """Whether audio files lie in `wavs/`, for all formats together; else the format writes audio itself."""
    needs_text: ClassVar[bool] = True
    references: ClassVar[bool] = False
    """Whether it writes `clip.references`."""
    columns: ClassVar[tuple[str, ...] | None] = ()
    """Further columns of `data/` that it reads; None: all of them, without the audio and those of `unread`."""
    unread: ClassVar[tuple[str, ...]] = ()
    """With `columns = None`, columns that it does not read."""
    clips_per_file: ClassVar[int | None] = None
    sorted_files: ClassVar[tuple[str, ...]] = ()
    """Ends of the names of files whose lines are sorted by their UTF-8 bytes, as `LC_ALL=C sort` does."""
    clean: Callable[[str], str] = staticmethod(one_line)
    """Makes a text fit for the format; what it changes is counted."""

    def reason(self, clip: Clip) -> str | None:
        """Why the trainer does not take a clip that is within `limits`, in one word; None if it does."""
        return None

    @abstractmethod
    def add(self, clip: Clip, part: Part) -> None:
        """Write a clip. Clips come in the order of the corpus."""

    def header(self, file: str) -> str | None:
        """First line of a file of lines; None for a file without."""
        return None

    def check(self, root: str) -> None:  # noqa: B027 - most have nothing to check
        """Raise ConfigError where the path of the export is one that the trainer cannot read."""

    def finish(self, exported: Exported) -> None:  # noqa: B027 - most have nothing to add
        """Write what depends on all clips, when all parts are written."""

    def read_back(self, exported: Exported) -> Iterator[str] | None:
        """Ids of the clips of the export, as its trainer's reader would come by them; None: it is not verified.

        Raises ValueError for a file that the trainer could not read.
        """
        return None
