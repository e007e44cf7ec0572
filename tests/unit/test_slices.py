"""Slices of a feed: read one by one they say what the whole says, whatever the feed is like."""

import time
from pathlib import Path

import pytest
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.sources.feeds import slices
from speechmill.sources.feeds.feed import Feed
from speechmill.sources.feeds.items import standard_fields
from speechmill.sources.feeds.slices import cut

URL = "https://example.org/pod/feed.xml"
PODCAST = "https://podcastindex.org/namespace/1.0"
LICENCE = "https://creativecommons.org/licenses/by/4.0/"
RSS_ITEM = (
    '<item><title>Tön {n}</title><guid isPermaLink="false">g{n}</guid><description>&lt;b&gt;{n}</description>'
    '<enclosure url="{n}.mp3" type="audio/mpeg"/><p:person>Ann {n}</p:person><p:person>Ben</p:person></item>'
)
RSS = (
    '<?xml version="1.0"{}?><!-- c --><rss version="2.0" xmlns:p="{}" xmlns:m="http://search.yahoo.com/mrss/">\n<channel>'
    "<title>Töne</title>{}{}</channel>\n</rss>"
)
ATOM = (
    '<a:feed xmlns:a="http://www.w3.org/2005/Atom" xml:base="https://base.example/a/" xml:lang="de"><a:id>f</a:id>{}'
    "<a:author><a:name>Ann</a:name></a:author></a:feed>"
)
ATOM_ENTRY = (
    '<a:entry xml:base="{n}/"><a:id>urn:{n}</a:id><a:title type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">T{n}'
    '</div></a:title><a:content type="html">long</a:content><a:updated>2026-01-0{n}T08:00:00Z</a:updated>'
    '<a:link rel="enclosure" href="a.opus" type="audio/ogg"/><a:link href="page"/></a:entry>'
)
RDF = (
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" '
    'xmlns:enc="http://purl.oclc.org/net/rss_2.0/enc#"><channel rdf:about="https://example.org/"><title>T</title>'
    "<items><rdf:Seq><rdf:li/></rdf:Seq></items></channel>{}<image><title>I</title></image></rdf:RDF>"
)
RDF_ITEM = '<item rdf:about="https://example.org/{n}"><title>T{n}</title><enclosure url="{n}.mp3"/></item>'
OLD_ITEM = '<item><title>T{n}</title><link>/{n}</link><enclosure url="{n}"/></item>'


def rss(items: int = 5, *, declared: str = "", channel: str = "", inside: str = RSS_ITEM) -> str:
    return RSS.format(declared, PODCAST, channel, "\n".join(inside.format(n=n) for n in range(1, items + 1)))


def read(raw: bytes) -> list[Recording]:
    return [one.recording for one in Feed(raw, URL).recordings()]


FEEDS = {
    "rss": rss(),
    "rss 0.91": f'<rss version="0.91">{OLD_ITEM.format(n=1)}{OLD_ITEM.format(n=2)}</rss>',
    "atom": ATOM.format("".join(ATOM_ENTRY.format(n=n) for n in range(1, 6))),
    "rdf": RDF.format("".join(RDF_ITEM.format(n=n) for n in range(1, 6))),
    "channel last": rss().replace("<title>Töne</title>", "").replace("</channel>", "<language>de</language></channel>"),
    "comments and text": rss().replace("<item>", "x<!-- <item> --><item>y<![CDATA[</item>]]>"),
    "title of another kind": rss(inside=RSS_ITEM.replace("title>", "m:title>")),
    "prefixed": rss().replace("<item>", "<x:item xmlns:x='http://purl.org/rss/1.0/'>").replace("</item>", "</x:item>"),
    "upper case": rss().replace("item>", "ITEM>"),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 500])
