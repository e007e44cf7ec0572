"""Makes labelled clips from recordings: every defect is added to clean speech, so that its level is known.

`Degrader` makes them, `takes` reads the recordings, `labelled` writes clips for an evaluation; the other modules
are the steps: rooms, added sounds, effects, and transmission lines.
"""

from speech_defects.degrade.degrader import Degrader
from speech_defects.degrade.scene import Labelled
from speech_defects.degrade.takes import Sources, Take, read_manifest, read_manifests

__all__ = ["Degrader", "Labelled", "Sources", "Take", "read_manifest", "read_manifests"]
