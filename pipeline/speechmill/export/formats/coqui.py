"""Coqui, for XTTS v2: `metadata_train.csv` and `metadata_eval.csv`, with `|` between columns and a header.

The formatter `coqui` reads them with csv.DictReader and takes the columns audio_file, text and speaker_name. The
language is one of the config, so lists by language are written too where there are several. `reference_path` is a key
of the samples of XTTSDataset; the formatter does not pass it on, a formatter of one's own can.
"""

from collections.abc import Iterator
from contextlib import ExitStack

from speechmill.export.base import TEXT_TOO_LONG, Clip, Exported, Exporter, Limits, Part
from speechmill.export.formats._lists import ids_in
from speechmill.export.sanitise import without_pipes

FILES = {"train": "metadata_train.csv", "validation": "metadata_eval.csv"}
COLUMNS = ("audio_file", "text", "speaker_name", "language", "reference_path")
HEADER = "|".join(COLUMNS)
OTHER_LANGUAGE = "language_not_in_xtts"
# Languages of XTTS v2, and the characters of a text that its tokenizer warns above: an estimate of its 200 text tokens,
# whose vocabulary comes with the model (TTS/tts/layers/xtts/tokenizer.py; Hindi and others as there).
MAX_CHARACTERS = {
    "en": 250, "de": 253, "fr": 273, "es": 239, "it": 213, "pt": 203, "pl": 224, "zh": 82, "ar": 166, "cs": 186,
    "ru": 182, "nl": 251, "tr": 226, "ja": 71, "hu": 224, "ko": 95, "hi": 150,
}  # fmt: skip


class Coqui(Exporter):
    """Lists for the formatter `coqui`, `wavs/<id>.wav` at 22,050 Hz, within the limits of XTTS v2."""

    name = "coqui"
    about = "metadata_train.csv and metadata_eval.csv for XTTS v2; read by coqui-tts' formatter coqui"
    loading = (
        '`BaseDatasetConfig(formatter="coqui", meta_file_train="metadata_train.csv", language="en", '
        'meta_file_val="metadata_eval.csv", path=…)`; with several languages a config for each, and '
        "`metadata_train_<language>.csv`."
    )
    # TTS/tts/layers/xtts/trainer/dataset.py: shorter clips raise, longer ones are replaced by others without a word.
    limits = Limits(min_seconds=0.5, max_samples=255_995, samples_rate=22_050)
    sample_rate = 22_050
    kinds = ("wav", "flac")
    references = True
    clean = staticmethod(without_pipes)

    def reason(self, clip: Clip) -> str | None:
        """Leave out other languages, and texts that are too long in theirs."""
        limit = MAX_CHARACTERS.get(clip.language or "")
        if limit is None:
            return OTHER_LANGUAGE
        return TEXT_TOO_LONG if len(clip.text) > limit else None

    def add(self, clip: Clip, part: Part) -> None:
        """Write a line."""
        reference = clip.references[0].audio_file if clip.references else ""
        cells = (
            clip.audio_file,
            clip.text,
            without_pipes(clip.speaker),
            clip.language or "",
            reference or clip.audio_file,
        )
        part.line(FILES[clip.split], "|".join(cells))

    def header(self, file: str) -> str:
        """Names of the columns."""
        return HEADER

    def finish(self, exported: Exported) -> None:
        """Write lists by language where there are several languages."""
        names = exported.names()
        languages = sorted({line.split("|")[3] for name in names for line in exported.lines(name)} - {COLUMNS[3]})
        if len(languages) < 2:
            return
        for name in names:
            with ExitStack() as stack:
                lists = {
                    language: stack.enter_context(exported.create(name.replace(".csv", f"_{language}.csv")))
                    for language in languages
                }
                for line in exported.lines(name):
                    language = line.split("|")[3]
                    for target in lists.values() if line == HEADER else [lists[language]]:
                        target.write(f"{line}\n".encode())

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Split the lines as the formatter does."""
        names = [name for name in exported.names() if name in FILES.values()]
        yield from ids_in(exported, names, len(COLUMNS), HEADER)
