"""Dialogues whose turns are known: readers in turns, from recordings of one voice each.

Scenes differ in what makes turns hard to find: short turns, one room, a guest by telephone, interjections, ends that
overlap, music. Speakers with several recordings are for tests, the others for tuning.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import webrtcvad
from speech_defects.degrade import line, rooms

RATE = 16_000
FRAME = RATE // 100
LEVEL = 0.05  # rms of every speaker
MUSIC_DB = -18.0
TEST_RECORDINGS = 3  # of a speaker who is for tests

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How two speakers talk."""

    name: str
    turn_s: tuple[float, float] = (4.0, 14.0)
    gap_s: tuple[float, float] = (0.05, 0.45)
    rooms: int = 0  # 0: as recorded; 1: both in one; 2: each in one's own
    telephone: bool = False  # the second speaker
    interjections: float = 0.0  # share of turns into which the other says a word or two
    interjection_db: tuple[float, float] | None = None  # their level over that of turns
    overlapping: float = 0.0  # share of turns that begin before the other has ended
    music: bool = False


SCENES = (
    Scene(name="long turns"),
    Scene(name="short turns", turn_s=(1.0, 4.0)),
    Scene(name="one room", rooms=1),
    Scene(name="two rooms", rooms=2),
    Scene(name="telephone guest", telephone=True),
    Scene(name="interjections", interjections=0.5),
    Scene(name="overlapping ends", overlapping=0.5),
    Scene(name="music bed", music=True),
    Scene(name="quiet interjections", interjections=0.8, interjection_db=(-12.0, 2.0)),
)


