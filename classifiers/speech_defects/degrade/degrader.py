"""Makes clips with known defects: speech with added noise, music, other voices, rooms and telephone lines.

Labels by listeners are few and subjective; here the level of everything that was added is known.
"""

from math import nan

import numpy as np

from speech_defects import FRAME, RATE, Defect, Float32
from speech_defects.degrade import effects, levels, line, rooms, singing, sounds
from speech_defects.degrade.found import Found, frames_of
from speech_defects.degrade.levels import Mask
from speech_defects.degrade.scene import (
    FRAME_ROWS,
    GAIN_DBFS,
    MUSIC_SNR_DB,
    NOISE_SNR_DB,
    NOT_JUDGED,
    OVERLAP_S,
    Labelled,
    Scene,
    add_events,
    added,
    amplitude_of,
    doubt,
    finished,
    judged,
    judged_both,
    lasting,
    rounded,
)
from speech_defects.degrade.takes import Shelf, Sources, Voice

OVERLAP_DB = (-15.0, -25.0)  # of a second voice relative to the first: below -25 it is masked
C50_DB = (14.0, 20.0)  # a living room at arm's length; above 20 it sounds dry

SHARE_CLEAN, SHARE_ONE = 0.30, 0.45
DRAWN_AS_OFTEN = {
    defect: 2.0 if defect is Defect.OVERLAP else 1.0 for defect in Defect
}  # relative frequency of defects; overlap is the hardest to learn
SHARE_MEETINGS, SHARE_CALLS = 0.04, 0.03  # of real conversations and telephone calls, if there are any
SHARE_SONGS = 0.25  # of clips with music: the voice sings, with and without instruments
SHARE_FOUND = 0.3  # of recordings with known defects, if there are any
SNR_RANGE_DB = (0.0, 45.0)
DRAWN_OVERLAP_DB = (-25.0, 3.0)
BABBLE_VOICES = (4, 10)
NEGATIVES = ("quiet", "events", "low-pass", "chanted", "small room", "alternating", "music tail", "faint noise")


