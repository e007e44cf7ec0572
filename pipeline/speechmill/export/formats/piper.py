"""Piper (piper1-gpl): a list without header, `audio file|speaker|text`, read by csv.reader.

Its dataset takes the first column as the file, the last as the text and, for voices with several speakers, the second
as the speaker: one list serves both.
"""

from collections.abc import Iterator

from speechmill.export.base import Clip, Exported, Exporter, Part
from speechmill.export.formats._lists import ids_in
from speechmill.export.sanitise import without_pipes

FILES = {"train": "piper.csv", "validation": "piper_validation.csv"}


class Piper(Exporter):
    """`piper.csv`, `wavs/<id>.wav` at 22,050 Hz."""

    name = "piper"
    about = "piper.csv of audio file|speaker|text; read by piper1-gpl's training, for one speaker or several"
    loading = (
        "`python -m piper.train fit --data.csv_path piper.csv --data.audio_dir .`, both with their full paths; with "
        "several speakers `--model.num_speakers`. Piper holds out a share of this list itself; "
        "`piper_validation.csv` is not in it."
    )
    sample_rate = 22_050
    clean = staticmethod(without_pipes)

    def add(self, clip: Clip, part: Part) -> None:
        """Write a line."""
        part.line(FILES[clip.split], f"{clip.audio_file}|{without_pipes(clip.speaker)}|{clip.text}")

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Split the lines as csv.reader does."""
        yield from ids_in(exported, exported.names(), columns=3)
