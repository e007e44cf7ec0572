"""robots.txt, ai.txt, tdmrep.json and headers: groups, ties, patterns, and no time lost on patterns made to cost it."""

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from protego import Protego
from speechmill.fetch.consent import headers
from speechmill.fetch.consent.patterns import matches, normal_path, normal_pattern
from speechmill.fetch.consent.robots import MAX_CRAWL_DELAY_S, Robots, agents_of
from speechmill.fetch.consent.tdm import Reservations
from urllib3 import HTTPHeaderDict

US = ("speechmill",)
FREE = {"allowed": True, "no": []}


def judged(text: str, path: str = "/a/b.mp3", agents: tuple[str, ...] = US) -> dict[str, object]:
    robots = Robots(text, agents)
    return {"allowed": robots.disallows(path) is None, "no": robots.forbids_training(path)}


def no(name: str, value: str) -> dict[str, object]:
    return {"allowed": True, "no": [(name, value)]}


CASES: dict[str, tuple[str, dict[str, object]]] = {
    # The faults of November 2026.
    "our own group alone counts": (
        "User-agent: *\nContent-Usage: / train-ai=y\n\nUser-agent: speechmill\nContent-Usage: / train-ai=n\n",
        no("Content-Usage", "train-ai=n"),
    ),
    "also where it allows": (
        "User-agent: *\nContent-Usage: / train-ai=n\nDisallow: /\n\nUser-agent: speechmill\nAllow: /\n",
        FREE,
    ),
    "of identical paths the most restrictive": (
        "User-agent: *\nContent-Usage: / train-ai=y\nContent-Usage: / train-ai=n\n",
        no("Content-Usage", "train-ai=n"),
    ),
    "of identical paths, the other way round": (
        "User-agent: *\nContent-Usage: / train-ai=n\nContent-Usage: / train-ai=y\n",
        no("Content-Usage", "train-ai=n"),
    ),
    "a tab after the path": ("User-agent: *\nContent-Usage: /a\ttrain-ai=n\n", no("Content-Usage", "train-ai=n")),
    "Content-Signal": (
        "User-Agent: *\nContent-Signal: search=yes,ai-train=no\nAllow: /\n",
        no("Content-Signal", "ai-train=no"),
    ),
    # Content-Signal and Content-Usage.
    "Content-Signal for a path": (
        "User-agent: *\nContent-Signal: /a/ ai-train=no\nContent-Signal: ai-train=yes\n",
        no("Content-Signal", "ai-train=no"),
    ),
    "Content-Signal for another path": (
        "User-agent: *\nContent-Signal: /x/ ai-train=no\nContent-Signal: / ai-train=yes\n",
        FREE,
    ),
    "Content-Signal of others": ("User-agent: GPTBot\nContent-Signal: ai-train=no\n\nUser-agent: *\nAllow: /\n", FREE),
    "Content-Signal of other uses": ("User-agent: *\nContent-Signal: search=no, ai-input=no\n", FREE),
    "Content-Signal before any group is for all": (
        "Content-Signal: ai-train=no\nUser-agent: speechmill\nAllow: /\n",
        no("Content-Signal", "ai-train=no"),
    ),
    "in capitals, with blanks": (
        "USER-AGENT : *\n content-signal :  AI-TRAIN = NO # thanks\n",
        no("Content-Signal", "ai-train=no"),
    ),
    "a longer path decides": (
        "User-agent: *\nContent-Usage: / train-ai=n\nContent-Usage: /a/ train-ai=y\n",
        FREE,
    ),
    "a longer path that says nothing of training does not": (
        "User-agent: *\nContent-Usage: / train-ai=n\nContent-Usage: /a/ search=y\n",
        no("Content-Usage", "train-ai=n"),
    ),
    "the narrow category": (
        "User-agent: *\nContent-Usage: / train-ai=y, train-genai=n;exceptions=cc-cr\n",
        no("Content-Usage", "train-genai=n"),
    ),
    "the wide category, where no narrow one is named": (
        "User-agent: *\nContent-Usage: / bots=n, search=y\n",
        no("Content-Usage", "bots=n"),
    ),
    # Groups (RFC 9309, 2.2.1).
    "groups of one robot are one": (
        "User-agent: *\nDisallow: /x\n\nUser-agent: GPTBot\nDisallow: /\n\nUser-agent: *\nDisallow: /a\n",
        {"allowed": False, "no": []},
    ),
    "a name with a version": ("User-agent: SpeechMill/1.0\nDisallow: /\n", {"allowed": False, "no": []}),
    "a longer name is another's": ("User-agent: speechmill-news\nDisallow: /\n", FREE),
    "names in a row share a group": (
        "User-agent: a\nUser-agent: speechmill\n\n# both\nUser-agent: b\nDisallow: /\n",
        {"allowed": False, "no": []},
    ),
    "a sitemap between names is no rule": (
        "User-agent: speechmill\nSitemap: https://e.org/s.xml\nUser-agent: b\nDisallow: /\n",
        {"allowed": False, "no": []},
    ),
    "a rule ends the row of names": ("User-agent: speechmill\nAllow: /\nUser-agent: b\nDisallow: /\n", FREE),
    "rules before any group are nobody's": ("Disallow: /\nUser-agent: b\nDisallow: /\n", FREE),
    # Rules (2.2.2).
    "the longest match": ("User-agent: *\nAllow: /a/b\nDisallow: /a/\n", FREE),
    "of equal ones Allow": ("User-agent: *\nDisallow: /a/\nAllow: /a/\n", FREE),
    "an empty rule": ("User-agent: *\nDisallow:\n", FREE),
    "a byte order mark": ("\ufeffUser-agent: *\nDisallow: /\n", {"allowed": False, "no": []}),
    "carriage returns": ("User-agent: *\rDisallow: /a\r", {"allowed": False, "no": []}),
    "a form feed is no line end": ("User-agent: *\nDisallow: /x\x0cAllow: /\n", FREE),
    "a blank for the colon, and a slip": ("User-agent *\nDissallow /a\n", {"allowed": False, "no": []}),
    "a path without a slash": ("User-agent: *\nDisallow: a/\n", {"allowed": False, "no": []}),
}


