"""Whatever lies in an input is a recording or has a row that says why not; what lies beside one is its own."""

import codecs
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import speechmill.sources
from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.filenames import from_readable, readable
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, Status, to_table
from speechmill.core.store import Store
from speechmill.sources import Listed, list_recordings
from speechmill.sources.files.probe import SUFFIXES, verdict

from tests.media import encode, tone, wav

MP3 = encode("mp3", "libmp3lame", tone(440, 1.0))


def listing(address: object, *more: object, **values: str) -> list[Listed]:
    config = RunConfig(inputs=tuple(Input(address=str(one)) for one in (address, *more)))
    store = Store("memory://unused")
    listed = []
    try:
        listed.extend(list_recordings(Input(address=str(address), **values), config, store))
    except RejectedError as error:
        assert error.reason is Reason.EMPTY
        assert not [one for one in listed if one.recording.status is not Status.LEFT_OUT]
    to_table(one.recording for one in listed)
    return listed


def taken(address: object, *more: object) -> list[str]:
    return [one.recording.media_url for one in listing(address, *more) if one.recording.status is Status.OK]


def left_out(address: object, *more: object) -> dict[str, tuple[str | None, str]]:
    rows = [one.recording for one in listing(address, *more) if one.recording.status is Status.LEFT_OUT]
    return {row.media_url: (row.reason, row.reason_detail or "") for row in rows}


# --- what is a recording ---


@pytest.mark.parametrize("name", [
    "talk.weba", "ep1.mp3?token=abc", "episode2", "ep4.mpga", "TALK.MPGA", "ep5.mp3 ", "ep6.mp3.", "ep7.bin", "Dr. Who",
    "ep8.txt", "-ep9", "ep10.mp3~", "\u200bep11", "x" * 200,
])  # fmt: skip
@pytest.mark.parametrize(
    "sound", [MP3, wav(tone(440, 1.0))[:200], encode("adts", "aac", tone(440, 1.0)), b"\0" * 9000 + MP3]
)
def test_a_file_is_taken_for_what_is_in_it_whatever_its_name(tmp_path: Path, name: str, sound: bytes) -> None:
    (tmp_path / name).write_bytes(sound)
    assert taken(tmp_path) == taken(tmp_path / name) == [name]
    assert not left_out(tmp_path)


@pytest.mark.parametrize(("container", "codec"), [
    ("mp3", "libmp3lame"), ("mp2", "mp2"), ("adts", "aac"), ("ac3", "ac3"), ("flac", "flac"), ("ogg", "libopus"),
    ("ogg", "vorbis"), ("webm", "libopus"), ("matroska", "aac"), ("mp4", "aac"), ("mov", "aac"),
    ("wav", "pcm_s16le"), ("w64", "pcm_s16le"), ("aiff", "pcm_s16be"), ("au", "pcm_s16be"), ("caf", "pcm_s16le"),
    ("wv", "wavpack"), ("tta", "tta"), ("avi", "mp3"), ("asf", "mp3"), ("mpegts", "mp2"), ("flv", "mp3"),
    ("voc", "pcm_u8"), ("rm", "ac3"), ("mpeg", "mp2"),
])  # fmt: skip
def test_every_container_is_known_by_its_first_bytes(container: str, codec: str) -> None:
    sound = encode(container, codec, tone(440, 3.0, 48_000), 48_000, channels=2)
    assert verdict(sound[:65_536]) is None


