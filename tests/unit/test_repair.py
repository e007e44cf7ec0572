"""Feeds that are no XML: a wrong character costs nothing, a broken item itself, and what is lost is a row."""

import json
import random
import re
import time

import pytest
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.sources.feeds.cut_apart import lost_in_words
from speechmill.sources.feeds.feed import Feed

URL = "https://example.org/pod/feed.xml"
HEAD = (
    '<?xml version="1.0" encoding="{encoding}"?><rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0"'
    ' xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel><title>Show</title>'
    "<podcast:license>CC0-1.0</podcast:license>"
)
NOTES = "<description>" + "Long notes on the episode. " * 200 + "</description>"  # 5 kB an item


def item(n: int, inside: str = "", title: str = "") -> str:
    return (
        f'<item><title>Tön {n}{title}</title><guid isPermaLink="false">g{n}</guid>{inside}'
        f'<enclosure url="{n}.mp3" type="audio/mpeg"/></item>'
    )


def feed(*items: str, encoding: str = "UTF-8") -> str:
    return f"{HEAD.format(encoding=encoding)}{''.join(items)}</channel></rss>"


def read(raw: bytes | str) -> tuple[list[Recording], list[Recording]]:
    """The recordings of a feed, and the rows of what is wrong with it."""
    listed = [one.recording for one in Feed(raw if isinstance(raw, bytes) else raw.encode(), URL).recordings()]
    return [one for one in listed if one.reason is None], [one for one in listed if one.reason is not None]


WRONG_CHARACTERS = {
    "vertical tab": "\x0b", "nul": "\0", "escape": "\x1b[31m", "no character": "\uffff", "reference to none": "&#11;",
    "reference to a half": "&#xD800;", "reference out of range": "&#x7FFFFFF;", "entities of HTML": "&nbsp;&eacute;",
    "entity of nobody": "&foo;", "bare ampersand": "AT&T & Co", "ampersand at the end": "&", "less than": "a < b <3",
    "end of CDATA": "]]>", "undeclared prefix": "<spotify:limit n='3'/>", "attribute of an undeclared prefix":
    "<b x:y='1'/>", "instruction": "<?php echo 1?>", "declaration": "<!ELEMENT a>", "comment": "<!-- a -- b -->",
    "CDATA without end": "<![CDATA[ x", "comment without end": "<!-- x",
}  # fmt: skip


@pytest.mark.parametrize("count", [1, 300], ids=["small", "over 1 MB"])
@pytest.mark.parametrize("where", ["title", "description"])
@pytest.mark.parametrize("name", WRONG_CHARACTERS)
def test_a_wrong_character_costs_nothing_at_any_size(name: str, where: str, count: int) -> None:
    wrong = WRONG_CHARACTERS[name]
    bad = item(7, NOTES, wrong) if where == "title" else item(7, f"<description>x {wrong} y</description>")
    items = [item(n, NOTES) for n in range(100, 100 + count)]
    got, faults = read(feed(*items, bad, item(8)))
    assert [one.guid for one in got] == [*(f"g{n}" for n in range(100, 100 + count)), "g7", "g8"]
    assert faults == []
    assert {one.licence for one in got} == {"CC0-1.0"}
    assert got[-1].title == "Tön 8"
    assert got[-1].media_url == "https://example.org/pod/8.mp3"


def test_entities_of_html_are_their_letters_and_bare_signs_stay() -> None:
    (got,), _ = read(feed(item(1, title=" Caf&eacute; &amp; AT&T&nbsp;&copy; a < b &foo;\x0b")))
    assert got.title == "Tön 1 Café & AT&T © a < b &foo;"


BROKEN = {
    "unclosed tag": "<b>bold", "wrong end": "x</i>", "crossed": "<b><i></b></i>", "attribute twice": "<a x='1' x='2'/>",
    "attribute without quotes": "<a href=x>y</a>", "empty element of HTML": "a<br>b", "sign in an attribute":
    "<a title='1<2'/>", "quote without end":
    "<a b='c>d</a>", "end of the item": "x</item>", "a name": "<3d> <ü <a:b:c/>",
}  # fmt: skip


