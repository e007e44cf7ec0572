"""Layouts of well-known speech corpora: how to recognise their index files, and how to read the rows of an index.

A row has the keys of a manifest, with `path` relative to the folder of its index, and `split` (train, dev or test)
where the corpus states one. So `run`, `train` and `evaluate` read these corpora as they read manifests. A file is an
index only if its name, its content and its neighbours agree, so that no other folder is mistaken for a corpus. Rows
have no licence, since other corpora use these layouts too.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import Any

from speechmill.core.languages import language_code
from speechmill.core.manifest import MAX_LINE, lines

Row = dict[str, Any]
Rows = Iterator[tuple[int, Row | Exception]]  # line number, and row or error; as manifest.lines

SPLITS = ("dev", "test")  # not for training
CAPITALS = re.compile(r"[A-Z' ]+")  # English text of LibriSpeech
LJSPEECH_ID = re.compile(r"LJ\d{3}-\d{4}")
LJSPEECH_COLUMNS = 3
LJSPEECH_SPLITS = {"metadata_validation.csv": {"split": "dev"}, "metadata_test.csv": {"split": "test"}}
SAMPLED_ROWS, SAMPLED_CHARACTERS = 100, 1_000
MIN_SAME_WORDS = 0.5  # share of the words of the raw text that the normalised text of LJSpeech has too
MAX_BOOK_BYTES = 10_000_000
COMMON_VOICE_KEYS = {"path": "path", "sentence": "text", "client_id": "speaker", "locale": "language"}


@dataclass(frozen=True, slots=True)
class Layout:
    """A known layout."""

    name: str
    index: re.Pattern[str]
    """Matches the names of its index files."""
    is_index: Callable[[str], bool]
    """Whether a file with such a name is an index, by content and neighbours."""
    rows: Callable[[str], Rows]
    """Reads the rows of the index at a path."""
    is_listed: Callable[[str], bool] = lambda _: True
    """Whether an index, by its name, is read where its folder is given: these indexes have each utterance once."""


def layout_of(path: str) -> Layout | None:
    """Layout of an index file; None for other files, and for files that cannot be read."""
    name = os.path.basename(path)
    for layout in LAYOUTS:
        if layout.index.fullmatch(name) and os.path.isfile(path):
            try:
                return layout if layout.is_index(path) else None
            except (OSError, ValueError, RecursionError):
                return None
    return None


def indexes(folder: str, names: list[str]) -> Iterator[tuple[str, Layout]]:
    """Paths and layouts of the indexes to read among the files `names` of a folder, sorted."""
    for name in sorted(names):
        path = os.path.join(folder, name)
        if (layout := layout_of(path)) and layout.is_listed(name):
            yield path, layout


def indexes_below(root: str) -> Iterator[tuple[str, Layout]]:
    """Paths and layouts of the indexes to read in a folder and its subfolders, sorted."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        yield from indexes(folder, names)


