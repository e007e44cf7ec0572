"""Inputs that are feeds or lead to one: OPML in any case, podcast links, pages, media files, local files; paging."""

from pathlib import Path

import pytest
from speechmill.core.config import Input, RunConfig
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, Status
from speechmill.core.store import Store
from speechmill.corpus import plan
from speechmill.sources import Listed, kind_of, list_recordings
from speechmill.sources.builtin import rss

from tests.server import Behaviour, Handler, ScriptedServer, ok, status

HEAD = '<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel><title>Show</title>'
MP3 = b"ID3\3\0\0\0\0\0\0" + b"\xff\xfb\x90\0" + bytes(5000)


def item(guid: str, url: str | None = None) -> str:
    return (
        f'<item><guid isPermaLink="false">{guid}</guid><title>T {guid}</title>'
        f'<enclosure url="{url or guid + ".mp3"}" type="audio/mpeg"/></item>'
    )


def feed(*items: str, channel: str = "") -> bytes:
    return f"{HEAD}{channel}{''.join(items)}</channel></rss>".encode()


def next_page(href: str) -> str:
    return f'<atom:link rel="next" href="{href}"/>'


def listing(server: ScriptedServer, tmp_path: Path, address: str, **values: str) -> list[Listed]:
    config = RunConfig.model_validate({"fetch": {"allow_hosts": [server.host], "retries": 0}})
    return list(list_recordings(Input(address=address, **values), config, Store(str(tmp_path / "corpus"))))


def rows(server: ScriptedServer, tmp_path: Path, address: str, **values: str) -> list[Recording]:
    return [one.recording for one in listing(server, tmp_path, address, **values)]


def guids(server: ScriptedServer, tmp_path: Path, address: str) -> list[str | None]:
    return [one.guid for one in rows(server, tmp_path, address)]


def refusal(server: ScriptedServer, tmp_path: Path, address: str) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        listing(server, tmp_path, address)
    return caught.value


def opml(body: str) -> bytes:
    return f'<?xml version="1.0"?><opml version="2.0"><head/><body>{body}</body></opml>'.encode()


# --- OPML ---

OUTLINES = [
    '<outline type="rss" xmlUrl="{}"/>', '<outline type="rss" xmlurl="{}"/>', '<outline XMLURL="{}"/>',
    '<outline type="link" URL="{}"/>', '<outline type="rss" url="{}"/>', '<OUTLINE TYPE="RSS" XmlUrl="{}"/>',
    '<outline text="folder"><outline><outline xmlUrl="{}"/></outline></outline>',
    '<outline text="A & B &nbsp; \x0b < c" xmlUrl="{}"/>', '<outline text="a" text="b"/><outline xmlUrl="{}">',
]  # fmt: skip


@pytest.mark.parametrize("outline", OUTLINES)
@pytest.mark.parametrize("place", ["file", "server"])
def test_an_opml_is_read_in_any_case(server: ScriptedServer, tmp_path: Path, outline: str, place: str) -> None:
    url = server.script("/feed", ok(feed(item("a"))))
    raw = opml(outline.format(url) + '<outline text="nothing" htmlUrl="http://e.org/"/>')
    (tmp_path / "subs.opml").write_bytes(raw)
    address = server.script("/subs", ok(raw)) if place == "server" else str(tmp_path / "subs.opml")
    assert guids(server, tmp_path, address) == ["a"]


def test_the_root_of_an_opml_may_be_in_capitals(server: ScriptedServer, tmp_path: Path) -> None:
    url = server.script("/feed", ok(feed(item("a"))))
    raw = f'<OPML><BODY><Outline XMLURL="{url}"/></BODY></OPML>'.encode()
    assert guids(server, tmp_path, server.script("/subs", ok(raw))) == ["a"]


@pytest.mark.parametrize("body", ["", '<outline text="x"/>', '<outline htmlUrl="http://e.org/" xmlUrl=""/>'])
def test_an_opml_without_addresses_says_so(server: ScriptedServer, tmp_path: Path, body: str) -> None:
    fault = refusal(server, tmp_path, server.script("/subs", ok(opml(body))))
    assert fault.reason is Reason.BAD_FEED
    assert "no outline has the address of a feed" in fault.detail


