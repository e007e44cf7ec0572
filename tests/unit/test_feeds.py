"""Feeds: what Podcasting 2.0, iTunes, OPML and paging say is heard, repeated tags all of them."""

from pathlib import Path

import pytest
from speechmill.core.config import Input, RunConfig
from speechmill.core.reasons import Reason
from speechmill.core.records import Attachment, Recording, RejectedError, Status, recording_from, to_table
from speechmill.core.store import Store
from speechmill.corpus import plan
from speechmill.sources import Listed, list_recordings
from speechmill.sources.feeds.feed import Feed
from speechmill.stages.fetch import fetch_recording
from speechmill.stages.profiles import plan_build

from tests.server import ScriptedServer, ok, redirect, status

HEAD = (
    '<rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0" xmlns:atom="http://www.w3.org/2005/Atom"'
    ' xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel><title>Show</title>'
)


def item(guid: str, inside: str = "") -> str:
    return (
        f'<item><guid isPermaLink="false">{guid}</guid>{inside}<enclosure url="{guid}.mp3" type="audio/mpeg"/></item>'
    )


def feed(*items: str, channel: str = "") -> bytes:
    return f"{HEAD}{channel}{''.join(items)}</channel></rss>".encode()


def read(raw: bytes, url: str = "https://e.org/feed") -> list[Recording]:
    return [one.recording for one in Feed(raw, url).recordings()]


def listing(server: ScriptedServer, tmp_path: Path, address: str, **values: str) -> list[Listed]:
    config = RunConfig.model_validate({"fetch": {"allow_hosts": [server.host], "retries": 0}})
    return list(list_recordings(Input(address=address, **values), config, Store(str(tmp_path / "corpus"))))


def guids(listed: list[Listed]) -> list[str | None]:
    return [one.recording.guid for one in listed]


def test_every_transcript_and_the_chapters_are_kept() -> None:
    inside = (
        '<podcast:transcript url="t.srt" type="application/x-subrip" language="en"/>'
        '<podcast:transcript url="https://t.org/t.html" type="text/html" rel="captions"/><podcast:transcript/>'
        '<podcast:transcript url="t.srt" type="application/x-subrip" language="en"/>'
        '<podcast:chapters url="c.json" type="application/json+chapters"/>'
    )
    (got,) = read(feed(item("a", inside)))
    assert got.attachments == (
        Attachment(kind="transcript", url="https://e.org/t.srt", type="application/x-subrip", language="en"),
        Attachment(kind="transcript", url="https://t.org/t.html", type="text/html"),
        Attachment(kind="chapters", url="https://e.org/c.json", type="application/json+chapters"),
    )
    assert recording_from(to_table([got]).to_pylist()[0]) == got  # also when it was stored


def test_alternate_enclosures_are_other_addresses_or_the_only_ones() -> None:
    alternates = (
        '<podcast:alternateEnclosure type="application/pdf"><podcast:source uri="x.pdf"/></podcast:alternateEnclosure>'
        '<podcast:alternateEnclosure type="audio/opus"><podcast:source uri="b.opus"/>'
        '<podcast:source uri="ipfs://b"/></podcast:alternateEnclosure>'
        '<podcast:alternateEnclosure type="audio/flac" default="true"><podcast:source uri="b.flac"/>'
        "</podcast:alternateEnclosure>"
    )
    (got,) = read(feed(item("a", alternates)))
    others = ("https://e.org/b.flac", "https://e.org/b.opus", "ipfs://b")
    assert (got.media_url, got.alternates) == ("https://e.org/a.mp3", others)
    (alone,) = read(feed(f"<item><guid>a</guid>{alternates}</item>"))
    assert (alone.media_url, alone.alternates) == (others[0], others[1:])


BLOCKS = [
    ("<itunes:block>Yes</itunes:block>", "", ["a", "b"], "itunes:block of the channel"),
    ("", "<itunes:block>yes</itunes:block>", ["b"], "itunes:block of the item"),
    ("<podcast:block>yes</podcast:block>", "", ["a", "b"], "podcast:block of the channel"),
    ('<podcast:block id="speechmill">yes</podcast:block>', "", ["a", "b"], "podcast:block of the channel"),
    ('<podcast:block>yes</podcast:block><podcast:block id="speechmill">no</podcast:block>', "", [], ""),
    ('<podcast:block id="youtube">yes</podcast:block>', "<itunes:block>no</itunes:block>", [], ""),
    ("<podcast:locked>yes</podcast:locked>", "", [], ""),  # about moving to another host
]


