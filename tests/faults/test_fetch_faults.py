"""Faults 03, 13, 14, 27, 28, 31, 32 and 34 as far as they meet fetching and listing."""

import email.utils
import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from speechmill.core.config import Input, RunConfig
from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, to_table
from speechmill.core.store import Store
from speechmill.fetch import Fetched, fetch_media, get_document
from speechmill.sources import Listed, list_recordings
from speechmill.sources.feeds.feed import Feed

from tests.benchmarks.plan import plan, write_feed
from tests.server import (
    Behaviour,
    ScriptedServer,
    chunked,
    cut,
    disconnect,
    endless,
    ok,
    redirect,
    respond,
    slow,
    stall,
    status,
)

BODY = bytes(range(256)) * 1200  # 300 kB
HALF = len(BODY) // 2
SHA256 = hashlib.sha256(BODY).hexdigest()
FEED = b'<rss version="2.0"><channel><title>t</title>%b</channel></rss>'
ITEM = b'<item><guid>%b</guid><enclosure url="%b" type="audio/mpeg" length="-1"/></item>'


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "corpus"))


def settings(server: ScriptedServer, **values: object) -> Fetch:
    return Fetch.model_validate(
        {"allow_hosts": (server.host,), "backoff_s": 0.01, "retries": 2, "timeout_s": 5, **values}
    )


def fetch(server: ScriptedServer, store: Store, *behaviours: Behaviour, **values: object) -> Fetched:
    url = server.script("/a.mp3", *behaviours)
    return fetch_media(Recording(recording_id="id", source="rss", media_url=url), store, settings(server, **values))


def fault(server: ScriptedServer, store: Store, *behaviours: Behaviour, **values: object) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        fetch(server, store, *behaviours, **values)
    assert store.names("work/media") == []
    return caught.value


DOWNLOAD = """
import sys
from speechmill.core.fetch_config import Fetch
from speechmill.fetch import fetch_media
from speechmill.core.records import Recording
from speechmill.core.store import Store
url, root, host = sys.argv[1:]
fetch_media(Recording(recording_id="id", source="rss", media_url=url), Store(root), Fetch(allow_hosts=(host,)))
"""


def test_03_a_download_that_was_killed_goes_on_where_it_was(server: ScriptedServer, store: Store) -> None:
    url = server.script("/a.mp3", stall(BODY, HALF), ok(BODY))
    process = subprocess.Popen([sys.executable, "-c", DOWNLOAD, url, store.root, server.host])
    part = Path(store.path("work/media/.parts/id.part"))
    until = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size > HALF // 2):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held = part.stat().st_size
    fetched = fetch(server, store, ok(BODY))
    assert server.requests[-1].headers["range"] == f"bytes={held}-"
    assert server.requests[-1].headers["if-range"] == '"v1"'
    assert (fetched.sha256, Path(fetched.path).read_bytes()) == (SHA256, BODY)
    assert os.listdir(part.parent) == []


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_03_a_broken_connection_is_resumed(server: ScriptedServer, store: Store, reset: bool) -> None:
    assert fetch(server, store, cut(BODY, HALF, reset=reset), ok(BODY)).sha256 == SHA256
    if not reset:  # a reset may destroy what was under way
        assert server.requests[1].headers["range"] == f"bytes={HALF}-"


def test_03_progress_renews_the_number_of_retries(server: ScriptedServer, store: Store) -> None:
    assert fetch(server, store, *[cut(BODY, 40_000)] * 7, ok(BODY), retries=1).sha256 == SHA256
    assert len(server.requests) == 8


def test_03_without_progress_retries_are_few_and_the_part_is_kept(server: ScriptedServer, store: Store) -> None:
    refused = fault(server, store, cut(BODY, HALF), cut(BODY, 0), retries=2)
    assert (refused.reason, refused.retry) == (Reason.UNREACHABLE, True)
    assert len(server.requests) == 3
    assert os.path.getsize(store.path("work/media/.parts/id.part")) == HALF


def test_03_without_a_validator_nothing_is_continued(server: ScriptedServer, store: Store) -> None:
    assert fetch(server, store, cut(BODY, HALF, etag=None), ok(BODY)).sha256 == SHA256
    assert "range" not in server.requests[1].headers


def test_03_a_weak_etag_is_no_validator(server: ScriptedServer, store: Store) -> None:
    assert fetch(server, store, cut(BODY, HALF, etag='W/"v1"'), ok(BODY)).sha256 == SHA256
    assert "range" not in server.requests[1].headers


def span(first: int, total: int | str, etag: str = '"v1"') -> Behaviour:
    headers: dict[str, str | int | None] = {"Content-Range": f"bytes {first}-{len(BODY) - 1}/{total}", "ETag": etag}
    return respond(206, headers, BODY[first:])


