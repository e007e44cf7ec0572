"""Composes music and plays it with a soundfont: training data that is free and of many styles.

A piece depends on its style and number only: key, tempo, metre, chord progression and band are drawn,
parts are written for the band, and fluidsynth plays them.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mido import Message, MetaMessage, MidiFile, MidiTrack, bpm2tempo

SECONDS = 30
TICKS = 480  # MIDI ticks of a beat
DRUMS = 9  # the channel that General MIDI keeps for them
MAJOR, MINOR, DORIAN = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10)
PROGRESSIONS = (
    (0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 3), (1, 4, 0, 0), (0, 2, 3, 4), (0, 6, 3, 0), (0, 0, 3, 4),
)  # fmt: skip

Note = tuple[float, float, int, int]  # beat, beats, key, velocity
Part = tuple[int, list[Note]]  # General MIDI program, or -1 for drums, and its notes


class Piece:
    """What all parts of a piece share."""

    def __init__(self, rng: np.random.Generator, bpm: tuple[float, float]) -> None:
        self.rng = rng
        self.bpm = rng.uniform(*bpm)
        self.metre = int(rng.choice([4, 4, 4, 3, 6]))
        self.root = int(rng.integers(40, 52))
        self.scale = (MAJOR, MAJOR, MINOR, MINOR, DORIAN)[rng.integers(5)]
        self.chords = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
        self.bars = int(np.ceil(SECONDS * self.bpm / 60 / self.metre)) + 1
        self.swing = rng.uniform(0, 0.16) if rng.random() < 0.3 else 0.0

    def degree(self, step: int) -> int:
        """Key of a step of the scale, 0 being the root."""
        octave, at = divmod(step, len(self.scale))
        return self.root + 12 * octave + self.scale[at]

    def chord(self, bar: int, notes: int = 3) -> list[int]:
        """Keys of a bar's chord, in thirds."""
        first = self.chords[bar % len(self.chords)]
        return [self.degree(first + 2 * at) for at in range(notes)]

    def loud(self, mean: float = 80, spread: float = 10) -> int:
        """Draw the velocity of a note, 20 to 127."""
        return int(np.clip(self.rng.normal(mean, spread), 20, 127))

    def late(self, at: float) -> float:
        """Actual beat of a note, with swing and random timing."""
        swung = self.swing if at % 1 == 0.5 else 0.0
        return max(0.0, at + swung + self.rng.normal(0, 0.012))


def held(piece: Piece, octave: int = 1, mean: float = 60) -> list[Note]:
    """Chords that last a bar."""
    notes = int(piece.rng.integers(3, 5))
    return [
        (piece.late(bar * piece.metre), piece.metre * 1.02, key + 12 * octave, piece.loud(mean))
        for bar in range(piece.bars)
        for key in piece.chord(bar, notes)
    ]


def comped(piece: Piece, octave: int = 1) -> list[Note]:
    """Chords in a rhythm that comes back each bar."""
    hits = np.flatnonzero(piece.rng.random(piece.metre * 2) < 0.45) / 2
    length = piece.rng.uniform(0.15, 0.6)
    return [
        (piece.late(bar * piece.metre + at), length, key + 12 * octave, piece.loud(72))
        for bar in range(piece.bars)
        for at in (hits if len(hits) else (0,))
        for key in piece.chord(bar)
    ]


