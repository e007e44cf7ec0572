"""What a corpus of somebody else has: items with a sound and what the corpus says of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SPLITS = {
    "train": "train", "training": "train", "dev": "validation", "val": "validation", "valid": "validation",
    "validation": "validation", "eval": "validation", "test": "test",
}  # fmt: skip
TRAIN = "train"
IDS = ("clip_id", "id", "utterance_id", "utt_id", "file_name", "file")  # keys and columns, the first that is there
TEXTS = ("text", "sentence", "transcription", "transcript", "normalized_text", "text_normalized")
SPEAKERS = ("speaker_id", "speaker", "client_id", "speaker_name")
LANGUAGES = ("language", "lang", "locale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One utterance of a corpus: a file or a part of it, or bytes, or the fault for which it cannot be read.

    >>> Item(id="a", path="/corpus/a.wav", text="Yes.").split is None
    True
    """

    id: str
    path: str | None = None
    """Absolute path of its file."""
    sound: bytes | None = None
    """Its file, where it lies in an archive."""
    span: Mapping[str, float] = field(default_factory=dict)
    """Which part of the file it is: keys and seconds as manifests have them; empty for all of it."""
    text: str | None = None
    speaker: str | None = None
    language: str | None = None
    split: str | None = None
    """`train`, `validation` or `test`, where the corpus has splits."""
    fault: str | None = None
    """Why it has neither a path nor a sound."""


def described(id_: str, values: Mapping[str, Any], split: str | None, **place: Any) -> Item:
    """An item from the columns or keys that corpora have; `place` is where its sound is.

    >>> described("a", {"sentence": "Yes.", "client_id": 7}, "train", path="/a.wav").speaker
    '7'
    """
    return Item(
        id=id_,
        text=_first(values, TEXTS),
        speaker=_first(values, SPEAKERS),
        language=_first(values, LANGUAGES),
        split=_split(values.get("split")) or split,
        **place,
    )


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """The first value that is text or a whole number, as text."""
    chosen = (values[name] for name in names if values.get(name) not in (None, ""))
    return next((str(value) for value in chosen if isinstance(value, str | int)), None)


def _split(value: object) -> str | None:
    return SPLITS.get(value.lower()) if isinstance(value, str) else None


def id_of(values: Mapping[str, Any], default: str) -> str:
    """The id that a corpus gives an item, or `default`."""
    return _first(values, IDS) or default


def split_of(name: str) -> str | None:
    """Split that a path below the corpus names, in its last part that names one; None without.

    >>> split_of("data/train-00000-of-00004.parquet"), split_of("dev/audio.tar"), split_of("metadata.csv")
    ('train', 'validation', None)
    """
    words = re.split(r"[^a-z]+", name.lower())
    return next((SPLITS[word] for word in reversed(words) if word in SPLITS), None)
