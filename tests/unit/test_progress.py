"""Progress is read from the log, from where it stood when the run began."""

import io
import json
from pathlib import Path

from speechmill.runner.progress import Progress


def event(stage: str, state: str, time: float, *, audio: float = 3600.0) -> str:
    fields = {
        "time": time,
        "stage": stage,
        "state": state,
        "seconds": 10.0,
        "audio_in_s": audio,
        "audio_kept_s": audio / 2,
    }
    return json.dumps(fields) + "\n"


def test_only_new_whole_lines_count(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(event("fetch", "done", 50.0))
    with Progress(str(log), io.StringIO(), quiet=True) as progress:
        with log.open("a") as file:
            file.write(event("segment", "done", 110.0) + event("segment", "failed", 120.0, audio=0))
            file.write('{"time": 121, "message": "no stage"}\n' + event("segment", "done", 130.0)[:20])
        progress.update()
        assert list(progress.stages) == ["segment"]
        segment = progress.stages["segment"]
        assert (segment.inputs, segment.failed, segment.reused) == (2, 1, 0)
        assert (segment.hours_in, segment.hours_kept) == (1.0, 0.5)
        assert segment.speed == 3600 / 20  # an hour, from 100 to 120


def test_a_stage_knows_how_much_is_to_come(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("")
    with Progress(str(log), io.StringIO(), quiet=True) as progress:
        log.write_text("".join(event("fetch", "done", 10.0 + i) for i in range(4)) + event("segment", "done", 30.0))
        progress.update()
        fetch, segment = progress.cells()
        assert fetch[:2] == ["fetch", "4"]
        assert segment[1] == "1 of 4"
        assert segment[-1] == "ETA 00:00:30"  # three more of ten seconds
        assert len(fetch) == len(segment)
