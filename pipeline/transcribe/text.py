"""Cleaning of a recogniser's text, without changing what was said."""

import re
import unicodedata

SPACES = re.compile(r"\s+")


def clean(text: str) -> str:
    """NFC, no control or invisible characters, single spaces. Case and punctuation stay."""
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(c if not unicodedata.category(c).startswith("C") else " " for c in composed)
    return SPACES.sub(" ", visible).strip()
