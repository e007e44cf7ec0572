"""Reads source recordings, and draws voices, noises and rooms from them.

Each is decoded once and kept as 16-bit integers, since tens of hours are drawn from less than three.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from math import ceil
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from speech_defects import FRAME, RATE, Defect, Float32, manifest
from speech_defects.degrade import levels, rooms
from speech_defects.manifest import WHOLE, Part

Int16 = npt.NDArray[np.int16]
Samples = TypeVar("Samples", Float32, Int16)
MUSIC = tuple(Defect).index(Defect.MUSIC)
VOICE_SPEED = (0.9, 1.12)
PIECE_SPEED = (0.7, 1.4)
FADE = 800  # samples: 50 ms crossfade where a noise is repeated
PAUSE_S = (0.1, 0.6)
LEVEL_DB = -26.0  # of every voice, in its active frames


@dataclass(frozen=True, slots=True)
class Take:
    """A source recording, or a part of one."""

    path: Path
    speaker: str
    source: str
    licence: str = "unknown"
    rttm: Path | None = None  # of a conversation: speaker turns of the whole file
    part: Part = WHOLE
    labels: tuple[float, ...] = ()  # of a labelled recording: 1, 0 or NaN for every Defect

    @property
    def name(self) -> str:
        """File name without suffix, and the times of a part."""
        return self.path.stem + (f"-{self.part.start_s:g}-{self.part.end_s or 0:g}" if self.part != WHOLE else "")

    def voices(self, first: int, frames: int) -> npt.NDArray[np.int64]:
        """Number of active speakers in `frames` frames of a conversation from `first` on, int64[frames]."""
        if self.rttm is None:
            return np.zeros(0, np.int64)
        first += round(self.part.start_s * RATE / FRAME)
        return voices_at(self.rttm, first + frames)[first:]


@dataclass(frozen=True, slots=True)
class Sources:
    """Recordings by kind; `overlap` are conversations, `telephone` is speech from telephone lines.

    `labelled` are whole recordings whose defects are known, used as they are.
    """

    speech: tuple[Take, ...]
    noise: tuple[Take, ...] = ()
    music: tuple[Take, ...] = ()
    music_vocal: tuple[Take, ...] = ()
    room: tuple[Take, ...] = ()
    overlap: tuple[Take, ...] = ()
    telephone: tuple[Take, ...] = ()
    labelled: tuple[Take, ...] = ()

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Names of the fields, which are the kinds in a manifest."""
        return tuple(field_.name for field_ in fields(cls))


@dataclass(frozen=True, slots=True)
class Voice:
    """One speaker, float32[n] at LEVEL_DB in active frames. `own_snr_db` is by the background of the recordings."""

    wave: Float32
    speaker: str
    source: str
    own_snr_db: float


def read_manifest(path: Path) -> Sources:
    """Read a manifest: a line for each file, or part of one, with `path` and `kind`, and `speaker` if known.

    Kinds are the fields of Sources; `source` defaults to the manifest's name; `overlap` needs `rttm`, a
    file with speaker turns, and `labelled` each Defect: 1, 0 or null for not judged. Clean labelled recordings are
    speech, too, and those with music are sung music. Raises ValueError, naming the line, where one cannot be used.
    """
    takes_by_kind: dict[str, list[Take]] = {kind: [] for kind in Sources.kinds()}
    for number, row in manifest.lines(path):
        try:
            takes_by_kind[row["kind"]].append(_take(row, path))
        except (KeyError, TypeError, ValueError, FileNotFoundError) as error:
            why = f"unknown or missing key {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path.name}, line {number}: {why}") from error
    labelled = takes_by_kind["labelled"]
    takes_by_kind["speech"] += [take for take in labelled if not any(take.labels)]
    takes_by_kind["music_vocal"] += [take for take in labelled if take.labels[MUSIC] == 1]
    return Sources(**{kind: tuple(takes) for kind, takes in takes_by_kind.items()})


def read_manifests(paths: Sequence[Path]) -> Sources:
    """Read several manifests as one."""
    parts = [read_manifest(path) for path in paths]
    return Sources(**{kind: tuple(take for part in parts for take in getattr(part, kind)) for kind in Sources.kinds()})