@dataclass
class Episode:
    """A recording with the stretches in which each speaker speaks."""

    name: str
    wave: Float32
    speech: list[tuple[float, float, str]] = field(default_factory=list)  # start and end in s, speaker

    def truth(self) -> npt.NDArray[np.bool_]:
        """Whether each speaker speaks, bool[frames of 10 ms, speakers]."""
        names = sorted({speaker for _, _, speaker in self.speech})
        marks = np.zeros((self.wave.size // FRAME + 1, len(names)), bool)
        for start, end, speaker in self.speech:
            marks[round(100 * start) : round(100 * end), names.index(speaker)] = True
        return marks

    def in_reach(self, shortest_s: float, edge_s: float) -> tuple[float, float]:
        """Seconds of one voice in stretches that reach a length with at most so much silence at either end, and all."""
        truth = self.truth()
        speaking = np.flatnonzero(truth.any(axis=1))
        who = np.where(truth[speaking].sum(axis=1) == 1, truth[speaking].argmax(axis=1), -1)
        bounds = np.flatnonzero(np.diff(who, prepend=-2, append=-2))
        seconds = 0
        for first, end in itertools.pairwise(bounds.tolist()):
            before = speaking[first] - speaking[first - 1] if first else speaking[first]
            after = (speaking[end] if end < len(speaking) else len(truth)) - speaking[end - 1]
            length = speaking[end - 1] + 1 - speaking[first] + min(before, 100 * edge_s) + min(after, 100 * edge_s)
            seconds += (end - first) * int(who[first] >= 0 and length >= 100 * shortest_s)
        return seconds / 100, float((who >= 0).sum() / 100)

    def changes(self) -> list[float]:
        """Times in s at which another speaker goes on: the middle of the pause, or of the overlap."""
        order = sorted(self.speech)
        pairs = itertools.pairwise(order)
        return [(first[1] + then[0]) / 2 for first, then in pairs if first[2] != then[2]]


class Readers:
    """Recordings of one voice each, by speaker, from a folder with manifest.jsonl."""

    def __init__(self, data: Path) -> None:
        self._data = data
        with (data / "manifest.jsonl").open(encoding="utf-8") as lines:
            rows = [json.loads(row) for row in lines]
        self.files: dict[str, list[str]] = defaultdict(list)
        self.sex: dict[str, str] = {}
        for row in rows:
            if row["group"] == "clean_speech" and "librispeech" in row["file"] and row.get("sex"):
                self.files[row["speaker"]].append(row["file"])
                self.sex[row["speaker"]] = row["sex"]
        self.music = [row["file"] for row in rows if row["group"] == "music"]

    def speakers(self, *, tests: bool) -> list[str]:
        """Speakers for tests, or for tuning, sorted."""
        return sorted(name for name, files in self.files.items() if (len(files) >= TEST_RECORDINGS) == tests)

    def wave(self, file: str) -> Float32:
        """float32[n] at 16 kHz."""
        wave, rate = soundfile.read(self._data / file, dtype="float32", always_2d=True)
        return np.asarray(soxr.resample(wave.mean(axis=1), rate, RATE), np.float32)


def episodes(readers: Readers, names: list[str], *, pairs: int, seed: int) -> Iterator[Episode]:
    """Episodes of every scene: `pairs` of two speakers of the same sex among `names`, and as many of any."""
    rng = np.random.default_rng(seed)
    for scene in SCENES:
        for number in range(2 * pairs):
            first, second = _pair(names, readers.sex, rng, same_sex=number < pairs)
            made = episode_of(f"{scene.name}-{number}", scene, (first, second), readers, rng)
            if len({speaker for _, _, speaker in made.speech}) == 2:
                yield made


def _pair(names: list[str], sex: dict[str, str], rng: np.random.Generator, *, same_sex: bool) -> tuple[str, str]:
    first = names[rng.integers(len(names))]
    others = [name for name in names if name != first and (sex[name] == sex[first] or not same_sex)]
    return first, others[rng.integers(len(others))]


def episode_of(
    name: str, scene: Scene, speakers: tuple[str, str], readers: Readers, rng: np.random.Generator
) -> Episode:
    """Let two speakers talk in turns until one has nothing left to say."""
    stock = {who: turns_of(who, scene, readers, rng) for who in speakers}
    spaces = _spaces(scene, speakers, rng)
    length = sum(piece.size for pieces in stock.values() for piece in pieces) + 60 * RATE
    episode, at, turn = Episode(name, np.zeros(length, np.float32)), RATE // 2, 0
    while stock[speakers[turn % 2]]:
        who, other = speakers[turn % 2], speakers[(turn + 1) % 2]
        end = add_speech(episode, at, stock[who].pop(), who, spaces[who])
        if stock[other] and rng.random() < scene.interjections:
            words = _a_word_or_two(stock[other], scene, rng)
            if end - at > 2 * words.size:
                add_speech(episode, int(rng.integers(at, end - words.size)), words, other, spaces[other])
        is_early = rng.random() < scene.overlapping
        gap = -rng.uniform(0.2, 1.2) if is_early else rng.uniform(*scene.gap_s)
        at, turn = max(at, end + round(gap * RATE)), turn + 1
    episode.wave = episode.wave[: at + RATE]
    if scene.music and readers.music:
        music = np.resize(readers.wave(readers.music[rng.integers(len(readers.music))]), episode.wave.size)
        episode.wave += music * np.float32(LEVEL * 10 ** (MUSIC_DB / 20) / max(rms(music), 1e-6))
    return episode


def turns_of(who: str, scene: Scene, readers: Readers, rng: np.random.Generator) -> list[Float32]:
    """What a speaker has to say, cut at pauses into pieces of the wanted length, without silence around them."""
    pieces = []
    for file in readers.files[who]:
        wave = readers.wave(file)
        wave *= np.float32(LEVEL / max(rms(wave), 1e-6))
        runs = speech_runs(wave)
        start, wanted = runs[0][0], 100 * rng.uniform(*scene.turn_s)
        for run, following in zip(runs, [*runs[1:], None], strict=True):
            is_pause = following is None or following[0] - run[1] >= 10
            if is_pause and (following is None or run[1] - start >= wanted):
                pieces.append(wave[max(start - 3, 0) * FRAME : (run[1] + 6) * FRAME])
                start, wanted = following[0] if following else 0, 100 * rng.uniform(*scene.turn_s)
    return [piece for piece in pieces if piece.size > RATE // 2]


def _spaces(scene: Scene, speakers: tuple[str, str], rng: np.random.Generator) -> dict[str, Any]:
    """How each speaker sounds: a function from and to float32[n]."""
    shared = rooms.simulated(rng) if scene.rooms else None
    spaces = {}
    for who in speakers:
        room = rooms.simulated(rng) if scene.rooms == 2 else shared
        call = line.drawn(rng, telephone=True, low_pass=False) if scene.telephone and who == speakers[1] else None
        spaces[who] = lambda wave, room=room, call=call: _through(wave, room, call, rng)
    return spaces


def _through(wave: Float32, room: Any, call: Any, rng: np.random.Generator) -> Float32:
    if room is not None:
        wave = rooms.apply(wave, room)
    return call.sent(wave, rng)[0] if call is not None else wave


def add_speech(episode: Episode, at: int, piece: Float32, who: str, space: Any) -> int:
    """Add a piece at a sample, and where it is speech; returns the sample at which it ends."""
    heard = space(piece)[: piece.size]
    episode.wave[at : at + heard.size] += heard
    episode.speech += [(at / RATE + start / 100, at / RATE + end / 100, who) for start, end in speech_runs(piece)]
    return at + piece.size


def _a_word_or_two(stock: list[Float32], scene: Scene, rng: np.random.Generator) -> Float32:
    words = stock[0][: round(rng.uniform(0.4, 1.2) * RATE)]
    if scene.interjection_db is not None:
        words = words * np.float32(10 ** (rng.uniform(*scene.interjection_db) / 20))
    return words


def speech_runs(wave: Float32) -> list[tuple[int, int]]:
    """Start and end, in frames of 10 ms, of stretches of speech in a clean recording."""
    detector = webrtcvad.Vad(2)
    frames = wave[: wave.size // FRAME * FRAME].reshape(-1, FRAME)
    pcm = (np.clip(frames, -1, 1) * 32_767).astype(np.int16)
    levels = 10 * np.log10(np.square(frames, dtype=np.float64).mean(axis=1) + 1e-10)
    is_loud = levels > np.percentile(levels, 95) - 35
    marks = np.array([detector.is_speech(frame.tobytes(), RATE) for frame in pcm], bool) & is_loud
    steps = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    runs: list[tuple[int, int]] = []
    for start, end in steps.reshape(-1, 2).tolist():
        if runs and start - runs[-1][1] < 8:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return [run for run in runs if run[1] - run[0] >= 10]


def rms(wave: Float32) -> float:
    return float(np.sqrt(np.square(wave, dtype=np.float64).mean()))
