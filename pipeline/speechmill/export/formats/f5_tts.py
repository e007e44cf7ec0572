"""F5-TTS: `f5_train.csv`, `audio_file|text` with absolute paths, and lists of prompts as in Seed-TTS' evaluation.

prepare_csv_wavs.py makes `raw.arrow`, `duration.json` and `vocab.txt` of a list, and refuses relative paths. A line of
a list of prompts is `id|text of the prompt|its audio|text`; the audio of the id itself is looked for in `wavs/`.
"""

from collections.abc import Iterator

from speechmill.core.config_errors import ConfigError
from speechmill.export.base import Clip, Exported, Exporter, Limits, Part
from speechmill.export.formats._lists import ids_in
from speechmill.export.sanitise import one_line, without_pipes

FILES = {"train": "f5_train.csv", "validation": "f5_validation.csv"}
PROMPTS = "f5_prompts_"
HEADER = "audio_file|text"


class F5TTS(Exporter):
    """Lists with absolute paths, and of prompts."""

    name = "f5-tts"
    about = "f5_train.csv of path|text, and lists of prompts; read by F5-TTS' prepare_csv_wavs.py and evaluation"
    loading = (
        "`python -m f5_tts.train.datasets.prepare_csv_wavs f5_train.csv OUT` prepares it; "
        "`f5_prompts_validation.lst` has a prompt of the same speaker for each clip held out. The lists have the path "
        "of this folder: where it moves, export again."
    )
    limits = Limits(min_seconds=0.3, max_seconds=30.0)  # of f5_tts/model/dataset.py, which puts others in their place
    references = True
    clean = staticmethod(without_pipes)

    def check(self, root: str) -> None:
        """Refuse addresses, and folders whose names cannot stand in a list."""
        if "://" in root or without_pipes(root) != root or one_line(root) != root:
            fix = "choose a local folder without |, quotes and double blanks in its path"
            raise ConfigError(f"--output {root}: f5-tts has absolute paths in its lists; {fix}")

    def add(self, clip: Clip, part: Part) -> None:
        """Write a line, and one with a prompt."""
        part.line(FILES[clip.split], f"{part.root}/{clip.audio_file}|{clip.text}")
        if clip.references:
            prompt = clip.references[0]
            line = "|".join((clip.id, prompt.text, prompt.audio_file, clip.text))
            part.line(f"{PROMPTS}{clip.split}.lst", line)

    def header(self, file: str) -> str | None:
        """Names of the columns."""
        return HEADER if file in FILES.values() else None

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Split the lines as prepare_csv_wavs.py does."""
        names = [name for name in exported.names() if name in FILES.values()]
        yield from ids_in(exported, names, 2, HEADER)
