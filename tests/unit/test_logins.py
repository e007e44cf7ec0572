"""logins: users, passwords and tokens reach their own origin, nobody else, and stand nowhere else."""

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from speechmill.core import config_file
from speechmill.core.config_errors import ConfigError
from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.core.store import Store
from speechmill.corpus.plan import plan
from speechmill.fetch import fetch_media, get_document, logins
from speechmill.fetch.addresses import origin_of
from speechmill.runner.run import check_inputs

from tests.server import Behaviour, Handler, ScriptedServer, cut, disconnect, ok, redirect, status

BODY = b"sound" * 1000
HOST = "127.0.0.1"


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "corpus"))


@pytest.fixture
def other() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture(autouse=True)
def no_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path / "netrc"


def locked(expected: str, body: bytes = BODY) -> Behaviour:
    """Serve a body to who is authorised."""

    def answer(handler: Handler) -> None:
        if handler.headers.get("Authorization") == expected:
            ok(body)(handler)
        else:
            status(401, WWW_Authenticate='Basic realm="x"')(handler)

    return answer


def settings(**values: object) -> Fetch:
    return Fetch.model_validate({"allow_hosts": (HOST,), "backoff_s": 0.01, "retries": 1, "timeout_s": 20, **values})


def fetch(url: str, store: Store, chosen: Fetch | None = None, **more: str) -> bytes:
    recording = Recording(recording_id="id", source="rss", media_url=url, **more)
    return Path(fetch_media(recording, store, chosen or settings()).path).read_bytes()


def fault(url: str, store: Store, chosen: Fetch | None = None, **more: str) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        fetch(url, store, chosen, **more)
    return caught.value


@pytest.mark.parametrize(
    ("userinfo", "user", "password"),
    [("ann:s3cret", "ann", "s3cret"), ("a%40b:p%3Aq%2Fr", "a@b", "p:q/r"), ("ann:p@ss:w", "ann", "p@ss:w"),
     ("ann", "ann", ""), ("ümlaut:%C3%BC", "ümlaut", "ü")],
)  # fmt: skip
def test_an_address_brings_its_login(
    server: ScriptedServer, store: Store, userinfo: str, user: str, password: str
) -> None:
    server.script("/feed", locked(basic(user, password)))
    url = f"http://{userinfo}@{server.host}/feed"
    assert get_document(url, store, settings()) == BODY
    assert fetch(url, store) == BODY


def test_a_feed_lends_its_login_to_what_it_lists_at_its_own_origin(
    server: ScriptedServer, other: ScriptedServer, store: Store
) -> None:
    feed = f"http://ann:s3cret@{server.host}/feed"
    assert fetch(server.script("/1.mp3", locked(basic("ann", "s3cret"))), store, feed_url=feed) == BODY
    assert get_document(server.url("/1.mp3"), store, settings(), beside=feed) == BODY
    fault(other.script("/2.mp3", locked(basic("ann", "s3cret"))), store, feed_url=feed)
    assert all("authorization" not in one.headers for one in [*other.requests, *other.questions])


def test_a_login_is_not_taken_along_to_another_origin(
    server: ScriptedServer, other: ScriptedServer, store: Store
) -> None:
    server.script("/1.mp3", redirect(other.script("/2.mp3", ok(BODY))))
    assert fetch(f"http://ann:s3cret@{server.host}/1.mp3", store) == BODY
    assert server.asked("/1.mp3")[0].headers["authorization"] == basic("ann", "s3cret")
    assert all("authorization" not in one.headers for one in [*other.requests, *other.questions])


@pytest.mark.parametrize("value", ["ann:s3cret", "t0ken", "Bearer t0ken", "ann:"])
@pytest.mark.parametrize("key", ["{}", "{}:{}"])
def test_a_config_names_the_variable_that_holds_a_login(
    server: ScriptedServer, store: Store, monkeypatch: pytest.MonkeyPatch, value: str, key: str
) -> None:
    monkeypatch.setenv("MILL_LOGIN", value)
    expected = basic(*value.split(":")) if ":" in value else "Bearer t0ken"
    chosen = settings(credentials={key.format(*server.host.split(":")): "MILL_LOGIN"})
    assert fetch(server.script("/a", locked(expected)), store, chosen) == BODY