@pytest.mark.parametrize(
    "second",
    [
        respond(200, {"ETag": '"v2"', "Content-Length": len(BODY)}, BODY),
        span(HALF - 5, len(BODY)),
        span(HALF, len(BODY) + 9),
        span(HALF, len(BODY), '"v2"'),
        respond(206, {"ETag": '"v1"'}, b"no Content-Range"),
        respond(416, {"Content-Range": "bytes */7"}),
    ],
    ids=["200", "other_start", "other_total", "other_version", "no_range", "shrunk"],
)
def test_31_a_resume_that_does_not_fit_begins_anew(server: ScriptedServer, store: Store, second: Behaviour) -> None:
    assert fetch(server, store, cut(b"x" * len(BODY), HALF), second, ok(BODY)).sha256 == SHA256
    assert all("range" not in request.headers for request in server.requests[2:])


def test_31_a_length_that_is_too_long_ends_with_416(server: ScriptedServer, store: Store) -> None:
    lying = respond(200, {"ETag": '"v1"', "Content-Length": len(BODY) + 1000}, BODY)
    assert fetch(server, store, lying, ok(BODY)).sha256 == SHA256


def test_31_a_length_that_is_always_too_long_is_given_up(server: ScriptedServer, store: Store) -> None:
    refused = fault(server, store, respond(200, {"Content-Length": len(BODY) + 1}, BODY), retries=1)
    assert (refused.reason, refused.retry, len(server.requests)) == (Reason.UNREACHABLE, True, 2)


def test_31_chunks_that_break_off_are_no_whole_body(server: ScriptedServer, store: Store) -> None:
    assert fetch(server, store, chunked(BODY[:HALF], finish=False), ok(BODY)).sha256 == SHA256


@pytest.mark.parametrize("announced", [True, False])
def test_31_more_bytes_than_allowed(server: ScriptedServer, store: Store, announced: bool) -> None:
    refused = fault(server, store, ok(BODY) if announced else endless(BODY), max_bytes=100_000)
    assert (refused.reason, refused.retry) == (Reason.TOO_BIG, False)
    assert os.listdir(store.path("work/media/.parts")) == []


def test_31_a_compression_bomb_stops_at_the_limit(server: ScriptedServer, store: Store) -> None:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([squeeze.compress(bytes(10_000_000)) for _ in range(20)]) + squeeze.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = fault(server, store, respond(200, {"Content-Encoding": "gzip"}, bomb), max_bytes=50_000_000)
    assert refused.reason == Reason.TOO_BIG
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # kB


def test_31_a_dripping_server_costs_no_more_than_the_limit(server: ScriptedServer, store: Store) -> None:
    refused = fault(server, store, slow(BODY, pause_s=0.05), max_seconds=0.6)
    assert (refused.reason, refused.retry) == (Reason.TIMED_OUT, True)


def test_31_a_silent_server_costs_no_more_than_the_timeout(server: ScriptedServer, store: Store) -> None:
    assert fault(server, store, stall(BODY, 10), timeout_s=0.3, retries=1).reason == Reason.UNREACHABLE


def test_31_a_redirect_loop_ends(server: ScriptedServer, store: Store) -> None:
    refused = fault(server, store, redirect("/a.mp3"))
    assert (refused.reason, refused.retry, len(server.requests)) == (Reason.UNREACHABLE, True, 1)


@pytest.mark.parametrize(
    "to",
    ["http://169.254.169.254/x", "http://127.0.0.1:1/x", "file:///etc/passwd", "http://[::1", "//[::ffff:a00:1]/x"],
)
def test_29_a_redirect_to_a_private_address_is_refused(server: ScriptedServer, store: Store, to: str) -> None:
    assert fault(server, store, redirect(to)).reason == Reason.FORBIDDEN_ADDRESS
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("code", "reason", "retry", "requests"),
    [
        (400, Reason.NOT_FOUND, False, 1),
        (401, Reason.FORBIDDEN, False, 1),
        (403, Reason.FORBIDDEN, False, 1),
        (404, Reason.NOT_FOUND, False, 1),
        (410, Reason.NOT_FOUND, False, 1),
        (408, Reason.UNREACHABLE, True, 3),
        (429, Reason.UNREACHABLE, True, 3),
        (500, Reason.UNREACHABLE, True, 3),
        (503, Reason.UNREACHABLE, True, 3),
        (204, Reason.UNREACHABLE, True, 1),
        (304, Reason.UNREACHABLE, True, 1),
    ],
)
def test_32_status_decides_whether_to_ask_again(
    server: ScriptedServer,
    store: Store,
    code: int,
    reason: Reason,
    retry: bool,
    requests: int,
) -> None:
    refused = fault(server, store, status(code))
    assert (refused.reason, refused.retry, len(server.requests)) == (reason, retry, requests)
    assert str(code) in refused.detail


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_32_retry_after_is_waited_for(server: ScriptedServer, store: Store, form: str) -> None:
    begin = time.time()
    after = "1" if form == "seconds" else email.utils.formatdate(begin + 2, usegmt=True)
    assert fetch(server, store, status(429, Retry_After=after), ok(BODY)).sha256 == SHA256
    assert time.time() >= (begin + 1 if form == "seconds" else int(begin) + 2)


