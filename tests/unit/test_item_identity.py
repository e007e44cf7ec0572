"""Items of feeds stay the same recordings when their addresses, guids and lengths are others at each reading."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from speechmill.core import ownership
from speechmill.core.build import Build
from speechmill.core.footers import FetchFooter
from speechmill.core.records import Recording, stable_id
from speechmill.corpus.plan import plan
from speechmill.stages.identity import recall

from tests.decisions import decided
from tests.identified import listed_by
from tests.media import a_build, tone, wav
from tests.server import ScriptedServer, ok, status

Read = Callable[..., list[Recording]]
MAY_1, MAY_8 = "Thu, 01 May 2025 08:00:00 GMT", "Thu, 08 May 2025 08:00:00 GMT"


def item(url: str, title: str = "", *, date: str = "", guid: str = "", length: int | str = "") -> str:
    told = (("title", title), ("pubDate", date))
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in told if value)
    fields += f'<guid isPermaLink="false">{guid}</guid>' if guid else ""
    return f'<item>{fields}<enclosure url="{url}" type="audio/mpeg" length="{length}"/></item>'


@pytest.fixture
def build(server: ScriptedServer, tmp_path: Path) -> Build:
    fetch = {"allow_hosts": [server.host], "retries": 0}
    made = a_build(tmp_path / "corpus", inputs=[server.url("/feed.xml")], fetch=fetch)
    ownership.claim(made.store)
    return made


@pytest.fixture
def read(server: ScriptedServer, build: Build) -> Read:
    """Let the feed have some items, and read it as a run does; the rows of the corpus."""

    def call(*items: str) -> list[Recording]:
        feed = f"<rss version='2.0'><channel><title>T</title>{''.join(items)}</channel></rss>"
        server.script("/feed.xml", ok(feed.replace("&", "&amp;").encode(), etag=f'"{hash(feed)}"'))
        listed_by(build)
        return [one.recording for one in decided(build)]

    return call


def media(server: ScriptedServer, path: str, which: int = 0) -> str:
    return server.script(path, ok(wav(tone(100 * (which + 1), 0.1))))


def downloads(server: ScriptedServer) -> list[str]:
    return [one.path for one in server.requests if ".mp3" in one.path and one.method == "GET"]


ROTATING = {
    "query": ("/m/4.mp3?Expires={n}", {"title": "rot"}),
    "query, nothing said": ("/m/4.mp3?Expires={n}&Signature=a{n}b", {}),
    "folder": ("/cdn/{n}/token-{n}/4.mp3", {"title": "rot"}),
    "whole path": ("/{n}/{n}.mp3", {"title": "Rot", "date": MAY_1}),
    "whole path, a length": ("/{n}/{n}.mp3", {"title": "rot", "length": 4844}),
    "guid is the address": (
        "/m/4.mp3?token={n}",
        {"title": "rot", "date": MAY_1, "guid": "http://e.org/m/4.mp3?t={n}"},
    ),
}


@pytest.mark.parametrize("how", ROTATING)
def test_an_item_whose_address_changes_is_one_recording_and_fetched_once(how, server, read: Read, build: Build) -> None:
    address, told = ROTATING[how]
    ids = set()
    for n in (17, 18, 19):
        url = media(server, address.format(n=n))
        fields = {key: str(value).format(n=n) for key, value in told.items()}
        if "guid" in fields:
            fields["guid"] = url
        (row,) = read(item(url, **fields))
        ids.add(row.recording_id)
        assert recall(row.recording_id, build).recording.media_url == url  # where it can be had now
    assert len(ids) == 1
    assert downloads(server) == [address.format(n=17)]
    assert plan(build.config)["already_fetched"] == 1


DIFFERENT = {
    "dates": (("/a/{n}.mp3", {"title": "News", "date": MAY_1}), ("/b/{n}.mp3", {"title": "News", "date": MAY_8})),
    "dates, one path": (("/x.mp3?{n}", {"title": "N", "date": MAY_1}), ("/x.mp3?b{n}", {"title": "N", "date": MAY_8})),
    "titles": (("/a/{n}.mp3", {"title": "One", "date": MAY_1}), ("/b/{n}.mp3", {"title": "Two", "date": MAY_1})),
    "lengths": (("/a/{n}.mp3", {"title": "Part", "length": 10}), ("/b/{n}.mp3", {"title": "Part", "length": 20})),
    "lengths of one date": (
        ("/a/{n}.mp3", {"title": "Part", "date": MAY_1, "length": 10}),
        ("/b/{n}.mp3", {"title": "Part", "date": MAY_1, "length": 20}),
    ),
    "paths": (("/1.mp3?{n}", {}), ("/2.mp3?{n}", {})),
    "names, one title": (("/{n}/1.mp3", {"title": "Part"}), ("/{n}/2.mp3", {"title": "Part"})),
}


@pytest.mark.parametrize("how", DIFFERENT)
def test_two_episodes_stay_two_however_alike(how: str, server: ScriptedServer, read: Read) -> None:
    seen = []
    for n in (17, 18):
        urls = [media(server, address.format(n=n), which) for which, (address, _) in enumerate(DIFFERENT[how])]
        rows = read(*(item(url, **told) for url, (_, told) in zip(urls, DIFFERENT[how], strict=True)))
        seen.append({(row.recording_id, row.content_id, row.status) for row in rows})
    assert len(seen[0]) == 2
    assert seen[0] == seen[1]
    assert len(downloads(server)) == 2


def test_without_any_difference_but_the_query_two_items_are_two(server: ScriptedServer, read: Read) -> None:
    urls = [media(server, f"/play.mp3?id={which}", which) for which in (1, 2)]
    for _ in range(2):
        assert len(read(*(item(url, "Part") for url in urls))) == 2
    assert len(downloads(server)) == 2


def test_a_guid_that_changes_while_the_enclosure_stays(server: ScriptedServer, read: Read) -> None:
    url = media(server, "/a.mp3")
    (before,) = read(item(url, "One", date=MAY_1, guid="old-1"))
    (after,) = read(item(url, "One", date=MAY_1, guid="new-1"))
    assert (after.recording_id, after.guid) == (before.recording_id, "new-1")
    (again,) = read(item(url, "One, with a better title", date=MAY_1, guid="new-1"))
    assert again.recording_id == before.recording_id
    assert len(downloads(server)) == 1


def test_a_new_episode_at_the_address_of_the_last_is_another(server: ScriptedServer, read: Read) -> None:
    """As with `latest.mp3`: another guid and date, or where there is no guid another date."""
    url = media(server, "/latest.mp3")
    assert len(read(item(url, "May 1", date=MAY_1, guid="g1"))) == 1
    media(server, "/latest.mp3", 1)
    rows = read(item(url, "May 8", date=MAY_8, guid="g2"))
    assert [row.status for row in rows] == ["ok", "ok"]
    assert len({row.content_id for row in rows}) == 2


def test_an_item_that_gets_a_guid_and_one_that_loses_it(server: ScriptedServer, read: Read) -> None:
    url = media(server, "/a.mp3")
    (bare,) = read(item(url, "One", date=MAY_1, length=4844))
    (named,) = read(item(url, "One", date=MAY_1, length=4844, guid="g"))
    (again,) = read(item(url, "One", date=MAY_1, length=4844))
    assert bare.recording_id == named.recording_id == again.recording_id


def test_a_corpus_of_an_older_version_knows_its_items_by_their_address(server, read: Read, build: Build) -> None:
    url = media(server, "/a.mp3")
    former = stable_id("rss", server.url("/feed.xml"), url)
    (row,) = read(item(url, "One", date=MAY_1))
    rows, footer = build.store.load(build.fetched(row.recording_id), FetchFooter)
    footer = replace(footer, aliases=())
    rows = rows.set_column(rows.column_names.index("recording_id"), "recording_id", [[former]])
    build.store.write_table(build.fetched(former), rows.drop_columns(["added_in_run"]), footer)
    build.store.remove(build.fetched(row.recording_id))
    for query in ("", "?then=signed"):
        (found,) = read(item(media(server, "/a.mp3" + query), "One", date=MAY_1))
        assert found.recording_id == former
    assert len(downloads(server)) == 1


def test_media_that_are_out_of_reach_when_settings_changed_stay_known(server, read: Read, build: Build) -> None:
    (before,) = read(item(media(server, "/a.mp3"), "One", date=MAY_1))
    build.store.remove(f"work/media/{before.sha256}")  # as `prune` does
    server.script("/a.mp3", status(404))
    (after,) = read(item(server.url("/a.mp3"), "One", date=MAY_1))
    assert (after.status, after.reason) == ("failed", "not_found")
    assert recall(before.recording_id, build).recording.content_id == before.content_id
    media(server, "/a.mp3")
    (back,) = read(item(server.url("/a.mp3"), "One", date=MAY_1))
    assert (back.recording_id, back.content_id, build.store.exists(f"work/media/{back.sha256}")) == (
        before.recording_id, before.content_id, True,
    )  # fmt: skip
