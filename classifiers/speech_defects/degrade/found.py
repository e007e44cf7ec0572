"""Clips cut out of recordings whose defects are known: no mixture is like a real street, meeting or song.

What is common must not outweigh what is rare: a defect is drawn first, or none, then a source, then a recording.
"""

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from speech_defects import Defect, Float32
from speech_defects.degrade import levels
from speech_defects.degrade.scene import FRAME_ROWS, NOT_JUDGED
from speech_defects.degrade.takes import VOICE_SPEED, Shelf, Take

NO_DEFECT = "none"
CLEAN = 3.0  # clips without any defect are drawn so many times as often as those with one of the five


class Found:
    """Draws labelled recordings."""

    def __init__(self, shelf: Shelf, takes: tuple[Take, ...]) -> None:
        self._shelf = shelf
        self._takes: dict[str, dict[str, list[Take]]] = defaultdict(lambda: defaultdict(list))
        for take in takes:
            present = [defect.value for defect, label in zip(Defect, take.labels, strict=True) if label == 1]
            for name in present or [NO_DEFECT]:
                self._takes[name][take.source].append(take)

    def clip(self, rng: np.random.Generator, length: int) -> tuple[Float32, Take]:
        """Cut float32[length] out of a recording at a slightly changed speed, repeated if it is shorter."""
        kinds = sorted(self._takes)
        shares = np.array([CLEAN if kind == NO_DEFECT else 1.0 for kind in kinds])
        by_source = self._takes[kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]]
        sources = sorted(by_source)
        return self._shelf.piece(by_source[sources[int(rng.integers(len(sources)))]], rng, length, VOICE_SPEED)


def frames_of(wave: Float32, labels: dict[Defect, float]) -> npt.NDArray[np.uint8]:
    """Labels of frames, uint8[3, F], from a clip's: noise is everywhere, music and a second voice where it is loud."""
    frames = np.full((len(FRAME_ROWS), levels.frames_in(len(wave))), NOT_JUDGED, np.uint8)
    for row, defect in zip(frames, FRAME_ROWS, strict=True):
        if labels[defect] == 0:
            row[:] = 0
        elif labels[defect] == 1:
            row[levels.activity(wave) | (defect is Defect.NOISE)] = 1
    return frames
