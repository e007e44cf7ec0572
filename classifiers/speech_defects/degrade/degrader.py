"""Makes clips whose defects are known: speech with noise, music, other voices, rooms and telephones put upon it.

Recordings labelled by ear are few and rest on opinion; here the level of everything that was added is known.
"""

from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any

import numpy as np
import numpy.typing as npt

from speech_defects import FRAME, RATE, Defect, Float32
from speech_defects.degrade import effects, levels, line, rooms, sounds
from speech_defects.degrade.levels import Mask
from speech_defects.degrade.line import Line
from speech_defects.degrade.takes import LEVEL_DB, Shelf, Sources, Voice

FRAME_ROWS = (Defect.NOISE, Defect.MUSIC, Defect.OVERLAP)
NOT_JUDGED = 255  # in frames; NaN in labels

# The first of a pair is the last level that is a defect, the second the first that is none. What is between is heard
# by some and not by others, so nothing learns from it or is judged by it.
NOISE_SNR_DB = (18.0, 27.0)  # 18 dB is heard in every pause; over 27 the floors of good recordings begin
OWN_SNR_DB = 10.0  # a steady floor that a corpus's recording came with is no noise, unless it is over this
MUSIC_SNR_DB = (25.0, 35.0)  # a tune is followed further down than noise is
OVERLAP_DB = (-15.0, -25.0)  # of a second voice against the first: under -25 it is drowned
C50_DB = (14.0, 20.0)  # a living room at arm's length; over 20 it sounds dry
OVERLAP_S = (0.5, 0.2)
NOISE_S = (1.0, 0.5)  # shorter: a breath, a page
MUSIC_S = (1.0, 0.3)  # shorter: the tail of a jingle that a cut has left
BEST_SNR_DB = 45.0  # over it no recording tells