class Degrader:
    """Makes labelled clips from recordings: each depends on seed, index and length only."""

    def __init__(self, sources: Sources, seed: int | tuple[int, ...]) -> None:
        if len({take.speaker for take in sources.speech}) < BABBLE_VOICES[0] or not sources.music:
            raise ValueError("needs speech of four or more speakers, and music")
        self.sources = sources
        self._seed = seed if isinstance(seed, tuple) else (seed,)
        self._shelf = Shelf(sources)
        self._found = Found(self._shelf, sources.labelled)

    def clip(self, index: int, seconds: float) -> Labelled:
        """Make clip `index`, `seconds` long."""
        rng = np.random.default_rng([*self._seed, index])
        if self.sources.overlap and rng.random() < SHARE_MEETINGS:
            return self._meeting(rng, round(seconds * RATE))
        if self.sources.telephone and rng.random() < SHARE_CALLS:
            return self._call(rng, round(seconds * RATE))
        if self.sources.labelled and rng.random() < SHARE_FOUND:
            return self._labelled(rng, round(seconds * RATE))
        wanted, negative = _drawn(rng)
        scene = self._scene(rng, round(seconds * RATE), wanted, negative)
        self._place(scene, wanted, negative)
        if Defect.OVERLAP in wanted:
            self._overlap(scene)
        if Defect.NOISE in wanted or negative == "faint noise":
            self._noise(scene, faint=negative == "faint noise")
        if Defect.MUSIC in wanted and not (scene.is_song and rng.random() < 0.5):
            self._music(scene)
        if negative == "music tail":
            self._music_tail(scene)
        if negative == "chanted":
            scene.leave_open(Defect.MUSIC)
        if negative == "events" or rng.random() < 0.08:
            add_events(scene)
        return finished(scene, negative)

    def _scene(self, rng: np.random.Generator, length: int, wanted: frozenset[Defect], negative: str) -> Scene:
        """Draw the first voice, without a room."""
        voice = self._shelf.voice(rng, length)
        is_song = Defect.MUSIC in wanted and rng.random() < SHARE_SONGS
        wave = singing.sung(voice.wave, rng) if is_song else voice.wave
        if negative == "alternating":
            wave = self._taking_turns(rng, voice, length)
        elif negative == "chanted":
            wave = effects.chanted(wave, rng)
        elif not is_song and rng.random() < 0.06:  # what the change of length alone sounds like is no song
            wave = singing.stretched(wave, rng.uniform(1, 1.5))[:length]
        wave = effects.with_pauses(wave, rng) if rng.random() < 0.15 else wave
        wave = effects.coloured(wave, rng)
        wave = effects.compressed(wave, rng) if rng.random() < 0.15 else wave
        wave = effects.gated(wave, rng) if rng.random() < 0.1 else wave
        through = line.drawn(rng, telephone=Defect.TELEPHONE in wanted, low_pass=negative == "low-pass")
        frames = np.zeros((len(FRAME_ROWS), levels.frames_in(length)), np.uint8)
        scene = Scene(rng, voice, through, wave, wave, levels.activity(wave), frames, is_song=is_song)
        if is_song:
            scene.labels[Defect.MUSIC] = 1.0
            scene.mark(Defect.MUSIC, scene.active, 1.0)
        scene.facts = {"speaker": voice.speaker, "source": voice.source, "hard_negative": negative}
        return scene

    def _meeting(self, rng: np.random.Generator, length: int) -> Labelled:
        """Cut a clip out of a conversation, with unknown noise, room and line."""
        wave, voices, source = self._shelf.meeting(rng, length)
        frames = np.full((len(FRAME_ROWS), levels.frames_in(length)), NOT_JUDGED, np.uint8)
        frames[FRAME_ROWS.index(Defect.MUSIC)] = 0
        frames[FRAME_ROWS.index(Defect.OVERLAP)] = both = voices > 1
        labels = dict.fromkeys(Defect, nan) | {Defect.MUSIC: 0.0}
        labels[Defect.OVERLAP] = lasting(float(both.sum() * FRAME / RATE), OVERLAP_S)
        return Labelled(_as_found(wave, rng), labels, frames, nan, nan, {"source": source, "found": "conversation"})

    def _call(self, rng: np.random.Generator, length: int) -> Labelled:
        """Cut a clip of one voice out of a telephone call, with unknown noise and room."""
        wave, source = self._shelf.call(rng, length)
        frames = np.zeros((len(FRAME_ROWS), levels.frames_in(length)), np.uint8)
        frames[FRAME_ROWS.index(Defect.NOISE)] = NOT_JUDGED
        labels = dict.fromkeys(Defect, 0.0) | {Defect.TELEPHONE: 1.0, Defect.NOISE: nan, Defect.REVERB: nan}
        return Labelled(_as_found(wave, rng), labels, frames, nan, nan, {"source": source, "found": "call"})

    def _labelled(self, rng: np.random.Generator, length: int) -> Labelled:
        """Cut a clip out of a recording whose defects are known."""
        wave, take = self._found.clip(rng, length)
        labels = dict(zip(Defect, take.labels, strict=True))
        facts = {"source": take.source, "found": "labelled"}
        return Labelled(_as_found(wave, rng), labels, frames_of(wave, labels), nan, nan, facts)

    def _taking_turns(self, rng: np.random.Generator, first: Voice, length: int) -> Float32:
        """Append a second voice to the first, 0 to 0.5 s later: two voices, never at once."""
        second = self._shelf.voice(rng, length, but={first.speaker}).wave * amplitude_of(rng.uniform(-6, 3))
        turn, gap = round(rng.uniform(0.2, 0.8) * length), round(rng.uniform(0, 0.5) * RATE)
        ends = np.minimum(1, np.arange(turn)[::-1] / 160).astype(np.float32)  # 10 ms: no click at the cut
        return np.concatenate([first.wave[:turn] * ends, np.zeros(gap, np.float32), second])[:length]

    def _place(self, scene: Scene, wanted: frozenset[Defect], negative: str) -> None:
        """Put the voice into a room if reverberation is wanted, and sometimes into a dry room otherwise."""
        rng = scene.rng
        if Defect.REVERB in wanted:
            scene.room = self._room(rng)
        elif negative == "small room" or rng.random() < 0.1:
            scene.room = rooms.simulated(rng, c50_db=rng.uniform(22, 32))
        if scene.room:
            scene.speech = rooms.apply(scene.speech, scene.room)
            scene.labels[Defect.REVERB] = judged(scene.room.c50_db, C50_DB)
        scene.speech = scene.line.heard(scene.speech)
        scene.mix = scene.speech.copy()
        scene.level_db = levels.level_db(scene.speech, scene.active)

    def _room(self, rng: np.random.Generator) -> rooms.Room:
        if self.sources.room and rng.random() < 0.35:
            room = self._shelf.room(rng)  # measured rooms are few: they are varied
            room = rooms.damped(room, rng.uniform(0.1, 1)) if rng.random() < 0.5 else room
            return rooms.nearer(room, rng.uniform(0, 12)) if rng.random() < 0.4 else room
        band = ((-4.0, 14.0), (-4.0, 14.0), (14.0, 20.0), (20.0, 28.0))[int(rng.choice(4, p=[0.4, 0.4, 0.1, 0.1]))]
        return rooms.simulated(rng, c50_db=rng.uniform(*band))

    def _overlap(self, scene: Scene) -> None:
        """Add one or two other voices."""
        rng = scene.rng
        relative_db = rng.uniform(OVERLAP_DB[0], DRAWN_OVERLAP_DB[1])
        if rng.random() < 0.1:
            relative_db = rng.uniform(DRAWN_OVERLAP_DB[0], OVERLAP_DB[0])
        speakers = [scene.voice.speaker]
        both = np.zeros_like(scene.active)
        for _ in range(1 + (rng.random() < 0.15)):
            wave, active = self._other_voice(scene, speakers)
            level = levels.level_db(wave, active)
            if active.any():
                scene.mix += wave * amplitude_of(scene.level_db + relative_db - level)
                both |= active & scene.active
        seconds = float(both.sum() * FRAME / RATE)
        value = judged_both(judged(-relative_db, (-OVERLAP_DB[0], -OVERLAP_DB[1])), lasting(seconds, OVERLAP_S))
        scene.labels[Defect.OVERLAP] = value
        scene.mark(Defect.OVERLAP, both, 1.0 if relative_db >= OVERLAP_DB[0] else nan)
        scene.facts |= {"overlap_db": relative_db, "overlap_s": seconds, "voices": len(speakers)}

    def _other_voice(self, scene: Scene, speakers: list[str]) -> tuple[Float32, Mask]:
        """Draw another voice, as backchannel, interruption or throughout: its wave in place, and its active frames."""
        rng, length = scene.rng, scene.length
        share = ((0.3, 1.2), (0.8, max(0.8, 0.5 * length / RATE)), (0.5 * length / RATE, length / RATE))
        duration = round(min(length, rng.uniform(*share[int(rng.choice(3, p=[0.2, 0.4, 0.4]))]) * RATE))
        voice = self._shelf.voice(rng, duration + RATE, but=set(speakers))
        speakers.append(voice.speaker)
        first = int(np.argmax(levels.activity(voice.wave))) * FRAME  # starts with a word
        dry = effects.coloured(voice.wave[min(first, RATE) :][:duration], rng)
        dry *= np.minimum(1, np.minimum(np.arange(duration), np.arange(duration)[::-1]) / 320).astype(np.float32)
        spoken = np.flatnonzero(scene.active)
        middle = int(spoken[rng.integers(len(spoken))]) * FRAME if len(spoken) else 0
        start = int(np.clip(middle - rng.uniform(0.2, 0.8) * duration, 0, length - duration))
        placed = np.pad(dry, (start, length - duration - start))
        active = levels.activity(dry)
        at = start // FRAME
        active_frames = np.zeros_like(scene.active)
        active_frames[at : at + len(active)] = active[: len(active_frames) - at]
        if scene.room:  # at another place of a similar room
            placed = rooms.apply(placed, rooms.simulated(rng, c50_db=scene.room.c50_db + rng.uniform(-4, 4)))
        return scene.line.heard(placed), active_frames

    def _noise(self, scene: Scene, *, faint: bool) -> None:
        """Add a noise, recorded, synthetic or babble, throughout or for a part."""
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
        where, value = added(scene, stem * effects.presence(rng, scene.length, part=0.25), snr, Defect.NOISE)
        scene.facts |= {"noise": name, "noise_snr_db": snr, "noise_s": float(where.sum() * FRAME / RATE)}
        if name == "babble" and value != 0:
            doubt(scene, where)

    def _recorded_noise(self, rng: np.random.Generator, length: int) -> tuple[Float32, str]:
        stem, take = self._shelf.piece(self.sources.noise, rng, length)
        if rng.random() < 0.25:
            other, _ = self._shelf.piece(self.sources.noise, rng, length)
            stem = stem + other * amplitude_of(levels.level_db(stem) - levels.level_db(other) + rng.uniform(-12, 6))
        return stem, f"{take.source}: {take.path.stem}"

    def _babble(self, scene: Scene) -> Float32:
        rng = scene.rng
        crowd = np.zeros(scene.length, np.float32)
        for _ in range(int(rng.integers(BABBLE_VOICES[0], BABBLE_VOICES[1] + 1))):
            crowd += self._shelf.voice(rng, scene.length, but={scene.voice.speaker}).wave * amplitude_of(
                rng.uniform(-6, 0)
            )
        return rooms.apply(crowd, rooms.simulated(rng)) if rng.random() < 0.5 else crowd

    def _music(self, scene: Scene) -> None:
        """Add music, sometimes faded, ducked under the voice, or with a singer."""
        rng = scene.rng
        vocal = bool(self.sources.music_vocal) and rng.random() < 0.25
        stem, take = self._shelf.piece(self.sources.music_vocal if vocal else self.sources.music, rng, scene.length)
        stem = effects.coloured(stem, rng) if rng.random() < 0.7 else stem
        stem = effects.compressed(stem, rng) if rng.random() < 0.3 else stem
        stem = stem * effects.presence(rng, scene.length, part=0.3)
        if rng.random() < 0.3:
            stem = stem * effects.ducking(scene.active, scene.length, rng.uniform(3, 12))
        snr = _drawn_snr(rng, MUSIC_SNR_DB)
        where, value = added(scene, stem, snr, Defect.MUSIC)
        scene.facts |= {"music": f"{take.source}: {take.path.stem}", "music_snr_db": snr}
        if vocal and value != 0:
            doubt(scene, where)

    def _music_tail(self, scene: Scene) -> None:
        """Add less than 0.3 s of music at the start, as a cut may leave."""
        rng = scene.rng
        length = round(rng.uniform(0.1, 0.29) * RATE)
        tail, _ = self._shelf.piece(self.sources.music, rng, length)
        tail = tail * np.linspace(1, 0, length, dtype=np.float32)
        scene.mix[:length] += tail * amplitude_of(scene.level_db - rng.uniform(-3, 20) - levels.level_db(tail))


