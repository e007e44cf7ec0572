"""chain: up to 30 redirects, cookies within them, and what was meant for one origin goes to no other."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st
from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.core.store import Store
from speechmill.fetch import Fetched, Visit, fetch_media, get_document
from speechmill.fetch.chain import MAX_COOKIE_CHARS, Chain
from speechmill.fetch.logins import Logins, logins_of

from tests.server import Behaviour, Handler, ScriptedServer, cut, ok, redirect, respond, status

BODY = bytes(range(256)) * 1200
pytestmark = pytest.mark.filterwarnings("ignore:http.cookiejar bug")
ATTRIBUTES = r"a=b(; ?(Expires|Max-Age|Domain|Path|Port|Secure|Version|HttpOnly)(=[ -~]{0,12})?){0,4}"
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "corpus"))


@pytest.fixture
def other() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


def fetching(*servers: ScriptedServer) -> Fetch:
    return Fetch(allow_hosts=tuple(one.host for one in servers), backoff_s=0.01, retries=2, timeout_s=60)


def fetch(url: str, store: Store, *servers: ScriptedServer, **more: str) -> Fetched:
    return fetch_media(Recording(recording_id="id", source="rss", media_url=url, **more), store, fetching(*servers))


def chain(server: ScriptedServer, count: int) -> str:
    for n in range(count):
        server.script(f"/{n}", redirect(f"/{n + 1}"))
    server.script(f"/{count}", ok(BODY))
    return server.url("/0")


def needs_cookie(**cookie: str) -> Behaviour:
    """Redirect to itself with Set-Cookie, until the cookie comes back."""

    def answer(handler: Handler) -> None:
        if "seen=1" in handler.headers.get("Cookie", ""):
            ok(BODY)(handler)
        else:
            status(302, Location=handler.path, Set_Cookie=cookie.get("value", "seen=1; Path=/"))(handler)

    return answer


def fault(url: str, store: Store, *servers: ScriptedServer) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        fetch(url, store, *servers)
    return caught.value


def test_thirty_redirects_are_followed_and_no_more(server: ScriptedServer, store: Store) -> None:
    assert fetch(chain(server, 30), store, server).sha256 == SHA256
    refused = fault(chain(server, 31), store, server)
    assert (refused.reason, refused.retry, refused.detail) == (Reason.UNREACHABLE, True, "more than 30 redirects")


@pytest.mark.parametrize("hops", [1, 3])
def test_31_a_circle_is_left_as_soon_as_it_closes(server: ScriptedServer, store: Store, hops: int) -> None:
    for n in range(hops):
        server.script(f"/{n}", redirect(f"/{(n + 1) % hops}"))
    assert "circle" in fault(server.url("/0"), store, server).detail
    assert len(server.requests) == hops


def test_cookies_come_back_within_a_chain_and_are_forgotten_after_it(server: ScriptedServer, store: Store) -> None:
    url = server.script("/a.mp3", needs_cookie())
    assert fetch(url, store, server).sha256 == SHA256
    assert [one.headers.get("cookie") for one in server.asked("/a.mp3")] == [None, "seen=1"]
    fetch(url, store, server)
    assert [one.headers.get("cookie") for one in server.asked("/a.mp3")] == [None, "seen=1", None, "seen=1"]


def test_an_odd_cookie_costs_no_other(server: ScriptedServer, store: Store) -> None:
    def answer(handler: Handler) -> None:
        if "seen=1" in handler.headers.get("Cookie", ""):
            ok(BODY)(handler)
            return
        handler.send_response(302)
        for name, value in (("Set-Cookie", "odd=1; Max-Age"), ("Set-Cookie", "seen=1"), ("Location", handler.path)):
            handler.send_header(name, value)
        handler.end_headers()

    assert fetch(server.script("/a", answer), store, server).sha256 == SHA256


def test_31_new_cookies_without_end_are_not_followed_without_end(server: ScriptedServer, store: Store) -> None:
    counts = iter(range(1000))

    def another(handler: Handler) -> None:
        status(302, Location="/a", Set_Cookie=f"n={next(counts)}")(handler)

    assert fault(server.script("/a", another), store, server).detail == "more than 30 redirects"


@pytest.mark.parametrize(
    "value",
    ["seen=1; Secure", "seen=1; Path=/elsewhere", "seen=1; Domain=example.org", f"seen=1{'1' * MAX_COOKIE_CHARS}"],
)
def test_a_cookie_that_is_not_for_this_place_is_not_sent(server: ScriptedServer, store: Store, value: str) -> None:
    fault(server.script("/a.mp3", needs_cookie(value=value)), store, server)
    assert [one.headers.get("cookie") for one in server.asked("/a.mp3")] == [None]


def test_a_cookie_of_one_server_is_not_sent_to_another(
    server: ScriptedServer, other: ScriptedServer, store: Store
) -> None:
    back = server.script("/b", ok(BODY))
    over = other.script("/over", status(302, Location=back, Set_Cookie="his=2"))
    url = server.script("/a", status(302, Location=over, Set_Cookie="hers=1; Path=/"))
    assert fetch(url, store, server, other).sha256 == SHA256
    assert [one.headers.get("cookie") for one in other.asked("/over")] == [None]
    assert [one.headers.get("cookie") for one in server.asked("/b")] == ["hers=1"]


OWN = {
    "Authorization": "Bearer t", "Proxy-Authorization": "Basic x", "Cookie": "a=b", "X-Api-Key": "k", "Referer": "http://r/",
    "If-None-Match": '"e"', "Range": "bytes=5-", "If-Range": '"e"', "Origin": "http://o",
}  # fmt: skip


def test_headers_of_one_origin_go_to_no_other(server: ScriptedServer, other: ScriptedServer, store: Store) -> None:
    there = other.script("/there", ok(BODY))
    here = server.script("/here", redirect(there))
    url = server.script("/first", redirect(here))
    visit = Visit(store, fetching(server, other), max_bytes=10**6)
    answer = visit.ask("GET", url, headers=OWN | {"Accept": "audio/*", "Accept-Language": "de"})
    assert (answer.url, answer.body.read()) == (there, BODY)
    own = {name.lower() for name in OWN}
    for path in ("/first", "/here"):
        assert own <= set(server.asked(path)[0].headers)
    (asked,) = other.asked("/there")
    assert own.isdisjoint(asked.headers)
    assert (asked.headers["accept"], asked.headers["accept-language"]) == ("audio/*", "de")
    assert [own & set(one.headers) for one in other.questions] == [set()] * len(other.questions)


def test_a_rest_is_asked_for_where_the_beginning_came_from(
    server: ScriptedServer, other: ScriptedServer, store: Store
) -> None:
    there = other.script("/there", cut(BODY, 100_000), ok(BODY))
    url = server.script("/a.mp3", redirect(there))
    assert fetch(url, store, server, other).sha256 == SHA256
    assert ["range" in one.headers for one in server.asked("/a.mp3")] == [False, False]
    assert [one.headers.get("range") for one in other.asked("/there")] == [None, "bytes=100000-"]


def test_a_rest_is_not_asked_for_elsewhere(server: ScriptedServer, other: ScriptedServer, store: Store) -> None:
    first, second = server.script("/one", cut(BODY, 100_000)), other.script("/two", ok(BODY))
    url = server.script("/a.mp3", redirect(first), redirect(second))
    assert fetch(url, store, server, other).sha256 == SHA256
    assert {"range", "if-range"}.isdisjoint(other.asked("/two")[0].headers)


def test_only_who_sent_a_document_is_asked_whether_it_changed(
    server: ScriptedServer, other: ScriptedServer, store: Store
) -> None:
    url = server.script("/feed", redirect(other.script("/there", ok(b"<rss/>", etag='"1"'))))
    for _ in range(2):
        assert get_document(url, store, fetching(server, other)) == b"<rss/>"
    assert [one.headers.get("if-none-match") for one in server.asked("/feed")] == [None, None]
    assert [one.headers.get("if-none-match") for one in other.asked("/there")] == [None, '"1"']


def test_a_location_is_read_as_it_was_meant(server: ScriptedServer, store: Store) -> None:
    server.script("/Gr%C3%B6%C3%9Fe%201.mp3", ok(BODY))
    for number, place in enumerate(["/Größe 1.mp3", "/Gr%C3%B6%C3%9Fe%201.mp3", "//{}/Größe 1.mp3"]):
        location = place.format(server.host).encode().decode("latin-1")
        assert fetch(server.script(f"/{number}", redirect(location)), store, server).sha256 == SHA256


@pytest.mark.parametrize("to", ["feed://{}/b", "ftp://{}/b", "http://127.0.0.1:0/b", "http://[x/b", "javascript:b"])
def test_29_a_redirect_to_what_is_no_web_address(server: ScriptedServer, store: Store, to: str) -> None:
    server.script("/b", ok(BODY))
    refused = fault(server.script("/a", redirect(to.format(server.host))), store, server)
    assert refused.reason == Reason.FORBIDDEN_ADDRESS
    assert server.asked("/b") == []


def test_33_each_host_on_the_way_is_asked_for_its_consent(
    server: ScriptedServer, other: ScriptedServer, store: Store
) -> None:
    other.script("/robots.txt", ok(b"User-agent: *\nDisallow: /there"))
    url = server.script("/a", redirect(other.script("/there", ok(BODY))))
    assert fault(url, store, server, other).reason == Reason.OPTED_OUT
    assert other.asked("/there") == []


def answered(location: str, code: int = 302) -> urllib3.HTTPResponse:
    return urllib3.HTTPResponse(headers={"Location": location}, status=code)


def test_a_password_is_not_sent_in_clear_after_https() -> None:
    config = Fetch(allow_hosts=("127.0.0.1",))
    made = Chain("GET", "https://ann:pw@127.0.0.1/a", {}, origin=None, content=None, logins=Logins(config))
    assert made.headers()["Authorization"].startswith("Basic ")
    assert made.url == "https://127.0.0.1/a"
    made.follow(answered("http://127.0.0.1/b"))
    assert made.headers() == {}  # another origin
    made.follow(answered("http://ann:pw@127.0.0.1/c"))
    with pytest.raises(RejectedError, match="a password is not sent") as caught:
        made.headers()
    assert "pw@" not in str(caught.value)


def test_the_body_of_a_form_is_sent_on_only_where_that_is_asked_for() -> None:
    headers = {"Content-Type": "text/plain"}
    for code, method in ((302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")):
        made = Chain("POST", "http://127.0.0.1/a", headers, origin=None, content=b"x", logins=Logins(Fetch()))
        made.follow(answered("/b", code))
        assert (made.method, made.content, made.headers()) == (
            (method, b"x", headers) if method == "POST" else (method, None, {})
        )


def test_two_parsers_cannot_be_made_to_see_two_hosts() -> None:
    made = Chain("GET", "http://a.example.org/", {}, origin=None, content=None, logins=Logins(Fetch()))
    found = urllib3.HTTPHeaderDict({"Location": "http://evil.example\\@a.example.org/"})
    found.add("Set-Cookie", "a=b; Domain=example.org")
    made.follow(urllib3.HTTPResponse(headers=found, status=302))
    assert "Cookie" not in made.headers()


@settings(max_examples=300)
@given(
    st.lists(st.text(st.characters(max_codepoint=255), max_size=60) | st.from_regex(ATTRIBUTES, fullmatch=True)),
    st.text(max_size=40) | st.from_regex(r"(https?:)?//[a-z.:@\[\]\\%0-9]{0,20}/[^/]{0,5}", fullmatch=True),
)
def test_whatever_a_redirect_says_it_is_followed_or_refused(cookies: list[str], location: str) -> None:
    made = Chain("GET", "http://a.example.org/", {}, origin=None, content=None, logins=Logins(Fetch()))
    found = urllib3.HTTPHeaderDict({"Location": location})
    for one in cookies:
        found.add("Set-Cookie", one)
    try:
        made.follow(urllib3.HTTPResponse(headers=found, status=302))
        made.headers()
    except RejectedError as refused:
        assert refused.reason in (Reason.FORBIDDEN_ADDRESS, Reason.UNREACHABLE, Reason.FORBIDDEN)


ADDRESSES = r"(https?|feed|HTTP):(//)?([a-z%@:0-9]{0,6}@)?[a-zA-Z0-9.:%_\[\]\-\\@é\n \x00]{0,12}[/?#][ -~é\n]{0,10}"


@settings(max_examples=300)
@given(st.text(max_size=40) | st.from_regex(ADDRESSES, fullmatch=True))
def test_whatever_an_address_is_it_can_be_asked_for_or_is_refused_in_one_line(url: str) -> None:
    logins_of(Fetch(), url)
    try:
        Chain("GET", url, {}, origin=None, content=None, logins=Logins(Fetch())).headers()
    except RejectedError as refused:
        assert refused.reason == Reason.FORBIDDEN_ADDRESS
        assert refused.detail.isprintable()


def test_a_redirect_without_a_place_is_an_answer(server: ScriptedServer, store: Store) -> None:
    refused = fault(server.script("/a", respond(302, {"Content-Length": 0})), store, server)
    assert (refused.reason, "302" in refused.detail) == (Reason.UNREACHABLE, True)
