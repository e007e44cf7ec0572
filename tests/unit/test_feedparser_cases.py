"""Every feed of feedparser's own tests is read, and the well-formed ones say to us what their comments say they do.

A comment states an expression of Python over the feed. It is taken apart by `ast`, and only what such expressions are
made of is worked out: nothing of it is run. What we mean to do otherwise is a category, with its reason and a count.
"""

import ast
import calendar
import datetime
import io
import itertools
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import feedparser
import pytest
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError, to_table
from speechmill.sources import language_tag, plain_text
from speechmill.sources.feeds.encodings import in_utf8
from speechmill.sources.feeds.feed import Feed
from speechmill.sources.feeds.items import standard_fields

pytestmark = pytest.mark.shared_data
FILES = 1829
SERVER = "http://127.0.0.1:8097/"  # where some of the cases were served
USED = {  # what our recordings, and how we know them, are made of
    *(("entries", key) for key in ("title", "link", "links", "id", "guid", "guidislink", "author", "enclosures")),
    *(("entries", key) for key in ("published", "published_parsed", "updated", "updated_parsed", "license")),
    *(("feed", key) for key in ("title", "link", "links", "author", "language", "license")),
    ("entries", "itunes_duration"), ("version",), ("bozo",),
}  # fmt: skip
OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Is: operator.is_, ast.Add: operator.add,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
NOT_THERE = (KeyError, IndexError, TypeError, AttributeError)

HOLDS, OTHERS_HOLD = "holds, of fields that recordings are made of", "holds, of other fields"
ILL_FORMED = "ill-formed, and stated to be so: it only must not crash"
HTML = "HTML is neither made safe nor its addresses absolute, because text is escaped where it is shown"
HEADERS = "HTTP headers are not heard, because feeds are read from a cache and say themselves what they are"
ENTITIES = "a feed that declares entities is refused (fault 27)"
CDF = "CDF is no format of podcasts"
FEEDPARSER = "feedparser itself, in the version that we use, does not read it so with any options"
REFUSED = {"declares entities": ENTITIES, "its root is <CHANNEL>": CDF}
OTHERWISE = {HTML: {"html": True}, HEADERS: {"html": True, "headers": True}}
SENT = {("etag",), ("modified",), ("modified_parsed",)}  # known only to who fetches


@dataclass(frozen=True)
class Case:
    """A file, what its comment states, and where it was found."""

    name: str
    raw: bytes
    expected: list[ast.expr]
    headers: dict[str, str]

    @property
    def url(self) -> str:
        place = self.headers.get("content-location", "")
        is_served = self.headers or any(SERVER in ast.unparse(one) for one in self.expected)
        return place if re.match("https?://", place) else SERVER if is_served else "feed.xml"

    @property
    def is_ill_formed(self) -> bool:
        return any(isinstance(one, ast.Name) and one.id == "bozo" for one in self.expected)


def case_of(path: Path) -> Case:
    raw = path.read_bytes()
    comment = re.search("<!--(.*?)-->", (in_utf8(raw) or raw).decode("utf-8", "replace"), re.DOTALL)[1]
    stated = ast.parse(re.search(r"Expect:\s*(.*)", comment)[1].strip(), mode="eval").body
    is_several = isinstance(stated, ast.BoolOp) and isinstance(stated.op, ast.And)
    headers = {name.lower(): value.strip() for name, value in re.findall(r"Header:\s*([\w-]+):\s*(.*)", comment)}
    return Case(path.name, raw, stated.values if is_several else [stated], headers)


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> list[Case]:
    return [case_of(path) for path in sorted((shared_data / "feeds" / "feedparser").iterdir())]


