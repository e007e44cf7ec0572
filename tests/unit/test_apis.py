"""LibriVox and the Internet Archive: answers of the shape that their APIs give, from a real server."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.reasons import Reason
from speechmill.core.records import Attachment, RejectedError, Status, to_table
from speechmill.core.store import Store
from speechmill.sources import Listed, check, list_recordings
from speechmill.sources.api import language_of, seconds
from speechmill.sources.builtin import archive, librivox

from tests.server import Handler, ScriptedServer, ok, status

BOOKS = 120


def section(book: int, number: int, **other: object) -> dict[str, object]:
    return {
        "id": str(1000 * book + number), "section_number": str(number), "title": f"Chapter {number}",
        "listen_url": f"https://www.archive.org/download/book{book}/ch{number}_64kb.mp3", "language": "English",
        "playtime": "1029", "file_name": None,
        "readers": [{"reader_id": "12", "display_name": "Ann Reader"}, {"reader_id": "13", "display_name": "Ben"}],
    } | other  # fmt: skip


def book(number: int, **other: object) -> dict[str, object]:
    return {
        "id": str(number), "title": "Letters of Two Brides", "description": "<p>A novel.</p>",
        "url_text_source": "http://www.gutenberg.org/etext/1941", "language": "English", "copyright_year": "0",
        "num_sections": "2", "url_rss": f"https://librivox.org/rss/{number}", "url_project": "", "totaltime": "0:34:18",
        "url_librivox": "https://librivox.org/letters-of-two-brides/", "totaltimesecs": 2058,
        "authors": [{"id": "49", "first_name": "Honoré de", "last_name": "Balzac", "dob": "1799", "dod": "1850"}],
        "sections": [section(number, 1), section(number, 2, language="German", playtime="0:10")],
    } | other  # fmt: skip


def answer(body: object, code: int = 200):
    content = json.dumps(body).encode()
    return lambda handler: (handler.start(code, {"Content-Length": len(content)}), handler.write(content))


@pytest.fixture
def api(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """The server in the place of both APIs."""
    monkeypatch.setattr("speechmill.sources.api.API_DELAY_S", 0.0)
    monkeypatch.setattr(librivox, "API", server.url("/api/feed/audiobooks/"))
    monkeypatch.setattr(archive, "HOST", server.url(""))
    return server


def listing(api: ScriptedServer, address: str, tmp_path: Path, **values: str) -> list[Listed]:
    config = RunConfig.model_validate({"fetch": {"allow_hosts": [api.host], "retries": 0}})
    return list(list_recordings(Input(address=address, **values), config, Store(str(tmp_path / "corpus"))))


def asked(api: ScriptedServer) -> list[dict[str, str]]:
    queries = (parse_qs(urlsplit(request.path).query) for request in api.requests)
    return [{key: one for key, (one,) in query.items()} for query in queries]


def test_a_book_is_its_sections_with_readers_author_language_and_text(api: ScriptedServer, tmp_path: Path) -> None:
    api.script("/api/feed/audiobooks/?id=47&format=json&extended=1", answer({"books": [book(47)]}))
    one, two = (listed.recording for listed in listing(api, "librivox:47", tmp_path))
    assert (one.source, one.media_url) == ("librivox", "https://www.archive.org/download/book47/ch1_64kb.mp3")
    assert (one.title, one.author) == ("Letters of Two Brides – Chapter 1", "Honoré de Balzac")
    assert (one.persons, one.language, one.declared_duration_s) == (("Ann Reader", "Ben"), "en", 1029.0)
    assert (two.language, two.declared_duration_s) == ("de", 10.0)
    assert one.attachments == (Attachment(kind="text", url="https://www.gutenberg.org/cache/epub/1941/pg1941.txt"),)
    assert one.licence == "CC-PDDC"
    assert "librivox.org/pages/public-domain" in one.licence_evidence
    assert one.recording_id != two.recording_id
    to_table([one, two])


def pages(handler: Handler) -> None:
    """As LibriVox pages: `limit` books from `offset` on, and an error with 404 where there are no more."""
    told = parse_qs(urlsplit(handler.path).query)
    first, count = int(told["offset"][0]), int(told["limit"][0])
    found = [book(n, language="German" if n % 3 else "English") for n in range(first, min(first + count, BOOKS))]
    nothing = {"error": "Audiobooks could not be found"}
    answer({"books": found} if found else nothing, 200 if found else 404)(handler)


@pytest.mark.parametrize(("address", "books"), [("all", BOOKS), ("language=german", BOOKS * 2 // 3)])
def test_everything_is_listed_page_by_page(api: ScriptedServer, tmp_path: Path, address: str, books: int) -> None:
    for offset in (0, 50, 100, 120):
        api.script(f"/api/feed/audiobooks/?format=json&extended=1&limit=50&offset={offset}", pages)
    listed = listing(api, f"librivox:{address}", tmp_path)
    assert len({one.recording.recording_id for one in listed}) == len(listed) == 2 * books
    assert [query["offset"] for query in asked(api)] == ["0", "50", "100"]


def test_the_catalogue_is_listed_lazily(api: ScriptedServer, tmp_path: Path) -> None:
    api.script("/api/feed/audiobooks/?author=balzac&format=json&extended=1&limit=50&offset=0", pages)
    config = RunConfig.model_validate({"fetch": {"allow_hosts": [api.host]}})
    lazily = list_recordings(Input(address="librivox:author=balzac"), config, Store(str(tmp_path)))
    assert api.requests == []
    next(lazily)
    assert len(api.requests) == 1


def test_a_book_that_is_not_there_is_rejected(api: ScriptedServer, tmp_path: Path) -> None:
    for body in (answer({"error": "Audiobooks could not be found"}, 404), answer({"books": []}), ok(b"<html>")):
        api.script("/api/feed/audiobooks/?id=9&format=json&extended=1", body)
        with pytest.raises(RejectedError) as caught:
            listing(api, "librivox:9", tmp_path / str(id(body)))
        assert caught.value.reason in (Reason.NOT_FOUND, Reason.BAD_FEED)


@pytest.mark.parametrize("address", ["librivox:", "librivox:reader=ann", "librivox:9x", "archive:", "archive: "])
def test_what_cannot_be_asked_is_told_before_anything_is_fetched(address: str) -> None:
    with pytest.raises(ConfigError, match=r"^inputs: "):
        check(Input(address=address))


def file(name: str, **other: str) -> dict[str, str]:
    digest = {"md5": "0" * 32, "sha1": "1" * 40}
    return {"name": name, "source": "original", "format": "VBR MP3", "size": "9", "length": "61.5"} | digest | other


def item(*files: dict[str, str], **about: object) -> dict[str, object]:
    told = {
        "identifier": "talks_2008", "title": "Talks", "creator": ["Ann", "Ben"], "mediatype": "audio",
        "language": "eng", "publicdate": "2008-01-31 07:45:21",
        "licenseurl": "http://creativecommons.org/licenses/by/3.0/",
    }  # fmt: skip
    return {"created": 1, "dir": "/1/items/talks_2008", "files": list(files), "metadata": told | about}


def test_an_item_is_its_own_audio_files_with_checksums(api: ScriptedServer, tmp_path: Path) -> None:
    files = [
        file("Talk 1 & more.mp3", title="One"),
        file("Talk 1 & more.ogg", source="derivative", original="Talk 1 & more.mp3"),
        file("talks_2008_meta.xml", source="metadata"),
        file("cover.jpg"),
        file("secret.mp3", private="true"),
        {"name": "old.flac", "length": "1:01", "md5": "ab"},
    ]
    api.script("/metadata/talks_2008", answer(item(*files)))
    one, two = (listed.recording for listed in listing(api, "archive:talks_2008", tmp_path))
    assert one.media_url == api.url("/download/talks_2008/Talk%201%20%26%20more.mp3")
    assert (one.title, one.author, one.language) == ("Talks – One", "Ann, Ben", "en")
    assert (one.published, one.declared_duration_s) == ("2008-01-31T07:45:21Z", 61.5)
    assert (one.checksum, two.checksum, two.declared_duration_s) == ("sha1:" + "1" * 40, "md5:ab", 61.0)
    assert (one.licence, one.licence_evidence) == ("CC-BY-3.0", "licenseurl of the item")
    to_table([one, two])


@pytest.mark.parametrize(
    ("about", "given", "licence"),
    [
        ({"licenseurl": "https://e.org/mine"}, "CC0-1.0", "unknown"),  # what the item states counts
        ({"licenseurl": ""}, "CC0-1.0", "CC0-1.0"),
        ({"licenseurl": None}, None, "unknown"),
    ],
)
def test_the_licence_of_an_item(api: ScriptedServer, tmp_path: Path, about, given, licence) -> None:
    api.script("/metadata/talks_2008", answer(item(file("a.mp3"), **about)))
    (got,) = listing(api, "archive:talks_2008", tmp_path, **({"licence": given} if given else {}))
    assert got.recording.licence == licence


@pytest.mark.parametrize("body", [{}, {"is_dark": True, "metadata": {"identifier": "x"}}, [], {"metadata": 3}])
def test_an_item_that_is_not_there_is_rejected(api: ScriptedServer, tmp_path: Path, body: object) -> None:
    api.script("/metadata/gone", answer(body))
    with pytest.raises(RejectedError) as caught:
        listing(api, "archive:gone", tmp_path)
    assert caught.value.reason is Reason.NOT_FOUND


def test_a_query_is_listed_by_cursor_and_a_lost_item_costs_a_row(api: ScriptedServer, tmp_path: Path) -> None:
    def search(handler: Handler) -> None:
        told = parse_qs(urlsplit(handler.path).query)
        assert told["q"] == ["(collection:talks AND language:ger) AND mediatype:audio"]
        more = "cursor" in told
        found = {"items": [{"identifier": "c"}] if more else [{"identifier": "a"}, {"identifier": "b"}], "total": 3}
        answer(found | ({} if more else {"cursor": "W3siaWQ"}))(handler)

    query = "q=%28collection%3Atalks+AND+language%3Ager%29+AND+mediatype%3Aaudio&fields=identifier&count=1000"
    for cursor in ("", "&cursor=W3siaWQ"):
        api.script(f"/services/search/v1/scrape?{query}{cursor}", search)
    for name in "ac":
        api.script(f"/metadata/{name}", answer(item(file(f"{name}.mp3"))))
    api.script("/metadata/b", status(500))
    got = [one.recording for one in listing(api, "archive:collection:talks AND language:ger", tmp_path)]
    assert [one.status for one in got] == [Status.OK, Status.FAILED, Status.OK]
    assert got[1].media_url == "b"


@pytest.mark.parametrize(
    ("name", "code"), [("German", "de"), ("ger", "de"), ("de", "de"), ("Klingon", None), (3, None)]
)
def test_languages(name: object, code: str | None) -> None:
    assert language_of(name) == code


@pytest.mark.parametrize(
    ("value", "length"),
    [("61.5", 61.5), ("1:01", 61.0), ("1:00:01", 3601.0), *((odd, None) for odd in ("0", "x", None, "1:1:1:1", "nan"))],
)
def test_lengths(value: object, length: float | None) -> None:
    assert seconds(value) == length