@pytest.mark.parametrize(("name", "content", "reason", "word"), [
    ("cover.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 99, "not_audio", "picture"),
    ("cover", b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "not_audio", "picture"),
    ("x.heic", b"\0\0\0\x18ftypheic\0\0\0\0", "not_audio", "picture"),
    ("notes.txt", b"MAC addresses and ID3 tags, BM and GIF", "not_audio", "text"),
    ("notes.md", "Fran\u00e7ois".encode("latin-1"), "not_audio", "text"),
    ("wide.txt", codecs.BOM_UTF16_LE + "Wide".encode("utf-16-le"), "not_audio", "text"),
    ("nothing", b"", "empty", "no bytes"),
    ("odd.bin", bytes(range(256)), "not_audio", "like nothing that is known"),
    ("all.zip", b"PK\x03\x04" + b"\0" * 99, "needs_tool", "unpack it"),
    ("all.rar", b"Rar!\x1a\x07\0", "needs_tool", "unpack it"),
    ("all.tar", b"a.mp3".ljust(257, b"\0") + b"ustar\0", "needs_tool", "unpack it"),
    ("list.m3u", b"a.mp3\n", "needs_tool", "give the files or the folder"),
    ("list", b"#EXTM3U\na.mp3\n", "needs_tool", "give the files or the folder"),
    ("disc.cue", b"FILE a.wav WAVE", "needs_tool", "give the files or the folder"),
    ("book.aax", b"\0\0\0\x20ftypaax \0\0\0\0", "needs_tool", "without protection"),
    ("book", b"\0\0\0\x20ftypaax \0\0\0\0", "needs_tool", "without protection"),
    ("old.aa", b"\0\0\0\x20\x57\x90\x75\x36", "needs_tool", "without protection"),
    ("talk.mp3.part", MP3, "truncated", "unfinished download"),
    ("all.jsonl", b"{}", "not_audio", "give it as an input of its own"),
])  # fmt: skip
def test_whatever_is_no_recording_is_named_with_the_reason(
    tmp_path: Path, name: str, content: bytes, reason: str, word: str
) -> None:
    (tmp_path / "a.mp3").touch()
    (tmp_path / name).write_bytes(content)
    assert taken(tmp_path) == ["a.mp3"]
    ((found, detail),) = left_out(tmp_path).values()
    assert (found, word in detail) == (reason, True), detail


def test_a_named_file_that_is_known_to_be_something_else_fails_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "all.zip").write_bytes(b"PK\x03\x04")
    (one,) = listing(tmp_path / "all.zip")
    assert (one.recording.status, one.recording.reason) == (Status.FAILED, Reason.NEEDS_TOOL)
    (tmp_path / "odd.bin").write_bytes(bytes(range(256)))
    assert taken(tmp_path / "odd.bin") == ["odd.bin"]  # the decoder may know it


def test_hidden_and_system_files_are_only_counted(tmp_path: Path) -> None:
    for name in ("a.mp3", ".DS_Store", "Thumbs.db", "._a.mp3", "desktop.ini", ".git/x.mp3", "b/.x", "b/c.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert taken(tmp_path) == ["a.mp3", "b/c.mp3"]
    assert left_out(tmp_path) == {".": (Reason.HIDDEN, "6 hidden or system files or folders")}


def test_pipes_broken_links_and_links_that_lead_outside_are_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.mp3").write_bytes(MP3)
    (inside / "a.mp3").write_bytes(MP3)
    (inside / "b.mp3").symlink_to("a.mp3")
    (inside / "c.mp3").symlink_to(outside / "secret.mp3")
    (inside / "d").symlink_to(outside)
    (inside / "e.mp3").symlink_to("nowhere")
    (inside / "f.mp3").symlink_to("f.mp3")
    os.mkfifo(inside / "g.mp3")
    assert taken(inside) == taken(f"{inside}/**") == ["a.mp3", "b.mp3"]
    rows = left_out(inside)
    assert {name: reason for name, (reason, _) in rows.items()} == {
        "c.mp3": "outside", "d": "outside", "e.mp3": "not_found", "f.mp3": "not_found", "g.mp3": "not_audio",
    }  # fmt: skip
    assert "input of its own" in rows["d"][1]
    assert taken(inside, outside) == ["a.mp3", "b.mp3", "c.mp3", "d/secret.mp3"]  # both are named
    assert taken(inside / "c.mp3") == ["c.mp3"]  # given itself
    (tmp_path / "link").symlink_to(inside)
    assert taken(tmp_path / "link") == ["a.mp3", "b.mp3"]


def test_a_corpus_within_an_input_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "corpus/work/media").mkdir(parents=True)
    (tmp_path / "corpus/work/media" / ("0" * 64)).write_bytes(MP3)
    (tmp_path / "corpus/corpus.json").write_text("{}")
    (tmp_path / "a.mp3").touch()
    assert taken(tmp_path) == ["a.mp3"]
    assert "corpus" in left_out(tmp_path)


def test_ten_thousand_pictures_are_listed_once_each_and_none_is_read_whole(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "a.mp3").touch()
    os.truncate(tmp_path / "0.jpg", 2**40)  # a sparse file that nobody could read
    assert taken(tmp_path) == ["a.mp3"]
    assert len(left_out(tmp_path)) == 10_000


# --- inputs ---