def value(node: ast.AST, names: dict[str, Any]) -> Any:
    """Work out an expression over `names`."""

    def of(*nodes: ast.AST) -> list[Any]:
        return [value(one, names) for one in nodes]

    match node:
        case ast.Constant(found):
            return found
        case ast.Name(name):
            return names[name]
        case ast.Attribute(whole, key):
            return of(whole)[0][key]
        case ast.Subscript(whole, key):
            return operator.getitem(*of(whole, key))
        case ast.Tuple(parts):
            return tuple(of(*parts))
        case ast.Dict(keys, parts):
            return dict(zip(of(*keys), of(*parts), strict=True))
        case ast.UnaryOp(ast.Not(), one):
            return not of(one)[0]
        case ast.UnaryOp(ast.USub(), one):
            return -of(one)[0]
        case ast.BoolOp(sign, parts):
            return (all if isinstance(sign, ast.And) else any)(of(*parts))
        case ast.BinOp(left, ast.Add(), right):
            return operator.add(*of(left, right))
        case ast.Compare(left, signs, rest):
            found = of(left, *rest)
            return all(OPERATORS[type(sign)](*pair) for sign, pair in zip(signs, itertools.pairwise(found)))
        case ast.Call(ast.Name("len" | "ord" as name), [one]):
            return {"len": len, "ord": ord}[name](of(one)[0])
        case ast.Call(ast.Name("locals"), []):
            return names
        case ast.Call(ast.Attribute(ast.Name("datetime"), "timedelta"), arguments):
            return datetime.timedelta(*of(*arguments))
        case ast.Call(ast.Attribute(whole, "get"), [key, *otherwise]):
            return of(whole)[0].get(*of(key, *otherwise))
        case ast.Call(ast.Attribute(whole, "has_key"), [key]):
            return operator.contains(*of(whole, key))
    raise AssertionError(f"no case is made of {ast.unparse(node)}")


def holds(statement: ast.expr, names: dict[str, Any]) -> bool:
    try:
        return bool(value(statement, names))
    except NOT_THERE:
        return False


def fields(node: ast.AST) -> set[tuple[str, ...]]:
    """What an expression is about: ("entries", "title"), ("feed", "language"), ("bozo",)."""
    path = path_of(node)
    if path and path[0] != "datetime":
        return {tuple(key for key in path[:3] if isinstance(key, str))[:2]}
    return {field for child in ast.iter_child_nodes(node) for field in fields(child)}


def path_of(node: ast.AST) -> list[Any] | None:
    """The keys that lead to what is named: ["entries", 0, "title"]; None for another expression."""
    match node:
        case ast.Name(name):
            return [name]
        case ast.Attribute(whole, key) | ast.Subscript(whole, ast.Constant(key)):
            before = path_of(whole)
            return before and [*before, *([] if key in ("get", "has_key") else [key])]
    return None


def by_our_reader(case: Case) -> dict[str, Any]:
    """What we read of the fields that we use: slice by slice, without long texts."""
    feed = Feed(case.raw, case.url)
    broken = [one.document for one in feed._parts.broken]
    head, *slices = (standard_fields(part, case.url) for part in (feed._parts.head, *feed._parts.slices, *broken))
    entries = [*head.entries, *(entry for one in slices for entry in one.entries)]
    return {"feed": head.feed, "entries": entries, "version": head.version, "bozo": not feed._parts.is_xml}


def by_feedparser(case: Case, *, html: bool = False, headers: bool = False) -> dict[str, Any]:
    """What feedparser reads of the whole with our options, or with those that we do not take."""
    if not html and not headers:
        return standard_fields(case.raw, case.url) | {"bozo": False}
    told = {"content-type": "application/xml", "content-location": case.url if "://" in case.url else ""}
    if headers:
        told |= case.headers | {"content-location": urljoin(SERVER, case.headers.get("content-location", ""))}
    given = io.BytesIO(case.raw)
    return feedparser.parse(given, response_headers=told, sanitize_html=html, resolve_relative_uris=html)


def category(case: Case) -> str:
    """What became of a case; a failure has no category but its name."""
    if case.is_ill_formed:
        return ILL_FORMED
    about = {field for one in case.expected for field in fields(one)} - {("bozo",)}
    try:
        ours = by_our_reader(case)
    except RejectedError as refusal:
        return next((why for word, why in REFUSED.items() if word in refusal.detail), case.name)
    if all(holds(one, ours if fields(one) <= USED else by_feedparser(case)) for one in case.expected):
        return HOLDS if about & USED or not about else OTHERS_HOLD
    if about & SENT:
        return HEADERS
    for reason, options in OTHERWISE.items():
        if all(holds(one, by_feedparser(case, **options)) for one in case.expected):
            return reason
    return FEEDPARSER


