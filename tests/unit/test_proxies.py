"""proxies: used if the config names one, for http and https, and the address behind them is checked all the same."""

import base64
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from speechmill.core import config_file
from speechmill.core.config_errors import ConfigError
from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.core.store import Store
from speechmill.fetch import fetch_media

from tests.server import ProxyServer, RawServer, ScriptedServer, ok, raw, redirect
from tests.tls import certificate, over_tls, tls

__all__ = ["certificate", "tls"]  # fixtures

BODY = b"sound" * 9000
BASIC = f"Basic {base64.b64encode(b'ann:s3cret').decode()}"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "corpus"))


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def proxy() -> Iterator[ProxyServer]:
    with ProxyServer() as running:
        yield running


def fetch(url: str, store: Store, host: str, **values: object) -> bytes:
    chosen = Fetch.model_validate({"allow_hosts": (host,), "backoff_s": 0.01, "retries": 0, "timeout_s": 20, **values})
    return Path(fetch_media(Recording(recording_id="id", source="rss", media_url=url), store, chosen).path).read_bytes()


def test_http_is_passed_on(server: ScriptedServer, store: Store, proxy: ProxyServer) -> None:
    url = server.script("/a.mp3", ok(BODY))
    assert fetch(url, store, server.host, proxy=f"http://{proxy.host}") == BODY
    asked = [(one.method, one.path) for one in proxy.asked]
    assert asked[0] == ("GET", server.url("/robots.txt"))
    assert asked[-1] == ("GET", url)
    assert len(asked) == len(server.requests) + len(server.questions)


def test_https_goes_through_a_tunnel(store: Store, proxy: ProxyServer, tls: ssl.SSLContext) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    with RawServer(over_tls(tls, answer, b"")) as server:
        assert fetch(f"https://{server.host}/a.mp3", store, server.host, proxy=f"http://{proxy.host}") == BODY
        assert {(one.method, one.path) for one in proxy.asked} == {("CONNECT", server.host)}


def test_a_proxy_may_speak_tls_itself(server: ScriptedServer, store: Store, tls: ssl.SSLContext) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    with ProxyServer(context=tls) as proxy, RawServer(over_tls(tls, answer, b"")) as secure:
        url, chosen = server.script("/a.mp3", ok(BODY)), {"proxy": f"https://{proxy.host}"}
        assert fetch(f"https://{secure.host}/a.mp3", store, secure.host, **chosen) == BODY
        assert fetch(url, store, server.host, **chosen) == BODY
        assert {one.method for one in proxy.asked} == {"CONNECT", "GET", "HEAD"}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_gets_its_login_and_nobody_else(
    store: Store, server: ScriptedServer, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("MILL_PROXY", "ann:s3cret")
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    with ProxyServer(BASIC) as proxy, RawServer(over_tls(tls, answer, b"")) as secure:
        url = server.script("/a.mp3", ok(BODY)) if scheme == "http" else f"https://{secure.host}/a.mp3"
        host, chosen = url.split("/")[2], {"proxy": f"http://{proxy.host}"}
        assert fetch(url, store, host, **chosen, credentials={proxy.host: "MILL_PROXY"}) == BODY
        assert "proxy-authorization" not in {name for one in server.requests for name in one.headers}
        with pytest.raises(RejectedError, match="407"):
            fetch(url, Store(f"{store.root}2"), host, **chosen)


@pytest.mark.parametrize("to", ["http://169.254.169.254/x", "https://10.0.0.8/x", "http://localhost:1/x"])
def test_29_a_private_address_is_not_asked_for_through_a_proxy(
    server: ScriptedServer, store: Store, proxy: ProxyServer, to: str
) -> None:
    for url in (to, server.script("/a.mp3", redirect(to))):
        proxy.asked.clear()
        with pytest.raises(RejectedError) as caught:
            fetch(url, store, server.host, proxy=f"http://{proxy.host}")
        assert caught.value.reason == Reason.FORBIDDEN_ADDRESS
        assert not [one for one in proxy.asked if server.host not in one.path]


def test_31_a_proxy_that_drips_has_the_same_limit(store: Store) -> None:
    def drip(connection, closing) -> None:
        while not closing.wait(0.02):
            connection.sendall(b"H")

    with RawServer(drip) as slow:
        for url in ("https://127.0.0.1:1/a.mp3", "http://127.0.0.1:1/a.mp3"):
            with pytest.raises(RejectedError) as caught:
                fetch(url, store, "127.0.0.1", proxy=f"http://{slow.host}", max_seconds=0.7)
            assert caught.value.reason == Reason.TIMED_OUT


def test_31_a_file_that_drips_through_a_proxy(server: ScriptedServer, store: Store, proxy: ProxyServer) -> None:
    url = server.script("/a.mp3", raw(b"HTTP/1.1 200 OK\r\n\r\n", b"a", pause_s=0.02))
    with pytest.raises(RejectedError) as caught:
        fetch(url, store, server.host, proxy=f"http://{proxy.host}", max_seconds=0.7)
    assert caught.value.reason == Reason.TIMED_OUT


def test_the_environment_counts_only_where_the_config_says_so(
    server: ScriptedServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.script("/a.mp3", ok(BODY))
    with ProxyServer(BASIC) as proxy:
        monkeypatch.setenv("http_proxy", f"http://ann:s3cret@{proxy.host}")
        assert fetch(url, store, server.host) == BODY
        assert proxy.asked == []
        assert fetch(url, store, server.host, proxy="environment") == BODY
        assert proxy.asked
        proxy.asked.clear()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert fetch(url, store, server.host, proxy="environment") == BODY
        assert proxy.asked == []


def test_a_proxy_that_is_not_there_may_be_there_later(server: ScriptedServer, store: Store) -> None:
    with pytest.raises(RejectedError) as caught:
        fetch(server.script("/a.mp3", ok(BODY)), store, server.host, proxy="http://127.0.0.1:1")
    assert (caught.value.reason, caught.value.retry, server.requests) == (Reason.UNREACHABLE, True, [])


@pytest.mark.parametrize("value", ["proxy.example:3128", "socks5://p.example", "http://ann:s3cret@p.example", "true"])
def test_what_is_no_proxy_is_refused_without_its_secrets(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^fetch\.proxy: ") as caught:
        config_file.load(settings=[f"fetch.proxy={value}"])
    assert "s3cret" not in str(caught.value)
