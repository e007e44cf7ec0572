"""Pages: tags that reserve them, their licences; the parser of a page raises on nothing and takes linear time."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from speechmill.fetch.consent.page import read

US = ("speechmill",)
NO = [
    ('<meta name="robots" content="noai, noimageai">', ("meta robots", "noai")),
    ("<META NAME=ROBOTS CONTENT='index,NoImageAI'>", ("meta robots", "noimageai")),
    ('<meta content="noai" name="robots"/>', ("meta robots", "noai")),
    ("<meta\nname = robots\ncontent = noai >", ("meta robots", "noai")),
    ('<meta name="speechmill" content="noai">', ("meta speechmill", "noai")),
    ('<meta name="tdm-reservation" content="1"><meta name="tdm-policy" content="/p">', ("meta tdm-reservation", "1")),
    ('<meta name="tdm&#45;reservation" content=1>', ("meta tdm-reservation", "1")),
    ('<![ x <p title="a > b"><meta name=robots content=noai', ("meta robots", "noai")),
    ("<script>if (a<b) '<!--'</script><meta name=robots content=noai>", ("meta robots", "noai")),
    ("<title><meta></title><meta name=robots content=noai>", ("meta robots", "noai")),
    ("<!--<meta name=robots content=index><meta name=robots content=noai>", ("meta robots", "noai")),
    ("<!-- a --!><meta name=robots content=noai>", ("meta robots", "noai")),
    ('<meta http-equiv="X-Robots-Tag" name="x" content="noai">', ("meta x-robots-tag", "noai")),
    ('<meta property="tdm-reservation" content="1">', ("meta tdm-reservation", "1")),
    ("<textarea><meta name=robots content=noai>", ("meta robots", "noai")),  # without an end it hides nothing
]
FREE = [
    '<meta name="robots" content="noindex, nofollow">',
    '<meta name="otherbot" content="noai">',
    '<meta name="tdm-reservation" content="0">',
    '<meta name="description" content="noai">',
    "<!-- <meta name=robots content=noai> -->",
    "<script>'<meta name=robots content=noai>'</script>",
    "<title><meta name=robots content=noai></title>",
    "&lt;meta name=robots content=noai&gt; < meta name=robots content=noai>",
    "",
]


@pytest.mark.parametrize(("page", "no"), NO)
def test_33_a_page_may_forbid_to_learn_from_it(page: str, no: tuple[str, str]) -> None:
    assert read(f"<!DOCTYPE html><html>{page}", US).objections == [no]


@pytest.mark.parametrize("page", FREE)
def test_33_other_tags_forbid_nothing(page: str) -> None:
    assert read(page, US).objections == []


def test_licences_and_terms_are_told_apart() -> None:
    page = (
        '<link rel="license" type="application/rsl+xml" href="/l.xml?a=1&amp;b=2">'
        '<a rel="nofollow license" href=" /cc "></a>'
        '<link rel="license" href="/later"><script>x</script>'
        '<script type="application/rsl+xml"><rsl>&amp;</rsl></script>'
    )
    found = read(page, US)
    assert (found.licence, found.rsl_links, found.rsl_texts) == ("/cc", ["/l.xml?a=1&b=2"], ["<rsl>&amp;</rsl>"])


N = 200_000
HOSTILE = {
    "open brackets": "<" * N, "open tags": "<a" * N, "open comments": "<!--" * N, "declarations": "<![ x" * N,
    "blanks in a tag": "<a" + " " * N, "tags with blanks": "<a \t\n" * N, "equal signs": "<a " + "=" * N,
    "open quotes": "<a b='" * N, "names and blanks": "<a " + "b " * N, "slashes": "<a" + "/" * N, "raw": "<script>" * N,
    "raw of all kinds": "<script><style><title><textarea>" * (N // 8),
    "metas": "<meta name=robots content=noai>" * (N // 8),
    "references": "<meta content='" + "&#" * N + "'>", "a long reference": f"<a href='&#{'9' * N};'>", "ends": "</" * N,
    "blanks before a sign": ("<a b" + " " * 100) * (N // 100), "a quote that is never closed": "<a b='" + "<a c=\"" * N,
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_no_page_takes_more_than_linear_time(case: str) -> None:
    begin = time.thread_time()
    read(HOSTILE[case], US)
    assert time.thread_time() - begin < 10


PIECES = [
    "<",
    ">",
    "/",
    "=",
    "'",
    '"',
    " ",
    "a",
    "meta",
    "script",
    "</script",
    "<!--",
    "-->",
    "<![",
    "&#",
    "&amp;",
    "\0",
    "\u0130",
]


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
@example("<![ x")
@example("<meta content='&#99999999999999999999;'")
def test_any_page_is_read(page: str) -> None:
    read(page, US)