def test_every_case_holds_or_is_in_a_category_with_a_reason(cases: list[Case]) -> None:
    found = Counter(category(case) for case in cases)
    expected = {
        HOLDS: 249,
        OTHERS_HOLD: 962,
        ILL_FORMED: 20,
        HTML: 534,
        HEADERS: 38,
        ENTITIES: 1,
        CDF: 15,
        FEEDPARSER: 10,
    }
    assert found == expected
    assert found.total() == len(cases) == FILES


def test_nothing_raises_but_rejected(shared_data: Path) -> None:
    read = refused = 0
    for path in sorted(path for path in (shared_data / "feeds").rglob("*") if path.is_file()):
        try:
            to_table(one.recording for one in Feed(path.read_bytes(), "https://example.org/feed").recordings())
            read += 1
        except RejectedError as error:
            assert error.reason == Reason.BAD_FEED
            refused += 1
    assert (read, refused) == (1813, 24)  # 15 in CDF, 7 that are no feeds, one of no bytes, one with entities


def test_slices_say_what_the_whole_says(cases: list[Case]) -> None:
    entries = 0
    for case in cases:
        try:
            ours = by_our_reader(case)
        except RejectedError:
            continue
        whole = by_feedparser(case)
        if case.is_ill_formed:  # of bytes that are wrong in their encoding we read more
            assert len(ours["entries"]) == len(whole["entries"]), case.name
            entries += len(whole["entries"])
            continue
        assert told("feed", ours["feed"]) == told("feed", whole["feed"]), case.name
        assert [told("entries", one) for one in ours["entries"]] == [
            told("entries", one) for one in whole["entries"]
        ], case.name
        entries += len(whole["entries"])
    assert entries == 1188


def told(of: str, found: dict[str, Any]) -> dict[str, Any]:
    return {
        key: found[key] for where, key in (field for field in USED if len(field) == 2) if where == of and key in found
    }


AUDIO = rb'<enclosure url="https://media.example/%d.mp3" type="audio/mpeg"/>'
ITEM_END, CHANNEL_END = re.compile(rb"</((?:\w+:)?(?:item|entry))>"), re.compile(rb"</((?:\w+:)?(?:channel|feed))>")


def with_audio(raw: bytes, *, of_feed: bool) -> bytes:
    """The same feed with an enclosure in each item, or with an item that says nothing else."""
    comment, sign, feed = (in_utf8(raw) or raw).partition(b"-->")
    numbers = itertools.count(1)
    if of_feed:
        return comment + sign + CHANNEL_END.sub(rb"<item>" + AUDIO % 0 + rb"</item></\1>", feed)
    return comment + sign + ITEM_END.sub(lambda end: AUDIO % next(numbers) + end[0], feed)


def stated(case: Case) -> Iterator[tuple[tuple[str, ...], int, Any]]:
    """What a case states about single fields: the field, for an item its number, and what it is."""
    for one in case.expected:
        match one:
            case ast.Compare(left, [ast.Eq()], [ast.Constant() | ast.Tuple() as right]) if keys := path_of(left):
                number = next((key for key in keys if isinstance(key, int)), -1)
                yield tuple(key for key in keys if isinstance(key, str)), number, value(right, {})