def test_user_and_password_may_have_a_variable_each(
    server: ScriptedServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILL_USER", "a:b")
    monkeypatch.setenv("MILL_PASSWORD", "p")
    chosen = settings(credentials={HOST: {"user_env": "MILL_USER", "password_env": "MILL_PASSWORD"}})
    assert fetch(server.script("/a", locked(basic("a:b", "p"))), store, chosen) == BODY


def test_the_address_counts_before_the_config_and_the_config_before_netrc(
    server: ScriptedServer, store: Store, monkeypatch: pytest.MonkeyPatch, no_netrc: Path
) -> None:
    monkeypatch.setenv("MILL_LOGIN", "config:c")
    no_netrc.write_text(f"machine {HOST} login netrc password n\n")
    no_netrc.chmod(0o600)
    chosen = settings(credentials={HOST: "MILL_LOGIN"})
    for path, expected in (("/a", basic("own", "o")), ("/b", basic("config", "c")), ("/c", basic("netrc", "n"))):
        server.script(path, locked(expected))
    assert fetch(f"http://own:o@{server.host}/a", store, chosen) == BODY
    assert fetch(server.url("/b"), store, chosen) == BODY
    assert fetch(server.url("/c"), store, settings()) == BODY


def test_netrc_is_for_the_hosts_that_it_names(server: ScriptedServer, store: Store, no_netrc: Path) -> None:
    no_netrc.write_text("machine example.org login ann password s3cret\ndefault login ann password s3cret\n")
    fault(server.script("/a", locked(basic("ann", "s3cret"))), store)
    assert all("authorization" not in one.headers for one in [*server.requests, *server.questions])


def test_a_netrc_that_others_can_read_or_nobody_understands_is_told(
    server: ScriptedServer, store: Store, no_netrc: Path, caplog: pytest.LogCaptureFixture
) -> None:
    no_netrc.write_text(f"machine {HOST} login ann password s3cret\n")
    no_netrc.chmod(0o644)
    assert fetch(server.script("/a", locked(basic("ann", "s3cret"))), store) == BODY
    assert "chmod 600" in caplog.text
    no_netrc.write_text(f"machine {HOST} login ann pass s3cret\n")
    fault(server.url("/a"), store)
    assert "cannot be read (line 1)" in caplog.text
    assert "s3cret" not in caplog.text


def test_by_http_only_hosts_that_are_allowed_get_what_the_config_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILL_LOGIN", "ann:s3cret")
    named = dict.fromkeys((HOST, "example.org", "münchen.example"), "MILL_LOGIN")
    chosen = logins.Logins(settings(credentials=named))
    assert chosen.of(origin_of("https://münchen.example/feed")) == basic("ann", "s3cret")
    assert chosen.of("https://example.org:443") == chosen.of(f"http://{HOST}:80") == basic("ann", "s3cret")
    assert chosen.of("http://example.org:80") is None
    assert chosen.of("https://www.example.org:443") is None


def test_another_kind_of_login_is_told(server: ScriptedServer, store: Store) -> None:
    refused = fault(server.script("/a", status(401, WWW_Authenticate='Digest realm="x"')), store)
    assert "neither Basic nor Bearer" in refused.detail


@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal_names_the_key(server: ScriptedServer, store: Store, code: int) -> None:
    refused = fault(server.script("/a", status(code)), store)
    assert (refused.reason, refused.retry) == (Reason.FORBIDDEN, False)
    assert f"HTTP {code}" in refused.detail
    assert "fetch.credentials" in refused.detail


def test_no_secret_is_told_or_kept(
    server: ScriptedServer, store: Store, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG, "speechmill")
    place = f"http://ann:s3cret@{server.host}"
    server.script("/feed?key=S3CRETKEY", ok(b"<rss/>"), status(503))
    server.script("/half?key=S3CRETKEY", cut(BODY, 100), disconnect)
    server.script("/gone?key=S3CRETKEY", status(404))
    server.script("/odd?key=S3CRETKEY", redirect("http://ann:s3cret@[::1?key=S3CRETKEY"))
    for _ in range(2):
        get_document(f"{place}/feed?key=S3CRETKEY", store, settings())
    told = [fault(f"{place}/{path}?key=S3CRETKEY", store).detail for path in ("half", "gone", "odd")]
    told.append(fault("http://ann:s3cret@[::1?key=S3CRETKEY", store).detail)
    told.append(fault("http://ann:s3cret@nowhere.invalid/?key=S3CRETKEY", store).detail)
    kept = [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > 2
    for text in [*told, caplog.text, *kept]:
        assert "s3cret" not in text.lower()


def test_a_variable_that_is_missing_is_an_error_of_the_config(
    server: ScriptedServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MILL_LOGIN", raising=False)
    chosen = settings(credentials={HOST: "MILL_LOGIN"})
    with pytest.raises(ConfigError, match=r"^fetch\.credentials\.127\.0\.0\.1: .*MILL_LOGIN is not set; export"):
        logins.check(chosen)
    monkeypatch.setenv("MILL_LOGIN", "ann:s3\ncret")
    with pytest.raises(ConfigError, match="cannot be sent") as caught:
        logins.check(chosen)
    assert "cret" not in str(caught.value)
    inputs, place = (server.url("/feed"),), "fetch.credentials.127.0.0.1=MILL_LOGIN"
    with pytest.raises(ConfigError, match="MILL_LOGIN"):
        check_inputs(config_file.load(None, [place], inputs=inputs), store, only_publish=False)
    with pytest.raises(ConfigError, match="MILL_LOGIN"):
        plan(config_file.load(None, [place], inputs=inputs, output=store.root))
    assert server.questions == []
    refused = fault(server.script("/a", ok(BODY)), store, chosen)  # on a machine that lacks it
    assert (refused.reason, refused.retry, server.requests) == (Reason.FORBIDDEN, True, [])


@pytest.mark.parametrize(
    "setting",
    [
        "fetch.credentials={h.example: 'ann:s3cret'}", "fetch.credentials={h.example: {env: 's3 cret'}}",
        "fetch.credentials={h.example: [s3cret, x]}", "fetch.credentials=s3cret", "fetch.credentials={h.example: 53}",
        "fetch.credentials={h.example: {user_env: A}}", "fetch.credentials={h.example: {env: A, user_env: B}}",
        "fetch.credentials={'https://h.example': A}", "fetch.credentials={h.example: {}}",
    ],
)  # fmt: skip
def test_what_is_no_name_of_a_variable_is_refused_without_being_shown(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"^fetch\.credentials") as caught:
        config_file.load(settings=[setting])
    assert "cret" not in str(caught.value)


def test_logins_by_setting_by_file_and_back(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("fetch: {credentials: {Feeds.Example.org: A, '[::1]:80': {user_env: B, password_env: C}}}")
    chosen = config_file.load(str(file), ["fetch.credentials.127.0.0.1=D"])
    assert {host: login.model_dump(exclude_none=True) for host, login in chosen.fetch.credentials.items()} == {
        "feeds.example.org": {"env": "A"}, "[::1]:80": {"user_env": "B", "password_env": "C"}, HOST: {"env": "D"},
    }  # fmt: skip
    assert config_file.load(base=json.loads(chosen.model_dump_json())) == chosen