@pytest.mark.parametrize("case", CASES)
def test_33_what_a_host_says_to_us(case: str) -> None:
    text, expected = CASES[case]
    assert judged(text) == expected


def test_33_both_our_names_are_heeded_and_either_may_be_refused() -> None:
    agents = agents_of("Ann-Bot/2.0 (+mailto:ann@example.org)", "speechmill")
    assert agents == ("ann-bot", "speechmill")
    by_name = "User-agent: ann-bot\nAllow: /\n\nUser-agent: speechmill\nDisallow: /\n\nUser-agent: *\nAllow: /"
    assert not judged(by_name, agents=agents)["allowed"]
    assert judged("User-agent: ann-bot\nAllow: /\n\nUser-agent: *\nDisallow: /", agents=agents)["allowed"]
    assert agents_of("Mozilla/5.0 (compatible; annbot/1.1; +http://a.org/bot)", "s") == ("mozilla", "annbot", "s")
    assert agents_of("", "s") == ("s",)


def test_33_licences_are_for_everybody_wherever_they_stand() -> None:
    text = "License: https://e.org/1.xml\nUser-agent: b\nDisallow: /\nlicense : /2.xml # free\nLicense:\n"
    assert Robots(text, US).licences == ["https://e.org/1.xml", "/2.xml"]


def test_33_a_crawl_delay_is_bounded() -> None:
    assert Robots("User-agent: *\nCrawl-delay: 2.5", US).delay == 2.5
    assert Robots("User-agent: *\nCrawl-delay: 1e9", US).delay == MAX_CRAWL_DELAY_S
    for value in ("nan", "-1", "soon", ""):
        assert Robots(f"User-agent: *\nCrawl-delay: {value}", US).delay == 0.0


