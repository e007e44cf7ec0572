"""GPT-SoVITS: a list of `audio file|speaker|language|text`.

A line that has not four columns is only printed by its first step; what it makes is named by the file's own name, which
is the clip's id. The folder of the audio is given to it beside the list.
"""

from collections.abc import Iterator

from speechmill.export.base import Clip, Exported, Exporter, Limits, Part
from speechmill.export.formats._lists import ids_in
from speechmill.export.sanitise import without_pipes

FILES = {"train": "gpt_sovits.list", "validation": "gpt_sovits_validation.list"}
LANGUAGES = ("zh", "ja", "en", "ko", "yue")
OTHER_LANGUAGE = "language_not_in_gpt_sovits"


class GptSoVITS(Exporter):
    """`gpt_sovits.list`, for five languages."""

    name = "gpt-sovits"
    about = "gpt_sovits.list of audio file|speaker|language|text; read by GPT-SoVITS' first training step"
    loading = (
        "`gpt_sovits.list` as the annotation file (`inp_text`), `wavs` as the folder of the audio (`inp_wav_dir`)."
    )
    limits = Limits(min_seconds=0.601, max_seconds=53.999)  # module/data_utils.py keeps what is between 0.6 and 54
    clean = staticmethod(without_pipes)

    def reason(self, clip: Clip) -> str | None:
        """Leave out other languages."""
        return None if clip.language in LANGUAGES else OTHER_LANGUAGE

    def add(self, clip: Clip, part: Part) -> None:
        """Write a line."""
        cells = (clip.audio_file, without_pipes(clip.speaker), clip.language or "", clip.text)
        part.line(FILES[clip.split], "|".join(cells))

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Split the lines as its first step does."""
        yield from ids_in(exported, exported.names(), columns=4)
