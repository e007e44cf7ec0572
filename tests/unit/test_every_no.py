"""Every no is heard, from the feed to the file: the server is asked for no media, and the row says who said no.

All goes through the stages of a run, over real HTTP.
"""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from speechmill.core.build import Build
from speechmill.core.config import Input, RunConfig
from speechmill.core.footers import FetchFooter
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, Signal, Status, recording_from, to_table
from speechmill.core.store import Store
from speechmill.fetch.consent import memory
from speechmill.publish.columns import columns_of, data_schema, pool_schema
from speechmill.stages.fetch import fetch_recording, list_input
from speechmill.stages.profiles import plan_build

from tests.decisions import decided
from tests.server import ScriptedServer, ok, redirect, respond, status
from tests.tiny_corpus import publish_tiny

BODY = b"ID3" + bytes(5000)
HEAD = (
    '<rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0" xmlns:atom="http://www.w3.org/2005/Atom"'
    ' xmlns:rsl="https://rslstandard.org/rsl" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel>'
    "<title>Show</title>"
)
RSL = '<rsl xmlns="https://rslstandard.org/rsl"><content url="{url}"><license>{terms}</license></content></rsl>'
NO, YES = '<prohibits type="usage">ai-train</prohibits>', '<permits type="usage">ai-train</permits>'
IN_FEED = (
    "<rsl:content url=\"{url}\"><rsl:license><rsl:{name} type='usage'>all</rsl:{name}></rsl:license></rsl:content>"
)
FEED_NO, FEED_YES = IN_FEED.format(url="", name="prohibits"), IN_FEED.format(url="", name="permits")
CC = "https://creativecommons.org/licenses/by/4.0/"
CREDIT = f'{YES}<payment type="attribution"><standard>{CC}</standard></payment>'


@pytest.fixture
def build(server: ScriptedServer, tmp_path: Path) -> Build:
    return made(server, tmp_path)


def made(server: ScriptedServer, tmp_path: Path, **more: object) -> Build:
    fetch = {"allow_hosts": [server.host], "retries": 0, "backoff_s": 0.01, "timeout_s": 5}
    chosen = {"fetch": fetch, "output": str(tmp_path / "corpus"), "asr": {"model": None}, **more}
    config = RunConfig.model_validate(chosen)
    return plan_build(config, Store(config.output), find_model=Path)


def feed(*items: str, channel: str = "") -> bytes:
    return f"{HEAD}{channel}{''.join(items)}</channel></rss>".encode()


def item(name: str = "a", inside: str = "") -> str:
    return (
        f'<item><guid isPermaLink="false">{name}</guid>{inside}<enclosure url="/{name}.mp3" type="audio/mpeg"/></item>'
    )


def host(server: ScriptedServer, *items: str, channel: str = "", **files: bytes) -> str:
    for name in ("a", "b"):
        server.script(f"/{name}.mp3", ok(BODY + name.encode()))
    for path, body in files.items():
        server.script(path, ok(body))
    body = feed(*(items or [item()]), channel=channel)
    return server.script("/feed", ok(body, etag=f'"{hash(body)}"'))


def run(url: str, build: Build) -> dict[str, Recording]:
    """Rows by guid, after listing and fetching."""
    for listed in list_input(Input(address=url), build):
        fetch_recording(listed, build)
    names = [build.fetched(name) for name in build.known_recordings()]
    rows = [recording_from(build.store.read(name).to_pylist()[0]) for name in names]
    return {row.guid or row.media_url: row for row in rows}


def refused(server: ScriptedServer, build: Build, url: str, guid: str = "a") -> Signal:
    row = run(url, build)[guid]
    assert (row.status, row.reason, row.content_id) == (Status.OPTED_OUT, Reason.OPTED_OUT, None)
    assert [one for one in server.requests + server.questions if one.path.endswith(".mp3")] == []
    assert row.consent[-1].seen[:10] in (row.reason_detail or "")
    return row.consent[-1]