def _text_lines(path: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank, decoded as UTF-8. Raises OSError."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="\n") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), ""), start=1):
            if line.strip():
                yield number, line.rstrip("\r\n")


# --- LibriSpeech: 19/198/19-198-0000.flac, and 19/198/19-198.trans.txt with lines such as `19-198-0000 NORTHANGER` ---


def _is_librispeech(path: str) -> bool:
    chapter = os.path.basename(path).partition(".")[0]
    return all(re.match(rf"{chapter}-\d+ ", line) for _, line in islice(_text_lines(path), SAMPLED_ROWS))


def _librispeech(path: str) -> Rows:
    for number, line in _text_lines(path):
        name, _, text = line.partition(" ")
        row = {"path": f"{name}.flac", "text": text.strip(), "speaker": name.partition("-")[0]}
        yield number, row | ({"language": "en"} if CAPITALS.fullmatch(text.strip()) else {})


# --- LibriTTS: 84/121123/84_121123_000007_000001.wav, and beside each its .normalized.txt ---


def _has_sound(path: str) -> bool:
    return os.path.isfile(path.removesuffix(".normalized.txt") + ".wav")


def _libritts(path: str) -> Rows:
    name = os.path.basename(path).removesuffix(".normalized.txt")
    text = " ".join(line.strip() for _, line in _text_lines(path))
    yield 1, {"path": f"{name}.wav", "text": text, "speaker": name.partition("_")[0], "language": "en"}


# --- HiFi-TTS: audio/92_clean/…/a.flac, and 92_manifest_clean_train.json at the top with NeMo's keys ---


def _hifitts(path: str) -> Rows:
    """Rows with `text_normalized`: of its several texts, the one that is cased and has numbers in words."""
    speaker, _, split = os.path.basename(path).removesuffix(".json").replace("_manifest_", "_").split("_")
    about = {"speaker": speaker, "language": "en", "split": split}
    for number, line in lines(path):
        if not isinstance(line, dict):
            yield number, line if isinstance(line, Exception) else ValueError("not a JSON object")
        elif not isinstance(line.get("audio_filepath"), str):
            yield number, ValueError("no 'audio_filepath'")
        else:
            text = line.get("text_normalized")
            yield number, about | {"path": line["audio_filepath"]} | ({} if text is None else {"text": text})


# --- LJSpeech: wavs/LJ001-0001.wav, and metadata.csv with lines such as `LJ001-0001|raw text|normalised text` ---
# Exports of ours list what is held out beside it, in metadata_validation.csv.


def _is_ljspeech(path: str) -> bool:
    """Whether one of the first WAV files exists, and the lines have two similar texts, not labels or the like."""
    rows = [line.split("|") for _, line in islice(_text_lines(path), SAMPLED_ROWS)]
    folder = os.path.join(os.path.dirname(path), "wavs")
    if not any(os.path.isfile(os.path.join(folder, f"{row[0]}.wav")) for row in rows):
        return False
    if any(len(row) != LJSPEECH_COLUMNS for row in rows):
        return False
    pairs = [[text[:SAMPLED_CHARACTERS].lower().split() for text in row[1:]] for row in rows if row[-1]]
    same = sum(SequenceMatcher(None, raw, spoken, autojunk=False).ratio() * len(raw) for raw, spoken in pairs)
    return bool(pairs) and same >= MIN_SAME_WORDS * sum(len(raw) for raw, _ in pairs)


def _ljspeech(path: str) -> Rows:
    split = LJSPEECH_SPLITS.get(os.path.basename(path), {})
    for number, line in _text_lines(path):
        name, *texts = line.split("|")
        if len(texts) != LJSPEECH_COLUMNS - 1:
            yield number, ValueError(f"{len(texts) + 1} columns, not {LJSPEECH_COLUMNS}")
            continue
        row = {"path": f"wavs/{name}.wav", "text": texts[1] or texts[0]} | split
        is_own = LJSPEECH_ID.fullmatch(name) is not None  # corpora of other languages have this layout too
        yield number, row | ({"speaker": "LJ", "language": "en", "source": name.partition("-")[0]} if is_own else {})


# --- Common Voice: clips/common_voice_en_1.mp3, and validated.tsv, whose first line names its columns ---


def _header(path: str) -> list[str]:
    return next((line.split("\t") for _, line in _text_lines(path)), [])


def _is_common_voice(path: str) -> bool:
    is_laid_out = os.path.isdir(os.path.join(os.path.dirname(path), "clips"))
    return is_laid_out and {"client_id", "path", "sentence"} <= {*_header(path)}


def _table(path: str) -> Rows:
    header = _header(path)
    for number, line in islice(_text_lines(path), 1, None):
        values = dict(zip(header, line.split("\t"), strict=False))
        if not values.get("path"):
            yield number, ValueError("no path")
            continue
        row = {key: values[column] for column, key in COMMON_VOICE_KEYS.items() if values.get(column)}
        yield number, row | {"path": f"clips/{values['path'].removesuffix('.mp3')}.mp3"}


def _common_voice(path: str) -> Rows:
    """Rows of a table; those of validated.tsv get the split of the table, dev.tsv or test.tsv, that lists them too."""
    folder, name = os.path.split(path)
    splits: dict[str, str] = {}
    for split in SPLITS if name == "validated.tsv" else ():
        own = os.path.join(folder, f"{split}.tsv")
        if layout_of(own) is not None:
            splits |= {row["path"]: split for _, row in _table(own) if isinstance(row, dict)}
    for number, row in _table(path):
        if isinstance(row, dict) and row["path"] in splits:
            row["split"] = splits[row["path"]]
        yield number, row


# --- Libri-Light: 100/emma/emma_01.flac, and emma_01.json with metadata of the book ---


def _metadata(path: str) -> dict[str, Any]:
    """Metadata with the key `book_meta`; empty for other files."""
    if os.path.getsize(path) > MAX_BOOK_BYTES:
        return {}
    with open(path, "rb") as file:
        value = json.loads(file.read())
    return value if isinstance(value, dict) and isinstance(value.get("book_meta"), dict) else {}


def _is_librilight(path: str) -> bool:
    return os.path.isfile(path.removesuffix(".json") + ".flac") and bool(_metadata(path))


def _librilight(path: str) -> Rows:
    metadata, name = _metadata(path), os.path.basename(path).removesuffix(".json")
    book = metadata["book_meta"]
    title = " – ".join(part for part in (book.get("title"), name) if isinstance(part, str))
    row = {"path": f"{name}.flac", "title": title, "language": language_code(str(book.get("language")))}
    speaker = metadata.get("speaker")
    yield 1, {key: value for key, value in row.items() if value} | ({"speaker": str(speaker)} if speaker else {})


LAYOUTS = (
    Layout("librispeech", re.compile(r"\d+-\d+\.trans\.txt"), _is_librispeech, _librispeech),
    Layout("libritts", re.compile(r"\d+_\d+_\d+_\d+\.normalized\.txt"), _has_sound, _libritts),
    Layout("hifitts", re.compile(r"\d+_manifest_(clean|other)_(train|dev|test)\.json"), lambda _: True, _hifitts),
    Layout("ljspeech", re.compile(r"metadata(_(validation|test))?\.csv"), _is_ljspeech, _ljspeech),
    Layout(
        "common-voice", re.compile(r"(validated|train|dev|test|other|invalidated)\.tsv"), _is_common_voice,
        _common_voice, lambda name: name == "validated.tsv",
    ),
    Layout("libri-light", re.compile(r".+\.json"), _is_librilight, _librilight),
)  # fmt: skip