def test_outlines_that_are_comments_are_none(server: ScriptedServer, tmp_path: Path) -> None:
    url = server.script("/feed", ok(feed(item("a"))))
    no = server.url("/no")
    body = f'<outline isComment="true" xmlUrl="{no}"><outline xmlUrl="{no}"/></outline><outline xmlUrl="{url}"/>'
    assert guids(server, tmp_path, server.script("/subs", ok(opml(body)))) == ["a"]
    assert server.questions == [one for one in server.questions if one.path != "/no"]


def test_lists_may_name_lists_but_none_twice(server: ScriptedServer, tmp_path: Path) -> None:
    url = server.script("/feed", ok(feed(item("a"))))
    outer, inner = server.url("/outer"), server.url("/inner")
    server.script("/inner", ok(opml(f'<outline xmlUrl="{outer}"/><outline xmlUrl="{url}"/><outline xmlUrl="{url}"/>')))
    server.script("/outer", ok(opml(f'<outline type="include" url="{inner}"/><outline url="{outer}"/>')))
    assert guids(server, tmp_path, outer) == ["a"]
    assert [len(server.asked(path)) for path in ("/outer", "/inner", "/feed")] == [1, 1, 1]


def test_lists_of_lists_without_end_are_left(server: ScriptedServer, tmp_path: Path) -> None:
    for n in range(20):
        server.script(f"/{n}", ok(opml(f'<outline url="{server.url(f"/{n + 1}")}"/>')))
    (row,) = rows(server, tmp_path, server.url("/0"))
    assert (row.reason, "lists deep" in (row.reason_detail or "")) == (Reason.BAD_FEED, True)
    assert len(server.requests) < 20


def test_a_page_in_place_of_an_opml_costs_a_row(server: ScriptedServer, tmp_path: Path) -> None:
    page = server.script("/page", ok(b"<!doctype html><html><body>404</body></html>"))
    url = server.script("/feed", ok(feed(item("a"))))
    address = server.script("/subs", ok(opml(f'<outline xmlUrl="{page}"/><outline xmlUrl="{url}"/>')))
    first, second = rows(server, tmp_path, address)
    assert (first.reason, second.guid) == (Reason.BAD_FEED, "a")


# --- links of podcast programs, media files, pages ---


@pytest.mark.parametrize(
    "link",
    [
        "feed://{}/feed",
        "feed:http://{}/feed",
        "pcast://{}/feed",
        "itpc://{}/feed",
        "podcast://{}/feed",
        "FEED://{}/feed",
    ],
)
def test_a_link_of_a_podcast_program_is_a_feed_of_the_same_identity(
    server: ScriptedServer, tmp_path: Path, link: str
) -> None:
    url = server.script("/feed", ok(feed(item("a"))))
    address = link.format(server.host)
    assert kind_of(address) == "rss"
    (linked,), (plain,) = rows(server, tmp_path, address), rows(server, tmp_path, url)
    assert linked == plain
    (listed,) = rows(server, tmp_path, server.script("/subs", ok(opml(f'<outline xmlUrl="{address}"/>'))))
    assert listed == plain


MEDIA: dict[str, tuple[str, Behaviour, Behaviour | None]] = {
    "by its type": ("/episode", ok(MP3, Content_Type="audio/mpeg"), ok(MP3, Content_Type="audio/mpeg")),
    "video": ("/episode", ok(MP3, Content_Type="video/mp4"), ok(MP3, Content_Type="video/mp4")),
    "by name and bytes": ("/a/ep%201.mp3?x=1", ok(MP3, Content_Type="application/octet-stream"),
                          ok(MP3, Content_Type="application/octet-stream")),
    "without HEAD": ("/ep.mp3", ok(MP3, Content_Type="audio/mpeg"), status(405)),
    "without type or name": ("/e/17", ok(MP3), None),
}  # fmt: skip


