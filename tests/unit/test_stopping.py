"""A run that is asked to stop says so at once, keeps what is done of a part, and has an end."""

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from speechmill.core import last_acts
from speechmill.core.build import Build
from speechmill.core.interrupts import received
from speechmill.core.store import Store
from speechmill.fetch import StoppedError
from speechmill.runner import stopping
from speechmill.runner.stopping import stop_at_signal
from speechmill.stages import TRANSCRIBE
from speechmill.stages.base import Clips, Row
from speechmill.stages.batches import Batch
from speechmill.stages.profiles import stored_build
from speechmill.stages.selection import clips_for
from speechmill.stages.transcribe import Transcribe
from speechmill.stages.work import WorkItem

from tests.commandline import flags
from tests.forked import Forked


class Interrupted(Transcribe):
    """Transcribes one clip, while somebody asks the run to stop."""

    def in_parts(self, clips: Clips, build: Build) -> Any:
        for clip_id in clips:
            build.store.write_text(build.stop_file, "")
            yield [blank(clip_id)]


class Hung(Transcribe):
    """Transcribes one clip; then the process is ended."""

    def in_parts(self, clips: Clips, build: Build) -> Any:
        first, *_ = clips
        yield [blank(first)]
        last_acts.run_all()
        raise KeyboardInterrupt


def blank(clip_id: str) -> Row:
    return dict.fromkeys(TRANSCRIBE.artifact.names) | {"clip_id": clip_id, "text": "", "words": []}


def untranscribed(corpus: Path) -> tuple[WorkItem, Build]:
    """A content with several clips to transcribe."""
    build = stored_build(str(corpus))
    build = replace(build, profiles={**build.profiles, "transcribe": "0123456789ab"})
    for name in build.store.names(f"work/segment/{build.profiles['segment']}"):
        content_id = name.removesuffix(".parquet")
        work = WorkItem(recording_id=content_id, content_id=content_id, media="", is_local=True, allowed=True, order=())
        if len(clips_for(TRANSCRIBE, work, build)) > 1:
            return work, build
    raise AssertionError("no content has two clips")


@pytest.mark.parametrize(("stage", "error"), [(Interrupted(), StoppedError), (Hung(), KeyboardInterrupt)])
def test_what_is_done_of_a_part_is_kept(corpus: Path, stage: Transcribe, error: type[BaseException]) -> None:
    work, build = untranscribed(corpus)
    batch = Batch(stage, build)
    with pytest.raises(error):
        list(batch.add(work)) + list(batch.rest())
    kept = stage.read(work.content_id, build, ["clip_id"])["clip_id"].to_pylist()
    assert len(kept) == 1
    assert len(clips_for(TRANSCRIBE, work, build) - set(kept)) >= 1


def test_a_signal_is_noticed_by_a_thread(tmp_path: Path) -> None:
    store, noticed_s, before = Store(str(tmp_path)), list[float](), signal.getsignal(signal.SIGINT)
    with stop_at_signal(store, "work/stop") as asked:
        sender = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
        watcher = threading.Thread(target=lambda: (_until(asked.is_set), noticed_s.append(time.monotonic())))
        sender.start()
        watcher.start()
        watcher.join(120)
        assert asked.is_set()
        assert noticed_s
        _until(lambda: store.exists("work/stop"))  # written after the event is set
        assert store.exists("work/stop")
    assert not store.exists("work/stop")
    assert signal.getsignal(signal.SIGINT) is before


def test_in_a_process_of_somebody_else_the_second_signal_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), stop_at_signal(Store(str(tmp_path)), "work/stop"):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert not (tmp_path / "work/stop").exists()


@pytest.mark.parametrize("is_overtaken", [False, True])
def test_a_signal_is_acknowledged_once_also_where_its_handler_is_overtaken(is_overtaken: bool) -> None:
    """Python's handler may raise before the C handler has written to the pipe; then nothing is in it."""
    asked: list[str] = []
    with pytest.raises(KeyboardInterrupt), received(lambda: asked.append("once"), raise_from=1):
        if is_overtaken:
            signal.getsignal(signal.SIGINT)(signal.SIGINT, None)  # type: ignore[operator, misc]
        signal.raise_signal(signal.SIGINT)
    assert asked == ["once"]


def _until(is_true: Any) -> None:
    deadline_s = time.monotonic() + 120
    while not is_true() and time.monotonic() < deadline_s:
        time.sleep(0.01)


def _without_patience() -> None:
    stopping.STOP_S = 0.0


def test_a_run_that_does_not_end_is_given_up_and_gone_on_with(folder: Path, speechmill: Any, tmp_path: Path) -> None:
    output, light = tmp_path / "interrupted", ("asr.model=null", "tokenise.checkpoint=null", "defects.weights=null")
    process = Forked("run", *flags(folder, output, *light), said=tmp_path / "said", first=_without_patience)
    log = output / "work/log.jsonl"
    while not log.exists() or '"listed"' not in log.read_text():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    said = (tmp_path / "said").read_text()
    assert "interrupted: finishing what is in hand" in said
    assert "run the same command again to go on from here" in said
    assert not (output / "run.json").exists()
    speechmill("run", *flags(folder, output, *light), "--quiet")
    assert not (output / "work/progress").exists()
    speechmill("verify", output, "--rows", "0", "--quiet")
