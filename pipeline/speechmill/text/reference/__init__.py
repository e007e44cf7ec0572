"""Reads a publisher's reference text leniently and aligns it to the clips of a recording.

A transcript, subtitles or the book that is read aloud have names, punctuation and spelling that an ASR model
only guesses. Pure functions: bytes and words in, text out; no network, no store.
"""

from speechmill.text.reference.align import AlignedText, ClipHypothesis, align
from speechmill.text.reference.formats import read
from speechmill.text.reference.words import Reference

__all__ = ["AlignedText", "ClipHypothesis", "Reference", "align", "read"]