def test_an_input_without_a_recording_is_told(tmp_path: Path) -> None:
    config, store = RunConfig(), Store("memory://unused")
    with pytest.raises(RejectedError, match="no recordings in"):
        list(list_recordings(Input(address=str(tmp_path)), config, store))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(RejectedError, match=r"left out \(1 rows\)"):
        list(list_recordings(Input(address=f"{tmp_path}/*"), config, store))
    os.mkfifo(tmp_path / "pipe")
    (one,) = list_recordings(Input(address=str(tmp_path / "pipe")), config, store)
    assert (one.recording.status, one.recording.reason) == (Status.FAILED, Reason.NOT_AUDIO)


def test_an_address_means_what_exists_before_it_means_a_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("[2024] book", "a::b", "zip:x", "tilde~", "50%", "x{1,2}", "#1", "rss:cast"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.mp3").touch()
        assert taken(tmp_path / folder) == taken(f"{tmp_path}/{folder}/") == taken(f"{tmp_path}/{folder}/*.mp3")
        assert taken(tmp_path / folder / "1.mp3") == taken(f"{tmp_path / folder}/1.mp3/") == ["1.mp3"]
    (tmp_path / "what?[1]*.mp3").touch()
    assert taken(tmp_path / "what?[1]*.mp3") == ["what?[1]*.mp3"]
    assert "[2024] book/1.mp3" in taken(f"{tmp_path}/*/*.mp3")
    assert taken(f"{tmp_path}/*[2024] book/*.mp3") == ["[2024] book/1.mp3"]
    assert len(taken(f"{tmp_path}/*")) == 9  # folders that a pattern means are walked
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert taken("~/[2024] book") == taken("~/[2024] book/*") == taken("local:~/[2024] book/1.mp3") == ["1.mp3"]
    assert taken("rss:cast") == ["1.mp3"]
    for kind in ("rss:~/feed.xml", "~/feed.xml", "librilight:~/[2024] book"):
        (tmp_path / "feed.xml").write_text("<rss/>")
        speechmill.sources.check(Input(address=kind))
    with pytest.raises(ConfigError, match=r"no such file or folder: ~nobody-of-this-name/x"):
        list_recordings(Input(address="~nobody-of-this-name/x"), RunConfig(), Store("memory://unused"))


def test_names_that_are_no_utf_8_work(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    for name in (b"caf\xe9.mp3", b"caf\xe8.mp3", b"caf\xe9.srt", b"t\xfcr"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9/" + name)).write_bytes(MP3 if name.endswith(b"3") else b"x")
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    found = listing(tmp_path)
    rows = {one.recording.media_url: one for one in found}
    assert rows.keys() == {r"caf\xe9/caf\xe9.mp3", r"caf\xe9/caf\xe8.mp3", r"caf\xe9/t\xfcr"}
    assert len({one.recording.recording_id for one in found}) == 3
    talk = rows[r"caf\xe9/caf\xe9.mp3"]
    assert os.path.samefile(talk.media_path or "", os.path.join(folder, os.fsdecode(b"caf\xe9.mp3")))
    assert [one.url for one in talk.recording.attachments] == [r"caf\xe9.srt"]
    assert from_readable(readable(folder)) == folder
    assert len(taken(readable(folder))) == 2  # as a config holds it
    given: Any = folder
    assert RunConfig.model_validate({"inputs": [given]}).inputs[0].address == readable(folder)


# --- what lies beside a recording ---


def only(folder: Path, name: str = "talk.mp3") -> Recording:
    (folder / name).write_bytes(MP3)
    (one,) = [one.recording for one in listing(folder) if one.recording.status is Status.OK]
    (alone,) = listing(folder / name)
    assert alone.recording == one
    return one


def beside(folder: Path, *names: str, media: str = "talk.mp3") -> dict[str, str | None]:
    for name in names:
        (folder / name).write_text("1\n00:00:00,000 --> 00:00:01,000\nHello.\n")
    return {one.url: one.language for one in only(folder, media).attachments}


@pytest.mark.parametrize(("media", "name", "language"), [
    ("talk.mp3", "talk.srt", None), ("TALK.MP3", "TALK.SRT", None), ("Talk.Mp3", "tALK.vTT", None),
    ("talk.mp3", "talk.mp3.srt", None), ("talk.mp3", "talk.mp3.vtt", None), ("talk.mp3", "talk.en.vtt", "en"),
    ("talk.mp3", "talk.en-US.vtt", "en-US"), ("talk.mp3", "talk.en-orig.srt", "en"),
    ("talk.mp3", "talk.pt_BR.srt", "pt-BR"),
    ("talk.mp3", "talk.mp3.de.vtt", "de"), ("talk.mp3", "talk.zh-Hans.vtt", "zh-Hans"),
    ("talk.mp3", "talk.eng.srt", "eng"),
    ("talk.mp3", "talk.en-nP7-2PuUl7o.vtt", "en"), ("A [dQw4w9WgXcQ].m4a", "A [dQw4w9WgXcQ].en.vtt", "en"),
    ("episode2", "episode2.srt", None), ("ep1.mp3?token=abc", "ep1.srt", None), ("ep1.mp3 ", "ep1.mp3 .srt", None),
    ("a.b.c.mp3", "a.b.c.en.vtt", "en"), ("talk.mp3", "talk.html", None), ("talk.weba", "talk.vtt", None),
    ("caf\u00e9.mp3", "cafe\u0301.srt", None), ("cafe\u0301.mp3", "caf\u00e9.srt", None),
    ("STRA\u00dfE.mp3", "strasse.srt", None),
    ("\u00c9t\u00e9.mp3", unicodedata.normalize("NFD", "\u00e9t\u00e9.EN.srt"), "en"),
])  # fmt: skip
def test_a_transcript_is_found_by_any_of_its_names(tmp_path: Path, media: str, name: str, language: str | None) -> None:
    assert beside(tmp_path, name, media=media) == {name: language}
    assert not left_out(tmp_path)


@pytest.mark.parametrize(
    "name", ["talk2.srt", "tal.srt", "talk2.en.vtt", "a.talk.srt", "talk.part2.srt", "talk.old.srt"]
)
def test_another_name_is_not_its_own(tmp_path: Path, name: str) -> None:
    assert beside(tmp_path, name) == {}
    assert left_out(tmp_path).keys() == {name}


def test_a_transcript_belongs_to_the_recording_whose_name_fits_best(tmp_path: Path) -> None:
    names = ("talk.mp3", "talk.flac", "talk.en.mp3", "TALK.ogg", "talk.mp3.vtt", "talk.srt", "talk.en.srt", "TALK.srt")
    for name in names:
        (tmp_path / name).touch()
    found = {one.recording.media_url: [a.url for a in one.recording.attachments] for one in listing(tmp_path)}
    assert found == {
        "TALK.ogg": ["TALK.srt"],
        "talk.en.mp3": ["talk.en.srt"],
        "talk.flac": ["talk.srt"],
        "talk.mp3": ["talk.mp3.vtt", "talk.srt"],
    }


def test_of_several_languages_that_of_the_recording_is_taken_else_the_spoken_one(tmp_path: Path) -> None:
    several = ("talk.de.vtt", "talk.en.vtt", "talk.fr.vtt")
    assert beside(tmp_path, *several) == {"talk.de.vtt": "de", "talk.en.vtt": "en", "talk.fr.vtt": "fr"}
    assert beside(tmp_path, "talk.de-orig.vtt", "talk.txt") == {"talk.de-orig.vtt": "de", "talk.txt": None}
    (tmp_path / "talk.info.json").write_text(json.dumps({"extractor": "x", "language": "en-US"}))
    assert beside(tmp_path) == {"talk.en.vtt": "en", "talk.txt": "en-US"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_what_yt_dlp_says_of_a_recording(tmp_path: Path, encoding: str) -> None:
    info = {
        "id": "dQw4w9WgXcQ", "extractor": "youtube", "title": "Caf\u00e9 \u2013 a talk", "uploader": "Ann",
        "channel": "Ann's",
        "license": "Creative Commons Attribution license (reuse allowed)", "upload_date": "20240229", "language": "en",
        "webpage_url": "https://www.youtube.com/watch?v=dQw4w9WgXcQ", "description": "x", "duration": 12,
        "artist": None,
    }  # fmt: skip
    (tmp_path / "Talk.INFO.json").write_bytes(json.dumps(info, ensure_ascii=False).encode(encoding))
    got = only(tmp_path)
    assert (got.title, got.author, got.language) == ("Caf\u00e9 \u2013 a talk", "Ann", "en")
    assert (got.licence, got.licence_url) == ("CC-BY-3.0", "https://creativecommons.org/licenses/by/3.0/")
    assert (got.page_url, got.published) == (info["webpage_url"], "2024-02-29T00:00:00Z")
    assert not got.attachments
    (tmp_path / "talk.json").write_text('{"title": "Mine", "author": null, "segments": [{"start": 0, "text": "Hi"}]}')
    mine = only(tmp_path)
    assert (mine.title, mine.author) == ("Mine", "Ann")
    assert [one.url for one in mine.attachments] == ["talk.json"]
    assert not left_out(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, '{"license": 3, "extractor": []}', "\ud800", "3"])
def test_odd_json_beside_a_recording_costs_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "talk.info.json").write_text(text, errors="surrogatepass")
    got = only(tmp_path)
    assert (got.title, got.licence) == ("talk", "LicenseRef-local")


def test_what_lies_beside_is_not_read_through_a_link_that_leads_outside(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret.json").write_text('{"title": "secret"}')
    (folder / "talk.json").symlink_to(tmp_path / "secret.json")
    got = only(folder)
    assert got.title == "talk"
    assert [(one.kind, one.url) for one in got.attachments] == [("about", "talk.json")]
    (folder / "inside.json").write_text('{"title": "inside"}')
    (folder / "talk.json").unlink()
    (folder / "talk.json").symlink_to("inside.json")
    assert only(folder).title == "inside"


# --- manifests ---


def manifest(path: Path, text: str, encoding: str = "utf-8") -> list[Recording]:
    path.write_bytes(text.encode(encoding, "surrogateescape"))
    return [one.recording for one in listing(path)]


LINES = ('{"path": "a.wav", "title": "\u00c9t\u00e9"}', '{"path": "b.wav"}')


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(("name", "text"), [
    ("list.jsonl", "\n".join(LINES)), ("list.jsonl", "\r\n\r\n".join(LINES) + "\r\n"),
    ("LIST.NDJSON", "\n".join(LINES)),
    ("list.json", f"[{','.join(LINES)}]"), ("list.jsonl", f" [\n {LINES[0]},\n {LINES[1]}\n]\n"),
    ("list.json", f'{{"version": 1,\n "items": [{",".join(LINES)}]}}'), ("list.json", "\n".join(LINES)),
    ("list.jsonl", "\ufeff" + "\n".join(LINES)),
])  # fmt: skip
def test_a_manifest_in_any_form_and_encoding(tmp_path: Path, encoding: str, name: str, text: str) -> None:
    one, two = manifest(tmp_path / name, text, encoding)
    assert (one.media_url, one.title, two.media_url) == ("a.wav", "\u00c9t\u00e9", "b.wav")


def test_a_long_array_is_read_item_by_item(tmp_path: Path) -> None:
    items = [json.dumps({"path": f"{number}.wav", "title": "x" * number}) for number in range(3000)]
    rows = manifest(tmp_path / "list.json", f"[{', '.join(items)}, oh no, {{}}]")
    assert [row.media_url for row in rows[:-1]] == [f"{number}.wav" for number in range(3000)]
    assert (rows[-1].status, rows[-1].reason) == (Status.FAILED, Reason.BAD_FEED)


def test_keys_that_mean_nothing_are_named_once(tmp_path: Path) -> None:
    lines = [
        {"path": "a.wav", "mood": 1, "speaker": "Ann"},
        {"path": "b.wav", "mood": 2, "pitch\u0007": 3, "duration": 1},
    ]
    a, _, keys = manifest(tmp_path / "list.jsonl", "\n".join(map(json.dumps, lines)))
    assert a.persons == ("Ann",)
    assert (keys.status, keys.reason) == (Status.LEFT_OUT, Reason.UNUSED_KEYS)
    assert (keys.media_url, keys.reason_detail) == ("list.jsonl", "keys that are not used: mood, pitch")


def test_a_manifest_names_files_whose_names_are_no_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    Path(tmp_path, name).touch()
    (one,) = manifest(tmp_path / "list.jsonl", f'{{"path": "{name}"}}')
    assert one.media_url == r"caf\xe9.wav"


def test_suffixes_are_lower_case_and_begin_with_a_dot() -> None:
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in SUFFIXES)


def test_a_big_endian_wav_is_a_recording() -> None:
    assert verdict(b"RIFX\0\0\0\x24WAVEfmt \0\0\0\x10\0\x01\0\x01") is None
