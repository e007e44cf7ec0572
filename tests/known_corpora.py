"""Small folders in the layouts of known corpora: two utterances each, of two speakers where the corpus has several."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
LENGTHS_S = (1.0, 1.5)


@dataclass(frozen=True)
class Corpus:
    """A layout: what writes a folder in it, the file that is its index, and what each of its sounds is known by."""

    write: Callable[[Path], None]
    index: str
    utterances: Mapping[str, tuple[str | None, str | None, str | None]]  # path: text, speaker, language


def sound(path: Path, seconds: float = 1.0) -> None:
    """Noise, which is enough for what does not listen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(len(path.name)).normal(0, 0.1, round(seconds * RATE))
    soundfile.write(path, wave, RATE, **({"format": "MP3"} if path.suffix == ".mp3" else {}))


def _sounds(folder: Path, corpus: str) -> None:
    for path, seconds in zip(CORPORA[corpus].utterances, LENGTHS_S):
        sound(folder / path, seconds)


def librispeech(folder: Path) -> None:
    _sounds(folder, "librispeech")
    (folder / "19/198/19-198.trans.txt").write_text("19-198-0000 NORTHANGER ABBEY\n")
    (folder / "26/495/26-495.trans.txt").write_text("26-495-0000 IT'S NO DAY\n")


def libritts(folder: Path) -> None:
    _sounds(folder, "libritts")
    for path, (text, _, _) in CORPORA["libritts"].utterances.items():
        (folder / path).with_suffix(".normalized.txt").write_text(f"{text}\n")
        (folder / path).with_suffix(".original.txt").write_text("As it is printed.")


def hifitts(folder: Path) -> None:
    _sounds(folder, "hifitts")
    for path, (text, speaker, _) in CORPORA["hifitts"].utterances.items():
        line = {"audio_filepath": path, "text": "bare", "text_normalized": text, "duration": 1.0}
        (folder / f"{speaker}_manifest_clean_train.json").write_text(json.dumps(line) + "\n")
    line |= {"text_normalized": "Held out."}
    (folder / "92_manifest_clean_test.json").write_text(
        json.dumps(line | {"audio_filepath": "audio/92_clean/test.flac"})
    )
    sound(folder / "audio/92_clean/test.flac")


def ljspeech(folder: Path) -> None:
    _sounds(folder, "ljspeech")
    (folder / "metadata.csv").write_text('LJ001-0001|Page 1 "so".|Page one "so".\nLJ002-0001|Mill.|Mill.\n')


def common_voice(folder: Path) -> None:
    _sounds(folder, "common-voice")
    header = "client_id\tpath\tsentence\tup_votes\tlocale"
    rows = [f"{who}\t{Path(path).name}\t{text}\t2\tcy" for path, (text, who, _) in
            CORPORA["common-voice"].utterances.items()]  # fmt: skip
    held_out = "c\tcommon_voice_cy_3.mp3\tTrydydd.\t2\tcy"
    (folder / "validated.tsv").write_text("\n".join([header, *rows, held_out]) + "\n")
    (folder / "test.tsv").write_text(f"{header}\n{held_out}\n")
    (folder / "invalidated.tsv").write_text(f"{header}\nd\tcommon_voice_cy_4.mp3\tAnghywir.\t0\tcy\n")
    sound(folder / "clips/common_voice_cy_3.mp3")
    sound(folder / "clips/common_voice_cy_4.mp3")


def librilight(folder: Path) -> None:
    _sounds(folder, "libri-light")
    for path, (_, speaker, _) in CORPORA["libri-light"].utterances.items():
        about = {"speaker": speaker, "book_meta": {"title": "Emma", "language": "English"}}
        (folder / path).with_suffix(".json").write_text(json.dumps(about))


CORPORA = {
    "librispeech": Corpus(librispeech, "19/198/19-198.trans.txt", {
        "19/198/19-198-0000.flac": ("NORTHANGER ABBEY", "19", "en"),
        "26/495/26-495-0000.flac": ("IT'S NO DAY", "26", "en"),
    }),
    "libritts": Corpus(libritts, "84/121123/84_121123_000007_000001.normalized.txt", {
        "84/121123/84_121123_000007_000001.wav": ("“Maximilian!”", "84", "en"),
        "85/121123/85_121123_000008_000000.wav": ("Yes, eight.", "85", "en"),
    }),
    "hifitts": Corpus(hifitts, "92_manifest_clean_train.json", {
        "audio/6097_clean/b.flac": ("Mister B.", "6097", "en"), "audio/92_clean/a.flac": ("Mister A.", "92", "en"),
    }),
    "ljspeech": Corpus(ljspeech, "metadata.csv", {
        "wavs/LJ001-0001.wav": ('Page one "so".', "LJ", "en"), "wavs/LJ002-0001.wav": ("Mill.", "LJ", "en"),
    }),
    "common-voice": Corpus(common_voice, "validated.tsv", {
        "clips/common_voice_cy_1.mp3": ('Mae "un".', "a", "cy"), "clips/common_voice_cy_2.mp3": ("Mae dau.", "b", "cy"),
    }),
    "libri-light": Corpus(librilight, "100/emma/emma_01.json", {
        "100/emma/emma_01.flac": (None, "100", "en"), "101/emma/emma_02.flac": (None, "101", "en"),
    }),
}  # fmt: skip