@pytest.mark.parametrize("name", FEEDS)
def test_slices_of_any_size_say_what_the_whole_says(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = FEEDS[name].encode()
    expected = read(raw)
    monkeypatch.setattr(slices, "SLICE_ITEMS", size)
    parts = cut(raw)
    whole = standard_fields(raw, URL).entries
    assert [len(standard_fields(one, URL).entries) for one in parts.slices][:-1] == [size] * (len(parts.slices) - 1)
    assert read(raw) == expected
    assert len(expected) == len(whole) > 1
    for got, entry in zip(expected, whole, strict=True):
        assert (got.title, got.guid) == (entry.get("title"), entry.get("id"))
        assert got.media_url.endswith(entry.enclosures[0].href.removeprefix("https://example.org/pod/"))


def test_what_a_slice_leaves_out_is_long() -> None:
    parts = cut(rss().encode())
    assert b"<description>" not in parts.slices[0]
    assert parts.slices[0].count(b"<p:person>") == 10
    assert b"<item>" not in parts.head
    assert [one.persons for one in read(rss(2).encode())] == [("Ann 1", "Ben"), ("Ann 2", "Ben")]


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be", "iso-8859-1", "windows-1252"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [1, 500])
def test_letters_are_read_in_any_encoding(encoding: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_ITEMS", size)
    got = read(rss(3, declared=f' encoding="{encoding.removesuffix("-sig")}"').encode(encoding))
    assert [one.title for one in got] == ["Tön 1", "Tön 2", "Tön 3"]
    assert got[0].persons == ("Ann 1", "Ben")


@pytest.mark.parametrize(
    ("declared", "encoding", "letters"),
    [
        ("gb2312", "gb18030", "中文"), ("GBK", "gbk", "中文"), ("big5", "big5", "中文"), ("Shift_JIS", "cp932", "日本"),
        ("euc-jp", "euc-jp", "日本"), ("EUC-KR", "euc-kr", "한국"), ("iso-2022-jp", "iso-2022-jp", "日本"),
    ],
)  # fmt: skip
def test_feeds_of_east_asia_lose_nothing(declared: str, encoding: str, letters: str) -> None:
    text = rss(2, declared=f' encoding="{declared}"', channel=f'<p:license url="{LICENCE}"/>').replace("ö", letters)
    got = read(text.encode(encoding))
    assert [one.title for one in got] == [f"T{letters}n 1", f"T{letters}n 2"]
    assert [one.licence for one in got] == ["CC-BY-4.0"] * 2
    assert got[1].persons == ("Ann 2", "Ben")


def test_what_declares_an_encoding_that_it_is_not_in_is_read_forgivingly() -> None:
    got = read(rss(2, declared=' encoding="big5"').encode())
    assert [one.guid for one in got] == ["g1", "g2"]


def test_an_item_in_an_odd_place_is_an_item() -> None:
    got = read(rss(2, channel=f"<p:odd>{RSS_ITEM.format(n=9)}</p:odd>").encode())
    assert [one.guid for one in got] == ["g9", "g1", "g2"]
    assert got[0].persons == ("Ann 9", "Ben")


def test_the_guids_of_all_slices_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_ITEMS", 1)
    of = '<item><guid isPermaLink="false">{}</guid><enclosure url="{}.mp3"/></item>'.format
    got = read(f'<rss version="2.0"><channel>{of("a", 1)}{of("b", 2)}{of("a", 3)}{of("b", 2)}</channel></rss>'.encode())
    assert [(one.guid, one.media_url[-5:]) for one in got] == [("a", "1.mp3"), ("b", "2.mp3"), ("a", "3.mp3")]
    assert len({one.recording_id for one in got}) == 3


HOSTILE = {
    "one long item": "<item>" + "<a/>" * 4_000_000 + "</item>",
    "one long element": "<item><b>" + "<a/>" * 4_000_000 + "</b></item>",
    "a long head": "<a/>" * 4_000_000,
    "a long element": "<title>" + "a" * 5_000_000 + "</title>",
    "a long start": "<!-- " + "x" * 200_000 + " --><item/>",
    "many places": "<x><item/></x>" * 1000,
    "deep in an item": "<item>" + "<a>" * 300 + "</a>" * 300 + "</item>",
    "deep beside": "<a>" * 300 + "</a>" * 300,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_27_what_would_cost_much_to_read_is_refused(name: str) -> None:
    raw, begin = f'<rss version="2.0"><channel>{HOSTILE[name]}</channel></rss>'.encode(), time.process_time()
    with pytest.raises(RejectedError) as caught:
        Feed(raw, URL)
    assert time.process_time() - begin < 60  # of computing: a few seconds on an idle machine
    assert caught.value.reason == Reason.BAD_FEED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "iso-2022-jp"])
def test_27_entities_are_refused_in_any_encoding(encoding: str) -> None:
    text = rss(1, declared=f' encoding="{encoding}"').replace("ö", "o")
    text = text.replace("<!-- c -->", '<!DOCTYPE rss [<!ENTITY a "b">]>')
    with pytest.raises(RejectedError, match="declares entities"):
        Feed(text.encode(encoding), URL)


def test_a_doctype_without_entities_does_no_harm() -> None:
    doctype = (
        '<!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://my.netscape.com/publish/formats/rss-0.91.dtd">'
    )
    assert len(read(rss(3).replace("<!-- c -->", doctype).encode())) == 3


def test_an_opml_may_be_as_long_as_a_feed(tmp_path: Path) -> None:
    outlines = "".join(f'<outline text="{"x" * 60}" xmlUrl="{n}.xml"/>' for n in range(70_000))
    found = Feed(f'<opml version="2.0"><body><outline>{outlines}</outline></body></opml>'.encode(), URL).outlines
    assert found is not None
    assert (len(found), found[-1]) == (70_000, "https://example.org/pod/69999.xml")
