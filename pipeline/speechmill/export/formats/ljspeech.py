"""LJSpeech: `metadata.csv` of `id|text|normalised text`, and `wavs/<id>.wav`.

Read by coqui's formatter `ljspeech`, which takes the third column and splits at every `|`, and by many others.
"""

from collections.abc import Iterator

from speechmill.export.base import Clip, Exported, Exporter, Part
from speechmill.export.formats._lists import ids_in
from speechmill.export.sanitise import without_pipes

FILES = {"train": "metadata.csv", "validation": "metadata_validation.csv"}


class LJSpeech(Exporter):
    """`metadata.csv` without header, `wavs/<id>.wav` at 22,050 Hz."""

    name = "ljspeech"
    about = "metadata.csv of id|text|normalised text; read by coqui's formatter ljspeech, Tacotron 2, VITS and others"
    loading = "`metadata.csv` has `id|text|normalised text`, `metadata_validation.csv` the clips held out."
    sample_rate = 22_050
    kinds = ("wav",)
    clean = staticmethod(without_pipes)

    def add(self, clip: Clip, part: Part) -> None:
        """Write a line."""
        part.line(FILES[clip.split], f"{clip.id}|{clip.text}|{clip.normalized}")

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Split the lines as the formatter does."""
        yield from ids_in(exported, exported.names(), columns=3)
