"""Matcha-TTS, and others with filelists: `audio file|text`, and for several speakers `audio file|number|text`."""

from collections.abc import Iterator

from speechmill.export.base import Clip, Exported, Exporter, Part
from speechmill.export.formats._lists import ids_in
from speechmill.export.sanitise import without_pipes

FILES = {"train": "matcha_train.txt", "validation": "matcha_validation.txt"}
SPEAKERS, MULTISPEAKER = "_speakers.txt", "_multispeaker.txt"


class Matcha(Exporter):
    """Filelists, `wavs/<id>.wav` at 22,050 Hz."""

    name = "matcha"
    about = "matcha_train.txt of audio file|text, and with the number of the speaker; read by Matcha-TTS and VITS"
    loading = (
        "`train_filelist_path: matcha_train.txt`, or `matcha_train_multispeaker.txt` with `n_spks`, started in this "
        "folder. Lines of `matcha_speakers.txt` are the speakers, from number 0."
    )
    sample_rate = 22_050  # which its dataset asserts
    kinds = ("wav", "flac")
    clean = staticmethod(without_pipes)

    def add(self, clip: Clip, part: Part) -> None:
        """Write a line, and the speaker to a list beside it."""
        part.line(FILES[clip.split], f"{clip.audio_file}|{clip.text}")
        part.line(FILES[clip.split].replace(".txt", SPEAKERS), without_pipes(clip.speaker))

    def finish(self, exported: Exported) -> None:
        """Number the speakers, the same in both splits."""
        lists = [name for name in FILES.values() if name in exported.names()]
        speakers = (line for name in lists for line in exported.lines(name.replace(".txt", SPEAKERS)))
        numbers = {speaker: number for number, speaker in enumerate(dict.fromkeys(speakers))}
        for name in lists:
            of_lines = exported.lines(name.replace(".txt", SPEAKERS))
            with exported.create(name.replace(".txt", MULTISPEAKER)) as file:
                for line, speaker in zip(exported.lines(name), of_lines, strict=True):
                    audio, text = line.split("|")
                    file.write(f"{audio}|{numbers[speaker]}|{text}\n".encode())
        with exported.create(f"matcha{SPEAKERS}") as file:
            file.writelines(f"{speaker}\n".encode() for speaker in numbers)

    def read_back(self, exported: Exported) -> Iterator[str]:
        """Split the lines as parse_filelist does."""
        yield from ids_in(exported, [name for name in exported.names() if name in FILES.values()], columns=2)
