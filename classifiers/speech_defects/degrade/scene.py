"""A clip in the making: what was added to the voice, and the resulting labels."""

from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any

import numpy as np
import numpy.typing as npt

from speech_defects import FRAME, RATE, Defect, Float32
from speech_defects.degrade import effects, levels, rooms, sounds
from speech_defects.degrade.levels import Mask
from speech_defects.degrade.line import Line
from speech_defects.degrade.takes import LEVEL_DB, Voice

FRAME_ROWS = (Defect.NOISE, Defect.MUSIC, Defect.OVERLAP)
NOT_JUDGED = 255  # in frames; NaN in labels
# Pairs: the last level that is a defect, and the first that is none. Levels between are audible to
# some listeners only, so they are neither trained nor evaluated on.
NOISE_SNR_DB = (18.0, 27.0)  # 18 dB is audible in every pause; above 27 are the floors of good recordings
OWN_SNR_DB = 10.0  # the floor of an original recording is no noise, unless its SNR is below this
MUSIC_SNR_DB = (25.0, 35.0)  # music is noticed at lower levels than noise
OVERLAP_S = (0.5, 0.2)
NOISE_S = (1.0, 0.5)  # shorter: a breath, a page
MUSIC_S = (1.0, 0.3)  # shorter: the tail of a jingle left by a cut
BEST_SNR_DB = 45.0  # higher ones cannot be measured in recordings
GAIN_DBFS = (-45.0, -15.0)
QUIET_DBFS = (-52.0, -46.0)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A clip float32[n] at 16 kHz in [-1, 1] and its labels.

    `defects` has 1, 0 or NaN (unlabelled) for every Defect; `frames` is uint8[3, F] at 25 a second, rows as in
    FRAME_ROWS, 1, 0 or NOT_JUDGED. `snr_db` is speech over all that was added and its own floor, at most 45;
    `c50_db` is NaN without a room.
    """

    wave: Float32
    defects: dict[Defect, float]
    frames: npt.NDArray[np.uint8]
    snr_db: float
    c50_db: float
    facts: dict[str, Any]


@dataclass(slots=True)
class Scene:
    """A clip in the making: stems, and their known properties."""

    rng: np.random.Generator
    voice: Voice
    line: Line
    speech: Float32
    mix: Float32
    active: Mask
    frames: npt.NDArray[np.uint8]
    is_song: bool = False
    room: rooms.Room | None = None
    level_db: float = LEVEL_DB
    under_db: list[float] = field(default_factory=list)  # SNR of each added sound in dB
    labels: dict[Defect, float] = field(default_factory=lambda: dict.fromkeys(Defect, 0.0))
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Samples of the clip."""
        return len(self.speech)

    def mark(self, defect: Defect, where: Mask, value: float) -> None:
        """Label frames of a defect: 1, 0, or NaN for unlabelled; frames with 1 keep it."""
        row = self.frames[FRAME_ROWS.index(defect)]
        row[where & (row != 1)] = NOT_JUDGED if isnan(value) else int(value)

    def leave_open(self, defect: Defect) -> None:
        """Leave a defect unlabelled, in the clip and its frames."""
        self.labels[defect] = nan
        self.mark(defect, np.ones_like(self.active), nan)


def rounded(wave: Float32) -> Float32:
    """Round to 16 bits, like the recordings that will be scored."""
    return np.asarray(np.round(wave * 32_767) / 32_768, np.float32)


def amplitude_of(decibel: float) -> np.float32:
    """Amplitude factor of a gain in dB."""
    return np.float32(10 ** (decibel / 20))


def judged(value: float, bounds: tuple[float, float]) -> float:
    """Label of a level: 1 up to the first bound, 0 from the second on, NaN between."""
    return 1.0 if value <= bounds[0] else 0.0 if value >= bounds[1] else nan


def lasting(seconds: float, bounds: tuple[float, float]) -> float:
    """Label of a duration: 1 from the first bound on, 0 below the second, NaN between."""
    return 1.0 if seconds >= bounds[0] else 0.0 if seconds < bounds[1] else nan


def judged_both(*labels: float) -> float:
    """Combine labels: 1 if all are 1, 0 if any is 0, else NaN."""
    return 0.0 if 0.0 in labels else 1.0 if all(label == 1 for label in labels) else nan


def added(scene: Scene, stem: Float32, snr_db: float, defect: Defect) -> tuple[Mask, float]:
    """Add a stem at an SNR; returns the frames in which it is audible, and its label.

    Args:
        scene: The clip.
        stem: float32[n], the sound to add.
        snr_db: Level of the voice over that of the stem.
        defect: NOISE or MUSIC.
    """
    stem = scene.line.heard(stem)
    where = levels.activity(stem)
    if not where.any():  # a recording may be silent
        return where, 0.0
    scene.mix += stem * amplitude_of(scene.level_db - snr_db - levels.level_db(stem, where))
    scene.under_db.append(snr_db)
    bounds, span = (NOISE_SNR_DB, NOISE_S) if defect is Defect.NOISE else (MUSIC_SNR_DB, MUSIC_S)
    value = judged(snr_db, bounds)
    scene.mark(defect, where, value)
    value = judged_both(value, lasting(float(where.sum() * FRAME / RATE), span))
    if scene.labels[defect] == 0:
        scene.labels[defect] = value
    return where, value


def doubt(scene: Scene, where: Mask) -> None:
    """Leave overlap unlabelled where a crowd or a singer is audible, which may count as overlap or not."""
    scene.mark(Defect.OVERLAP, where, nan)
    if scene.labels[Defect.OVERLAP] == 0:
        scene.labels[Defect.OVERLAP] = nan


def add_events(scene: Scene) -> None:
    """Add breaths, clicks, pages or thumps of less than half a second in total."""
    rng, samples_left = scene.rng, int(sounds.SHORT_S * RATE)
    peak = float(np.abs(scene.speech).max())
    for _ in range(int(rng.integers(1, 5))):
        wave, name = sounds.event(rng)
        if len(wave) > min(samples_left, scene.length):
            break
        samples_left -= len(wave)
        at = int(rng.integers(scene.length - len(wave) + 1))
        scene.mix[at : at + len(wave)] += wave * np.float32(peak * amplitude_of(rng.uniform(-30, 0)))
        scene.facts["event"] = name


def finished(scene: Scene, negative: str) -> Labelled:
    """Send the mixture through its line, set its level, round it to 16 bits, and collect the labels."""
    rng = scene.rng
    mix = scene.mix / max(1.0, float(np.abs(scene.mix).max()) / 0.95)
    mix, scene.labels[Defect.TELEPHONE], lost = scene.line.sent(mix, rng)
    mix = effects.limited(mix, rng) if rng.random() < 0.1 else mix
    level = rng.uniform(*(QUIET_DBFS if negative == "quiet" else GAIN_DBFS))
    mix = mix * amplitude_of(level - levels.level_db(mix, levels.activity(mix)))
    mix = mix / max(1.0, float(np.abs(mix).max()) / 0.99)
    wave = rounded(mix)
    if scene.labels[Defect.NOISE] == 0 and scene.voice.own_snr_db < OWN_SNR_DB:
        scene.leave_open(Defect.NOISE)  # nothing was added, but the recording itself is not clean
    total = sum(10 ** (-sound_db / 10) for sound_db in (*scene.under_db, scene.voice.own_snr_db))
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
