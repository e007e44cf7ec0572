"""sources: what is listed, under which identity, with which licence."""

import importlib
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, Status, to_table
from speechmill.core.store import Store
from speechmill.sources import Listed, builtin, kind_of, kinds, list_recordings, plain_text
from speechmill.sources.feeds.feed import Feed
from speechmill.sources.licences import spdx_of

from tests.server import ScriptedServer, ok

NAMESPACES = (
    "https://podcastindex.org/namespace/1.0",
    "https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/1.0.md",
)
CC_MODULE = "http://backend.userland.com/creativeCommonsRssModule"


def listing(address: object, *, config: RunConfig | None = None, **values: str) -> list[Listed]:
    config = config or RunConfig()
    return list(list_recordings(Input(address=str(address), **values), config, Store("memory://unused")))


def urls(listed: list[Listed]) -> list[str]:
    return [one.recording.media_url for one in listed]


def feed(channel: str = "", item: str = "", namespace: str = NAMESPACES[0]) -> bytes:
    return f"""<?xml version="1.0"?>
    <rss version="2.0" xmlns:podcast="{namespace}" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"
      xmlns:atom="http://www.w3.org/2005/Atom" xmlns:creativeCommons="{CC_MODULE}"><channel>
      <title>Show</title><language>en-GB</language><itunes:author>Ann Author</itunes:author>{channel}
      <item><title>One</title><guid isPermaLink="false">g1</guid><link>https://example.org/1</link>
        <pubDate>Mon, 05 Jan 2026 09:00:00 +0100</pubDate><itunes:duration>1:02:03</itunes:duration>
        <enclosure url="one.mp3" length="0" type="audio/mpeg"/>{item}</item>
    </channel></rss>""".encode()


def given(licence: str | None) -> dict[str, str]:
    return {"licence": licence, "licence_evidence": "inputs.licence"} if licence else {}


def listed(raw: bytes, url: str = "https://example.org/pod/feed.xml") -> list[Recording]:
    return [one.recording for one in Feed(raw, url).recordings()]


def only(raw: bytes, licence: str | None = None, url: str = "https://example.org/pod/feed.xml") -> Recording:
    (one,) = Feed(raw, url).recordings(by_feed=given(licence))
    return one.recording


def test_listing_the_kinds_imports_none() -> None:
    code = "import sys; from speechmill.sources import kinds; print(kinds()); "
    code += "sys.exit('speechmill.sources.builtin.rss' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert {"local", "rss"} <= set(eval(shown))


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("https://example.org/feed", "rss"),
        ("HTTP://example.org/feed", "rss"),
        ("rss:feed.txt", "rss"),
        ("shows/feed.xml", "rss"),
        ("local:https", "local"),
        ("a:b.mp3", "local"),
        ("folder", "local"),
        ("list.jsonl", "local"),
    ],
)
def test_an_address_tells_its_kind(address: str, kind: str) -> None:
    assert kind_of(address) == kind


def test_an_unknown_kind_is_told_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no such kind of source: gramophone; known: .*local, .*rss"):
        listing("x", kind="gramophone")


@pytest.mark.parametrize("kind", ["archive", "librilight", "librivox", "local", "rss", "ytdlp"])
def test_a_kind_lists_recordings(kind: str) -> None:
    assert callable(importlib.import_module(f"{builtin.__name__}.{kind}").list_recordings)


def test_modules_that_kinds_share_are_no_kinds() -> None:
    assert {"listing", "api", "licences", "demo"}.isdisjoint(kinds())


def test_one_file_adds_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dial.py").write_text(
        "from speechmill.core.records import Recording\n"
        "from speechmill.sources import Listed\n"
        "def list_recordings(source, config, store):\n"
        "    yield Listed(recording=Recording(recording_id='1', source='dial', media_url=source.address))\n"
    )
    monkeypatch.setattr(builtin, "__path__", [*builtin.__path__, str(tmp_path)])
    assert "dial" in kinds()
    assert urls(listing("dial:12345")) == ["dial:12345"]


