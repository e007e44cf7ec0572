"""VoxCPM: JSON lines of audio, text, duration and, where there is one, a reference of the same speaker."""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath

from speechmill.export.base import Clip, Exported, Exporter, Part

FILES = {"train": "voxcpm_train.jsonl", "validation": "voxcpm_validation.jsonl"}


class VoxCPM(Exporter):
    """Manifests with `ref_audio`."""

    name = "voxcpm"
    about = "voxcpm_train.jsonl of audio, text, duration, ref_audio; read by VoxCPM's training"
    loading = (
        "`train_manifest: voxcpm_train.jsonl`, `val_manifest: voxcpm_validation.jsonl`. Paths are relative to this "
        "folder, and VoxCPM 2.0.3 looks for them where it is started: start it here."
    )
    references = True

    def add(self, clip: Clip, part: Part) -> None:
        """Write a line."""
        line = {"audio": clip.audio_file, "text": clip.text, "duration": round(clip.seconds, 3)}
        if clip.references:
            reference = clip.references[0]
            line |= {"ref_audio": reference.audio_file, "ref_duration": round(reference.seconds, 3)}
        part.line(FILES[clip.split], json.dumps(line, ensure_ascii=False))

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Load each line."""
        for name in exported.names():
            for line in exported.lines(name):
                yield PurePosixPath(json.loads(line)["audio"]).stem