SHARE_CLEAN, SHARE_ONE = 0.30, 0.45
DRAWN_AS_OFTEN = {defect: 2.0 if defect is Defect.OVERLAP else 1.0 for defect in Defect}  # the hardest to learn
SHARE_MEETINGS, SHARE_CALLS = 0.04, 0.03  # where there are any: people who really interrupt each other, or telephone
SNR_RANGE_DB = (0.0, 45.0)
DRAWN_OVERLAP_DB = (-25.0, 3.0)
BABBLE_VOICES = (4, 10)
GAIN_DBFS = (-45.0, -15.0)
QUIET_DBFS = (-52.0, -46.0)
NEGATIVES = ("quiet", "events", "low-pass", "sung", "small room", "alternating", "music tail", "faint noise")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A clip float32[n] at 16 kHz in [-1, 1] and what is true of it.

    `defects` holds 1, 0 or NaN (not judged) for every Defect; `frames` is uint8[3, F] at 25 a second, rows as in
    FRAME_ROWS, 1, 0 or NOT_JUDGED. `snr_db` is speech over all that was added and its own floor, at most 45;
    `c50_db` is NaN where no room was put around the voice.
    """

    wave: Float32
    defects: dict[Defect, float]
    frames: npt.NDArray[np.uint8]
    snr_db: float
    c50_db: float
    facts: dict[str, Any]


@dataclass(slots=True)
class _Scene:
    """A clip in the making: stems, and what is known of them."""

    rng: np.random.Generator
    voice: Voice
    line: Line
    speech: Float32
    mix: Float32
    active: Mask
    frames: npt.NDArray[np.uint8]
    room: rooms.Room | None = None
    level_db: float = LEVEL_DB
    under_db: list[float] = field(default_factory=list)  # all that is additive, in dB under the speech
    labels: dict[Defect, float] = field(default_factory=lambda: dict.fromkeys(Defect, 0.0))
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        return len(self.speech)

    def mark(self, defect: Defect, where: Mask, value: float) -> None:
        row = self.frames[FRAME_ROWS.index(defect)]
        row[where & (row != 1)] = NOT_JUDGED if isnan(value) else int(value)


class Degrader:
    """Makes labelled clips out of recordings: every clip a function of seed, index and length alone."""

    def __init__(self, sources: Sources, seed: int | tuple[int, ...]) -> None:
        if len({take.speaker for take in sources.speech}) < BABBLE_VOICES[0] or not sources.music:
            raise ValueError("needs speech of four or more speakers, and music")
        self.sources = sources
        self._seed = seed if isinstance(seed, tuple) else (seed,)
        self._shelf = Shelf(sources)

    def clip(self, index: int, seconds: float) -> Labelled:
        """Make clip `index`, `seconds` long. See Labelled."""
        rng = np.random.default_rng([*self._seed, index])
        if self.sources.overlap and rng.random() < SHARE_MEETINGS:
            return self._meeting(rng, round(seconds * RATE))
        if self.sources.telephone and rng.random() < SHARE_CALLS:
            return self._call(rng, round(seconds * RATE))
        wanted, negative = _drawn(rng)
        scene = self._scene(rng, round(seconds * RATE), negative, telephone=Defect.TELEPHONE in wanted)
        self._place(scene, wanted, negative)
        if Defect.OVERLAP in wanted:
            self._overlap(scene)
        if Defect.NOISE in wanted or negative == "faint noise":
            self._noise(scene, faint=negative == "faint noise")
        if Defect.MUSIC in wanted:
            self._music(scene)
        if negative == "music tail":
            self._music_tail(scene)
        if negative == "events" or rng.random() < 0.08:
            _events(scene)
        return _finished(scene, negative)

    def _scene(self, rng: np.random.Generator, length: int, negative: str, *, telephone: bool) -> _Scene:
        """Draw the first voice, dry."""
        voice = self._shelf.voice(rng, length)
        wave = effects.sung(voice.wave, rng) if negative == "sung" else voice.wave
        if negative == "alternating":
            wave = self._taking_turns(rng, voice, length)
        wave = effects.with_pauses(wave, rng) if rng.random() < 0.15 else wave
        wave = effects.coloured(wave, rng)
        wave = effects.compressed(wave, rng) if rng.random() < 0.15 else wave
        wave = effects.gated(wave, rng) if rng.random() < 0.1 else wave
        through = line.drawn(rng, telephone=telephone, low_pass=negative == "low-pass")
        frames = np.zeros((len(FRAME_ROWS), levels.frames_in(length)), np.uint8)
        scene = _Scene(rng, voice, through, wave, wave, levels.activity(wave), frames)
        scene.facts = {"speaker": voice.speaker, "source": voice.source, "hard_negative": negative}
        return scene

    def _meeting(self, rng: np.random.Generator, length: int) -> Labelled:
        """Cut a clip out of a conversation: of its noise, room and line nothing is known."""
        wave, voices, source = self._shelf.meeting(rng, length)
        frames = np.full((len(FRAME_ROWS), levels.frames_in(length)), NOT_JUDGED, np.uint8)
        frames[FRAME_ROWS.index(Defect.MUSIC)] = 0
        frames[FRAME_ROWS.index(Defect.OVERLAP)] = both = voices > 1
        labels = dict.fromkeys(Defect, nan) | {Defect.MUSIC: 0.0}
        labels[Defect.OVERLAP] = lasting(float(both.sum() * FRAME / RATE), OVERLAP_S)
        return Labelled(_as_found(wave, rng), labels, frames, nan, nan, {"source": source, "found": "conversation"})

    def _call(self, rng: np.random.Generator, length: int) -> Labelled:
        """Cut a clip of one voice out of a telephone call: of its noise and room nothing is known."""
        wave, source = self._shelf.call(rng, length)
        frames = np.zeros((len(FRAME_ROWS), levels.frames_in(length)), np.uint8)
        frames[FRAME_ROWS.index(Defect.NOISE)] = NOT_JUDGED
        labels = dict.fromkeys(Defect, 0.0) | {Defect.TELEPHONE: 1.0, Defect.NOISE: nan, Defect.REVERB: nan}
        return Labelled(_as_found(wave, rng), labels, frames, nan, nan, {"source": source, "found": "call"})

    def _taking_turns(self, rng: np.random.Generator, first: Voice, length: int) -> Float32:
        """Let a second voice go on after the first, 0 to 0.5 s later: two voices, never at once."""
        second = self._shelf.voice(rng, length, but={first.speaker}).wave * _gain(rng.uniform(-6, 3))
        turn, gap = round(rng.uniform(0.2, 0.8) * length), round(rng.uniform(0, 0.5) * RATE)
        ends = np.minimum(1, np.arange(turn)[::-1] / 160).astype(np.float32)  # 10 ms: no click at the cut
        return np.concatenate([first.wave[:turn] * ends, np.zeros(gap, np.float32), second])[:length]

    def _place(self, scene: _Scene, wanted: frozenset[Defect], negative: str) -> None:
        """Put the voice into a room, where one is wanted; a few of the others into a dry one."""
        rng = scene.rng
        if Defect.REVERB in wanted:
            scene.room = self._room(rng)
        elif negative == "small room" or rng.random() < 0.1:
            scene.room = rooms.simulated(rng, c50_db=rng.uniform(22, 32))
        if scene.room:
            scene.speech = rooms.apply(scene.speech, scene.room)
            scene.labels[Defect.REVERB] = _judged(scene.room.c50_db, C50_DB)
        scene.speech = scene.line.heard(scene.speech)
        scene.mix = scene.speech.copy()
        scene.level_db = levels.level_db(scene.speech, scene.active)

    def _room(self, rng: np.random.Generator) -> rooms.Room:
        if self.sources.room and rng.random() < 0.2:
            room = self._shelf.room(rng)
            return rooms.damped(room, rng.uniform(0.1, 1)) if rng.random() < 0.5 else room  # there are few of them
        band = ((-4.0, 14.0), (-4.0, 14.0), (14.0, 20.0), (20.0, 28.0))[int(rng.choice(4, p=[0.4, 0.4, 0.1, 0.1]))]
        return rooms.simulated(rng, c50_db=rng.uniform(*band))

    def _overlap(self, scene: _Scene) -> None:
        """Let one or two other voices speak into the first."""
        rng = scene.rng
        against = rng.uniform(OVERLAP_DB[0], DRAWN_OVERLAP_DB[1])
        if rng.random() < 0.1:
            against = rng.uniform(DRAWN_OVERLAP_DB[0], OVERLAP_DB[0])
        speakers = [scene.voice.speaker]
        both = np.zeros_like(scene.active)
        for _ in range(1 + (rng.random() < 0.15)):
            wave, active = self._other_voice(scene, speakers)
            level = levels.level_db(wave, active)
            if active.any():
                scene.mix += wave * _gain(scene.level_db + against - level)
                both |= active & scene.active
        seconds = float(both.sum() * FRAME / RATE)
        value = _judged_both(_judged(-against, (-OVERLAP_DB[0], -OVERLAP_DB[1])), lasting(seconds, OVERLAP_S))
        scene.labels[Defect.OVERLAP] = value
        scene.mark(Defect.OVERLAP, both, 1.0 if against >= OVERLAP_DB[0] else nan)
        scene.facts |= {"overlap_db": against, "overlap_s": seconds, "voices": len(speakers)}

    def _other_voice(self, scene: _Scene, speakers: list[str]) -> tuple[Float32, Mask]:
        """Draw a voice that says "mhm", interrupts, or speaks all along: its wave in place, and when it is heard."""
        rng, length = scene.rng, scene.length
        share = ((0.3, 1.2), (0.8, max(0.8, 0.5 * length / RATE)), (0.5 * length / RATE, length / RATE))
        said = round(min(length, rng.uniform(*share[int(rng.choice(3, p=[0.2, 0.4, 0.4]))]) * RATE))
        voice = self._shelf.voice(rng, said + RATE, but=set(speakers))
        speakers.append(voice.speaker)
        first = int(np.argmax(levels.activity(voice.wave))) * FRAME  # begin with a word
        dry = effects.coloured(voice.wave[min(first, RATE) :][:said], rng)
        dry *= np.minimum(1, np.minimum(np.arange(said), np.arange(said)[::-1]) / 320).astype(np.float32)
        spoken = np.flatnonzero(scene.active)
        middle = int(spoken[rng.integers(len(spoken))]) * FRAME if len(spoken) else 0
        start = int(np.clip(middle - rng.uniform(0.2, 0.8) * said, 0, length - said))
        placed = np.pad(dry, (start, length - said - start))
        active = levels.activity(dry)
        at = start // FRAME
        heard = np.zeros_like(scene.active)
        heard[at : at + len(active)] = active[: len(heard) - at]
        if scene.room:  # elsewhere in a room alike
            placed = rooms.apply(placed, rooms.simulated(rng, c50_db=scene.room.c50_db + rng.uniform(-4, 4)))
        return scene.line.heard(placed), heard

    def _noise(self, scene: _Scene, *, faint: bool) -> None:
        """Add a noise, recorded or made or of many voices, all along or for a part."""
        rng = scene.rng
        draw = rng.random()
        if draw < 0.1:
            stem, name = self._babble(scene), "babble"
        elif draw < 0.5 and self.sources.noise:
            stem, name = self._recorded_noise(rng, scene.length)
        else:
            stem, name = sounds.noise(rng, scene.length)
        stem = effects.coloured(stem, rng, low_cut=False) if rng.random() < 0.5 else stem
        stem = rooms.apply(stem, scene.room) if scene.room and rng.random() < 0.2 else stem
        snr = rng.uniform(35, 45) if faint else _drawn_snr(rng, NOISE_SNR_DB)
        where, value = _added(scene, stem * _presence(rng, scene.length, part=0.25), snr, Defect.NOISE)
        scene.facts |= {"noise": name, "noise_snr_db": snr, "noise_s": float(where.sum() * FRAME / RATE)}
        if name == "babble" and value != 0:
            _doubt(scene, where)

    def _recorded_noise(self, rng: np.random.Generator, length: int) -> tuple[Float32, str]:
        stem, take = self._shelf.piece(self.sources.noise, rng, length)
        if rng.random() < 0.25:
            other, _ = self._shelf.piece(self.sources.noise, rng, length)
            stem = stem + other * _gain(levels.level_db(stem) - levels.level_db(other) + rng.uniform(-12, 6))
        return stem, f"{take.source}: {take.path.stem}"

    def _babble(self, scene: _Scene) -> Float32:
        rng = scene.rng
        crowd = np.zeros(scene.length, np.float32)
        for _ in range(int(rng.integers(BABBLE_VOICES[0], BABBLE_VOICES[1] + 1))):
            crowd += self._shelf.voice(rng, scene.length, but={scene.voice.speaker}).wave * _gain(rng.uniform(-6, 0))
        return rooms.apply(crowd, rooms.simulated(rng)) if rng.random() < 0.5 else crowd

    def _music(self, scene: _Scene) -> None:
        """Add music, at times faded, ducked under the voice, or with a singer."""
        rng = scene.rng
        vocal = bool(self.sources.music_vocal) and rng.random() < 0.1
        stem, take = self._shelf.piece(self.sources.music_vocal if vocal else self.sources.music, rng, scene.length)
        stem = effects.coloured(stem, rng) if rng.random() < 0.7 else stem
        stem = effects.compressed(stem, rng) if rng.random() < 0.3 else stem
        stem = stem * _presence(rng, scene.length, part=0.3)
        if rng.random() < 0.3:
            stem = stem * _ducking(scene.active, scene.length, rng.uniform(3, 12))
        snr = _drawn_snr(rng, MUSIC_SNR_DB)
        where, value = _added(scene, stem, snr, Defect.MUSIC)
        scene.facts |= {"music": f"{take.source}: {take.path.stem}", "music_snr_db": snr}
        if vocal and value != 0:
            _doubt(scene, where)

    def _music_tail(self, scene: _Scene) -> None:
        """Leave under 0.3 s of music at the start, as a cut does."""
        rng = scene.rng
        length = round(rng.uniform(0.1, 0.29) * RATE)
        tail, _ = self._shelf.piece(self.sources.music, rng, length)
        tail = tail * np.linspace(1, 0, length, dtype=np.float32)
        scene.mix[:length] += tail * _gain(scene.level_db - rng.uniform(-3, 20) - levels.level_db(tail))


def _drawn(rng: np.random.Generator) -> tuple[frozenset[Defect], str]:
    """Draw which defects a clip shall have, and what makes it hard to tell that it has none."""
    draw = rng.random()
    if draw < SHARE_CLEAN:
        return frozenset(), NEGATIVES[int(rng.integers(len(NEGATIVES)))] if draw < SHARE_CLEAN / 2 else ""
    count = 1 if draw < SHARE_CLEAN + SHARE_ONE else int(rng.choice([2, 3], p=[0.7, 0.3]))
    often = np.array([*DRAWN_AS_OFTEN.values()]) / sum(DRAWN_AS_OFTEN.values())
    return frozenset(tuple(Defect)[int(at)] for at in rng.choice(len(Defect), count, replace=False, p=often)), ""


def _as_found(wave: Float32, rng: np.random.Generator) -> Float32:
    """Give a recording that is a labelled clip already another microphone and level."""
    wave = effects.coloured(wave, rng)
    gain = _gain(rng.uniform(*GAIN_DBFS) - levels.level_db(wave, levels.activity(wave)))
    return _rounded(np.clip(wave * gain, -1, 1))


def _rounded(wave: Float32) -> Float32:
    """To 16 bits, like the recordings that clips will be scored in."""
    return np.asarray(np.round(wave * 32_767) / 32_768, np.float32)


def _gain(decibel: float) -> np.float32:
    return np.float32(10 ** (decibel / 20))


def _judged(value: float, bounds: tuple[float, float]) -> float:
    """Label: 1 up to the first bound, 0 from the second on, NaN between."""
    return 1.0 if value <= bounds[0] else 0.0 if value >= bounds[1] else nan


def lasting(seconds: float, bounds: tuple[float, float]) -> float:
    """Label by duration: 1 from the first bound on, 0 under the second, NaN between."""
    return 1.0 if seconds >= bounds[0] else 0.0 if seconds < bounds[1] else nan


def _judged_both(*labels: float) -> float:
    return 0.0 if 0.0 in labels else 1.0 if all(one == 1 for one in labels) else nan


def _drawn_snr(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw a level: eight times in ten a defect, else not judged or none."""
    edges = ((SNR_RANGE_DB[0], bounds[0]), bounds, (bounds[1], SNR_RANGE_DB[1]))
    return float(rng.uniform(*edges[int(rng.choice(3, p=[0.8, 0.1, 0.1]))]))


