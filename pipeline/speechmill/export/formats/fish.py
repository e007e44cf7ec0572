"""Fish Speech: `<speaker>/<id>.wav` with its text in `<speaker>/<id>.lab`. The folder of a file names its speaker."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from speechmill.export.base import Clip, Exported, Exporter, Part

FOLDER = "fish"


class Fish(Exporter):
    """`fish/train/<speaker>/<id>.wav` and `.lab`, with audio files of its own."""

    name = "fish"
    about = "fish/train/<speaker>/<id>.wav with <id>.lab; read by Fish Speech's extract_vq.py and build_dataset.py"
    loading = "`fish/train` is the folder `data` of its scripts. Its authors advise to make clips equally loud first."
    kinds = ("wav", "flac")
    shares_audio = False

    def add(self, clip: Clip, part: Part) -> None:
        """Write both files."""
        speaker = re.sub(r"[^0-9A-Za-z_-]+", "_", clip.speaker)[:100]
        stem = f"{FOLDER}/{clip.split}/{speaker}/{clip.id}"
        part.file(f"{stem}.{part.audio.kind}", part.sound(clip))
        part.file(f"{stem}.lab", clip.text.encode())

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Take each text whose audio is there."""
        audio = ""
        for name in exported.walk(FOLDER):  # sorted: .flac < .lab < .wav
            path = PurePosixPath(name)
            if path.stem == PurePosixPath(audio).stem and {path.suffix, PurePosixPath(audio).suffix} > {".lab"}:
                yield path.stem
            audio = name
