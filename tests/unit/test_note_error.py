"""An error that nobody foresaw while fetching costs a new recording a row, and a known one nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
from speechmill.core.build import Build
from speechmill.core.footers import FetchFooter
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, Status, recording_from, to_table
from speechmill.runner.beam.functions import StageFn
from speechmill.sources import Listed
from speechmill.stages.fetch import fetch_recording

from tests.decisions import decided
from tests.tiny_corpus import RECORDINGS, publish_tiny

KNOWN, NEW = RECORDINGS[1], replace(RECORDINGS[1], recording_id="new", content_id=None)
FOOTER = FetchFooter(media="gone")


@pytest.fixture
def build(tmp_path: Path) -> Build:
    build, _ = publish_tiny(tmp_path)
    build.store.write_table(build.fetched(KNOWN.recording_id), to_table([KNOWN]), FOOTER)
    return build


def fetched(recording: Recording, build: Build, monkeypatch: pytest.MonkeyPatch) -> tuple[list[object], Recording]:
    """What the stage hands on of a recording that its source lists, and the row that is there then."""

    def fail(*_: object) -> None:
        raise AssertionError("unforeseen")

    listed = Listed(recording=replace(recording, content_id=None, reason=None, status=Status.OK))
    with monkeypatch.context() as patch:
        patch.setattr("speechmill.stages.fetch.feed_permits", fail)
        works = list(StageFn("fetch", fetch_recording, build).process(listed))
    return works, recording_from(build.store.read(build.fetched(recording.recording_id)).to_pylist()[0])


def test_a_known_recording_keeps_its_row_and_its_clips(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept(build)
    works, row = fetched(KNOWN, build, monkeypatch)
    assert row == KNOWN
    assert [work.content_id for work in works] == [KNOWN.content_id]
    assert kept(build) == before > {KNOWN.recording_id}


def kept(build: Build) -> set[str]:
    return {one.recording.recording_id for one in decided(build) if any(c["decision"] == "kept" for c in one.clips)}


def test_a_known_recording_with_nothing_made_of_it_yet_fails_and_keeps_its_row(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.store.remove(build.segments(KNOWN.content_id))
    assert fetched(KNOWN, build, monkeypatch) == ([], KNOWN)
    (judged,) = (one for one in decided(build) if one.recording.recording_id == KNOWN.recording_id)
    assert (judged.recording.status, judged.recording.reason) == (Status.FAILED, Reason.INTERNAL_ERROR)


def test_a_no_that_was_seen_stays(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    no = replace(NEW, status=Status.OPTED_OUT, reason=Reason.OPTED_OUT)
    build.store.write_table(build.fetched(no.recording_id), to_table([no]), replace(FOOTER, retry=True))
    assert fetched(no, build, monkeypatch) == ([], no)


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_new_recording_or_a_damaged_row_gets_the_error(
    build: Build, monkeypatch: pytest.MonkeyPatch, *, is_damaged: bool
) -> None:
    name = build.fetched(NEW.recording_id)
    if is_damaged:
        build.store.write_text(name, "PAR1 damaged")
    works, row = fetched(NEW, build, monkeypatch)
    assert (works, row.status, row.reason) == ([], Status.FAILED, Reason.INTERNAL_ERROR)
    assert build.store.footer(name, FetchFooter).retry