def _presence(rng: np.random.Generator, length: int, *, part: float) -> Float32:
    """Draw a gain float32[length]: 1 all along, or for a part of at least a second, faded."""
    if rng.random() > part or length < 1.5 * RATE:
        return np.ones(length, np.float32)
    said = rng.uniform(1.1 * RATE, 0.8 * length)
    start = rng.uniform(0, length - said)
    fade = np.exp(rng.uniform(np.log(0.01), np.log(0.4))) * RATE
    at = np.arange(length, dtype=np.float32)
    return np.asarray(np.clip(np.minimum(at - start, start + said - at) / fade, 0, 1), np.float32)


def _ducking(active: Mask, length: int, deep_db: float) -> Float32:
    """Make a gain float32[length] that is `deep_db` lower where a voice is active, moving in 0.2 s."""
    slow = np.convolve(np.pad(active.astype(np.float32), 5, mode="edge"), np.full(11, 1 / 11), "valid")
    gain = 10 ** (-deep_db * slow / 20)
    return np.interp(np.arange(length) / FRAME, np.arange(len(gain)), gain).astype(np.float32)


def _added(scene: _Scene, stem: Float32, snr_db: float, defect: Defect) -> tuple[Mask, float]:
    """Add a stem at a ratio to the voice; returns where it is heard and the label it gives."""
    stem = scene.line.heard(stem)
    where = levels.activity(stem)
    if not where.any():  # a recording may hold silence
        return where, 0.0
    scene.mix += stem * _gain(scene.level_db - snr_db - levels.level_db(stem, where))
    scene.under_db.append(snr_db)
    bounds, span = (NOISE_SNR_DB, NOISE_S) if defect is Defect.NOISE else (MUSIC_SNR_DB, MUSIC_S)
    value = _judged(snr_db, bounds)
    scene.mark(defect, where, value)
    value = _judged_both(value, lasting(float(where.sum() * FRAME / RATE), span))
    scene.labels[defect] = value
    return where, value


