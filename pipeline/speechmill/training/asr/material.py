"""Training data of an ASR model: the recipe, the usable clips, and the held-out clips."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from speech_defects.degrade.takes import share

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.text.normal_form import clean
from speechmill.training.asr.references import read
from speechmill.training.clip_sound import length_s
from speechmill.training.inputs import Clip

SHORTEST_S = 0.3  # a masked span of ten frames is 0.2 s
HEAD_WIDTH = 32  # of an attention head, in a network trained from scratch
DELIMITER = "|"  # represents the space, as in wav2vec 2.0's vocabularies, and so cannot be learnt itself
QUOTES = str.maketrans("‘’“”", "''\"\"")  # typographic quotes, which sound alike

Plain = dict[str, Any]
Progress = Callable[[str], None]


class Recipe(BaseModel):
    """What to train on, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: tuple[Path, ...] = Field(min_length=1)
    """Folders of LibriSpeech, LibriTTS, HiFi-TTS, LJSpeech or Common Voice, corpora and JSONL manifests."""
    base: str | None = None
    """What to begin with: a folder with safetensors or a name on the hub, self-supervised or with a head. null: a small
    network that knows nothing."""
    language: str | None = None
    """Of all clips that do not say theirs (ISO 639-1)."""
    steps: int = Field(20_000, ge=1)
    """Batches learnt from."""
    batch_size: int = Field(16, ge=1)
    """Clips in a batch."""
    learning_rate: float = Field(1e-4, gt=0)
    """Highest rate."""
    mask_time: float = Field(0.05, ge=0, lt=1)
    """Share of the frames that is masked, in spans of ten."""
    mask_features: float = Field(0.0, ge=0, lt=1)
    """Share of the channels that is masked, in spans of ten."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Of a network that knows nothing; a base keeps its own."""
    hidden: int = Field(256, ge=HEAD_WIDTH, multiple_of=HEAD_WIDTH)
    """Width of a network that knows nothing."""
    layers: int = Field(6, ge=1)
    """Its Transformer layers."""
    rare: int = Field(10, ge=1)
    """Characters that occur less often are not learnt."""
    held_out: float = Field(0.05, ge=0, lt=0.5)
    """Share of the speakers that is only judged on."""
    seed: int = Field(1, ge=0)
    """Draws first weights, batches, masks and the split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Clips for training and for validation, their characters, and figures about the data."""

    learnt: tuple[Clip, ...]
    held_out: tuple[Clip, ...]
    characters: tuple[str, ...]
    summary: Plain


def gather(recipe: Recipe, progress: Progress) -> Material:
    """Read the inputs. Raises ValueError or OSError where they cannot be used."""
    references = [read(path, published=False) for path in recipe.inputs]
    clips, figures = _readable(
        [clip for reference in references for clip in reference.clips], recipe.language, progress
    )
    training, held_out, split_by = split(clips, recipe.held_out, recipe.seed)
    characters, dropped = alphabet([clip.text for clip in training], recipe.rare)
    kept = tuple(spelt for clip in training if (spelt := _spelt(clip, characters)))
    if not kept:
        raise ValueError("no clip is left to learn from; give more speakers, or set held_out=0 or rare=1")
    figures |= {
        "inputs": [
            {"kind": source.kind, "name": source.name, "clips": len(source.clips), "without_text": source.without_text}
            for source in references
        ],
        "licences": dict(Counter(clip.licence or "not stated" for clip in kept).most_common()),
        "clips": len(kept), "speakers": len({clip.speaker for clip in kept}), "held_out_clips": len(held_out),
        "parted_by": split_by, "not_spelt": len(training) - len(kept), "dropped": dropped,
    }  # fmt: skip
    return Material(learnt=kept, held_out=held_out, characters=characters, summary=figures)


def _readable(clips: Sequence[Clip], language: str | None, progress: Progress) -> tuple[list[Clip], Plain]:
    """Clips with a text and readable audio, normalised; their hours, and why others are left out."""
    kept, seconds, refused = [], 0.0, Counter[str]()
    for number, clip in enumerate(clips, start=1):
        try:
            length = length_s(clip)
            if length < SHORTEST_S:
                raise RejectedError(Reason.EMPTY, f"{length:.2f} s long")
            if text := clean(clip.text).translate(QUOTES):
                kept.append(replace(clip, text=text, language=clip.language or language))
                seconds += length
        except RejectedError as rejected:
            refused[rejected.reason.value] += 1
        progress(f"read: {number} of {len(clips)} clips, {seconds / 3_600:.1f} h")
    return kept, {"hours": seconds / 3_600, "not_read": dict(refused)}


def split(clips: Sequence[Clip], held_out: float, seed: int) -> tuple[tuple[Clip, ...], tuple[Clip, ...], str]:
    """Split clips into training and validation, `held_out` being the share of the speakers in the latter, at least one.

    Also returns what is split by: where there is only one speaker, it is source, else folder, else clip.
    """
    units: dict[str, Callable[[Clip], str]] = {
        "speaker": lambda clip: clip.speaker, "source": lambda clip: clip.source,
        "folder": lambda clip: str(Path(clip.file).parent), "clip": lambda clip: clip.file,
    }  # fmt: skip
    unit = next((unit for unit, name in units.items() if len({name(clip) for clip in clips}) > 1), "clip")
    names = sorted({units[unit](clip) for clip in clips}, key=partial(share, seed))
    kept = {*names[: max(1, round(held_out * len(names)))]} if held_out else set()
    learnt, validation = (
        tuple(clip for clip in clips if (units[unit](clip) in kept) is side) for side in (False, True)
    )
    return learnt, validation, unit


def alphabet(texts: Sequence[str], rare: int) -> tuple[tuple[str, ...], dict[str, int]]:
    """Characters of the texts except the space, sorted, and those rarer than `rare` occurrences, with their counts."""
    counts = Counter("".join(texts))
    del counts[" "]
    dropped = {c: n for c, n in sorted(counts.items()) if n < rare or c == DELIMITER}
    return tuple(sorted(counts.keys() - dropped.keys())), dropped


def _spelt(clip: Clip, characters: Sequence[str]) -> Clip | None:
    """A clip without unknown punctuation; None with an unknown letter, without which the text would be wrong."""
    lacking = {*clip.text} - {*characters, " "}
    if any(c.isalnum() for c in lacking):
        return None
    text = " ".join("".join(c for c in clip.text if c not in lacking).split())
    return replace(clip, text=text) if text else None
