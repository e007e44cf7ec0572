"""Fault 31 below HTTP: whatever is read, the exchange ends in time, within its bytes, and when the run stops.

No test measures time: a wait without end would end as something else, or with the test's own limit.
"""

import socket
import ssl
import threading
import zlib
from pathlib import Path

import brotli
import pytest
from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.core.store import Store
from speechmill.fetch import Fetched, StoppedError, fetch_media

from tests.server import Behaviour, RawServer, ScriptedServer, ok, raw, redirect, respond
from tests.tls import certificate, over_tls, tls

__all__ = ["certificate", "tls"]  # fixtures

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PIECES = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim headers": (b"HTTP/1.1 100 Continue\r\n", b"X-A: b\r\n"),
    "status line": (b"HTTP/1.1 200 ", b"O"),
    "header line": (OK + b"X-A: ", b"a"),
    "header name": (OK, b"a"),
    "body": (OK + b"\r\n", b"a"),
    "chunk size": (CHUNKED, b"0"),
    "chunk extension": (CHUNKED + b"1;", b"a"),
    "chunks": (CHUNKED, b"1\r\na\r\n"),
    "trailer line": (CHUNKED + b"1\r\na\r\n0\r\nX-A: ", b"a"),
    "trailers": (CHUNKED + b"1\r\na\r\n0\r\n", b"X-A: b\r\n"),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "corpus"))


def fetch(url: str, store: Store, stopping=lambda: False, **values: object) -> Fetched:
    host = url.split("/")[2]
    config = Fetch.model_validate({"allow_hosts": (host,), "backoff_s": 0.01, "retries": 0, "timeout_s": 60, **values})
    return fetch_media(Recording(recording_id="id", source="rss", media_url=url), store, config, stopping=stopping)


def fault(url: str, store: Store, **values: object) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        fetch(url, store, **values)
    assert store.names("work/media") == []
    return caught.value


@pytest.mark.parametrize("what", PIECES)
def test_31_dripping_costs_no_more_than_the_limit(server: ScriptedServer, store: Store, what: str) -> None:
    url = server.script("/a.mp3", raw(*PIECES[what], pause_s=0.02))
    refused = fault(url, store, max_seconds=0.7)
    assert (refused.reason, refused.retry) == (Reason.TIMED_OUT, True)


@pytest.mark.parametrize("what", PIECES)
def test_31_flooding_costs_no_more_than_the_limit(server: ScriptedServer, store: Store, what: str) -> None:
    url = server.script("/a.mp3", raw(*(part * (500 if part is PIECES[what][1] else 1) for part in PIECES[what])))
    refused = fault(url, store, max_bytes=100_000)
    assert refused.reason in (Reason.TOO_BIG, Reason.UNREACHABLE)  # a line may also be too long for HTTP itself


@pytest.mark.parametrize("what", ["HEAD", "robots"])
def test_31_dripping_before_the_file_is_asked_for(server: ScriptedServer, store: Store, what: str) -> None:
    url = server.script("/a.mp3", ok(b"x"))
    server.script("HEAD /a.mp3" if what == "HEAD" else "/robots.txt", raw(OK + b"X-A: ", b"a", pause_s=0.02))
    assert fault(url, store, max_seconds=0.7).reason == Reason.TIMED_OUT
    assert server.asked("/a.mp3") == []


def test_31_redirects_share_one_limit(server: ScriptedServer, store: Store) -> None:
    def slowly(to: str) -> Behaviour:
        def answer(handler) -> None:
            handler.server.scripted.closing.wait(0.1)
            redirect(to)(handler)

        return answer

    for n in range(30):
        server.script(f"/{n}", slowly(f"/{n + 1}"))
    server.script("/30", ok(b"x"))
    assert fault(server.url("/0"), store, max_seconds=1).reason == Reason.TIMED_OUT


def test_31_silence_costs_no_more_than_the_timeout(server: ScriptedServer, store: Store) -> None:
    refused = fault(server.script("/a.mp3", raw(OK)), store, timeout_s=0.3)
    assert (refused.reason, refused.retry) == (Reason.UNREACHABLE, True)


@pytest.mark.parametrize("first", [b"", OK, OK + b"Content-Length: 9\r\n\r\nx", CHUNKED + b"1\r\nx\r\n0\r\n"])
def test_04_the_run_stops_while_a_server_is_silent(server: ScriptedServer, store: Store, first: bytes) -> None:
    url = server.script("/a.mp3", raw(first))
    with pytest.raises(StoppedError):
        fetch(url, store, stopping=lambda: bool(server.asked("/a.mp3")))


def drip_tls(connection: socket.socket, closing: threading.Event) -> None:
    connection.sendall(b"\x16\x03\x03\x3f\x00\x02")  # a record of 16 kB, of which a byte comes at a time
    while not closing.wait(0.02):
        connection.sendall(b"\0")


def test_31_a_tls_handshake_has_the_same_limit(store: Store) -> None:
    with RawServer(drip_tls) as server:
        assert fault(f"https://{server.host}/a.mp3", store, max_seconds=2).reason == Reason.TIMED_OUT
        assert server.asked


def test_04_the_run_stops_in_a_tls_handshake(store: Store) -> None:
    with RawServer(lambda _, closing: closing.wait(60) and None) as server, pytest.raises(StoppedError):
        fetch(f"https://{server.host}/a.mp3", store, stopping=lambda: server.asked > 0)