@pytest.mark.parametrize("name", MEDIA)
def test_the_address_of_a_media_file_is_one_recording(server: ScriptedServer, tmp_path: Path, name: str) -> None:
    path, get, head = MEDIA[name]
    url = server.script(path, get)
    if head:
        server.script(f"HEAD {path}", head)
    (row,) = rows(server, tmp_path, url)
    assert (row.media_url, row.licence, row.reason) == (url, "unknown", None)
    assert row.title == {"/a/ep%201.mp3?x=1": "ep 1", "/ep.mp3": "ep", "/e/17": "17"}.get(path, "episode")
    (row,) = rows(server, tmp_path, url, licence="CC0-1.0")
    assert (row.licence, row.licence_evidence) == ("CC0-1.0", "inputs.licence")


def test_a_big_media_file_is_not_got_while_it_is_listed(server: ScriptedServer, tmp_path: Path) -> None:
    url = server.script("/ep", ok(MP3))
    name = "attachment; filename*=UTF-8''..%2FFolge%201%20%E2%80%93%20Gr%C3%B6%C3%9Fe.mp3"
    server.script("HEAD /ep", ok(MP3, Content_Type="audio/mpeg", Content_Disposition=name))
    (row,) = rows(server, tmp_path, url)
    assert row.title == "Folge 1 – Größe"
    assert server.asked("/ep") == []