def test_a_folder_is_listed_in_order_without_what_is_no_media(tmp_path: Path) -> None:
    for name in ("b.mp3", "a/2.FLAC", "a/10.wav", "notes.txt", ".hidden.mp3", ".git/x.mp3", "c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = [one for one in listing(tmp_path) if one.recording.status is Status.OK]
    assert urls(listed) == ["b.mp3", "c.mp4", "a/10.wav", "a/2.FLAC"]
    assert [one.media_path for one in listed] == [str(tmp_path / url) for url in urls(listed)]


def test_ids_do_not_depend_on_where_the_folder_is(tmp_path: Path) -> None:
    for root in ("x", "y"):
        (tmp_path / root / "book").mkdir(parents=True)
        (tmp_path / root / "book" / "1.mp3").touch()
    first, second = listing(tmp_path / "x"), listing(tmp_path / "y")
    assert first[0].recording == second[0].recording
    assert first[0].media_path != second[0].media_path


def test_a_single_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "speech").touch()
    (one,) = listing(tmp_path / "speech")
    assert (one.recording.media_url, one.media_path) == ("speech", str(tmp_path / "speech"))


def test_a_glob_lists_as_its_folder_would(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/1.mp3", "a/2.mp3", "a/2.wav"):
        (tmp_path / name).touch()
    of_folder = {one.recording.recording_id for one in listing(tmp_path)}
    of_glob = listing(tmp_path / "**" / "*.mp3")
    assert urls(of_glob) == ["a/1.mp3", "a/2.mp3"]
    assert {one.recording.recording_id for one in of_glob} < of_folder


def test_a_link_to_its_own_folder_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.mp3").touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert urls(listing(tmp_path)) == ["a/1.mp3"]


@pytest.mark.parametrize("address", ["absent", "absent/*.mp3", "absent.jsonl", "rss:absent.xml", "a\0b"])
def test_nothing_there_is_a_config_error(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^inputs: no .*; give "):
        list_recordings(Input(address=address), RunConfig(), Store("memory://unused"))


def test_a_local_licence_is_the_inputs_else_the_configs(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert listing(tmp_path)[0].recording.licence == "LicenseRef-local"
    stated = listing(tmp_path, licence="CC-BY-4.0")[0].recording
    assert (stated.licence, stated.licence_evidence) == ("CC-BY-4.0", "inputs.licence")


def test_a_manifest_names_files_and_urls(tmp_path: Path) -> None:
    lines = [
        {"path": "a/1.flac", "title": " One\n\u0007 two ", "language": "en", "published": "2026-01-05T09:00:00+01:00"},
        {"audio_filepath": str(tmp_path / "2.flac"), "duration": 3, "licence": "CC0-1.0", "licence_url": "https://l"},
        {"url": "https://example.org/3.mp3"},
        {"url": "https://example.org/4.mp3", "licence": "CC-BY-4.0", "language": "<b>", "published": "once"},
    ]
    (tmp_path / "list.jsonl").write_text("\n\n".join(json.dumps(line) for line in lines))
    one, two, three, four = listing(tmp_path / "list.jsonl")
    assert urls([one, two, three, four]) == [
        "a/1.flac",
        "2.flac",
        "https://example.org/3.mp3",
        "https://example.org/4.mp3",
    ]
    assert one.media_path == str(tmp_path / "a/1.flac")
    assert (one.recording.title, one.recording.published) == ("One two", "2026-01-05T08:00:00Z")
    assert (two.recording.licence, two.recording.licence_url) == ("CC0-1.0", "https://l")
    assert (three.media_path, three.recording.licence) == (None, "unknown")
    assert (four.recording.licence, four.recording.language, four.recording.published) == ("CC-BY-4.0", None, None)


def test_a_bad_manifest_line_costs_one_row(tmp_path: Path) -> None:
    bad = ["{", "[]", "{}", '{"path": 3}', '{"path": ""}', '{"path": "\\u0000"}', '{"path": "\\ud800"}', "[" * 100_000]
    lines = [b'{"path": "1.wav"}', *(line.encode() for line in bad), b"\xff\xfe", b'{"path": "2.wav"}']
    (tmp_path / "list.jsonl").write_bytes(b"\n".join(lines))
    listed = listing(tmp_path / "list.jsonl")
    rows = [one.recording for one in listed]
    assert [row.status for row in rows] == [Status.OK, *[Status.FAILED] * (len(bad) + 1), Status.OK]
    assert {row.reason for row in rows[1:-1]} == {Reason.BAD_FEED}
    assert [row.reason_detail.split(":")[0] for row in rows[1:-1]] == [f"line {n}" for n in range(2, len(bad) + 3)]
    assert len({row.recording_id for row in rows}) == len(rows)
    to_table(rows)


def test_listed_recordings_travel_between_processes(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (one,) = listing(tmp_path)
    assert pickle.loads(pickle.dumps(one)) == one


def test_an_episode_carries_what_the_feed_says() -> None:
    got = only(feed(item="<podcast:person>Bea</podcast:person><podcast:person role='guest'>Cy</podcast:person>"))
    assert got.media_url == "https://example.org/pod/one.mp3"
    assert (got.source, got.guid, got.title, got.author) == ("rss", "g1", "One", "Ann Author")
    assert (got.page_url, got.language) == ("https://example.org/1", "en-GB")
    assert (got.published, got.declared_duration_s) == ("2026-01-05T08:00:00Z", 3723.0)
    assert got.persons == ("Bea", "Cy")


def test_an_atom_feed_is_a_feed() -> None:
    got = only(
        b'<feed xmlns="http://www.w3.org/2005/Atom"><title>T</title><entry><id>tag:1</id><title>One</title>'
        b'<updated>2026-01-05T08:00:00Z</updated><link rel="license" href="https://creativecommons.org/licenses/by/4.0/"/>'
        b'<link rel="enclosure" href="https://example.org/1.opus" type="audio/opus"/></entry></feed>'
    )
    assert (got.guid, got.media_url, got.licence) == ("tag:1", "https://example.org/1.opus", "CC-BY-4.0")
    assert got.licence_evidence == "link rel=license of the item"
    assert got.published == "2026-01-05T08:00:00Z"


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_the_podcast_guid_outlives_a_move_of_the_feed(namespace: str) -> None:
    raw = feed("<podcast:guid>c0ffee</podcast:guid>", namespace=namespace)
    ids = {only(raw, url=url).recording_id for url in ("https://a.example/feed", "https://b.example/feed")}
    assert len(ids) == 1
    without = {only(feed(), url=url).recording_id for url in ("https://a.example/feed", "https://b.example/feed")}
    assert len(without) == 2


LICENCES = [
    ("", "", None, "unknown", None),
    ("", "", "CC0-1.0", "CC0-1.0", "inputs.licence"),
    ("<podcast:license>cc-by-4.0</podcast:license>", "", "CC0-1.0", "CC-BY-4.0", "podcast:license of the channel"),
    (
        "<podcast:license>cc-by-4.0</podcast:license>",
        '<podcast:license url="https://l.example">cc-by-nc-nd-4.0</podcast:license>',
        None,
        "CC-BY-NC-ND-4.0",
        "podcast:license of the item",
    ),
    (
        "<podcast:license>cc-by-4.0</podcast:license>",
        "<podcast:license>all-mine</podcast:license>",
        "CC0-1.0",
        "unknown",
        "podcast:license of the item: all-mine",
    ),
    (
        "<creativeCommons:license>http://creativecommons.org/licenses/by-sa/3.0/</creativeCommons:license>",
        "",
        None,
        "CC-BY-SA-3.0",
        "license of the channel",
    ),
    (
        "",
        '<atom:link rel="license" href="https://creativecommons.org/publicdomain/zero/1.0/"/>',
        None,
        "CC0-1.0",
        "link rel=license of the item",
    ),
]


@pytest.mark.parametrize(("channel", "item", "given", "licence", "evidence"), LICENCES)
def test_the_nearest_statement_of_a_licence_counts(
    channel: str, item: str, given: str | None, licence: str, evidence: str | None
) -> None:
    got = only(feed(channel, item), given)
    assert (got.licence, got.licence_evidence) == (licence, evidence)


@pytest.mark.parametrize("broken", ["<b>", "&nbsp;", "<podcast:x><item/></podcast:x>"])
def test_where_statements_cannot_be_matched_the_licence_is_unknown(broken: str) -> None:
    got = list(
        Feed(feed(f"<podcast:license>cc-by-4.0</podcast:license>{broken}"), "https://e.org/").recordings(
            by_feed=given("CC0-1.0")
        )
    )
    assert got[-1].recording.licence in ("unknown", "CC-BY-4.0")
    assert got[-1].recording.licence != "CC0-1.0"


@pytest.mark.parametrize(
    ("text", "spdx"),
    [
        ("cc0-1.0", "CC0-1.0"),
        ("CC-BY-NC-SA-4.0", "CC-BY-NC-SA-4.0"),
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("http://www.creativecommons.org/licenses/by-nc-nd/3.0/deed.en", "CC-BY-NC-ND-3.0"),
        ("http://creativecommons.org/licenses/by-nd-nc/1.0", "CC-BY-NC-ND-1.0"),
        ("https://creativecommons.org/licenses/by-sa/3.0/de/", "LicenseRef-CC-BY-SA-3.0-DE"),
        ("https://creativecommons.org/publicdomain/zero/1.0/legalcode", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("https://creativecommons.org/", None),
        ("https://creativecommons.org.evil.example/licenses/by/4.0/", None),
        ("https://evil.example/?creativecommons.org/licenses/by/4.0/", None),
        ("all rights reserved", None),
        (None, None),
    ],
)
def test_spdx_ids_of_slugs_and_addresses(text: str | None, spdx: str | None) -> None:
    assert spdx_of(text) == spdx


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("90", 90.0), ("1:30", 90.0), ("01:00:00", 3600.0), ("12.5", 12.5), ("0", None), ("", None), ("long", None)],
)
def test_durations(value: str, seconds: float | None) -> None:
    item = f"<item><guid>g</guid><itunes:duration>{value}</itunes:duration><enclosure url='x.mp3'/></item>"
    rss = (
        f'<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel>{item}</channel></rss>'
    )
    assert only(rss.encode()).declared_duration_s == seconds


def test_items_without_audio_are_left_out_and_counted_in_a_row() -> None:
    raw = feed().replace(b"<item>", b"<item><guid>text</guid><title>A text</title></item><item>", 1)
    one, others = listed(raw)
    assert one.guid == "g1"
    assert (others.status, others.reason) == (Status.LEFT_OUT, Reason.NO_ENCLOSURE)
    assert others.reason_detail == "items without one: 1"


PICTURE = "<media:content url='one.jpg' type='image/jpeg' medium='image'/>"


@pytest.mark.parametrize(
    ("media", "found"),
    [
        ('<media:content url="one.mp3" type="audio/mpeg"/>', True),
        ('<media:content url="one.mp3" medium="audio"/>', True),
        (f"<media:group>{PICTURE}<media:content url='one.mp3' type='audio/x'/></media:group>", True),
        (PICTURE, False),
    ],
)
def test_an_item_may_have_its_sound_in_media_rss(media: str, found: bool) -> None:
    raw = re.sub(rb"<enclosure[^>]*>(?:</enclosure>)?", media.encode(), feed(), count=1)
    raw = raw.replace(b"<rss ", b'<rss xmlns:media="http://search.yahoo.com/mrss/" ', 1)
    one = listed(raw)[0]
    assert (one.reason is Reason.NO_ENCLOSURE) is not found
    assert (one.media_url or "").endswith("/one.mp3") is found


def test_of_several_enclosures_the_audio_counts() -> None:
    raw = feed().replace(b"<enclosure", b'<enclosure url="cover.jpg" type="image/jpeg"/><enclosure', 1)
    assert only(raw).media_url.endswith("/one.mp3")


def test_hostile_text_is_one_line_of_bounded_length() -> None:
    raw = feed().replace(b"<title>One", b"<title>" + b"A &#x202e;\n &lt;script&gt; " + b"x" * 50_000, 1)
    title = only(raw).title
    assert title.startswith("A <script> xxx")
    assert len(title) == 10_000


def test_plain_text() -> None:
    assert plain_text("a\x00b\x1b[31m \t\r\n c\ud800\ufeff") == "ab[31m c"
    assert plain_text("👩‍🎤 naïve") == "👩‍🎤 naïve"
    assert [plain_text(value) for value in ("", " \n\x00", None, 3)] == [None] * 4


def test_a_javascript_page_is_no_page() -> None:
    assert only(feed().replace(b"https://example.org/1<", b"javascript:alert(1)<")).page_url is None


def test_a_feed_comes_from_a_file_or_a_server(tmp_path: Path, server: ScriptedServer) -> None:
    (tmp_path / "show.txt").write_bytes(feed())
    config = RunConfig.model_validate({"fetch": {"allow_hosts": [server.host], "retries": 0}})
    store = Store(str(tmp_path / "corpus"))
    url = server.script("/feed", ok(feed()))
    (of_file,) = list_recordings(Input(address=f"rss:{tmp_path}/show.txt"), config, store)
    (of_server,) = list_recordings(Input(address=url), config, store)
    assert of_file.recording.media_url == "one.mp3"
    assert of_server.recording.media_url == server.url("/one.mp3")
    assert of_server.recording.feed_url == url


def test_a_feed_that_is_not_there_is_rejected(tmp_path: Path, server: ScriptedServer) -> None:
    config = RunConfig.model_validate({"fetch": {"allow_hosts": [server.host]}})
    with pytest.raises(RejectedError) as caught:
        list(list_recordings(Input(address=server.url("/none")), config, Store(str(tmp_path))))
    assert caught.value.reason == Reason.NOT_FOUND


def test_what_lies_beside_a_file_is_about_it(tmp_path: Path) -> None:
    for name in ("talk.mp3", "talk.srt", "talk.txt", "other.vtt", "bare.mp3", "odd.wav"):
        (tmp_path / name).touch()
    about = {
        "title": "A talk",
        "author": "Ann",
        "language": "en",
        "license": "https://creativecommons.org/licenses/by/4.0/",
    }
    (tmp_path / "talk.json").write_text(json.dumps(about))
    (tmp_path / "odd.json").write_text("{")
    bare, odd, other, talk = (one.recording for one in listing(tmp_path))
    assert (other.media_url, other.status) == ("other.vtt", Status.LEFT_OUT)
    assert [(one.url, one.type) for one in talk.attachments] == [
        ("talk.srt", "application/x-subrip"),
        ("talk.txt", "text/plain"),
    ]
    assert {one.language for one in talk.attachments} == {"en"}
    assert (talk.title, talk.author, talk.licence) == ("A talk", "Ann", "CC-BY-4.0")
    assert talk.licence_evidence == "JSON file beside it"
    assert (bare.attachments, bare.licence) == ((), "LicenseRef-local")
    assert (odd.title, odd.attachments) == ("odd", ())


@pytest.mark.parametrize(
    ("told", "licence"),
    [("CC0-1.0", "CC0-1.0"), ("LicenseRef-mine", "LicenseRef-mine"), ("all rights reserved", "unknown")],
)
def test_the_licence_in_a_file_beside_is_one_or_unknown(tmp_path: Path, told: str, licence: str) -> None:
    (tmp_path / "talk.mp3").touch()
    (tmp_path / "talk.json").write_text(json.dumps({"licence": told}))
    (got,) = (one.recording for one in listing(tmp_path, licence="MIT"))
    assert (got.licence, got.licence_evidence.startswith("JSON file beside it")) == (licence, True)
    (tmp_path / "list.jsonl").write_text(json.dumps({"path": "talk.mp3", "licence": "CC-BY-4.0"}))
    (got,) = (one.recording for one in listing(tmp_path / "list.jsonl"))
    assert (got.licence, got.licence_evidence) == ("CC-BY-4.0", "manifest")  # the line is about this very corpus


def test_a_transcript_in_json_is_one(tmp_path: Path) -> None:
    (tmp_path / "talk.mp3").touch()
    (tmp_path / "talk.json").write_text(json.dumps({"language": "de", "segments": [{"start": 0, "text": "Hallo."}]}))
    (got,) = (one.recording for one in listing(tmp_path))
    assert [(one.url, one.type, one.language) for one in got.attachments] == [("talk.json", "application/json", "de")]


def test_librispeech_is_its_utterances_with_speaker_and_transcript(tmp_path: Path) -> None:
    folder = tmp_path / "LibriSpeech" / "dev-clean" / "1272" / "128104"
    folder.mkdir(parents=True)
    for number in (1, 0):
        (folder / f"1272-128104-000{number}.flac").touch()
    (folder / "1272-128104.trans.txt").write_text("1272-128104-0000 MISTER QUILTER\n1272-128104-0001 NOR IS\n")
    first, _ = listed = listing(f"librilight:{tmp_path}")
    assert [one.recording.title for one in listed] == ["1272-128104-0000", "1272-128104-0001"]
    got = first.recording
    assert (got.persons, got.licence, got.language) == (("LibriVox reader 1272",), "CC-BY-4.0", "en")
    assert got.attachments[0].url == "1272-128104.trans.txt"
    assert first.media_path == str(folder / "1272-128104-0000.flac")
    of_part = listing(f"librilight:{tmp_path}/LibriSpeech/dev-clean")
    assert [one.recording.recording_id for one in of_part] == [one.recording.recording_id for one in listed]


@pytest.mark.parametrize("told", [None, "[]", "{", '{"book_meta": 3, "speaker": "100"}'])
def test_librilight_is_its_recordings_whatever_is_beside_them(tmp_path: Path, told: str | None) -> None:
    folder = tmp_path / "small" / "100" / "emma"
    folder.mkdir(parents=True)
    (folder / "emma_01.flac").touch()
    if told:
        (folder / "emma_01.json").write_text(told)
    (got,) = (one.recording for one in listing(f"librilight:{tmp_path}"))
    assert (got.title, got.licence) == ("emma_01", "CC-PDDC")
    assert got.persons == (("LibriVox reader 100",) if told and "100" in told else ())


def test_librilight_tells_of_the_book(tmp_path: Path) -> None:
    (tmp_path / "emma_01.flac").touch()
    book = {"title": "Emma", "authors": [{"first_name": "Jane", "last_name": "Austen"}], "language": "English"}
    about = {"speaker": "100", "book_meta": book | {"url_text_source": "https://www.gutenberg.org/etext/158"}}
    (tmp_path / "emma_01.json").write_text(json.dumps(about))
    (got,) = (one.recording for one in listing(f"librilight:{tmp_path}"))
    assert (got.title, got.author, got.language) == ("Emma – emma_01", "Jane Austen", "en")
    assert got.attachments[0].kind == "text"


def test_a_libri_folder_that_is_not_there_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"^inputs: no such folder"):
        listing("librilight:/nowhere")