def _take(row: manifest.Row, listed: Path) -> Take:
    name = manifest.path_of(row)
    path = listed.parent / name
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {name}")
    return Take(
        path=path, part=manifest.part_of(row), speaker=manifest.text_of(row, *manifest.SPEAKERS),
        source=manifest.text_of(row, *manifest.SOURCES) or listed.name,
        licence=manifest.text_of(row, *manifest.LICENCES) or "unknown",
        rttm=listed.parent / row["rttm"] if row["kind"] == "overlap" else None,
        labels=tuple(manifest.label_of(row, defect) for defect in Defect) if row["kind"] == "labelled" else (),
    )  # fmt: skip


def share(seed: int, name: str) -> float:
    """Hash of a name to [0, 1), with which speakers are split into training and held-out."""
    return int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()[:8], 16) / 2**32


def voices_at(rttm: Path, frames: int) -> npt.NDArray[np.int64]:
    """Number of active speakers in each frame, int64[frames], from an RTTM file.

    NIST, "Rich Transcription 2009", appendix A.
    """
    speaks: dict[str, npt.NDArray[np.bool_]] = {}
    for line in rttm.read_text(encoding="utf-8").splitlines():
        kind, _, _, start, duration, _, _, name, *_ = [*line.split(), *[""] * 8]
        if kind == "SPEAKER":
            first, last = (round(float(at) * RATE / FRAME) for at in (start, float(start) + float(duration)))
            speaks.setdefault(name, np.zeros(frames, bool))[first:last] = True
    return np.asarray(np.sum([*speaks.values(), np.zeros(frames, bool)], axis=0, dtype=np.int64))


