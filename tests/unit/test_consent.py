"""consent: any one signal against it is found, and then no byte of the media is asked for (fault 33)."""

import errno
import json
import socket
import time
from pathlib import Path

import pytest
from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.core.store import Store
from speechmill.fetch import Fetched, addresses, fetch_media, get_document, wire
from speechmill.fetch.consent import memory
from speechmill.fetch.consent.headers import objections
from urllib3 import HTTPHeaderDict

from tests.server import ScriptedServer, ok, redirect, respond, status

BODY = b"ID3" + bytes(5000)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "corpus"))


def settings(server: ScriptedServer, **values: object) -> Fetch:
    return Fetch.model_validate(
        {"allow_hosts": (server.host,), "backoff_s": 0.01, "retries": 1, "timeout_s": 5, **values}
    )


def take(server: ScriptedServer, store: Store, path: str = "/pod/a.mp3", **values: object) -> Fetched:
    episode = Recording(recording_id="id", source="rss", media_url=server.url(path))
    return fetch_media(episode, store, settings(server, **values))


def refusal(server: ScriptedServer, store: Store, path: str = "/pod/a.mp3") -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        take(server, store, path)
    assert server.asked(path) == []
    return caught.value


def host(files: dict[str, bytes], server: ScriptedServer) -> None:
    server.script("/pod/a.mp3", ok(BODY))
    for path, body in files.items():
        server.script(path, ok(body))


TDMREP = [{"location": "/open/*", "tdm-reservation": 0}, {"location": "/", "tdm-reservation": 1}]
RESERVED = [  # kind of the signal, its value, files of the host
    ("robots.txt", "Disallow: /pod/", {"/robots.txt": b"User-agent: *\nDisallow: /pod/"}),
    ("robots.txt", "Disallow: /*.mp3$", {"/robots.txt": b"User-agent: *\nAllow: /\nDisallow: /*.mp3$\n"}),
    ("robots.txt", "Disallow: /", {"/robots.txt": b"User-agent: SpeechMill\nDisallow: /\n\nUser-agent: *\nAllow: /"}),
    (
        "Content-Usage",
        "train-ai=n",
        {"/robots.txt": b"User-agent: *\nAllow: /\nContent-Usage: /a train-ai=y\nContent-Usage: /pod/ train-ai=n, x=1"},
    ),
    (
        "Content-Usage",
        "train-ai=n",
        {"/robots.txt": b"User-agent: other\nUser-agent: *\n# all\nContent-Usage: train-ai=n\n"},
    ),
    ("ai.txt", "Disallow: *.mp3", {"/ai.txt": b"User-Agent: *\nDisallow: *.mp3\nAllow: *.txt\n"}),
    ("tdmrep.json", "reserves /", {"/.well-known/tdmrep.json": json.dumps(TDMREP).encode()}),
    (
        "tdmrep.json",
        "reserves /pod/",
        {"/.well-known/tdmrep.json": b'[{"location": ["/x/", "/pod/"], "tdm-reservation": 1}]'},
    ),
    *(
        ("tdmrep.json", "reserves everything, since it is no JSON", {"/.well-known/tdmrep.json": broken})
        for broken in (
            b'[{"location": "/", "tdm-reservation": 1},]',
            b"[" + b'{"location": "/a", "tdm-reservation": 1},\n' * 15_000 + b"{}]",  # longer than what is read
        )
    ),
    ("robots.txt", "Disallow: /", {"/robots.txt": "User-agent: *\r\nDisallow: /\r\n".encode("utf-16-le")}),
    ("robots.txt", "Disallow: /", {"/robots.txt": b"User-agent: other, SpeechMill\nDisallow: /\n"}),
    ("Content-Signal", "ai-train=no", {"/robots.txt": b"User-agent: *\nContent-Signal: search=yes; ai-train=no\n"}),
]
FREE = [
    {"/robots.txt": b"User-agent: *\nDisallow: /private\nAllow: /"},
    {"/robots.txt": b"User-agent: GPTBot\nDisallow: /\nContent-Usage: train-ai=n"},
    {"/robots.txt": b"User-agent: *\nContent-Usage: train-ai=n\nContent-Usage: /pod train-ai=y"},
    {"/robots.txt": b"User-agent: *\nContent-Usage: search=n"},
    {"/robots.txt": b"User-agent: *\nContent-Signal: search=no, ai-input=no, ai-train=yes"},
    {"/robots.txt": b"<!doctype html><title>404</title>", "/ai.txt": b"\xff\xfe\0", "/.well-known/tdmrep.json": b"<p>"},
    {"/.well-known/tdmrep.json": b'[{"location": "/pod/a", "tdm-reservation": 0}, {"location": "/"}]'},
    {"/.well-known/tdmrep.json": b'{"location": "/x$", "tdm-reservation": 1}'},
    {"/.well-known/tdmrep.json": b"[[1], null, 5]"},
]