def test_32_retry_after_does_not_outlast_the_limit(server: ScriptedServer, store: Store) -> None:
    assert fault(server, store, status(503, Retry_After="9999"), max_seconds=0.5).reason == Reason.TIMED_OUT


@pytest.mark.parametrize("value", ["-5", "soon", "Thu, 99 Foo 2026", "9" * 400, "Mon, 01 Jan 0001 00:00:00 GMT"])
def test_32_a_senseless_retry_after_is_ignored(server: ScriptedServer, store: Store, value: str) -> None:
    assert fetch(server, store, status(503, Retry_After=value), ok(BODY), max_seconds=60).sha256 == SHA256


@pytest.mark.parametrize("url", ["http://speechmill.invalid/a.mp3", "https://{host}/a.mp3"], ids=["dns", "tls"])
def test_32_names_and_certificates_that_fail(server: ScriptedServer, store: Store, url: str) -> None:
    with pytest.raises(RejectedError) as caught:
        recording = Recording(recording_id="id", source="rss", media_url=url.format(host=server.host))
        fetch_media(recording, store, settings(server))
    assert (caught.value.reason, caught.value.retry) == (Reason.UNREACHABLE, True)


def test_32_a_server_that_hangs_up_is_asked_again(server: ScriptedServer, store: Store) -> None:
    assert fetch(server, store, disconnect, disconnect, ok(BODY)).sha256 == SHA256


def test_32_headers_that_cannot_be_sent_back_do_no_harm(server: ScriptedServer, store: Store) -> None:
    odd = respond(200, {"ETag": '"\xe4\xf6\x7f"', "Content-Length": len(BODY)}, BODY[:HALF])
    assert fetch(server, store, odd, ok(BODY)).sha256 == SHA256


def test_14_no_bytes_are_empty(server: ScriptedServer, store: Store) -> None:
    assert fault(server, store, ok(b"")).reason == Reason.EMPTY


def test_13_what_a_page_says_about_itself_does_not_count(server: ScriptedServer, store: Store) -> None:
    page = b"<html>404</html>"  # content is judged where it is decoded; here it is only bytes
    assert fetch(server, store, ok(page, Content_Type="audio/mpeg")).sha256 == hashlib.sha256(page).hexdigest()