@pytest.mark.parametrize("count", [1, 300], ids=["small", "over 1 MB"])
@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_mended_costs_at_most_its_item_and_not_in_silence(name: str, count: int) -> None:
    others = [item(n, NOTES) for n in range(100, 100 + count)]
    got, faults = read(feed(*others, item(7, title=BROKEN[name]), item(8)))
    guids = {one.guid for one in got}
    assert guids >= {*(f"g{n}" for n in range(100, 100 + count)), "g8"}
    assert "g7" in guids or [one.reason for one in faults] == [Reason.BAD_FEED]
    kept = next(one for one in got if one.guid == "g8")
    assert (kept.title, kept.licence, kept.media_url) == ("Tön 8", "CC0-1.0", "https://example.org/pod/8.mp3")


@pytest.mark.parametrize("name", BROKEN)
def test_wrong_markup_in_the_notes_of_every_item_costs_nothing(name: str) -> None:
    if name == "end of the item":
        pytest.skip("where the item ends cannot be known")
    got, faults = read(feed(*(item(n, f"<description>{BROKEN[name]}</description>") for n in range(50))))
    assert [one.guid for one in got] == [f"g{n}" for n in range(50)]
    assert faults == []
    assert {one.licence for one in got} == {"CC0-1.0"}


def test_an_item_that_is_lost_is_a_row_with_number_and_cause() -> None:
    bad = "<item><title>x</title><guid>g2</guid><enclosure url=</item>"
    got, (fault,) = read(feed(item(1), bad, item(3)))
    assert [one.guid for one in got] == ["g1", "g3"]
    assert (fault.reason, fault.media_url) == (Reason.BAD_FEED, URL)
    assert fault.reason_detail == "1 of 3 items cannot be read: item 2: not well-formed (invalid token)"


def test_an_item_without_end_ends_where_the_next_begins() -> None:
    got, faults = read(feed(item(1), item(2).removesuffix("</item>"), item(3)))
    assert [one.guid for one in got] == ["g1", "g2", "g3"]
    assert faults == []


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.999])
def test_a_feed_that_breaks_off_has_its_whole_items_and_says_so(share: float) -> None:
    whole = feed(*(item(n, NOTES) for n in range(20)))
    got, (fault,) = read(whole[: round(len(whole) * share)])
    complete = whole[: round(len(whole) * share)].count("</item>")
    assert complete <= len(got) <= complete + 1
    assert fault.reason is Reason.BAD_FEED
    assert "breaks off" in (fault.reason_detail or "")


@pytest.mark.parametrize("cut", range(8, 160, 7))
def test_wherever_a_feed_breaks_off_it_says_so(cut: int) -> None:
    whole = feed(item(1), item(2))
    _, faults = read(whole[: len(whole) - cut])
    assert len(faults) == 1


def test_what_stands_before_and_behind_a_feed_does_no_harm() -> None:
    declared = feed(item(1))
    for before, behind in [("\n\n", ""), ("\ufeff  ", "\0\0"), ("<br />\n<b>Warning</b>: x", "<script>x</script>")]:
        got, faults = read(before + declared + behind)
        assert ([one.guid for one in got], faults) == (["g1"], [])


def test_a_root_that_is_broken_costs_no_item() -> None:
    raw = feed(item(1), item(2)).replace('<rss version="2.0"', '<rss version="2.0" version=2.0 x=&')
    got, faults = read(raw)
    assert [one.guid for one in got] == ["g1", "g2"]
    assert faults == []


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("UTF-8", "cp1252"), ("UTF-8", "latin-1"), ("utf-16", "utf-8"), ("iso-8859-1", "utf-8"),
        ("windows-1252", "utf-8"), ("nonsense", "utf-8"), ("us-ascii", "utf-8"), ("big5", "utf-8"),
    ],
)  # fmt: skip
def test_letters_are_read_whatever_encoding_a_feed_declares(declared: str, encoding: str) -> None:
    got, faults = read(feed(item(1), item(2), encoding=declared).encode(encoding))
    assert [one.title for one in got] == ["Tön 1", "Tön 2"]
    assert faults == []


