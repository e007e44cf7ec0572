"""Finds the files beside a recording that belong to it by name: transcripts, by language, and JSON metadata.

A file belongs to a recording regardless of case and Unicode form, with or without the recording's own suffix, and with
a language before its own suffix, as downloaders write it: `talk.srt`, `TALK.SRT`, `talk.mp3.vtt`, `talk.en-US.vtt`,
`talk.en-orig.srt`, `talk.json`, `talk.info.json`.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from speechmill.core.filenames import name_key, readable
from speechmill.core.languages import language_code
from speechmill.core.records import Attachment
from speechmill.sources.files.probe import SUFFIXES

# Transcripts: suffix and media type.
TRANSCRIPTS = {
    ".srt": "application/x-subrip", ".vtt": "text/vtt", ".html": "text/html", ".htm": "text/html", ".txt": "text/plain",
}  # fmt: skip
JSON, INFO = ".json", ".info"  # yt-dlp writes the metadata of `talk` to `talk.info.json`
BESIDE = (*TRANSCRIPTS, JSON)
TAG = re.compile(r"([A-Za-z]{2,3})([-_][A-Za-z0-9_-]{1,40})?")
PLAIN_TAG = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|\d{3}))?")
ORIGINAL = "-orig"  # yt-dlp's mark of the spoken language, among translations
CODES_OF_THREE = {"yue", "haw"}  # languages without a two-letter code in which sites have subtitles
SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class Beside:
    """A file beside a recording: its name, suffix, and its language if the name contains one."""

    name: str
    suffix: str
    language: str | None = None
    is_original: bool = False  # in the language that is spoken

    @property
    def is_json(self) -> bool:
        """Whether it is JSON: metadata of the recording, a transcript of it, or both."""
        return self.suffix == JSON


def stem_of(name: str) -> str:
    """Name of a recording without its format suffix: `ep1` of `ep1.mp3`, `EP1.MP3 `, `ep1.mp3?token=abc`."""
    plain = name.split("?")[0].rstrip(" .") or name
    root, suffix = os.path.splitext(plain)
    return root if suffix.lower() in SUFFIXES or SUFFIX.fullmatch(suffix) else plain


class Shelf:
    """The files of one folder, looked up by the recordings that they belong to."""

    def __init__(self, names: Iterable[str], media: Iterable[str]) -> None:
        self._by_rest: dict[str, list[tuple[str, Beside]]] = defaultdict(list)
        self._exact = {part for name in media for part in (name, stem_of(name))}
        self._owners = {name_key(part) for part in self._exact}
        for name in sorted(names):
            self._add(name)

    def _add(self, name: str) -> None:
        rest, suffix = os.path.splitext(name)
        suffix = suffix.lower()
        if suffix == JSON and rest.lower().endswith(INFO):
            rest = rest[: -len(INFO)]
        if suffix in BESIDE:
            self._by_rest[name_key(rest)].append((rest, Beside(name, suffix)))
            base, dot, tag = rest.rpartition(".")
            language = language_of(tag)
            if dot and language and suffix != JSON and name_key(rest) not in self._owners:
                translated = Beside(name, suffix, language, tag.lower().endswith(ORIGINAL))
                self._by_rest[name_key(base)].append((base, translated))

    def of(self, name: str) -> list[Beside]:
        """The files that belong to the recording of that name, sorted by name."""
        stems = (name, stem_of(name))
        files = {
            beside.name: beside
            for key in dict.fromkeys(name_key(part) for part in stems)
            for rest, beside in self._by_rest.get(key, ())
            if beside.name != name and (rest in stems or rest not in self._exact)
        }
        return [files[file_name] for file_name in sorted(files)]


def shelf_of(path: str) -> Shelf:
    """The files in the folder of a recording; empty where it cannot be read."""
    return _shelf(os.path.dirname(os.path.abspath(path)))


def start_anew() -> None:
    """Forget the cached contents of folders."""
    _shelf.cache_clear()


@lru_cache(maxsize=8)  # lists a folder once for all of its files
def _shelf(folder: str) -> Shelf:
    try:
        names = os.listdir(folder)
    except (OSError, ValueError):
        names = []
    return Shelf(names, (name for name in names if has_media_suffix(name)))


def has_media_suffix(name: str) -> bool:
    """Whether a name has a suffix of audio or video."""
    return name.rstrip(" .").lower().endswith(SUFFIXES)


def language_of(tag: str) -> str | None:
    """Language in a part of a file name, such as `en`, `en-US`, `en-orig`, `eng`; None if it is no language."""
    match = TAG.fullmatch(tag)
    primary = match[1].lower() if match else ""
    code = language_code(primary) if match else None
    if code is None or (len(code) > 2 and code not in CODES_OF_THREE):
        return None
    tag = tag.replace("_", "-")
    return tag if PLAIN_TAG.fullmatch(tag) else primary


def transcripts(beside: Iterable[Beside], language: str | None) -> list[Attachment]:
    """Transcripts beside a recording whose language, if known, is `language`.

    Of several languages, those in the recording's are taken, else the one marked as spoken, else all.
    """
    candidates = [file for file in beside if not file.is_json]
    matching = [file for file in candidates if file.language and _is_same_language(file.language, language)]
    spoken = [file for file in candidates if file.is_original]
    wanted = matching or spoken
    chosen = [file for file in candidates if file.language is None or not wanted or file in wanted]
    return [
        Attachment(
            kind="transcript",
            url=readable(file.name),
            type=TRANSCRIPTS[file.suffix],
            language=file.language or language,
        )
        for file in chosen
    ]


def _is_same_language(first: str, second: str | None) -> bool:
    return second is not None and language_code(first) == language_code(second)