def utc(moment: tuple[int, ...]) -> str:
    return datetime.datetime.fromtimestamp(calendar.timegm(moment), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


FIELDS: dict[tuple[str, ...], tuple[str, Callable[[Any], Any]]] = {  # of a recording, and what we make of the value
    ("entries", "title"): ("title", plain_text),
    ("entries", "id"): ("guid", plain_text),
    ("entries", "guid"): ("guid", plain_text),
    ("entries", "link"): ("page_url", lambda url: url if url.startswith("http") else None),
    ("entries", "author"): ("author", plain_text),
    ("entries", "published_parsed"): ("published", utc),
    ("entries", "updated_parsed"): ("published", utc),
    ("entries", "license"): ("licence_url", plain_text),
    ("entries", "enclosures", "url"): ("media_url", plain_text),
    ("entries", "enclosures", "href"): ("media_url", plain_text),
    ("entries", "itunes_duration"): ("declared_duration_s", {"3:00": 180.0}.get),
    ("feed", "author"): ("author", plain_text),
    ("feed", "language"): ("language", language_tag),
}


def test_recordings_have_what_is_stated(cases: list[Case]) -> None:
    found: Counter[str] = Counter()
    for case in cases:
        told = [one for one in stated(case) if one[0] in FIELDS] if category(case) == HOLDS else []
        for field, number, expected in told:
            name, meant = FIELDS[field]
            raw = case.raw if name == "media_url" else with_audio(case.raw, of_feed=field[0] == "feed")
            recording = [one.recording for one in Feed(raw, case.url).recordings()][number]
            assert getattr(recording, name) == meant(expected), case.name
            found[name] += 1
    assert found == {
        "title": 26, "guid": 16, "page_url": 15, "author": 16, "published": 10, "language": 9, "media_url": 2,
        "licence_url": 2, "declared_duration_s": 1,
    }  # fmt: skip


def attributes(text: str, name: str, attribute: str) -> list[str]:
    return re.findall(rf'<podcast:{name}\b[^>]*\b{attribute}="([^"]*)"', text)


def test_the_example_of_the_podcast_namespace_loses_nothing(shared_data: Path) -> None:
    text = (shared_data / "feeds" / "podcast_namespace" / "example.xml").read_text(encoding="utf-8")
    head, *items = re.split(r"<item>", text)
    got = [one.recording for one in Feed(text.encode(), "https://example.com/feed").recordings(identity="given")]
    for recording, item in zip(got, items, strict=True):
        assert recording.persons == tuple(re.findall(r"<podcast:person[^>]*>([^<]*)<", item))
        assert len(recording.persons) == 3
        kinds = [(one.kind, one.url, one.type, one.language) for one in recording.attachments]
        transcripts = re.findall(r'<podcast:transcript url="(.*?)" type="(.*?)"(?: language="(.*?)")?', item)
        chapters = zip(attributes(item, "chapters", "url"), attributes(item, "chapters", "type"), strict=True)
        assert kinds == [*(("transcript", url, kind, language or None) for url, kind, language in transcripts),
                         *(("chapters", url, kind, None) for url, kind in chapters)]  # fmt: skip
        assert {recording.media_url, *recording.alternates} == set(attributes(item, "source", "uri"))
        assert recording.guid == re.search(r"<guid[^>]*>([^<]*)<", item)[1]
    assert [len(one.attachments) for one in got] == [3, 2, 2]
    (licence,) = attributes(head, "license", "url")
    assert {(one.licence, one.licence_url) for one in got} == {("unknown", licence)}
    assert {one.reason for one in got} == {Reason.OPTED_OUT}  # podcast:block for all but two services
    guid = re.search("<podcast:guid>(.*?)<", head)[1]
    again = Feed(text.replace(guid, "another").encode(), "https://example.com/feed").recordings(identity="given")
    moved = Feed(text.encode(), "https://example.org/moved").recordings()
    ids = [one.recording_id for one in got]
    assert ids == [one.recording.recording_id for one in moved]
    assert not {one.recording.recording_id for one in again} & set(ids)


def test_the_elements_of_its_schema_are_all_read(shared_data: Path) -> None:
    text = (shared_data / "feeds" / "podcast_namespace" / "docs__schema__podcast-example.xml").read_text("utf-8")
    inside = re.search(r"<test-wrapper[^>]*>(.*)</test-wrapper>", text, re.DOTALL)[1]
    (got,) = Feed(
        f'<rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0"><channel><item>{inside}'
        '<enclosure url="a.mp3"/></item></channel></rss>'.encode(), "feed",
    ).recordings()  # fmt: skip
    persons = dict.fromkeys(re.findall(r"<podcast:person[^>]*>([^<]*)<", inside))
    assert got.recording.persons == tuple(persons) == ("Becky Smith", "Adam Curry", "Dave Jones")
    urls = [*attributes(inside, "transcript", "url"), *attributes(inside, "chapters", "url")]
    assert [one.url for one in got.recording.attachments] == urls
    assert len(urls) == 4
