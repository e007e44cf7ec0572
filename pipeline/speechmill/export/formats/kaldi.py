"""Kaldi: `wav.scp`, `text`, `utt2spk` and `spk2utt` in a folder for each split.

Kaldi and ESPnet want all files sorted as `LC_ALL=C sort` does, by utterance and by speaker at once. So an utterance is
named `<speaker>-<clip id>`, and speakers have letters, digits and `_` only, all of which sort after `-`.
"""

import hashlib
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import ClassVar

from speechmill.core.config_errors import ConfigError
from speechmill.export.base import Clip, Exported, Exporter, Part

LISTS = ("wav.scp", "text", "utt2spk")
HASH_DIGITS = 8


class Kaldi(Exporter):
    """`kaldi/train/` and `kaldi/validation/`, with absolute paths of audio files."""

    folder: ClassVar[str] = "kaldi"

    name = "kaldi"
    about = "kaldi/train/ with wav.scp, text, utt2spk, spk2utt; read by Kaldi, ESPnet, lhotse"
    loading = (
        "`kaldi/train` is a data folder (`data/train`). `wav.scp` has the path of this folder: where it moves, export "
        "again."
    )
    kinds = ("wav", "flac")
    sorted_files = tuple(f"/{name}" for name in LISTS)

    def check(self, root: str) -> None:
        """Refuse addresses, and paths with blanks, at which readers split."""
        if "://" in root or re.search(r"\s", root):
            fix = "choose a local folder without blanks in its path"
            raise ConfigError(f"--output {root}: {self.name} has absolute paths in its lists; {fix}")

    def add(self, clip: Clip, part: Part) -> None:
        """Write a line into each list."""
        speaker = _speaker(clip.speaker)
        utterance, folder = f"{speaker}-{clip.id}", f"{self.folder}/{clip.split}"
        part.line(f"{folder}/wav.scp", f"{utterance} {part.root}/{clip.audio_file}")
        part.line(f"{folder}/text", f"{utterance} {clip.text}")
        part.line(f"{folder}/utt2spk", f"{utterance} {speaker}")

    def finish(self, exported: Exported) -> None:
        """Write the utterances of each speaker."""
        for name in (name for name in exported.names() if name.endswith("/utt2spk")):
            pairs = (line.split(" ") for line in exported.lines(name))
            with exported.create(name.replace("utt2spk", "spk2utt")) as file:
                for speaker, group in groupby(pairs, key=lambda pair: pair[1]):
                    file.write(speaker.encode())
                    file.writelines(f" {utterance}".encode() for utterance, _ in group)
                    file.write(b"\n")

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Read the lists side by side: each has the same utterances, in order."""
        for name in (name for name in exported.names() if name.endswith("/wav.scp")):
            before = ""
            lists = [exported.lines(name.replace("wav.scp", other)) for other in LISTS]
            for lines in zip(*lists, strict=True):
                (utterance, path), *others = (line.split(maxsplit=1) for line in lines)
                if any(other[0] != utterance for other in others) or utterance <= before:
                    raise ValueError(f"{name}: {utterance}: is not in its place in all lists")
                before = utterance
                yield PurePosixPath(path).stem


def _speaker(speaker: str) -> str:
    """A speaker's id in letters, digits and `_`; two speakers never get the same.

    >>> _speaker("84_x")
    '84_x'
    >>> _speaker("Ann B")
    'Ann_B_1923efbf'
    """
    plain = re.sub(r"[^0-9A-Za-z_]", "_", speaker)[:100]
    return plain if plain == speaker else f"{plain}_{hashlib.sha256(speaker.encode()).hexdigest()[:HASH_DIGITS]}"