LAUGHS = b"".join(b'<!ENTITY l%d "%b">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 12))
BOMBS = {
    "laughs": b'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY l0 "ha">' + LAUGHS + b"]>" + FEED % b"&l11;",
    "quadratic": b'<!DOCTYPE rss [<!ENTITY a "' + b"x" * 100_000 + b'">]>' + FEED % (b"&a;" * 20_000),
    "external": b'<!DOCTYPE rss [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + FEED % b"&a;",
    "parameter": b'<!DOCTYPE rss [<!ENTITY % a SYSTEM "http://127.0.0.1/x.dtd"> %a;]>' + FEED % b"",
    "malformed": b'<!DOCTYPE rss [<!ENTITY l0 "ha">' + LAUGHS + b"]><rss><channel><b></channel>&l11;",
    "html": b"<!doctype html><html><head><title>404</title></head><body>" + b"<p>not here" * 10_000,
    "xhtml": b'<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>',
    "deep": b"<rss>" + b"<a>" * 2_000_000,
    "deep item": b"<rss><channel><item>" + b"<a>" * 2_000_000,
    "endless item": b"<rss><channel><item>" + b"<a/>" * 5_000_000,
    "endless channel": b"<rss><channel>" + b"a" * 20_000_000,
    "items everywhere": FEED % (b"<a><item/></a>" * 500_000),
    "text": b"/etc/passwd",
    "zip": b"PK\3\4" + bytes(1000),
    "empty": b"",
}


@pytest.mark.parametrize("name", BOMBS)
def test_27_what_is_no_honest_feed_is_refused_soon(name: str) -> None:
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(RejectedError) as caught:
        list(Feed(BOMBS[name], "https://example.org/feed").recordings())
    assert caught.value.reason == Reason.BAD_FEED
    assert time.process_time() - begin < 10  # about 2 on an idle machine; what grows with the square takes minutes
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_27_a_feed_without_end_is_refused(server: ScriptedServer, store: Store) -> None:
    url = server.script("/feed", endless(b"<item/>" * 10_000))
    with pytest.raises(RejectedError) as caught:
        get_document(url, store, settings(server))
    assert caught.value.reason == Reason.TOO_BIG


def read(items: bytes) -> list[Listed]:
    return list(Feed(FEED % items, "https://example.org/pod/feed.xml").recordings())


def test_28_guids_that_stand_at_several_enclosures_identify_nothing() -> None:
    alone = read(ITEM % (b"g", b"1.mp3"))
    same = read(ITEM % (b"g", b"1.mp3") + ITEM % (b"g", b"1.mp3"))
    several = read(ITEM % (b"g", b"2.mp3") + ITEM % (b"g", b"1.mp3"))
    assert same == alone
    assert len({one.recording.recording_id for one in several}) == 2
    # whichever comes first, an item keeps its id
    swapped = read(ITEM % (b"g", b"1.mp3") + ITEM % (b"g", b"2.mp3"))
    assert {one.recording.recording_id for one in swapped} == {one.recording.recording_id for one in several}


def test_28_an_item_without_guid_is_known_by_its_enclosure() -> None:
    first, second = read(ITEM % (b"", b"1.mp3") + ITEM % (b"", b"2.mp3"))
    assert first.recording.media_url == "https://example.org/pod/1.mp3"
    assert first.recording.recording_id != second.recording.recording_id


def test_28_an_item_keeps_its_id_when_its_enclosure_moves() -> None:
    (old,), (new,) = read(ITEM % (b"g", b"1.mp3")), read(ITEM % (b"g", b"https://cdn.example.org/1.mp3"))
    assert old.recording.recording_id == new.recording.recording_id


def test_28_senseless_dates_durations_and_encodings_cost_nothing() -> None:
    odd = (
        b"<item><guid>%d</guid><pubDate>%b</pubDate><itunes:duration>%b</itunes:duration>"
        b'<title>\xff\xfe</title><enclosure url="%d.mp3" length="no" type=""/></item>'
    )
    dates = [b"yesterday", b"Mon, 99 Foo 9999 99:99:99", b"0000-00-00", b"Mon, 05 Jan 99999 08:00:00 GMT"]
    lengths = [b"-1", b"1:2:3:4", b"nan", b"1e999"]
    items = b"".join(odd % (n, date, length, n) for n, (date, length) in enumerate(zip(dates, lengths, strict=True)))
    listed = read(items)
    assert len(listed) == 4
    assert {one.recording.published for one in listed} <= {None}
    assert {one.recording.declared_duration_s for one in listed} == {None}
    to_table(one.recording for one in listed)


def test_28_a_feed_of_many_items_is_planned_in_little_memory(tmp_path: Path) -> None:
    path = write_feed(tmp_path / "feed.xml", 20_000)
    done = plan(str(path), "--output", str(tmp_path / "corpus"), "--set", "fetch.pages=false")
    assert (done.found["recordings"], done.found["hours"], done.found["listed_twice"]) == (20_000, 10_000, 0)
    assert done.found["licences"]["CC-BY-4.0"]["recordings"] == 20_000
    assert done.peak_bytes < 200_000_000  # most of them the interpreter's; a tree of it all would take 110 MB more


ODD = ["x/../../etc/passwd", "a\nb", "-rf", "CON", "🎙️", "\u202eevil", "n" * 240, "<script>", "$(touch x)"]


def test_34_odd_file_names_are_listed_and_written(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    names = [os.fsencode(name.replace("/", "_")) for name in ODD] + [b"caf\xe9 \xff"]
    for name in names:
        Path(os.fsdecode(os.fsencode(root) + b"/" + name + b".wav")).write_bytes(b"RIFF")
    config, store = RunConfig(), Store(str(tmp_path / "corpus"))
    listed = list(list_recordings(Input(address=str(root)), config, store))
    assert len({one.recording.recording_id for one in listed}) == len(names)
    table = to_table(one.recording for one in listed)
    store.write_table("recordings.parquet", table)
    assert store.read("recordings.parquet").equals(table)
    for one in listed:
        assert fetch_media(one.recording, store, config.fetch, media_path=one.media_path).bytes == 4


def test_34_titles_and_guids_name_no_files(server: ScriptedServer, store: Store, tmp_path: Path) -> None:
    url = server.script("/x", ok(BODY))
    (listed,) = read(ITEM % (b"../../../escaped", url.encode()))
    fetched = fetch_media(listed.recording, store, settings(server))
    assert Path(fetched.path).relative_to(tmp_path) == Path("corpus/work/media", SHA256)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