def test_33_a_page_that_the_feed_names_says_no(server: ScriptedServer, build: Build) -> None:
    page = server.script("/show", ok(b'<html><meta name="robots" content="noai, noimageai">'))
    url = host(server, item("a"), item("b"), channel=f"<link>{page}</link><podcast:license>cc-by-4.0</podcast:license>")
    assert refused(server, build, url).signal == "meta robots"
    assert refused(server, build, url, "b").url == page
    assert len(server.asked("/show")) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_33_a_page_says_no_in_any_unicode(server: ScriptedServer, build: Build, encoding: str) -> None:
    page = server.script("/show", ok('<html><meta name="robots" content="noai">'.encode(encoding)))
    url = host(server, item("a"), channel=f"<link>{page}</link><podcast:license>cc-by-4.0</podcast:license>")
    assert refused(server, build, url).signal == "meta robots"


def test_33_a_page_that_an_episode_names_says_no(server: ScriptedServer, build: Build) -> None:
    page = server.script("/ep", ok(b"<meta name=tdm-reservation content=1>"))
    signal = refused(server, build, host(server, item("a", f"<link>{page}</link>")))
    assert (signal.signal, signal.value, signal.url) == ("meta tdm-reservation", "1", page)


def test_pages_are_not_asked_for_where_the_config_says_so(server: ScriptedServer, tmp_path: Path) -> None:
    fetch = {"allow_hosts": [server.host], "retries": 0, "pages": False}
    page = server.script("/show", ok(b"<meta name=robots content=noai>"))
    url = host(server, item("a", f"<link>{page}</link>"), channel=f"<link>{page}</link>")
    assert run(url, made(server, tmp_path, fetch=fetch))["a"].status is Status.OK
    assert server.asked("/show") == []


PAGES = {
    "TDM-Reservation": respond(200, {"TDM-Reservation": "1", "Content-Length": 2}, b"hi"),
    "Content-Signal": respond(200, {"Content-Signal": "ai-train=no", "Content-Length": 2}, b"hi"),
    "RSL": ok(f"<script type='application/rsl+xml'>{RSL.format(url='', terms=NO)}</script>".encode()),
}


@pytest.mark.parametrize("kind", PAGES)
def test_33_headers_and_terms_of_a_page_count_as_its_tags(server: ScriptedServer, build: Build, kind: str) -> None:
    page = server.script("/show", PAGES[kind])
    assert refused(server, build, host(server, channel=f"<link>{page}</link>")).signal == kind


@pytest.mark.parametrize("behaviour", [status(404), status(503), ok(b"\xff<![ x<a"), ok(b"<" * 1000)])
def test_a_page_that_cannot_be_seen_or_read_forbids_nothing(server: ScriptedServer, build: Build, behaviour) -> None:
    page = server.script("/show", behaviour)
    url = host(server, item("a", f"<link>{page}</link>"), channel=f"<link>{page}</link>")
    assert run(url, build)["a"].status is Status.OK
    assert run(url, build)["a"].status is Status.OK  # and so the next time


def test_that_robots_may_not_visit_a_page_says_nothing_of_the_episodes(server: ScriptedServer, build: Build) -> None:
    server.script("/robots.txt", ok(b"User-agent: *\nDisallow: /show"))
    url = host(server, channel=f"<link>{server.url('/show')}</link>")
    assert run(url, build)["a"].status is Status.OK


@pytest.mark.parametrize(
    "robots", [b"User-agent: *\nContent-Signal: /a.mp3 ai-train=no\n", b"User-agent: speechmill\nDisallow: /*.mp3\n"]
)
def test_33_robots_txt_of_the_media(server: ScriptedServer, build: Build, robots: bytes) -> None:
    server.script("/robots.txt", ok(robots))
    signal = refused(server, build, host(server))
    assert signal.url == server.url("/robots.txt")


def test_33_terms_that_robots_txt_names(server: ScriptedServer, build: Build) -> None:
    server.script("/robots.txt", ok(b"License: /rsl.xml\nUser-agent: GPTBot\nDisallow: /"))
    server.script("/rsl.xml", ok(RSL.format(url="/*.mp3", terms=NO).encode()))
    signal = refused(server, build, host(server))
    assert (signal.signal, signal.value, signal.url) == ("RSL", "prohibits training", server.url("/rsl.xml"))
    assert len(server.asked("/rsl.xml")) == 1


