"""NeMo: JSON lines of audio_filepath, duration and text, with a clip of the speaker as context for Magpie-TTS.

MagpieTTSDataset takes the seconds of the context from `context_audio_duration`, and the clip itself as context where
there is no other. Where its model reads contexts as text too (`use_text_conditioning_tokenizer`), a `context_text`
stands in place of the sound, not beside it.
"""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from speechmill.export.base import Clip, Exported, Exporter, Part, Reference

FILES = {"train": "nemo_train.json", "validation": "nemo_validation.json"}
MIN_CONTEXT_S = 3.0  # advised in NeMo's docs/source/tts/magpietts-finetuning.rst; shorter ones are repeated


class NeMo(Exporter):
    """Manifests with paths relative to them."""

    name = "nemo"
    about = "nemo_train.json of audio_filepath, duration, text, context_audio_filepath; read by NeMo and NeMo Curator"
    loading = (
        "`manifest_path: nemo_train.json` with `audio_dir` this folder; with lhotse `type: nemo`, "
        "`manifest_filepath: nemo_train.json`. `context_text` is the text of the context: with "
        "`use_text_conditioning_tokenizer` Magpie-TTS listens to it in place of the context's audio."
    )
    kinds = ("wav", "flac")
    references = True

    def add(self, clip: Clip, part: Part) -> None:
        """Write a line."""
        part.line(FILES[clip.split], line_of(clip, clip.audio_file, _context(clip)))

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Load each line, as read_manifest does, which takes no blank ones."""
        for name in exported.names():
            for line in exported.lines(name):
                yield PurePosixPath(json.loads(line)["audio_filepath"]).stem


def line_of(clip: Clip, audio_file: str, more: dict[str, Any]) -> str:
    """A line of a manifest: the keys that all of NeMo's readers know, and `more`."""
    facts = {"audio_filepath": audio_file, "duration": round(clip.seconds, 3), "text": clip.text}
    named: dict[str, Any] = facts | {"speaker": clip.speaker}
    if clip.language:
        named |= {"lang": clip.language, "language": clip.language}  # lhotse's adapter reads one, Magpie-TTS the other
    return json.dumps(named | more, ensure_ascii=False)


def _context(clip: Clip) -> dict[str, Any]:
    """Keys of the reference, the best one that is long enough, else the best one."""
    reference = _long_enough(clip.references)
    if reference is None:
        return {}
    return {
        "context_audio_filepath": reference.audio_file,
        "context_audio_duration": round(reference.seconds, 3),
        "context_text": reference.text,
    }


def _long_enough(references: tuple[Reference, ...]) -> Reference | None:
    long = (reference for reference in references if reference.seconds >= MIN_CONTEXT_S)
    return next(long, references[0] if references else None)