@pytest.mark.parametrize(("kind", "value", "files"), RESERVED)
def test_33_a_host_that_reserves_its_files_is_not_asked_for_them(
    server: ScriptedServer, store: Store, kind: str, value: str, files: dict[str, bytes]
) -> None:
    host(files, server)
    refused = refusal(server, store)
    assert (refused.reason, refused.retry) == (Reason.OPTED_OUT, False)
    (signal,) = refused.signals
    assert (signal.signal, signal.value, signal.url) == (kind, value, server.url(next(iter(files))))
    assert signal.seen.startswith(time.strftime("%Y-%m-%dT", time.gmtime()))
    assert refused.detail == f"{kind}: {value} ({signal.url}), seen {signal.seen[:10]}"
    assert all(request.method == "GET" for request in server.questions)  # not even for its headers


@pytest.mark.parametrize("files", FREE)
def test_33_what_is_reserved_from_others_or_elsewhere_is_free(server: ScriptedServer, store: Store, files) -> None:
    host(files, server)
    assert take(server, store).bytes == len(BODY)


HEADERS = [
    {"X-Robots-Tag": "noindex, noai"},
    {"X-Robots-Tag": "NoImageAI"},
    {"X-Robots-Tag": "unavailable_after: 25 Jun 2030 15:00:00 PST, noai"},
    {"X-Robots-Tag": "googlebot: noindex, speechmill: noai"},
    {"TDM-Reservation": "1"},
    {"Content-Usage": "train-ai=n"},
    {"Content-Usage": 'search=y, bots="n"'},
    {"Content-Signal": "search=yes, ai-train=no"},
    {"content-signal": "AI-TRAIN=NO"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=lambda headers: " ".join(headers.values()))
def test_33_headers_are_seen_before_a_file_is_sent(server: ScriptedServer, store: Store, headers) -> None:
    server.script("/pod/a.mp3", ok(BODY))
    server.script("HEAD /pod/a.mp3", respond(200, headers))
    refused = refusal(server, store)
    assert (refused.reason, refused.retry) == (Reason.OPTED_OUT, False)
    assert next(iter(headers)).lower() in refused.detail.lower()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Robots-Tag": "noindex, nofollow"},
        {"X-Robots-Tag": "otherbot: noai, noimageai"},
        {"Content-Signal": "ai-train=yes, search=no, ai-input=no"},
        {"TDM-Reservation": "0", "Content-Usage": "train-ai=y, bots=n"},
    ],
)
def test_33_other_headers_reserve_nothing(headers: dict[str, str]) -> None:
    assert list(objections(HTTPHeaderDict(headers), ("speechmill",))) == []


def test_33_headers_repeat() -> None:
    headers = HTTPHeaderDict()
    headers.add("X-Robots-Tag", "noindex")
    headers.add("X-Robots-Tag", "noai")
    assert list(objections(headers, ("speechmill",))) == [("X-Robots-Tag", "noai")]


def test_33_headers_of_the_answer_itself_count_where_head_is_not_answered(server: ScriptedServer, store: Store) -> None:
    server.script("HEAD /pod/a.mp3", status(405))
    server.script("/pod/a.mp3", ok(BODY, X_Robots_Tag="noai"))
    with pytest.raises(RejectedError) as caught:
        take(server, store)
    assert caught.value.reason == Reason.OPTED_OUT
    assert store.names("work/media") == []


def test_33_a_reserved_feed_is_not_read(server: ScriptedServer, store: Store) -> None:
    url = server.script("/feed", ok(b"<rss/>", TDM_Reservation="1"))
    with pytest.raises(RejectedError) as caught:
        get_document(url, store, settings(server))
    assert caught.value.reason == Reason.OPTED_OUT