MATCHES = [  # pattern, path, whether it is for it; RFC 9309, 2.2.2 and 2.2.3
    ("/fish*", "/fishheads/x?y=1", True), ("/fish*", "/Fish.asp", False), ("/*.php$", "/a/b.php", True),
    ("/*.php$", "/b.php?x", False), ("/a*b*c$", "/aXbYbc", True), ("/a*b*c$", "/abcX", False),
    ("/a$", "/a", True), ("/a$", "/ab", False), ("/a$b", "/a$b", True), ("*", "/", True), ("/", "/x", True),
    ("/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar", False),
    ("/foo/bar/\u30c4", "/foo/bar/%E3%83%84", True), ("/foo/bar/%E3%83%84", "/foo/bar/\u30c4", True),
    ("/foo/bar/%62%61%7A", "/foo/bar/baz", True), ("/%7eann", "/~ann", True), ("/a%2fb", "/a%2Fb", True),
    ("/a%2Fb", "/a/b", False), ("/path/file-with-a-%2A.html", "/path/file-with-a-*.html", True),
    ("/path/foo-%24", "/path/foo-$", True), ("/a b", "/a%20b", True), ("/***$", "/x", True), ("/x**y", "/x1y2", True),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_patterns_match_as_the_rfc_says(pattern: str, path: str, expected: bool) -> None:
    assert matches(normal_pattern(pattern), normal_path(path)) is expected


PATTERN = st.text("ab*$", max_size=8).map(lambda text: f"/{text}")
PATH = st.text("ab$", max_size=12).map(lambda text: f"/{text}")


@given(rules=st.lists(st.tuples(st.sampled_from(["Allow", "Disallow"]), PATTERN), max_size=4), path=PATH)
@example(rules=[("Disallow", "/a*a$")], path="/a")
def test_robots_agree_with_another_reading(rules: list[tuple[str, str]], path: str) -> None:
    text = "User-agent: *\n" + "".join(f"{name}: {pattern}\n" for name, pattern in rules)
    if any("$" in pattern[:-1] for _, pattern in rules) or "$" in path:
        return  # protego compares these without encoding them
    assert judged(text, path)["allowed"] is Protego.parse(text).can_fetch(f"https://e.org{path}", "speechmill")


N = 100_000
A = "/" + "a" * N


def reserved(pattern: str) -> str | None:
    return Reservations(json.dumps([{"location": pattern, "tdm-reservation": 1}]), "").reserves(A)


HOSTILE: dict[str, Callable[[], object]] = {
    "ten stars in tdmrep.json": lambda: reserved("/" + "*a" * 10 + "*b"),
    "a hundred thousand stars in it": lambda: reserved("/" + "*a" * N + "$"),
    "ten stars in robots.txt": lambda: judged("User-agent: *\nDisallow: /" + "*a" * 10 + "*b\n", A),
    "stars without end": lambda: judged(f"User-agent: *\nDisallow: /{'*' * N}b\nAllow: /{'*a' * N}", A),
    "Content-Usage of letters": lambda: judged("User-agent: *\nContent-Usage: " + "a" * 5 * N),
    "Content-Usage of blanks": lambda: judged("User-agent: *\nContent-Usage:" + " " * 5 * N + "x"),
    "Content-Usage of equal signs": lambda: judged("User-agent: *\nContent-Usage: / " + "train-ai=" * N),
    "Content-Usage with stars": lambda: judged("User-agent: *\nContent-Usage: /" + "*a" * 30 + "b train-ai=n", A),
    "a line of blanks": lambda: judged(" " * 5 * N + ":\n"),
    "many names, many rules": lambda: judged("User-agent: a\n" * 19_000 + "Allow: /a\n" * 25_000),
    "ours again and again": lambda: judged("User-agent: *\n" * 19_000 + "Disallow: /*a$\n" * 15_000),
    "JSON nested deeply": lambda: Reservations("[" * N, "").reserves("/"),
    "objects nested deeply": lambda: Reservations('{"a":' * N, "").reserves("/"),
    "a header of commas": lambda: list(headers.objections(HTTPHeaderDict({"X-Robots-Tag": ":," * N}), US)),
    "a Link of brackets": lambda: list(headers.licences(HTTPHeaderDict({"Link": "<;=," * N}))),
    "a User-Agent of letters": lambda: agents_of("a" * N + " a/" * N, "s"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_that_others_write_takes_more_than_linear_time(case: str) -> None:
    """The processor's time, not that of the clock: it is a hundredth of a second, and was years before."""
    begin = time.thread_time()
    HOSTILE[case]()
    assert time.thread_time() - begin < 5


@given(text=st.text(max_size=300), path=st.text(max_size=30))
@example(text="Content-Usage: =\nUser-agent:\nCrawl-delay: inf\nLicense: #", path="\ud800")
def test_any_text_is_heard(text: str, path: str) -> None:
    judged(text, path)
    Reservations(text, "https://e.org").reserves(path)
    assert isinstance(agents_of(text, "s"), tuple)


LINKS = [
    ('<https://e.org/l.xml>; rel="license"; type="application/rsl+xml"', ["https://e.org/l.xml"]),
    ("</l.xml>;type=application/rsl+xml;rel=license", ["/l.xml"]),
    ('<a>; rel=next, </l.xml>; REL="Cite License"; Type="Application/RSL+XML; v=1"', ["/l.xml"]),
    ("<https://creativecommons.org/licenses/by/4.0/>; rel=license", []),
    ('</l.xml>; rel="alternate"; type="application/rsl+xml"', []),
]


@pytest.mark.parametrize(("value", "expected"), LINKS)
def test_33_link_headers_name_terms(value: str, expected: list[str]) -> None:
    assert list(headers.licences(HTTPHeaderDict({"Link": value}))) == expected


ROBOTS_TAGS = [
    ("noai", "noai"), ("noindex, NoImageAI", "noimageai"), ("otherbot: noai, noimageai", None),
    ("speechmill: noai", "noai"), ("SpeechMill : none, noai", "noai"), ("otherbot: noindex, *: noai", "noai"),
    ("unavailable_after: 25 Jun 2030 15:00:00 PST, noai", "noai"), ("max-snippet: 5", None), ("", None),
    ("noai noimageai", "noai"), ("noaid", None), ("noindex; noai", "noai"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), ROBOTS_TAGS)
def test_33_robots_tags_are_for_all_or_for_one(value: str, expected: str | None) -> None:
    assert headers.robots_forbid(value, US) == expected
