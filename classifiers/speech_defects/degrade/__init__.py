"""Labelled clips out of recordings: every defect is put upon clean speech, so that its level is known.

`Degrader` makes them, `takes` reads what they are made of, `labelled` writes them for an evaluation; the rest is
what happens to a voice on its way: rooms, sounds beside it, effects, the line that it is sent through.
"""

from speech_defects.degrade.degrader import Degrader
from speech_defects.degrade.scene import Labelled
from speech_defects.degrade.takes import Sources, Take, read_manifest, read_manifests

__all__ = ["Degrader", "Labelled", "Sources", "Take", "read_manifest", "read_manifests"]