def _drawn(rng: np.random.Generator) -> tuple[frozenset[Defect], str]:
    """Draw the defects of a clip, and for a clean clip what makes it a hard negative."""
    draw = rng.random()
    if draw < SHARE_CLEAN:
        return frozenset(), NEGATIVES[int(rng.integers(len(NEGATIVES)))] if draw < SHARE_CLEAN / 2 else ""
    count = 1 if draw < SHARE_CLEAN + SHARE_ONE else int(rng.choice([2, 3], p=[0.7, 0.3]))
    probabilities = np.array([*DRAWN_AS_OFTEN.values()]) / sum(DRAWN_AS_OFTEN.values())
    return frozenset(
        tuple(Defect)[int(at)] for at in rng.choice(len(Defect), count, replace=False, p=probabilities)
    ), ""


def _as_found(wave: Float32, rng: np.random.Generator) -> Float32:
    """Change microphone colour and level of a clip cut out of a labelled recording."""
    wave = effects.coloured(wave, rng)
    gain = amplitude_of(rng.uniform(*GAIN_DBFS) - levels.level_db(wave, levels.activity(wave)))
    return rounded(np.clip(wave * gain, -1, 1))


def _drawn_snr(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw an SNR: with probability 0.8 a defect, else unlabelled or none."""
    edges = ((SNR_RANGE_DB[0], bounds[0]), bounds, (bounds[1], SNR_RANGE_DB[1]))
    return float(rng.uniform(*edges[int(rng.choice(3, p=[0.8, 0.1, 0.1]))]))