def test_33_the_host_behind_a_redirect_is_asked_too(server: ScriptedServer, store: Store) -> None:
    with ScriptedServer() as behind:
        behind.script("/robots.txt", ok(b"User-agent: *\nDisallow: /"))
        target = behind.script("/a.mp3", ok(BODY))
        server.script("/pod/a.mp3", redirect(target))
        with pytest.raises(RejectedError) as caught:
            take(server, store, allow_hosts=(server.host, behind.host))
        assert caught.value.reason == Reason.OPTED_OUT
        assert behind.asked("/a.mp3") == []


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_33_a_host_without_robots_txt_is_free(server: ScriptedServer, store: Store, code: int) -> None:
    host({}, server)
    server.script("/robots.txt", status(code))
    assert take(server, store).bytes == len(BODY)


def test_33_a_host_whose_robots_txt_cannot_be_had_is_left_alone_for_now(server: ScriptedServer, store: Store) -> None:
    host({}, server)
    server.script("/robots.txt", status(500))
    refused = refusal(server, store)
    assert (refused.reason, refused.retry) == (Reason.UNREACHABLE, True)


def test_33_a_host_is_asked_once_a_day(server: ScriptedServer, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    host({"/robots.txt": b"User-agent: *\nAllow: /"}, server)
    server.script("/pod/b.mp3", ok(BODY + b"b"))
    take(server, store)
    take(server, store, "/pod/b.mp3")
    monkeypatch.setattr(memory, "_memory", {})  # as another process has it
    take(server, store)
    assert len(server.asked("/robots.txt")) == 1
    monkeypatch.setattr(memory, "MAX_AGE_S", 0.0)
    take(server, store)
    assert len(server.asked("/robots.txt")) > 1


def test_33_a_crawl_delay_is_kept(server: ScriptedServer, store: Store) -> None:
    host({"/robots.txt": b"User-agent: *\nCrawl-delay: 1.5"}, server)
    begin = time.monotonic()
    take(server, store, max_seconds=1.4)  # waiting for a turn costs none of it
    take(server, store)
    assert time.monotonic() - begin > 4.4  # HEAD, GET, HEAD, GET


def test_29_a_name_that_rebinds_reaches_no_private_address(
    server: ScriptedServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile name server answers with a public address when it is looked at, and with ours ever after."""
    name, port = "rebind.example", int(server.host.partition(":")[2])
    answers, reached = iter(["93.184.216.34"]), []
    real = socket.getaddrinfo

    def resolve(asked: str, *args: object, **kwargs: object) -> list[object]:
        return real(next(answers, "127.0.0.1") if asked == name else asked, *args, **kwargs)  # type: ignore[arg-type]

    def connect(_: object, address: tuple[str, int]) -> int:
        reached.append(address)  # nothing is sent to an address that is somebody's
        return errno.ECONNREFUSED

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(wire.PlainSocket, "connect_ex", connect)
    addresses.pools.cache_clear()
    server.script("/pod/a.mp3", ok(BODY))
    episode = Recording(recording_id="id", source="rss", media_url=f"http://{name}:{port}/pod/a.mp3")
    with pytest.raises(RejectedError) as caught:
        fetch_media(episode, store, settings(server, retries=3, backoff_s=0))
    addresses.pools.cache_clear()
    assert reached == [("93.184.216.34", port)]  # the very address that was looked at, not the name
    assert caught.value.reason == Reason.FORBIDDEN_ADDRESS
    assert not server.requests
    assert not server.questions


def test_29_the_connection_goes_to_the_address_that_was_checked(
    server: ScriptedServer,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first answer is the checked one; a second look, which would find nothing, is not taken."""
    name, port = "podcasts.example", server.host.partition(":")[2]
    server.script("/pod/a.mp3", ok(BODY))
    episode = Recording(recording_id="id", source="rss", media_url=f"http://{name}:{port}/pod/a.mp3")
    looked_up = []
    real = socket.getaddrinfo

    def resolve(asked: str, *args: object, **kwargs: object) -> list[object]:
        looked_up.append(asked)
        return real("127.0.0.1" if asked == name else asked, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    fetched = fetch_media(episode, store, settings(server, allow_hosts=(f"{name}:{port}",)))
    assert fetched.bytes == len(BODY)
    connections = len(server.requests) + len(server.questions)  # the server closes each
    assert looked_up.count(name) == connections
    assert all(asked in (name, "127.0.0.1") for asked in looked_up)