def test_33_a_media_file_that_is_reserved_is_not_asked_for(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/robots.txt", ok(b"User-agent: *\nDisallow: /"))
    url = server.script("/ep.mp3", ok(MP3, Content_Type="audio/mpeg"))
    assert refusal(server, tmp_path, url).reason is Reason.OPTED_OUT
    assert server.asked("/ep.mp3") == []


LINK = '<link rel="alternate" type="application/{}+xml" title="{}" href="{}">'


def page(*links: str) -> bytes:
    return f"<!DOCTYPE html><html><head>{''.join(links)}</head><body><![ x <p>Hello</body></html>".encode()


@pytest.mark.parametrize("kind", ["rss", "atom"])
def test_a_page_with_one_feed_is_that_feed(server: ScriptedServer, tmp_path: Path, kind: str) -> None:
    server.script("/pod/feed", ok(feed(item("a"))))
    comments = LINK.format("rss", "Comments Feed", "/comments/feed/")
    address = server.script("/pod/", ok(page(LINK.format(kind, "Show", "feed"), comments), Content_Type="text/html"))
    (by_page,), (by_feed,) = rows(server, tmp_path, address), rows(server, tmp_path, server.url("/pod/feed"))
    assert by_page.recording_id == by_feed.recording_id


@pytest.mark.parametrize(
    ("links", "words"),
    [
        ((), "names no feed; give the address of a feed, or ytdlp:http"),
        ((LINK.format("rss", "A", "/a"), LINK.format("atom", "B", "/b")), "names several feeds; give one: http"),
        (("<!-- " + LINK.format("rss", "A", "/a") + " -->",), "names no feed"),
    ],
)
def test_a_page_with_none_or_several_says_what_to_give(
    server: ScriptedServer, tmp_path: Path, links: tuple[str, ...], words: str
) -> None:
    fault = refusal(server, tmp_path, server.script("/pod", ok(page(*links), Content_Type="text/html")))
    assert fault.reason is Reason.BAD_FEED
    assert words in fault.detail
    assert "\n" not in fault.detail


def test_33_a_page_that_reserves_itself_names_no_feed(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/feed", ok(feed(item("a"))))
    no = '<meta name="robots" content="noai">'
    fault = refusal(server, tmp_path, server.script("/pod", ok(page(no, LINK.format("rss", "A", "/feed")))))
    assert fault.reason is Reason.OPTED_OUT
    assert server.asked("/feed") == []


def test_pages_that_name_each_other_end(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/a", ok(page(LINK.format("rss", "A", "/b"))))
    server.script("/b", ok(page(LINK.format("rss", "B", "/a"))))
    assert refusal(server, tmp_path, server.url("/a")).reason is Reason.BAD_FEED


# --- local feeds ---


def test_a_local_feed_names_files_beside_it_and_below(server: ScriptedServer, tmp_path: Path) -> None:
    show = tmp_path / "show"
    (show / "sub").mkdir(parents=True)
    for name in ("a.mp3", "sub/b c.mp3", "sub/b c.srt", "q?x=1.mp3"):
        (show / name).write_bytes(MP3)
    transcript = '<podcast:transcript xmlns:podcast="https://podcastindex.org/namespace/1.0" url="sub/b%20c.srt"/>'
    second = item("b", "sub/b%20c.mp3").replace("</item>", f"{transcript}</item>")
    items = [item("a", "./a.mp3"), second, item("c", "q?x=1.mp3"), item("d", "a.mp3?t=1"), item("e", "gone.mp3")]
    stated = '<podcast:license xmlns:podcast="https://podcastindex.org/namespace/1.0">CC0-1.0</podcast:license>'
    (show / "feed.xml").write_bytes(feed(*items, item("f", (show / "a.mp3").as_uri()), channel=stated))
    found = listing(server, tmp_path, str(show / "feed.xml"))
    expected = ["a.mp3", "sub/b c.mp3", "q?x=1.mp3", "a.mp3", "gone.mp3", "a.mp3"]
    assert [one.media_path for one in found] == [str(show / name) for name in expected]
    assert found[1].recording.attachments[0].url == "b c.srt"
    assert {one.recording.licence for one in found} == {"CC0-1.0"}


def test_34_a_local_feed_leads_out_of_its_folder_nowhere(server: ScriptedServer, tmp_path: Path) -> None:
    show, secret = tmp_path / "show", tmp_path / "secret.mp3"
    show.mkdir()
    secret.write_bytes(MP3)
    (show / "link.mp3").symlink_to(secret)
    (show / "folder").symlink_to(tmp_path)
    names = ["../secret.mp3", "%2e%2e/secret.mp3", str(secret), secret.as_uri(), "link.mp3", "folder/secret.mp3",
             "file:../secret.mp3", "/etc/passwd", "a&#0;b", "file://host/etc/passwd"]  # fmt: skip
    (show / "feed.xml").write_bytes(feed(*(item(f"g{n}", name) for n, name in enumerate(names))))
    found = listing(server, tmp_path, str(show / "feed.xml"))
    assert len(found) == len(names)
    for one in found:
        inside = one.media_path is not None and Path(one.media_path).parent == show
        assert inside or (one.recording.status, one.recording.reason) == (Status.FAILED, Reason.OUTSIDE)
        assert one.media_path is None or not Path(one.media_path).exists()


def test_a_local_opml_names_feeds_below_it_and_none_above(server: ScriptedServer, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    (lists / "feeds").mkdir(parents=True)
    (lists / "feeds" / "a.xml").write_bytes(feed(item("a", "https://e.org/a.mp3")))
    (tmp_path / "above.xml").write_bytes(feed(item("no")))
    body = '<outline xmlUrl="feeds/a.xml"/><outline xmlUrl="../above.xml"/><outline xmlUrl="gone.xml"/>'
    (lists / "subs.opml").write_bytes(opml(body))
    first, above, gone = rows(server, tmp_path, str(lists / "subs.opml"))
    assert (first.guid, above.reason, gone.reason) == ("a", Reason.OUTSIDE, Reason.NOT_FOUND)


def test_34_a_feed_from_the_web_names_no_file_of_this_machine(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "secret.mp3").write_bytes(MP3)
    url = server.script("/feed", ok(feed(item("a", str(tmp_path / "secret.mp3")), item("b", "file:///etc/passwd"))))
    assert [one.media_path for one in listing(server, tmp_path, url)] == [None, None]
    (tmp_path / "inner.xml").write_bytes(feed(item("no")))
    (tmp_path / "subs.opml").write_bytes(opml(f'<outline xmlUrl="{server.url("/moved")}"/>'))
    moved = f'<x:new-feed-url xmlns:x="http://www.itunes.com/dtds/podcast-1.0.dtd">{"inner.xml"}</x:new-feed-url>'
    server.script("/moved", ok(feed(item("a"), channel=moved)))
    assert guids(server, tmp_path, str(tmp_path / "subs.opml")) == ["a"]


# --- pages without end ---


def test_pages_end_where_nothing_is_new(server: ScriptedServer, tmp_path: Path) -> None:
    for n in range(50):
        server.script(f"/feed?paged={n}", ok(feed(item("only"), channel=next_page(f"/feed?paged={n + 1}"))))
    assert guids(server, tmp_path, server.url("/feed?paged=0")) == ["only"]
    assert len(server.requests) == 2


def test_pages_that_alternate_end(server: ScriptedServer, tmp_path: Path) -> None:
    for n in range(50):
        body = feed(item("ab"[n % 2]), channel=next_page(f"/feed?paged={n + 1}"))
        server.script(f"/feed?paged={n}", ok(body))
    assert guids(server, tmp_path, server.url("/feed?paged=0")) == ["a", "b"]
    assert len(server.requests) == 3


def test_addresses_that_change_with_each_page_are_nothing_new(server: ScriptedServer, tmp_path: Path) -> None:
    def rotating(n: int) -> bytes:
        one = f'<item><title>Same</title><enclosure url="/e.mp3?Expires={n}" type="audio/mpeg"/></item>'
        return feed(one, channel=next_page(f"/feed?paged={n + 1}"))

    for n in range(50):
        server.script(f"/feed?paged={n}", ok(rotating(n)))
    rows(server, tmp_path, server.url("/feed?paged=0"))
    assert len(server.requests) == 2


def test_a_page_without_audio_is_not_the_last_if_its_items_are_new(server: ScriptedServer, tmp_path: Path) -> None:
    text = "<item><guid>text</guid><title>Only words</title></item>"
    server.script("/1", ok(feed(item("a"), channel=next_page("/2"))))
    server.script("/2", ok(feed(text, channel=next_page("/3"))))
    server.script("/3", ok(feed(item("a"), item("b"))))
    assert guids(server, tmp_path, server.url("/1")) == ["a", None, "b"]  # None: the row of what is left out


def endless_pages(handler: Handler) -> None:
    """A page of its own for every address, each with another episode."""
    n = int(handler.path.rpartition("=")[2] or 0)
    ok(feed(item(f"g{n}"), channel=next_page(f"/feed?p={n + 1}")), etag=None)(handler)


def test_a_feed_of_ever_new_pages_ends_with_a_row(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rss, "MAX_PAGES", 5)
    for n in range(10):
        server.script(f"/feed?p={n}", endless_pages)
    *found, last = rows(server, tmp_path, server.url("/feed?p=0"))
    assert [one.guid for one in found] == [f"g{n}" for n in range(5)]
    assert last.reason is Reason.TOO_BIG
    monkeypatch.setattr(rss, "MAX_PAGES", 100)
    monkeypatch.setattr(rss, "MAX_FEED_TOTAL_BYTES", 2 * len(feed(item("g1"))))
    assert rows(server, tmp_path, server.url("/feed?p=0"))[-1].reason is Reason.TOO_BIG


@pytest.mark.parametrize("href", ["http://[", "http://e.org:x/", "//", "?", "#x", "javascript:alert(1)", "\x0b"])
def test_an_odd_address_of_a_page_costs_that_page(server: ScriptedServer, tmp_path: Path, href: str) -> None:
    url = server.script("/feed", ok(feed(item("a"), channel=next_page(href))))
    assert guids(server, tmp_path, url)[0] == "a"


def test_a_plan_says_of_each_input_why_it_cannot_be_read(server: ScriptedServer) -> None:
    empty = server.script("/subs", ok(opml("")))
    page_url = server.script("/page", ok(page()))
    told = {"inputs": [empty, page_url], "fetch": {"allow_hosts": [server.host], "retries": 0}}
    found = plan.plan(RunConfig.model_validate(told))
    assert "no outline" in found["inputs"][empty]["error"]
    assert f"ytdlp:{page_url}" in found["inputs"][page_url]["error"]
