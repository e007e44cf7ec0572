"""Lists the sections of LibriVox audiobooks, by LibriVox's own API (https://librivox.org/api/info).

`librivox:47` is one book; `librivox:author=austen`, `librivox:title=emma`, `librivox:genre=poetry`,
`librivox:language=German` and combinations with `&` are those that match; `librivox:all` is everything.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, stable_id
from speechmill.core.store import Store
from speechmill.sources import Listed, plain_text, rest_of
from speechmill.sources.api import Api, authors_of, book_text, language_of, objects, seconds

API = "https://librivox.org/api/feed/audiobooks/"
PAGE = 50  # books of one answer
ASKED = ("id", "author", "title", "genre", "since")  # parameters of the API; the language is filtered here
DEDICATION = "https://librivox.org/pages/public-domain/"


def check(source: Input) -> None:
    """Raise ConfigError for an address that is not understood."""
    _query(source)


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    """List the sections of all books that match. Raises RejectedError where LibriVox does not answer."""
    query, language = _query(source)
    return _sections(query, language, Api(config, store))


def _query(source: Input) -> tuple[dict[str, str], str | None]:
    """Parameters for the API, and the language to filter by."""
    address = rest_of(source.address, "librivox")
    parameters = {"id": address} if address.isdecimal() else {} if address == "all" else dict(parse_qsl(address))
    language = parameters.pop("language", None)
    if unknown := sorted(parameters.keys() - set(ASKED)):
        raise ConfigError(f"inputs: librivox cannot be asked by {unknown[0]}; ask by {', '.join(ASKED)} or language")
    if not parameters and language is None and address != "all":
        fix = "give a book's number, author=..., title=..., genre=..., language=... or all"
        raise ConfigError(f"inputs: nothing is asked of librivox in {plain_text(source.address)}; {fix}")
    return parameters, language


def _sections(query: Mapping[str, str], language: str | None, api: Api) -> Iterator[Listed]:
    offset = 0
    while books := _books(query, offset, api):
        for book in books:
            if language is None or str(book.get("language")).lower() == language.lower():
                yield from _of_book(book)
        if "id" in query or len(books) < PAGE:
            return
        offset += len(books)


def _books(query: Mapping[str, str], offset: int, api: Api) -> list[dict[str, Any]]:
    """One page of books; empty after the last one, where the API returns an error."""
    parameters = {**query, "format": "json", "extended": "1"} | (
        {} if "id" in query else {"limit": PAGE, "offset": offset}
    )
    try:
        answer = api.get(f"{API}?{urlencode(parameters)}")
    except RejectedError as error:
        if error.reason is Reason.NOT_FOUND and offset:
            return []
        raise
    books = answer.get("books", []) if isinstance(answer, dict) else []
    rows = list(books.values()) if isinstance(books, dict) else books  # numbered, in some answers
    if not rows and not offset:
        raise RejectedError(Reason.NOT_FOUND, "librivox has no such book")
    return [book for book in rows if isinstance(book, dict)]


def _of_book(book: dict[str, Any]) -> Iterator[Listed]:
    author = authors_of(book)
    title, text = plain_text(book.get("title")), book_text(book)
    for section in objects(book, "sections"):
        url = plain_text(section.get("listen_url"))
        if url is None:
            continue
        number = str(section.get("id") or section.get("section_number"))
        names = (plain_text(reader.get("display_name")) for reader in objects(section, "readers"))
        recording = Recording(
            recording_id=stable_id("librivox", str(book.get("id")), number),
            source="librivox",
            media_url=url,
            attachments=text,
            page_url=plain_text(book.get("url_librivox")),
            title=" – ".join(filter(None, (title, plain_text(section.get("title"))))) or None,
            author=author,
            persons=tuple(name for name in names if name),
            language=language_of(section.get("language")) or language_of(book.get("language")),
            licence="CC-PDDC",
            licence_url=DEDICATION,
            licence_evidence=f"LibriVox dedicates its recordings to the public domain: {DEDICATION}",
            declared_duration_s=seconds(section.get("playtime")),
        )
        yield Listed(recording=recording)
