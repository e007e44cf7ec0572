"""A client and field parsers for sources with a JSON API."""

import json
import re
from collections.abc import Mapping
from typing import Any

from speechmill.core.config import RunConfig
from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import Attachment, RejectedError
from speechmill.core.store import Store
from speechmill.fetch import get_document
from speechmill.sources import plain_text

GUTENBERG = re.compile(r"https?://(?:www\.)?gutenberg\.org/(?:etext|ebooks|files)/(\d+)")
GUTENBERG_TEXT = "https://www.gutenberg.org/cache/epub/{0}/pg{0}.txt"
API_DELAY_S = 1.0  # between requests: these servers are run on donations
# ISO 639-1 codes of the language names and ISO 639-2 codes that LibriVox and the Internet Archive use, in lower case.
LANGUAGES = {
    "arabic": "ar", "ara": "ar", "bulgarian": "bg", "bul": "bg", "catalan": "ca", "cat": "ca", "chinese": "zh",
    "chi": "zh", "zho": "zh", "czech": "cs", "cze": "cs", "ces": "cs", "danish": "da", "dan": "da", "dutch": "nl",
    "dut": "nl", "nld": "nl", "english": "en", "eng": "en", "esperanto": "eo", "epo": "eo", "finnish": "fi",
    "fin": "fi", "french": "fr", "fre": "fr", "fra": "fr", "german": "de", "ger": "de", "deu": "de", "greek": "el",
    "gre": "el", "ell": "el", "ancient greek": "grc", "grc": "grc", "hebrew": "he", "heb": "he", "hungarian": "hu",
    "hun": "hu", "indonesian": "id", "ind": "id", "irish": "ga", "gle": "ga", "italian": "it", "ita": "it",
    "japanese": "ja", "jpn": "ja", "korean": "ko", "kor": "ko", "latin": "la", "lat": "la", "norwegian": "no",
    "nor": "no", "polish": "pl", "pol": "pl", "portuguese": "pt", "por": "pt", "romanian": "ro", "rum": "ro",
    "ron": "ro", "russian": "ru", "rus": "ru", "spanish": "es", "spa": "es", "swedish": "sv", "swe": "sv",
    "tagalog": "tl", "tgl": "tl", "tamil": "ta", "tam": "ta", "turkish": "tr", "tur": "tr", "ukrainian": "uk",
    "ukr": "uk", "urdu": "ur", "urd": "ur", "welsh": "cy", "wel": "cy", "cym": "cy", "yiddish": "yi", "yid": "yi",
}  # fmt: skip


class Api:
    """A JSON API, queried slowly; answers are cached and fetched again only where they changed."""

    def __init__(self, config: RunConfig, store: Store) -> None:
        slow = {"delay": max(config.fetch.delay_s, API_DELAY_S), "per_host": 1}
        self._config: Fetch = config.fetch.model_copy(update=slow)
        self._store = store

    def get(self, url: str) -> Any:
        """Get the JSON at a URL. Raises RejectedError, with BAD_FEED for what is not JSON."""
        try:
            return json.loads(get_document(url, self._store, self._config))
        except (ValueError, RecursionError) as error:
            raise RejectedError(Reason.BAD_FEED, f"{url}: not JSON: {error}"[:300]) from None


def objects(answer: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects in the list `key` of an answer; empty where it is no list."""
    values = answer.get(key)
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def authors_of(book: Mapping[str, Any]) -> str | None:
    """Names of the authors of a LibriVox book, as one line."""
    people = ((author.get("first_name"), author.get("last_name")) for author in objects(book, "authors"))
    names = (plain_text(" ".join(str(part) for part in parts if part)) for parts in people)
    return ", ".join(filter(None, names)) or None


def book_text(book: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """The text that a LibriVox book is read from; for a page of Project Gutenberg, its plain text."""
    url = plain_text(book.get("url_text_source"))
    if url is None:
        return ()
    match = GUTENBERG.match(url)
    return (Attachment(kind="text", url=GUTENBERG_TEXT.format(match[1]) if match else url),)


def language_of(name: object) -> str | None:
    """ISO 639 code of a language's English name or code; None if unknown."""
    text = str(name).strip().lower()
    return LANGUAGES.get(text, text if text in LANGUAGES.values() else None)


def seconds(value: object) -> float | None:
    """Parse seconds, given as a number or as h:m:s; None for anything else, or zero."""
    try:
        parts = [float(part) for part in str(value).split(":")]
    except ValueError:
        return None
    total = sum(part * 60**power for power, part in enumerate(reversed(parts)))
    return total if len(parts) <= 3 and 0 < total < 10**7 else None