@pytest.mark.parametrize("on", ["HEAD /a.mp3", "/feed"])
def test_33_terms_that_a_header_names_also_where_one_request_is_let_in_at_a_time(
    server: ScriptedServer, tmp_path: Path, on: str
) -> None:
    fetch = {"allow_hosts": [server.host], "retries": 0, "per_host": 1}
    url = host(server, **{"/rsl.xml": RSL.format(url="/", terms='<payment type="purchase"/>').encode()})
    link = '</rsl.xml>; rel="license"; type="application/rsl+xml"'
    server.script(on, respond(200, {"Link": link, "Content-Length": 0}))
    rows = run(url, made(server, tmp_path, fetch=fetch))
    (row,) = rows.values()
    assert (row.status, row.consent[0].value) == (Status.OPTED_OUT, "payment purchase")
    assert server.asked("/a.mp3") == []


def test_33_a_redirect_may_say_no(server: ScriptedServer, build: Build) -> None:
    url = host(server)
    server.script("HEAD /a.mp3", status(302, Location="/b.mp3", X_Robots_Tag="noai"))
    server.script("/a.mp3", redirect("/b.mp3"))
    row = run(url, build)["a"]
    assert (row.status, row.consent[0].signal) == (Status.OPTED_OUT, "X-Robots-Tag")
    assert server.asked("/a.mp3") + server.asked("/b.mp3") == []


def test_33_terms_cannot_be_had_for_now(server: ScriptedServer, build: Build) -> None:
    server.script("/robots.txt", ok(b"License: /rsl.xml\n"))
    server.script("/rsl.xml", status(503))
    url = host(server)
    (row,) = run(url, build).values()
    assert (row.status, row.reason) == (Status.FAILED, Reason.UNREACHABLE)
    server.script("/rsl.xml", status(404))
    assert run(url, build)["a"].status is Status.OK  # there are none


def test_terms_of_a_feed(server: ScriptedServer, build: Build) -> None:
    url = host(server, item("a", FEED_NO), item("b"))
    rows = run(url, build)
    assert [rows[name].status for name in "ab"] == [Status.OPTED_OUT, Status.OK]
    assert (rows["a"].consent[0].signal, rows["a"].consent[0].url) == ("RSL", url)
    assert server.asked("/a.mp3") == []
    assert len(server.asked("/b.mp3")) == 1


def test_terms_of_an_item_count_more_than_those_of_the_channel(server: ScriptedServer, build: Build) -> None:
    rows = run(host(server, item("a", FEED_YES), item("b"), channel=FEED_NO), build)
    assert [rows[name].status for name in "ab"] == [Status.OK, Status.OPTED_OUT]
    assert server.asked("/b.mp3") == []


def test_terms_of_a_channel_are_for_the_addresses_that_they_name(server: ScriptedServer, build: Build) -> None:
    channel = IN_FEED.format(url="/a*", name="prohibits") + IN_FEED.format(url="/b*", name="permits")
    rows = run(host(server, item("a"), item("b"), channel=channel), build)
    assert [(rows[name].status, rows[name].licence) for name in "ab"] == [
        (Status.OPTED_OUT, "unknown"),
        (Status.OK, "LicenseRef-RSL"),
    ]


LINK = '<{name} rel="license" type="application/rsl+xml" href="{href}"/>'


def linked(href: str = "/rsl.xml", name: str = "atom:link") -> str:
    return LINK.format(name=name, href=href)


@pytest.mark.parametrize(("where", "name"), [("item", "atom:link"), ("channel", "atom:link"), ("item", "link")])
@pytest.mark.parametrize("pattern", ["/a.mp3", "/feed", "", "/elsewhere"])
def test_33_terms_that_a_feed_links_to(
    server: ScriptedServer, build: Build, where: str, name: str, pattern: str
) -> None:
    """Whatever address the terms have for the episode; and a no of terms that have none for it counts as well."""
    inside, channel = (linked(name=name), "") if where == "item" else ("", linked(name=name))
    terms = RSL.format(url=pattern, terms=NO).encode()
    url = host(server, item("a", inside), channel=channel, **{"/rsl.xml": terms})
    assert refused(server, build, url) == refused(server, build, url)  # with the time when it was first seen
    assert refused(server, build, url).url == server.url("/rsl.xml")
    assert len(server.asked("/rsl.xml")) == 1


