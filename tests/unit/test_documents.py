"""What lies beside a recording is fetched with it, kept once, and asked for again only where that makes sense."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from speechmill.core import config_file
from speechmill.core.build import Build
from speechmill.core.footers import FetchFooter
from speechmill.core.records import Attachment, Recording, recording_from
from speechmill.core.store import Store
from speechmill.sources import Listed
from speechmill.stages.fetch import fetch_recording
from speechmill.stages.identity import recall
from speechmill.stages.profiles import plan_build

from tests.server import ScriptedServer, ok, status

SRT = b"1\n00:00:00,000 --> 00:00:05,000\nThe river rises in the hills.\n"


def build_at(server: ScriptedServer, tmp_path: Path, *settings: str) -> Build:
    base = {"fetch": {"allow_hosts": [server.host], "retries": 0}, "asr": {"model": None}}
    chosen = config_file.load(None, settings, base, inputs=("x",), output=str(tmp_path / "corpus"))
    return plan_build(chosen, Store(chosen.output), find_model=Path)


def listed(server: ScriptedServer, *paths: str, number: int = 1, **told: Any) -> Listed:
    found = tuple(Attachment(kind="transcript", url=server.url(path)) for path in paths)
    return Listed(
        recording=Recording(
            recording_id=f"r{number}", source="rss", media_url=server.url(f"/{number}.mp3"), attachments=found, **told
        )
    )


def stored(build: Build, recording_id: str = "r1") -> tuple[Recording, FetchFooter]:
    name = build.fetched(recording_id)
    return recording_from(build.store.read(name).to_pylist()[0]), build.store.footer(name, FetchFooter)


def test_a_transcript_is_kept_as_it_came_and_asked_for_once_a_day(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/talk.srt", ok(SRT))
    for number in (1, 2):
        server.script(f"/{number}.mp3", ok(b"ID3%d" % number))
    build = build_at(server, tmp_path)
    for number in (1, 2):
        assert fetch_recording(listed(server, "/talk.srt", number=number), build).state == "done"
    (name,) = stored(build)[1].documents
    assert list(stored(build, "r2")[1].documents) == [name]
    with build.store.open(name) as file:
        assert file.read() == SRT
    assert len(server.asked("/talk.srt")) == 1


def test_what_cannot_be_had_is_a_remark_and_tried_again_if_it_may_pass(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/1.mp3", ok(b"ID3"))
    server.script("/gone.srt", status(404))
    server.script("/busy.srt", status(500), ok(SRT))
    build = build_at(server, tmp_path)
    assert fetch_recording(listed(server, "/gone.srt", "/busy.srt"), build).work is not None
    recording, footer = stored(build)
    assert "gone.srt: not_found: HTTP 404" in (recording.reason_detail or "")
    assert (footer.documents, footer.documents_retry, recording.status) == ({}, True, "ok")
    assert fetch_recording(listed(server, "/gone.srt", "/busy.srt"), build).state == "reused"
    recording, footer = stored(build)
    assert (len(footer.documents), footer.documents_retry) == (1, False)
    fetch_recording(listed(server, "/gone.srt", "/busy.srt"), build)
    assert len(server.asked("/busy.srt")) == 2
    assert len(server.asked("/1.mp3")) == 1


def test_a_transcript_that_a_feed_gets_later_is_fetched_without_the_media(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.script("/1.mp3", ok(b"ID3"))
    server.script("/talk.srt", ok(SRT))
    build = build_at(server, tmp_path)
    fetch_recording(listed(server), build)
    assert not stored(build)[1].documents
    fetch_recording(listed(server, "/talk.srt"), build)
    assert len(stored(build)[1].documents) == 1
    assert len(server.asked("/1.mp3")) == 1


def test_transcripts_can_be_left_out(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/1.mp3", ok(b"ID3"))
    build = build_at(server, tmp_path, "fetch.transcripts=false")
    fetch_recording(listed(server, "/talk.srt"), build)
    assert not server.asked("/talk.srt")
    assert not [one for one in server.questions if one.path == "/talk.srt"]


@pytest.mark.parametrize("name", ["../secret.srt", "/etc/passwd", "file:///etc/passwd", "..", "no-such.srt"])
def test_34_beside_a_local_file_nothing_else_is_read(server: ScriptedServer, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.srt").write_bytes(SRT)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/talk.mp3").write_bytes(b"ID3")
    (tmp_path / "in/talk.srt").write_bytes(SRT)
    found = (Attachment(kind="transcript", url="talk.srt"), Attachment(kind="transcript", url=name))
    recording = Recording(recording_id="r1", source="local", media_url="talk.mp3", attachments=found)
    build = build_at(server, tmp_path)
    fetch_recording(Listed(recording=recording, media_path=str(tmp_path / "in/talk.mp3")), build)
    told, footer = stored(build)
    assert [one.url for one in footer.documents.values()] == ["talk.srt"]
    assert name in (told.reason_detail or "")


@pytest.mark.parametrize("kind", ["transcript", "about"])
def test_34_a_link_beside_a_local_file_is_followed_within_the_inputs_only(
    server: ScriptedServer, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "secret.srt").write_bytes(SRT)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "talk.mp3").write_bytes(b"ID3")
    (folder / "talk.srt").symlink_to(tmp_path / "secret.srt")
    beside = (Attachment(kind=kind, url="talk.srt"),)
    recording = Recording(recording_id="r1", source="local", media_url="talk.mp3", attachments=beside)
    build = build_at(server, tmp_path)
    fetch_recording(Listed(recording=recording, media_path=str(folder / "talk.mp3")), build)
    told, footer = stored(build)
    assert not footer.documents
    assert "talk.srt: outside: a link that leads out of the inputs" in (told.reason_detail or "")
    (folder / "talk.srt").unlink()
    (folder / "own.srt").write_bytes(SRT)
    (folder / "talk.srt").symlink_to("own.srt")
    again = Listed(recording=replace(recording, recording_id="r2"), media_path=str(folder / "talk.mp3"))
    fetch_recording(again, build)
    assert len(stored(build, "r2")[1].documents) == (kind == "transcript")


def test_33_what_opted_out_or_was_gone_is_asked_for_again_only_after_a_while(
    server: ScriptedServer, tmp_path: Path
) -> None:
    server.script("/1.mp3", status(404), ok(b"ID3"))
    build = build_at(server, tmp_path)
    assert fetch_recording(listed(server), build).reason == "not_found"
    assert fetch_recording(listed(server), build).reason == "not_found"
    assert len(server.asked("/1.mp3")) == 1
    later = build_at(server, tmp_path, "fetch.ask_again_s=0")
    assert fetch_recording(listed(server), later).work is not None
    assert stored(later)[0].status == "ok"


def test_what_was_gone_stays_known_when_its_feed_lists_it_no_more(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/1.mp3", status(404))
    build = build_at(server, tmp_path, "fetch.ask_again_s=0")
    fetch_recording(listed(server), build)
    for _ in range(2):
        (known,) = [recall(recording_id, build) for recording_id in build.known_recordings()]
        assert fetch_recording(known, build).reason == "not_found"
    assert len(server.asked("/1.mp3")) == 1
