"""What the sources with a JSON API share."""

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
API_DELAY_S = 1.0  # from one request to the next: these servers are run on donations
# Languages as LibriVox and the Internet Archive write them, in small letters, beside codes of ISO 639-1 and 639-2.
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
    """Answers of an API, asked for slowly, and anew only where they changed."""

    def __init__(self, config: RunConfig, store: Store) -> None:
        slow = {"delay": max(config.fetch.delay_s, API_DELAY_S), "per_host": 1}
        self._config: Fetch = config.fetch.model_copy(update=slow)
        self._store = store

    def get(self, url: str) -> Any:
        """The JSON at a URL. Raises RejectedError, with BAD_FEED for what is none."""
        try:
            return json.loads(get_document(url, self._store, self._config))
        except (ValueError, RecursionError) as error:
            raise RejectedError(Reason.BAD_FEED, f"{url}: not JSON: {error}"[:300]) from None


def objects(told: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects in a list of an answer; none where it has another shape."""
    found = told.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def authors_of(book: Mapping[str, Any]) -> str | None:
    """Names of the authors of a book of LibriVox, as one line."""
    people = ((one.get("first_name"), one.get("last_name")) for one in objects(book, "authors"))
    names = (plain_text(" ".join(str(part) for part in parts if part)) for parts in people)
    return ", ".join(filter(None, names)) or None


def book_text(book: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """The text that a book of LibriVox is read from; of Project Gutenberg's page of it, the plain text behind it."""
    url = plain_text(book.get("url_text_source"))
    if url is None:
        return ()
    found = GUTENBERG.match(url)
    return (Attachment(kind="text", url=GUTENBERG_TEXT.format(found[1]) if found else url),)


def language_of(name: object) -> str | None:
    """ISO 639 code of a language's English name or code; None if it is not known."""
    text = str(name).strip().lower()
    return LANGUAGES.get(text, text if text in LANGUAGES.values() else None)


def seconds(value: object) -> float | None:
    """Seconds of a number, or of h:m:s as text; None for anything else, or zero."""
    try:
        parts = [float(part) for part in str(value).split(":")]
    except ValueError:
        return None
    total = sum(part * 60**power for power, part in enumerate(reversed(parts)))
    return total if len(parts) <= 3 and 0 < total < 10**7 else None
