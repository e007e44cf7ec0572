"""Clips of many recordings worked on together: few calls of a model, artifacts of each recording's own."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from speechmill import stages
from speechmill.core import config_file
from speechmill.core.build import Build
from speechmill.core.store import Store
from speechmill.fetch import StoppedError, model_folder
from speechmill.stages.base import Clips, Row
from speechmill.stages.batches import Batch, complete_content
from speechmill.stages.fetch import fetch_recording
from speechmill.stages.identity import recall
from speechmill.stages.profiles import plan_build
from speechmill.stages.transcribe import Transcribe
from speechmill.stages.work import WorkItem


@pytest.fixture
def unheard(corpus: Path, tmp_path: Path) -> Path:
    """A corpus without its transcripts."""
    copy = Path(shutil.copytree(corpus, tmp_path / "unheard"))
    shutil.rmtree(copy / "work" / "transcribe")
    return copy


def build_of(corpus: Path) -> Build:
    chosen = config_file.load(base=json.loads((corpus / "run.json").read_text())["config"], output=str(corpus))
    return plan_build(chosen, Store(str(corpus)), find_model=model_folder)


def works_of(build: Build) -> list[WorkItem]:
    listed = [recall(recording_id, build) for recording_id in build.known_recordings()]
    found = [fetch_recording(one, build).work for one in listed]
    return [work for work in found if work is not None]


def texts(corpus: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(corpus)): path.read_bytes() for path in (corpus / "work/transcribe").rglob("*.parquet")
    }


def test_recordings_share_a_call_and_keep_artifacts_of_their_own(corpus: Path, unheard: Path) -> None:
    build, calls = build_of(unheard), []

    class Counted(Transcribe):
        def in_parts(self, clips: Clips, build: Build) -> Iterator[list[Row]]:
            calls.append(len(clips))
            return super().in_parts(clips, build)

    pack = Batch(Counted(), build)
    works = works_of(build)
    early = [done for work in works for done in pack.add(work)]
    assert early == []
    assert sorted(pack.works, key=str) == sorted(works, key=str)
    done = list(pack.rest())
    assert [(work, outcome.state) for work, (outcome, _) in done] == [(work, "done") for work in works]
    assert pack.works == []
    assert calls == [6]
    assert texts(unheard) == texts(corpus)


def test_what_is_known_is_not_made_again(unheard: Path) -> None:
    build = build_of(unheard)
    first, *others = works_of(build)
    assert complete_content(first, build, stages.TRANSCRIBE).state == "done"
    pack = Batch(stages.TRANSCRIBE, build)
    assert [work for work, _ in pack.add(first)] == [first]  # at once, for it waits for nothing
    for work in others:
        list(pack.add(work))
    assert [work for work, _ in pack.rest()] == others


def test_a_run_that_is_to_stop_begins_no_part(unheard: Path) -> None:
    build = build_of(unheard)
    pack = Batch(stages.TRANSCRIBE, build)
    for work in works_of(build):
        list(pack.add(work))
    build.store.write_json("work/stop", True)
    with pytest.raises(StoppedError):
        list(pack.rest())
    assert not (unheard / "work" / "transcribe").exists()