def test_without_a_declaration_letters_of_another_script_are_recognised() -> None:
    text = feed(*(item(n, title=" Здравствуйте, дорогие слушатели нашей передачи") for n in range(9)))
    raw = re.sub(r"<\?.*?\?>", "", text).replace("ö", "o").encode("cp1251")
    got, _ = read(raw)
    assert got[0].title == "Ton 0 Здравствуйте, дорогие слушатели нашей передачи"


@pytest.mark.parametrize("wrong", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf"])
def test_a_wrong_byte_costs_nothing_but_itself(wrong: bytes) -> None:
    raw = feed(item(1, title="XX"), item(2), item(3)).encode().replace(b"XX", wrong)
    got, faults = read(raw)
    assert [one.guid for one in got] == ["g1", "g2", "g3"]
    assert got[1].title == "Tön 2"
    assert faults == []


def test_an_item_that_is_too_long_or_too_deep_costs_itself_alone() -> None:
    deep = item(2, "<a>" * 300 + "</a>" * 300)
    long = item(3, f"<itunes:author>{'x' * 6_000_000}</itunes:author>")
    notes = item(4, f"<description>{'x' * 6_000_000}</description>")
    got, (fault,) = read(feed(item(1), deep, long, notes, item(5)))
    assert [one.guid for one in got] == ["g1", "g4", "g5"]
    assert "2 of 5 items" in (fault.reason_detail or "")


def test_entities_stay_refused_in_what_is_not_well_formed() -> None:
    doctype = '<!DOCTYPE rss [<!ENTITY a "b">]>'
    with pytest.raises(RejectedError, match="declares entities"):
        read(doctype + re.sub(r"<\?.*?\?>", "", feed(item(1, title="\x0b&a;"))))


def test_an_item_in_which_a_licence_cannot_be_matched_has_none() -> None:
    stated = "<podcast:license>CC-BY-4.0</podcast:license>"
    broken = {one.guid: one.licence for one in read(feed(item(1), item(2, f"<x>{stated}")))[0]}
    assert broken == {"g1": "CC0-1.0", "g2": "unknown"}


@pytest.mark.parametrize("piece", ["<", "&", "<![CDATA[", "<!--", "<?", "<item", "<item>", "</item>", "<a b='", "<b>"])
def test_time_grows_with_the_bytes_and_no_faster(piece: str) -> None:
    def seconds(count: int) -> float:
        raw = feed(item(1), f"<item><title>{piece * count}", item(2)).encode()
        begin = time.process_time()
        try:
            Feed(raw, URL)
        except RejectedError:
            pass
        return time.process_time() - begin

    few, many = seconds(3_000), seconds(48_000)
    assert many < max(16 * few, 0.2) * 6  # 16 times the bytes; the square would be 256 times the time


def test_bytes_that_are_changed_at_random_raise_nothing_but_rejected() -> None:
    rng = random.Random(5)
    whole = feed(*(item(n, "<description><![CDATA[<p>a</p>]]></description>") for n in range(6))).encode()
    for _ in range(300):
        raw = bytearray(whole)
        for _ in range(rng.randint(1, 20)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randint(0, 3)] = rng.choice([b"<", b"&", b"\xff", b">", b"'", b"</item>", b"]]>", b"\0"])
        try:
            list(Feed(bytes(raw), URL).recordings())
        except RejectedError as fault:
            assert fault.reason is Reason.BAD_FEED


def test_causes_are_told_in_one_short_line() -> None:
    words = lost_in_words([(n, "mismatched tag") for n in range(1, 8)], 90)
    assert words.startswith("7 of 90 items cannot be read: item 1: mismatched tag; item 2")
    assert words.endswith("and 4 more")
    assert "\n" not in json.dumps(words)


@pytest.mark.parametrize("raw", [b"<opml\x0c!!\x0c!!\0", b"<rss\0>", b"<feed\x0c<?xml/ v<feed xmln<?s=<?xml/>T</feed>"])
def test_a_first_tag_that_falls_apart_begins_no_feed(raw: bytes) -> None:  # found by the fuzzer
    with pytest.raises(RejectedError, match="bad_feed"):
        list(Feed(raw, "https://h.example/feed").recordings(identity="x", by_feed={}, refused={}))