@dataclass(slots=True)
class Shelf:
    """Draws from recordings; caches decoded ones."""

    sources: Sources
    _waves: dict[tuple[Path, Part], Int16] = field(default_factory=dict)
    _levels: dict[tuple[Path, Part], tuple[float, float]] = field(default_factory=dict)
    _speakers: dict[str, list[Take]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for take in self.sources.speech:
            self._speakers.setdefault(take.speaker or str(take.path), []).append(take)

    def voice(self, rng: np.random.Generator, length: int, *, but: Collection[str] = ()) -> Voice:
        """Draw a speaker who is not in `but`, at a slightly changed speed, for `length` samples.

        Recordings of the speaker are concatenated, with pauses of their own background, until there are enough samples.
        Raises ValueError where no other speaker is left.
        """
        names = [name for name in self._speakers if name not in but]
        if not names:
            raise ValueError(f"no speaker but {', '.join(but)}: overlapped voices need recordings of two or more")
        name = names[int(rng.integers(len(names)))]
        takes = [self._speakers[name][int(at)] for at in rng.permutation(len(self._speakers[name]))]
        speed = rng.uniform(*VOICE_SPEED)
        source_length = ceil(length * speed) + RATE // 100
        wave = _sped(self._spoken(takes, rng, source_length), speed, length)
        return Voice(wave, name, takes[0].source, self._measured(takes[0])[1])

    def piece(
        self, takes: Sequence[Take], rng: np.random.Generator, length: int, speeds: tuple[float, float] = PIECE_SPEED
    ) -> tuple[Float32, Take]:
        """Draw `length` samples of one of `takes` at a changed speed, looped with crossfades if it is too short."""
        take = takes[int(rng.integers(len(takes)))]
        speed = rng.uniform(*speeds)
        source_length = ceil(length * speed) + RATE // 100
        pcm = self._pcm(take)
        wave = (
            _float(_crop(pcm, source_length, rng))
            if len(pcm) >= source_length
            else _looped(_float(pcm), source_length + len(pcm))
        )
        return _sped(_crop(wave, source_length, rng), speed, length), take

    def room(self, rng: np.random.Generator) -> rooms.Room:
        """Draw one of the measured rooms."""
        take = self.sources.room[int(rng.integers(len(self.sources.room)))]
        return rooms.measured(_float(self._pcm(take)), RATE)

    def call(self, rng: np.random.Generator, length: int) -> tuple[Float32, str]:
        """Cut float32[length] out of one speaker's telephone speech; also returns the source."""
        first = self.sources.telephone[int(rng.integers(len(self.sources.telephone)))]
        others = [
            take for take in self.sources.telephone if (take.speaker, take.source) == (first.speaker, first.source)
        ]
        more = [others[int(at)] for at in rng.permutation(len(others))[:8]]
        return self._spoken([first, *more], rng, length), first.source

    def meeting(self, rng: np.random.Generator, length: int) -> tuple[Float32, npt.NDArray[np.int64], str]:
        """Cut float32[length] out of a conversation, with the number of speakers in each frame, and its source."""
        take = self.sources.overlap[int(rng.integers(len(self.sources.overlap)))]
        pcm = self._pcm(take)
        pcm = np.pad(pcm, (0, max(0, length - len(pcm))))
        voices = take.voices(0, levels.frames_in(len(pcm)))
        first = int(rng.integers((len(pcm) - length) // FRAME + 1))
        wave = _float(pcm[first * FRAME :][:length])
        return wave, voices[first:][: levels.frames_in(length)], take.source

    def wave(self, take: Take) -> Float32:
        """A whole recording: float32[n] at 16 kHz."""
        return _float(self._pcm(take))

    def _pcm(self, take: Take) -> Int16:
        """Decode a recording once: int16[n] at 16 kHz, its first channel."""
        key = take.path, take.part
        if key not in self._waves:
            wave, rate = _decoded(take)
            mono = np.ascontiguousarray(wave[:, 0])  # a mean of channels would cause comb filtering
            mono = soxr.resample(mono, rate, RATE) if rate != RATE else mono
            self._waves[key] = np.clip(np.round(mono * 32_767), -32_768, 32_767).astype(np.int16)
        return self._waves[key]

    def _measured(self, take: Take) -> tuple[float, float]:
        """Level of the speech in a recording, in dBFS, and its distance to the background, in dB."""
        key = take.path, take.part
        if key not in self._levels:
            wave = _float(self._pcm(take))
            level = levels.level_db(wave, levels.activity(wave))
            self._levels[key] = level, level - levels.floor_db(wave)
        return self._levels[key]

    def _spoken(self, takes: list[Take], rng: np.random.Generator, length: int) -> Float32:
        """Cut float32[length] out of a recording or, if too short, out of all recordings of a speaker."""
        if len(self._pcm(takes[0])) >= length:
            return _float(_crop(self._pcm(takes[0]), length, rng)) * self._to_level(takes[0])
        parts = [_float(self._pcm(take)) * self._to_level(take) for take in takes]
        chain = [piece for part in parts for piece in (part, _pause(part, rng))]
        while sum(map(len, chain)) < length:
            chain += chain
        return _crop(np.concatenate(chain), length, rng)

    def _to_level(self, take: Take) -> np.float32:
        return np.float32(10 ** ((LEVEL_DB - self._measured(take)[0]) / 20))


def _decoded(take: Take) -> tuple[Float32, int]:
    """Decode a recording or its part: float32[n, channels], and its rate. Raises ValueError naming the file."""
    with soundfile.SoundFile(take.path) as file:
        try:
            first, last = take.part.frames(file.frames, file.samplerate)
        except ValueError as error:
            raise ValueError(f"{take.path}: {error}") from None
        file.seek(first)
        return file.read(last - first, dtype="float32", always_2d=True), file.samplerate


def _pause(wave: Float32, rng: np.random.Generator) -> Float32:
    """A pause of a voice's background, forwards and backwards so that it has no seam."""
    floor = levels.quietest(wave, RATE // 6)
    return np.resize(np.concatenate([floor, floor[::-1]]), round(rng.uniform(*PAUSE_S) * RATE))


def _float(pcm: Int16) -> Float32:
    return pcm.astype(np.float32) / np.float32(32_767)


def _crop(wave: Samples, length: int, rng: np.random.Generator) -> Samples:
    start = int(rng.integers(len(wave) - length + 1))
    return wave[start : start + length]


def _sped(wave: Float32, speed: float, length: int) -> Float32:
    return np.asarray(soxr.resample(wave, RATE * speed, RATE), np.float32)[:length]


def _looped(wave: Float32, length: int) -> Float32:
    """Repeat a noise with crossfades, to `length` samples or more."""
    fade = min(FADE, len(wave) // 2)
    if fade == 0:
        return np.resize(wave, length)
    ramp = np.sqrt(np.linspace(0, 1, fade, dtype=np.float32))  # equal-power crossfade
    seam = wave[-fade:] * ramp[::-1] + wave[:fade] * ramp
    turn = np.concatenate([seam, wave[fade : len(wave) - fade]])
    return np.resize(turn, length)
