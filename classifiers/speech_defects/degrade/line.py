"""Draws the transmission line of a clip: a telephone, something harmless, or nothing.

It is drawn before the clip is made, since noise that a telephone does not transmit is no noise.
"""

from dataclasses import dataclass
from math import isnan, nan

import numpy as np

from speech_defects import RATE, Float32
from speech_defects.degrade import codecs

SHARE_BETWEEN = 0.1  # share of telephones that are unlabelled
SHARE_HARMLESS = 0.1


@dataclass(frozen=True, slots=True)
class Line:
    """The last step of a clip: a band filter, a codec, packet loss, and their label."""

    low: float = 0.0
    high: float = RATE / 2
    kind: codecs.Kind = "butter6"
    coding: codecs.Coding | None = None
    lossy: bool = False

    def heard(self, wave: Float32) -> Float32:
        """Apply only the band limits of the line, so that levels are measured as they are after it."""
        high = min(self.high, self.coding.sample_rate / 2 * 0.98) if self.coding else self.high
        return codecs.band_limited(wave, low=self.low, high=high, kind=self.kind)

    def sent(self, wave: Float32, rng: np.random.Generator) -> tuple[Float32, float, float]:
        """Pass float32[n] through codec and network; returns it, its label and the share of speech lost."""
        wave = codecs.coded(wave, self.coding) if self.coding else wave
        wave, lost = codecs.lossy(wave, rng) if self.lossy else (wave, 0.0)
        labels = [codecs.band_label(self.high), self.coding.telephone if self.coding else 0.0, codecs.lossy_label(lost)]
        return wave, 1.0 if 1.0 in labels else nan if any(map(isnan, labels)) else 0.0, lost


def drawn(rng: np.random.Generator, *, telephone: bool, low_pass: bool) -> Line:
    """Draw a line: a telephone, something harmless, or nothing."""
    if not telephone:
        kind: codecs.Kind = ("fir", "resample")[int(rng.integers(2))]
        high = rng.uniform(codecs.FULL_HZ, 7900) if low_pass or rng.random() < 0.08 else RATE / 2
        return Line(
            high=high, kind=kind, coding=_coding(rng, codecs.HARMLESS) if rng.random() < SHARE_HARMLESS else None
        )
    between = rng.random() < SHARE_BETWEEN
    defect = ("codec", "codec", "band", "loss")[int(rng.choice(4, p=[0.3, 0.25, 0.3, 0.15]))]
    low, high, kind = (
        _band(rng, between=between) if defect == "band" or rng.random() < 0.25 else (0, RATE / 2, "butter6")
    )
    coding = None
    if defect == "codec":
        coding = _coding(rng, codecs.BETWEEN if between else codecs.TELEPHONE)
    elif rng.random() < 0.15:
        coding = _coding(rng, codecs.HARMLESS)
    return Line(low, high, kind, coding, lossy=defect == "loss" or (not between and rng.random() < 0.15))


def _band(rng: np.random.Generator, *, between: bool) -> tuple[float, float, codecs.Kind]:
    """Draw a band, and a filter steep enough to remove what is above."""
    low = rng.uniform(150, 400) if rng.random() < 0.7 else 0.0
    if between:
        return low * (rng.random() < 0.3), rng.uniform(codecs.PHONE_HZ, 6800), "resample"
    high = (3400.0, 4000.0, 5512.5 * 0.7, rng.uniform(2600, 4200))[int(rng.integers(4))]
    kinds = codecs.KINDS if high <= 3400 else codecs.KINDS[1:]
    return low, high, kinds[int(rng.integers(len(kinds)))]


def _coding(rng: np.random.Generator, codings: tuple[tuple[codecs.Coding, ...], ...]) -> codecs.Coding:
    rates = codings[int(rng.integers(len(codings)))]
    return rates[int(rng.integers(len(rates)))]