def _doubt(scene: _Scene, where: Mask) -> None:
    """Leave overlap open where many voices, or a singer, are heard: it is one, and it is none."""
    scene.mark(Defect.OVERLAP, where, nan)
    if scene.labels[Defect.OVERLAP] == 0:
        scene.labels[Defect.OVERLAP] = nan


def _events(scene: _Scene) -> None:
    """Add breaths, clicks, pages or thumps that are under half a second in all."""
    rng, left = scene.rng, int(sounds.SHORT_S * RATE)
    peak = float(np.abs(scene.speech).max())
    for _ in range(int(rng.integers(1, 5))):
        wave, name = sounds.event(rng)
        if len(wave) > min(left, scene.length):
            break
        left -= len(wave)
        at = int(rng.integers(scene.length - len(wave) + 1))
        scene.mix[at : at + len(wave)] += wave * np.float32(peak * _gain(rng.uniform(-30, 0)))
        scene.facts["event"] = name


def _finished(scene: _Scene, negative: str) -> Labelled:
    """Send the mixture through its line, set its level, round it to 16 bits, and sum up what is known."""
    rng = scene.rng
    mix = scene.mix / max(1.0, float(np.abs(scene.mix).max()) / 0.95)
    mix, scene.labels[Defect.TELEPHONE], lost = scene.line.sent(mix, rng)
    mix = effects.limited(mix, rng) if rng.random() < 0.1 else mix
    level = rng.uniform(*(QUIET_DBFS if negative == "quiet" else GAIN_DBFS))
    mix = mix * _gain(level - levels.level_db(mix, levels.activity(mix)))
    mix = mix / max(1.0, float(np.abs(mix).max()) / 0.99)
    wave = _rounded(mix)
    if scene.labels[Defect.NOISE] == 0 and scene.voice.own_snr_db < OWN_SNR_DB:
        scene.labels[Defect.NOISE] = nan  # nothing was added, but the recording itself is not clean
        scene.mark(Defect.NOISE, np.ones_like(scene.active), nan)
    total = sum(10 ** (-one / 10) for one in (*scene.under_db, scene.voice.own_snr_db))
    snr = float(min(BEST_SNR_DB, -10 * np.log10(max(total, 1e-12))))
    coding = scene.line.coding
    scene.facts |= {"codec": coding.name if coding else None, "lost": lost}
    scene.facts |= {
        "band_hz": (scene.line.low, scene.line.high),
        "own_snr_db": scene.voice.own_snr_db,
        "t60_s": scene.room.t60_s if scene.room else nan,
    }
    c50_db = scene.room.c50_db if scene.room else nan
    return Labelled(wave, scene.labels, scene.frames, snr, c50_db, scene.facts)