def test_33_linked_terms_are_asked_for_once_and_those_of_an_item_count_for_it(
    server: ScriptedServer, build: Build
) -> None:
    files = {"/no.xml": RSL.format(url="", terms=NO).encode(), "/yes.xml": RSL.format(url="", terms=CREDIT).encode()}
    rows = run(host(server, item("a", linked("/yes.xml")), item("b"), channel=linked("/no.xml"), **files), build)
    assert [rows[name].status for name in "ab"] == [Status.OK, Status.OPTED_OUT]
    assert (rows["a"].licence, rows["a"].consent[0].url) == ("CC-BY-4.0", server.url("/yes.xml"))
    assert server.asked("/b.mp3") == []


def test_33_linked_terms_that_say_no_later_end_what_was_taken_before(server: ScriptedServer, build: Build) -> None:
    assert run(host(server), build)["a"].status is Status.OK
    url = host(server, item("a", linked()), **{"/rsl.xml": RSL.format(url="", terms=NO).encode()})
    row = run(url, build)["a"]
    assert (row.status, row.content_id, len(server.asked("/a.mp3"))) == (Status.OPTED_OUT, None, 1)


def test_33_linked_terms_that_cannot_be_had_for_now(server: ScriptedServer, build: Build) -> None:
    server.script("/rsl.xml", status(503))
    url = host(server, item("a", linked()))
    row = run(url, build)["a"]
    assert (row.status, row.reason, server.asked("/a.mp3")) == (Status.FAILED, Reason.UNREACHABLE, [])
    server.script("/rsl.xml", ok(RSL.format(url="", terms=YES).encode()))
    row = run(url, build)["a"]
    assert (row.status, row.licence) == (Status.OK, "LicenseRef-RSL")
    assert run(url, build)["a"] == row  # no request more, and the same terms


@pytest.mark.parametrize("inside", [f"<b>{linked()}", f"&nbsp;{linked()}"])
def test_33_terms_that_an_item_links_to_which_is_no_xml(server: ScriptedServer, build: Build, inside: str) -> None:
    url = host(server, item("a", inside), **{"/rsl.xml": RSL.format(url="", terms=NO).encode()})
    (row,) = run(url, build).values()
    assert (row.status, row.consent[-1].url) == (Status.OPTED_OUT, server.url("/rsl.xml"))
    assert server.asked("/a.mp3") == []


def test_terms_beside_a_local_feed_cannot_be_had(server: ScriptedServer, build: Build, tmp_path: Path) -> None:
    server.script("/a.mp3", ok(BODY))
    place = tmp_path / "feed.xml"
    enclosure = f'<enclosure url="{server.url("/a.mp3")}" type="audio/mpeg"/>'
    place.write_bytes(feed(f"<item><guid>a</guid>{linked('terms.xml')}{enclosure}</item>"))
    row = run(f"rss:{place}", build)["a"]
    assert (row.status, row.reason) == (Status.FAILED, Reason.FORBIDDEN_ADDRESS)
    assert server.asked("/a.mp3") == []


def test_terms_that_permit_are_evidence_of_a_licence(server: ScriptedServer, build: Build) -> None:
    server.script("/robots.txt", ok(b"User-agent: *\nLicense: /rsl.xml\n"))
    server.script("/rsl.xml", ok(RSL.format(url="/", terms=CREDIT).encode()))
    url = host(server)
    row = run(url, build)["a"]
    place = server.url("/rsl.xml")
    assert (row.licence, row.licence_url) == ("CC-BY-4.0", CC)
    assert row.licence_evidence == f"RSL {place}: permits ai-train; payment attribution; {CC}"
    assert [(one.signal, one.url) for one in row.consent] == [("RSL", place)]
    assert run(url, build)["a"] == row  # also when the feed is listed again, which does not say it
    stated = host(server, channel="<podcast:license>cc-by-nc-4.0</podcast:license>")
    assert run(stated, build)["a"].licence == "CC-BY-NC-4.0"


def test_an_episode_that_a_machine_made_is_marked(server: ScriptedServer, build: Build) -> None:
    said = '<podcast:txt purpose="AI-Content"> True </podcast:txt>'
    human = '<podcast:txt purpose="ai-content">false</podcast:txt>'
    url = host(server, item("a"), item("b", human), channel=f'<podcast:txt purpose="verify">x</podcast:txt>{said}')
    rows = run(url, build)
    assert [rows[name].ai_generated for name in "ab"] == [True, False]
    assert (rows["a"].consent[0].signal, rows["a"].consent[0].value) == (
        "podcast:txt",
        "ai-content of the channel: True",
    )
    first = rows["a"].consent
    assert run(url, build)["a"].consent == first  # with the time when it was first seen
    url = host(server, item("a"), item("b"))
    assert not run(url, build)["a"].ai_generated