def broken(piece: Piece, octave: int = 1) -> list[Note]:
    """Chords note by note."""
    order = piece.rng.permutation(4)
    step = float(piece.rng.choice([0.25, 0.5, 0.5, 1 / 3]))
    notes = []
    for at in np.arange(0, piece.bars * piece.metre, step):
        keys = [*piece.chord(int(at // piece.metre)), piece.chord(int(at // piece.metre))[0] + 12]
        key = keys[order[round(at / step) % 4]] + 12 * octave
        notes.append((piece.late(float(at)), step * piece.rng.uniform(0.8, 2.5), key, piece.loud(70)))
    return notes


def melody(piece: Piece, octave: int = 2, busy: float = 0.7) -> list[Note]:
    """A tune that wanders over the scale, leans on the chords, and repeats itself."""
    rng, phrase = piece.rng, []
    at, step = 0.0, int(rng.integers(0, 7))
    while at < 2 * piece.metre:
        length = float(rng.choice([0.25, 0.5, 0.5, 1, 1, 1.5, 2]))
        if rng.random() < busy:
            phrase.append((at, length, step))
        step = int(np.clip(step + rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 4]), -3, 11))
        at += length
    notes = []
    for bar in range(0, piece.bars, 2):
        shift = int(rng.choice([0, 0, 0, piece.chords[bar % len(piece.chords)]]))
        for at, length, step in phrase:
            if rng.random() < 0.92:
                start = piece.late(bar * piece.metre + at)
                notes.append((start, length * 0.95, piece.degree(step + shift) + 12 * octave, piece.loud(88)))
    return notes


def bass(piece: Piece) -> list[Note]:
    """Roots and fifths."""
    hits = [0.0, *(np.flatnonzero(piece.rng.random(piece.metre * 2) < 0.35) / 2)]
    notes = []
    for bar in range(piece.bars):
        for at in hits:
            start = piece.late(bar * piece.metre + at)
            key = piece.chord(bar)[int(piece.rng.choice([0, 0, 0, 2]))] - 12
            notes.append((start, 0.7, key, piece.loud(85)))
    return notes


def drums(piece: Piece) -> list[Note]:
    """A beat: kick, snare, hats or other percussion, with fills."""
    rng, grid = piece.rng, piece.metre * 4
    cymbal = int(rng.choice([42, 42, 44, 51, 70, 82]))
    kick, snare = rng.random(grid) < 0.12, np.zeros(grid, bool)
    kick[0], snare[4::8] = True, True
    hats = np.arange(grid) % int(rng.choice([1, 2, 2, 4])) == 0
    back = int(rng.choice([38, 40, 37, 39]))
    notes = []
    for bar in range(piece.bars):
        fill = bar % 4 == 3 and rng.random() < 0.5
        for at in range(grid):
            start = piece.late(bar * piece.metre + at / 4)
            for hit, key, mean in ((kick[at], 36, 100), (snare[at], back, 95), (hats[at], cymbal, 65)):
                if hit:
                    notes.append((start, 0.2, key, piece.loud(mean)))
            if fill and at >= grid - 4:
                notes.append((start, 0.2, int(rng.choice([41, 45, 47, 50])), piece.loud(90)))
    return notes


def drone(piece: Piece) -> list[Note]:
    """Long notes that come and go."""
    notes, at = [], 0.0
    while at < piece.bars * piece.metre:
        length = piece.rng.uniform(3, 14)
        steps = piece.rng.choice([0, 2, 4, 7, 9], int(piece.rng.integers(1, 4)), replace=False)
        notes += [(at, length * 1.2, piece.degree(int(step)) + 12, piece.loud(60, 12)) for step in steps]
        at += length
    return notes


def _any(*programs: int) -> Callable[[Piece], int]:
    return lambda piece: int(piece.rng.choice(programs))


KEYS, GUITARS = _any(0, 1, 2, 4, 5, 6, 7, 11), _any(24, 25, 26, 27, 28, 29, 30)
STRINGS, BASSES = _any(48, 49, 50, 51, 44, 45), _any(32, 33, 34, 35, 36, 38, 39)
BRASS, WINDS = _any(56, 57, 58, 60, 61, 62), _any(64, 65, 68, 70, 71, 73, 74, 75)
SYNTHS, PADS, VOICES = _any(80, 81, 82, 84, 87, 90), _any(*range(88, 104)), _any(52, 53, 54, 91)
WORLD, MALLETS = _any(104, 105, 106, 107, 108, 110, 114), _any(8, 9, 10, 11, 12, 13, 14, 46)
ORGANS, SOLO = _any(*range(16, 22)), _any(40, 41, 42, 43, 56, 65, 66, 68, 71, 73, 74, 24, 22, 46, 109)

Player = tuple[Callable[[Piece], int] | None, Callable[[Piece], list[Note]]]
STYLES: dict[str, tuple[tuple[float, float], tuple[Player, ...]]] = {
    "keys": ((60, 130), ((KEYS, broken), (KEYS, melody))),
    "band": ((80, 150), ((None, drums), (BASSES, bass), (GUITARS, comped), (KEYS, held), (SOLO, melody))),
    "strings": ((50, 90), ((STRINGS, held), (STRINGS, melody))),
    "picking": ((70, 140), ((GUITARS, broken), (BASSES, bass))),
    "electronic": ((100, 150), ((None, drums), (BASSES, bass), (SYNTHS, broken), (PADS, held))),
    "ambient": ((40, 70), ((PADS, drone), (PADS, held), (MALLETS, melody))),
    "organ": ((60, 100), ((ORGANS, held), (ORGANS, melody))),
    "beat": ((80, 170), ((None, drums), (None, drums))),
    "jingle": ((110, 170), ((None, drums), (MALLETS, melody), (BRASS, comped), (BASSES, bass))),
    "brass": ((80, 130), ((BRASS, comped), (BRASS, melody), (BASSES, bass), (None, drums))),
    "winds": ((70, 120), ((WINDS, melody), (WINDS, broken), (STRINGS, held))),
    "world": ((70, 140), ((WORLD, melody), (WORLD, broken), (None, drums))),
    "line": ((60, 120), ((SOLO, melody),)),
    "orchestra": ((60, 120), ((STRINGS, held), (BRASS, held), (WINDS, melody), (STRINGS, broken), (BASSES, bass))),
    "choir": ((50, 90), ((VOICES, held), (ORGANS, held), (STRINGS, melody))),
    "music box": ((70, 120), ((MALLETS, broken), (MALLETS, melody))),
}


def compose(style: str, number: int) -> MidiFile:
    """Write a piece of SECONDS."""
    bpm, players = STYLES[style]
    rng = np.random.default_rng([number, *style.encode()])
    piece = Piece(rng, bpm)
    score = MidiFile(ticks_per_beat=TICKS)
    score.tracks.append(MidiTrack([MetaMessage("set_tempo", tempo=bpm2tempo(piece.bpm), time=0)]))
    for at, (program, part) in enumerate(players):
        channel = DRUMS if program is None else at
        score.tracks.append(_track(channel, program(piece) if program else 0, part(piece), rng))
    return score


def _track(channel: int, program: int, notes: list[Note], rng: np.random.Generator) -> MidiTrack:
    events = [(0, Message("program_change", channel=channel, program=program))]
    for control, value in ((7, rng.integers(70, 115)), (10, rng.integers(30, 98)), (91, rng.integers(0, 100))):
        events.append((0, Message("control_change", channel=channel, control=control, value=int(value))))
    for start, length, key, velocity in notes:
        key = int(np.clip(key, 24, 104))
        events.append((round(start * TICKS), Message("note_on", channel=channel, note=key, velocity=velocity)))
        events.append((round((start + length) * TICKS), Message("note_off", channel=channel, note=key)))
    track, now = MidiTrack(), 0
    for at, event in sorted(events, key=lambda item: (item[0], item[1].type == "note_on")):
        track.append(event.copy(time=at - now))
        now = at
    return track


def play(style: str, number: int, font: Path, target: Path) -> Path:
    """Compose a piece and play it into a WAV file.

    Args:
        style: One of STYLES.
        number: Number of the piece in its style.
        font: Soundfont.
        target: The WAV file; the score is written beside it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    score = target.with_suffix(".mid")
    compose(style, number).save(score)
    quiet = ["-q", "-ni", "-g", "0.5", "-r", "44100", "-o", "synth.dynamic-sample-loading=1"]  # loads what is played
    subprocess.run(["fluidsynth", *quiet, "-F", target, font, score], check=True)
    return target