@pytest.mark.parametrize(("channel", "inside", "blocked", "detail"), BLOCKS)
def test_33_a_block_keeps_what_it_is_about(channel: str, inside: str, blocked: list[str], detail: str) -> None:
    got = read(feed(item("a"), item("b", inside), channel=channel))
    assert [one.guid for one in got if one.status is Status.OPTED_OUT] == blocked
    for one in got:
        assert (one.reason is Reason.OPTED_OUT) == (one.guid in blocked)
        assert (one.reason_detail or "").startswith(detail if one.guid in blocked else "")


@pytest.mark.parametrize("broken", ["<b>", "<b></i>", '<a x="1" x="2"/>', "&nbsp;<"])
def test_33_a_block_in_a_broken_item_is_about_it_and_beside_items_about_all(broken: str) -> None:
    inside = read(feed(item("a"), item("b", f"<itunes:block>yes</itunes:block>{broken}")))
    assert {one.guid: one.status for one in inside} == {"a": Status.OK, "b": Status.OPTED_OUT}
    beside = read(feed(item("a"), item("b"), channel=f"<itunes:block>yes</itunes:block>{broken}"))
    assert {one.guid: one.status for one in beside} == {"a": Status.OPTED_OUT, "b": Status.OPTED_OUT}


def test_33_what_opts_out_after_it_was_fetched_is_no_more_of_the_corpus(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/a.mp3", ok(b"ID3"))
    store = Store(str(tmp_path / "corpus"))
    chosen = {"fetch": {"allow_hosts": [server.host]}, "asr": {"model": None}, "output": store.root}
    build = plan_build(RunConfig.model_validate(chosen), store, find_model=Path)
    (free,) = Feed(feed(item("a")), server.url("/feed")).recordings()
    assert fetch_recording(free, build).work is not None
    (blocked,) = Feed(feed(item("a", "<itunes:block>yes</itunes:block>")), server.url("/feed")).recordings()
    outcome = fetch_recording(blocked, build)
    assert (outcome.work, outcome.reason) == (None, Reason.OPTED_OUT)
    (row,) = store.read(build.fetched(free.recording.recording_id)).to_pylist()
    assert (row["status"], row["content_id"]) == ("opted_out", None)


def test_an_opml_file_lists_feeds_and_one_that_cannot_be_read_costs_a_row(
    server: ScriptedServer, tmp_path: Path
) -> None:
    outlines = [server.script("/1", ok(feed(item("a")))), server.url("/none"), server.script("/2", ok(feed(item("b"))))]
    body = "".join(f'<outline text="x"><outline type="rss" xmlUrl="{url}"/></outline>' for url in outlines)
    opml = f'<?xml version="1.0"?><opml version="2.0"><head/><body>{body}<outline text="y"/></body></opml>'.encode()
    (tmp_path / "shows.opml").write_bytes(opml)
    of_file = listing(server, tmp_path, str(tmp_path / "shows.opml"))
    of_server = listing(server, tmp_path, server.script("/opml", ok(opml)))
    assert guids(of_file) == guids(of_server) == ["a", None, "b"]
    assert of_file[1].recording.reason is Reason.NOT_FOUND
    assert of_file[1].recording.media_url == server.url("/none")
    assert of_file[0].recording.feed_url == outlines[0]


@pytest.mark.parametrize("rel", ["next", "prev-archive"])
def test_pages_of_older_items_are_followed_once(server: ScriptedServer, tmp_path: Path, rel: str) -> None:
    def page(number: int, other: int) -> None:
        link = f'<atom:link rel="{rel}" href="/feed?page={other}"/>'
        server.script(f"/feed?page={number}", ok(feed(item(f"g{number}"), channel=link)))

    page(1, 2)
    page(2, 3)
    page(3, 1)
    listed = listing(server, tmp_path, server.url("/feed?page=1"))
    assert guids(listed) == ["g1", "g2", "g3"]
    assert len(server.requests) == 3
    whole = Feed(feed(item("g2")), server.url("/feed?page=1")).recordings()
    assert listed[1].recording.recording_id == next(whole).recording.recording_id  # on whichever page it stands


def test_a_page_that_is_missing_is_told_and_costs_only_what_is_on_it(server: ScriptedServer, tmp_path: Path) -> None:
    url = server.script("/feed", ok(feed(item("a"), channel='<atom:link rel="next" href="/2"/>')))
    first, missing = listing(server, tmp_path, url)
    assert (first.recording.guid, missing.recording.reason) == ("a", Reason.NOT_FOUND)


def test_a_feed_that_moved_is_read_where_it_is_and_keeps_its_identity(server: ScriptedServer, tmp_path: Path) -> None:
    new = server.script("/new", ok(feed(item("a"))))
    moved = f"<itunes:new-feed-url>{new}</itunes:new-feed-url>"
    old = server.script("/old", ok(feed(item("old"), channel=moved)))
    (got,) = listing(server, tmp_path, old)
    assert (got.recording.guid, got.recording.media_url) == ("a", server.url("/a.mp3"))
    (before,) = Feed(feed(item("a")), old).recordings()
    assert got.recording.recording_id == before.recording.recording_id


def test_a_feed_that_moved_nowhere_is_read_where_it_was(server: ScriptedServer, tmp_path: Path) -> None:
    url = server.url("/old")
    moved = f"<itunes:new-feed-url>{server.url('/gone')}</itunes:new-feed-url>"
    server.script("/old", ok(feed(item("a"), channel=moved)))
    server.script("/gone", status(410))
    assert guids(listing(server, tmp_path, url)) == ["a"]


def test_a_redirected_feed_keeps_its_identity(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/new", ok(feed(item("a"))))
    (got,) = listing(server, tmp_path, server.script("/old", redirect("/new", 301)))
    (before,) = Feed(feed(item("a")), server.url("/old")).recordings()
    assert got.recording.recording_id == before.recording.recording_id


def test_a_feed_that_is_gone_is_rejected(server: ScriptedServer, tmp_path: Path) -> None:
    with pytest.raises(RejectedError) as caught:
        listing(server, tmp_path, server.script("/old", status(410)))
    assert (caught.value.reason, caught.value.retry) == (Reason.NOT_FOUND, False)


PAGE = '<html><body><a href="/x" rel="nofollow">x</a><a rel="license noopener" href="{}">CC</a></body></html>'


@pytest.mark.parametrize(
    ("href", "licence"),
    [("https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0"), ("https://e.org/terms", "unknown")],
)
def test_the_page_of_a_feed_may_state_the_licence_that_the_feed_does_not(
    server: ScriptedServer, tmp_path: Path, href: str, licence: str
) -> None:
    page = server.script("/show", ok(PAGE.format(href).encode()))
    url = server.script("/feed", ok(feed(item("a"), channel=f"<link>{page}</link>")))
    (got,) = listing(server, tmp_path, url)
    assert got.recording.licence == licence
    if licence != "unknown":
        assert (got.recording.licence_url, got.recording.licence_evidence) == (href, f"rel=license of {page}")


def test_a_page_changes_no_licence_that_the_feed_or_the_config_states(server: ScriptedServer, tmp_path: Path) -> None:
    page = server.script("/show", ok(PAGE.format("https://creativecommons.org/licenses/by/4.0/").encode()))
    stated = f"<link>{page}</link><podcast:license>mine</podcast:license>"
    (got,) = listing(server, tmp_path, server.script("/1", ok(feed(item("a"), channel=stated))))
    assert got.recording.licence == "unknown"
    url = server.script("/2", ok(feed(item("a"), channel=f"<link>{page}</link>")))
    (got,) = listing(server, tmp_path, url, licence="CC0-1.0")
    assert got.recording.licence == "CC0-1.0"
    assert len(server.asked("/show")) == 1  # it may forbid what a licence allows


def test_a_plan_tells_how_far_a_long_listing_is(tmp_path: Path) -> None:
    (tmp_path / "feed.xml").write_bytes(feed(*(item(f"g{n}") for n in range(2500))))
    told: list[str] = []
    address = str(tmp_path / "feed.xml")
    found = plan.plan(RunConfig(inputs=(Input(address=address),), output=str(tmp_path / "corpus")), told.append)
    assert found["recordings"] == 2500
    assert told == [f"{address}: {what}" for what in ("reading", "1000 recordings so far", "2000 recordings so far")]