@pytest.mark.parametrize("inside", ["<itunes:block>yes</itunes:block>", "<podcast:block>yes</podcast:block>"])
def test_33_blocks_are_signals_too(server: ScriptedServer, build: Build, inside: str) -> None:
    url = host(server, item("a", inside))
    first = refused(server, build, url)
    assert (first.signal, first.value, first.url) == (inside[1:].partition(">")[0], "of the item", url)
    assert refused(server, build, url) == first


BROKEN = {
    "/.well-known/tdmrep.json": b"[" * 100_000,
    "/robots.txt": b"User-agent: *\nContent-Usage: /" + b"*a" * 30 + b"b train-ai=n\n" + b"a" * 200_000,
    "/ai.txt": b"\0" * 1000,
}


@pytest.mark.parametrize("path", BROKEN)
def test_a_broken_answer_ends_no_run_and_a_stored_one_no_later_run(
    server: ScriptedServer, build: Build, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    server.script(path, ok(BROKEN[path]))
    url = host(server)
    for _ in range(2):
        assert run(url, build)["a"].status is Status.OK
        monkeypatch.setattr(memory, "_memory", {})  # as the next process has it


def test_an_error_that_nobody_foresaw_costs_one_input_and_heals(
    server: ScriptedServer, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = host(server)

    def fail(*_: object) -> None:
        raise AssertionError("unforeseen")

    with monkeypatch.context() as patch:
        patch.setattr("speechmill.fetch.consent.memory.Reservations.__init__", fail)
        (row,) = run(url, build).values()
        assert (row.status, row.reason) == (Status.FAILED, Reason.INTERNAL_ERROR)
        assert server.asked("/a.mp3") == []
    assert run(url, build)["a"].status is Status.OK


def test_a_damaged_file_in_work_is_asked_for_anew(
    server: ScriptedServer, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script("/robots.txt", ok(b"User-agent: *\nDisallow: /*.mp3"))
    url = host(server)
    refused(server, build, url)
    for name in build.store.names("work/hosts"):
        build.store.write_text(f"work/hosts/{name}", '{"when": "x", "files": [')
    monkeypatch.setattr(memory, "_memory", {})
    server.script("/robots.txt", ok(b"User-agent: *\nAllow: /"))
    again = made(server, Path(build.store.root).parent, fetch={**build.config.fetch.model_dump(), "ask_again_s": 0})
    assert run(url, again)["a"].status is Status.OK


def test_signals_are_a_column_of_kind_value_address_and_time(server: ScriptedServer, build: Build) -> None:
    server.script("/robots.txt", ok(b"User-agent: *\nDisallow: /*.mp3"))
    run(host(server), build)
    (name,) = build.known_recordings()
    column = pq.read_table(build.store.path(build.fetched(name)))["consent"].to_pylist()[0][0]
    assert list(column) == ["signal", "value", "url", "seen"]
    assert json.dumps(column["value"]) == '"Disallow: /*.mp3"'


def test_generated_clips_are_rejected_until_the_config_allows_them(tmp_path: Path) -> None:
    """Deciding again is enough: the artifacts of the run stay as they are."""
    build, _ = publish_tiny(tmp_path)
    name = build.fetched("r1")
    row = recording_from(build.store.read(name).to_pylist()[0])
    build.store.write_table(name, to_table([replace(row, ai_generated=True)]), build.store.footer(name, FetchFooter))
    (clip, *_), free = _clips(build), _clips(_allowing(build))
    assert (clip["ai_generated"], clip["decision"], clip["reasons"]) == (True, "rejected", [Reason.AI_GENERATED])
    assert (free[0]["ai_generated"], free[0]["decision"], free[0]["reasons"]) == (True, "kept", [])
    assert {"ai_generated"} <= set(data_schema(columns_of(build)).names) & set(pool_schema(columns_of(build)).names)


def _clips(build: Build) -> list[dict[str, object]]:
    return next(iter(decided(build))).clips


def _allowing(build: Build) -> Build:
    licences = build.config.licences.model_copy(update={"ai_generated": "allow"})
    return replace(build, config=build.config.model_copy(update={"licences": licences}))
