"""RSL 1.0: which terms are taken, and which are a no; what of a document is about an address; hostile documents."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speechmill.fetch.consent import rsl

BASE, EPISODE = "https://e.org/license.xml", "https://e.org/pod/1.mp3?x=1"
CC = "https://creativecommons.org/licenses/by/4.0/"


def document(*contents: str) -> str:
    return f'<?xml version="1.0"?><rsl xmlns="https://rslstandard.org/rsl">{"".join(contents)}</rsl>'


def content(*licences: str, url: str = "/", more: str = "") -> str:
    return f'<content url="{url}" {more}>{"".join(f"<license>{one}</license>" for one in licences)}</content>'


def judged(text: str, url: str = EPISODE) -> rsl.Terms | None:
    return rsl.judge(rsl.read(text) or [], url, BASE)


def permits(tokens: str, kind: str = "usage") -> str:
    return f'<permits type="{kind}">{tokens}</permits>'


def prohibits(tokens: str, kind: str = "usage") -> str:
    return f'<prohibits type="{kind}">{tokens}</prohibits>'


FREE = '<payment type="free"/>'
PRICE = '<payment type="use"><amount currency="USD">0.015</amount></payment>'
TAKEN = {
    "all, free": content(permits("all") + FREE),
    "by its name": content(permits("search, ai-train") + FREE),
    "as AIPREF names it": content(permits("train-ai")),
    "ai-all without a payment": content(permits("AI-ALL")),
    "silent, which permits all": content(FREE),
    "an empty payment": content("<payment/>"),
    "for credit": content(f'{permits("all")}<payment type="attribution"><standard>{CC}</standard></payment>'),
    "Creative Commons without a type": content(f"<payment><standard>{CC}</standard></payment>"),
    "one of two offers": content(permits("ai-train") + PRICE, permits("ai-train") + FREE),
    "other uses are forbidden": content(prohibits("search") + FREE),
    "other uses are sold": content(permits("ai-train") + FREE, permits("search") + PRICE),
}
REFUSED = {
    "prohibits training": [content(prohibits("ai-train")), content(prohibits("train-ai,search"), FREE)],
    "permits other uses only": [content(permits("search")), content(permits("ai-input, ai-index") + FREE)],
    "payment use": [content(permits("all") + PRICE), content(PRICE), content(permits("all") + FREE + PRICE)],
    "payment purchase": [content('<payment type="purchase"/>')],
    "payment subscription": [content('<payment type="subscription"><custom>https://e.org/buy</custom></payment>')],
    "payment contribution": [content('<payment type="contribution"/>')],
    "payment of no type": [
        content(permits("ai-all") + "<payment><standard>https://rslcollective.org/license</standard></payment>"),
        content('<payment><amount currency="EUR">1</amount></payment>'),
    ],
    "licence server https://s.org/": [
        content(FREE, more='server="https://s.org/"'), '<content url="/" server="https://s.org/"/>'
    ],
    "user education only": [content(permits("all") + permits("education", "user"))],
    "geo gb only": [content(permits("GB", "geo") + FREE)],
    "not for user commercial": [content(permits("all") + prohibits("commercial", "user"))],
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_33_terms_that_permit_training_for_nothing_are_taken(case: str) -> None:
    terms = judged(document(TAKEN[case]))
    assert terms is not None
    assert terms.permits
    assert "payment " in terms.value


@pytest.mark.parametrize(("value", "contents"), REFUSED.items())
def test_33_all_other_terms_are_a_no(value: str, contents: list[str]) -> None:
    for one in contents:
        assert judged(document(one)) == rsl.Terms(permits=False, value=value)


def test_the_standard_licence_is_named() -> None:
    terms = judged(document(TAKEN["for credit"]))
    assert terms == rsl.Terms(permits=True, value=f"permits all; payment attribution; {CC}", standard=CC)


def test_a_content_without_terms_says_nothing() -> None:
    assert judged(document('<content url="/"/>')) is None
    assert judged(document()) is None


NO, YES = prohibits("all"), permits("all")
COVERED = [  # patterns of a no, beside a yes for all
    ("/pod/", True), ("/pod/*.mp3$", False), ("/pod/*.mp3", True), ("*.mp3", True), ("/other/", False),
    ("/pod/2", False),
    ("https://e.org/pod/", True), ("https://E.ORG/pod/1.mp3", True), ("https://other.org/pod/", False),
    ("//e.org/pod/", True), ("https://*.e.org/pod/", False), ("https://*.org/pod/", True), ("https://[e.org/", False),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "is_no"), COVERED)
def test_the_longest_pattern_for_an_address_decides(pattern: str, is_no: bool) -> None:
    for contents in ((content(NO, url=pattern), content(YES)), (content(YES), content(NO, url=pattern))):
        terms = judged(document(*contents))
        assert terms is not None
        assert terms.permits is not is_no


def test_of_equal_patterns_any_no_counts() -> None:
    for contents in ((content(NO), content(YES)), (content(YES), content(NO))):
        terms = judged(document(*contents))
        assert terms is not None
        assert not terms.permits


def test_an_empty_pattern_is_for_whatever_has_the_terms() -> None:
    assert judged(document(content(NO, url=""))) == rsl.Terms(permits=False, value="prohibits training")


def test_a_feed_may_be_the_document_and_a_namespace_may_be_missing() -> None:
    inside = "".join(f"<r:{part[1:]}" if part[1] != "/" else f"</r:{part[2:]}" for part in _tags(content(NO)))
    assert judged(f'<rss xmlns:r="https://rslstandard.org/rsl"><channel><item>{inside}</item></channel></rss>')
    assert judged(f"<rsl>{content(NO)}</rsl>")
    assert judged(document(content(NO)).replace("https:", "http:", 1))


def _tags(text: str) -> list[str]:
    return [f"<{part}" for part in text.split("<")[1:]]


@pytest.mark.parametrize(
    "text", ["", "<html><body>Terms</body></html>", "terms: ask us", "\0", "<rss><channel/></rss>"]
)
def test_what_is_no_rsl_says_nothing(text: str) -> None:
    assert rsl.read(text) is None


HOSTILE = {
    "cut off": document(content(YES))[:-9],
    "nested deeply": document("<a>" * 100_000 + "</a>" * 100_000),
    "entities": '<!DOCTYPE r [<!ENTITY a "aaaa">]><rsl xmlns="https://rslstandard.org/rsl">&a;</rsl>',
    "an entity of a file": (
        '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><rsl xmlns="https://rslstandard.org/rsl">&a;</rsl>'
    ),
    "a character that XML has not": document(content(YES), "\x01"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_rsl_that_cannot_be_read_is_told_apart_from_none(case: str) -> None:
    begin = time.thread_time()
    with pytest.raises(ValueError, match="RSL that cannot be read"):
        rsl.read(HOSTILE[case])
    assert time.thread_time() - begin < 5


@given(
    st.lists(
        st.sampled_from(
            ["<content url='/*'>", "</content>", "<license>", "</license>", "<permits>all</permits>", "<payment>",
             "</payment>", "<prohibits type='geo'/>", "<content server=' '/>", "<!--", "-->", "<![CDATA[", "]]>"]
        )
    )
)  # fmt: skip
def test_any_tags_are_read(tags: list[str]) -> None:
    try:
        found = rsl.read(document(*tags))
    except ValueError:
        return
    rsl.judge(found or [], EPISODE, BASE)