@pytest.mark.parametrize("stops", [False, True])
def test_31_a_name_server_without_an_answer(store: Store, monkeypatch: pytest.MonkeyPatch, stops: bool) -> None:
    asked, over = threading.Event(), threading.Event()

    def silent(*_: object, **__: object) -> list[tuple[object, ...]]:
        asked.set()
        over.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    url = "http://slow.invalid/a.mp3"
    if stops:
        with pytest.raises(StoppedError):
            fetch(url, store, stopping=asked.is_set)
    else:
        assert fault(url, store, max_seconds=0.7).reason == Reason.TIMED_OUT
        assert fault(url, store, timeout_s=0.3).reason == Reason.UNREACHABLE
    over.set()


def test_media_come_over_tls_on_one_connection(store: Store, tls: ssl.SSLContext) -> None:
    body = bytes(range(256)) * 2000
    with RawServer(over_tls(tls, OK + b"Content-Length: %d\r\n\r\n%b" % (len(body), body), b"")) as server:
        assert fetch(f"https://{server.host}/a.mp3", store).bytes == len(body)
        assert server.asked == 1


@pytest.mark.parametrize("what", ["interim answers", "header line", "body", "trailers"])
def test_31_dripping_over_tls(store: Store, tls: ssl.SSLContext, what: str) -> None:
    with RawServer(over_tls(tls, *PIECES[what])) as server:
        assert fault(f"https://{server.host}/a.mp3", store, max_seconds=0.7).reason == Reason.TIMED_OUT


def test_31_flooding_over_tls(store: Store, tls: ssl.SSLContext) -> None:
    with RawServer(over_tls(tls, OK + b"\r\n" + b"a" * 3_000_000, b"")) as server:
        assert fault(f"https://{server.host}/a.mp3", store, max_bytes=100_000).reason == Reason.TOO_BIG


BODY = bytes(range(256)) * 1200
GZIP = zlib.compress(BODY, wbits=31)
RAW = zlib.compressobj(wbits=-15)
DEFLATE = RAW.compress(BODY) + RAW.flush()
CODED = {
    "gzip": ("gzip", GZIP),
    "x-gzip": ("x-gzip", GZIP),
    "in capitals": ("GZIP", GZIP),
    "two members": ("gzip", zlib.compress(BODY[:1000], wbits=31) + zlib.compress(BODY[1000:], wbits=31)),
    "padded": ("gzip", GZIP + bytes(5000)),
    "zlib": ("deflate", zlib.compress(BODY)),
    "raw deflate": ("deflate", DEFLATE),
    "brotli": ("br", brotli.compress(BODY)),
    "two layers": ("deflate, gzip", zlib.compress(DEFLATE, wbits=31)),
    "identity": ("identity", BODY),
    "no coding": ("utf-8", BODY),
}


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("step", [1_000_000, 7])
def test_compressed_bodies_are_inflated(server: ScriptedServer, store: Store, name: str, step: int) -> None:
    coding, data = CODED[name]

    def answer(handler) -> None:
        handler.start(200, {"Content-Encoding": coding, "Content-Length": len(data)})
        for first in range(0, min(len(data), 5000), step):
            handler.write(data[first : min(first + step, 5000)])
        handler.write(data[5000:])

    assert Path(fetch(server.script("/a.mp3", answer), store).path).read_bytes() == BODY


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
@pytest.mark.parametrize("damage", ["cut", "other"])
def test_compressed_bodies_that_are_damaged(server: ScriptedServer, store: Store, coding: str, damage: str) -> None:
    data = {"gzip": GZIP, "deflate": DEFLATE, "br": brotli.compress(BODY)}[coding]
    data = data[: len(data) // 2] if damage == "cut" else b"\x07no such thing" * 99
    refused = fault(server.script("/a.mp3", respond(200, {"Content-Encoding": coding}, data)), store)
    assert (refused.reason, refused.retry) == (Reason.UNREACHABLE, True)


def test_31_a_compression_that_is_not_known_is_told(server: ScriptedServer, store: Store) -> None:
    refused = fault(server.script("/a.mp3", respond(200, {"Content-Encoding": "zstd"}, b"x")), store)
    assert (refused.reason, "zstd" in refused.detail) == (Reason.UNREACHABLE, True)


BOMBS = {
    "deflate": lambda zeros: zlib.compress(zeros, 9),
    "br": brotli.compress,
    "gzip": lambda zeros: zlib.compress(zeros, 9, wbits=31),
    "gzip, gzip": lambda zeros: zlib.compress(zlib.compress(zeros, 9, wbits=31), 9, wbits=31),
    "gzip, br": lambda zeros: brotli.compress(zlib.compress(zeros, 9, wbits=31)),
}


@pytest.mark.parametrize("coding", BOMBS)
def test_31_a_bomb_of_any_coding_stops_at_the_limit(server: ScriptedServer, store: Store, coding: str) -> None:
    bomb = BOMBS[coding](bytes(50_000_000))
    refused = fault(server.script("/a.mp3", respond(200, {"Content-Encoding": coding}, bomb)), store, max_bytes=10**6)
    assert (refused.reason, refused.retry) == (Reason.TOO_BIG, False)


@pytest.mark.parametrize("rest", [bytes(10_000), zlib.compress(b"", wbits=31), b"\x1f\x8b garbage"])
def test_31_bytes_after_the_end_of_a_gzip_stream_count(server: ScriptedServer, store: Store, rest: bytes) -> None:
    head = OK + b"Content-Encoding: gzip\r\n\r\n" + zlib.compress(b"whole", wbits=31)
    refused = fault(server.script("/a.mp3", raw(head, rest * 100)), store, max_bytes=50_000)
    is_damaged = rest.startswith(b"\x1f\x8b g")  # and that may be seen first
    assert refused.reason == Reason.TOO_BIG or (is_damaged and refused.reason == Reason.UNREACHABLE)
    url = server.script("/b.mp3", raw(head, rest[:2], pause_s=0.02))
    assert fault(url, store, max_seconds=0.7).reason in (Reason.TIMED_OUT, Reason.UNREACHABLE)
