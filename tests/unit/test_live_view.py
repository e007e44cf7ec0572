"""The live view: the end is forecast from events and pulses on any clock, and what is shown fits a terminal."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from speechmill.core import pulse
from speechmill.core.pulse import Pulse
from speechmill.core.store import Store
from speechmill.runner import speeds
from speechmill.runner.forecast import Forecast, StageModel, StageState
from speechmill.runner.live import amount, plain_line, view
from speechmill.runner.statusline import StatusLine
from speechmill.runner.tracking import Tracker

from tests.media import a_build
from tests.replayed import Observation, errors, learnt, read_recorded

RECORDED = Path(__file__).with_name("recorded_runs")
STEP_S = 0.5

MODELS = [
    StageModel(name="fetch", flow="recordings", speed=500.0),
    StageModel(name="segment", flow="recordings", speed=40.0),
    StageModel(name="score", flow="clips", speed=100.0),
    StageModel(name="dedup", flow="clips", speed=None),
    StageModel(name="transcribe", flow="selected", speed=21.0),
    StageModel(name="tokenise", flow="selected", speed=60.0),
]


def forecast() -> Forecast:
    return Forecast(list(MODELS))


def done(stage: str, now_s: float, in_s: float, kept_s: float) -> dict[str, Any]:
    return {
        "stage": stage, "state": "done", "time": now_s, "seconds": 1.0, "audio_in_s": in_s, "audio_kept_s": kept_s,
        "recording_id": "r",
    }  # fmt: skip


def simulated(lengths_s: list[float], slowness: dict[str, float], start_s: float) -> Iterator[Observation]:
    """A run in which each stage is so many times slower than usual, and needs some seconds to start."""
    now_s, kept = 0.0, {"fetch": 1.0, "segment": 0.7, "score": 0.5, "dedup": 0.98, "transcribe": 1.0, "tokenise": 1.0}
    total_s = sum(lengths_s)
    yield now_s, [{"listed": len(lengths_s), "expected_s": total_s * 0.8}], []  # feeds declare less than there is
    speeds = {model.name: (model.speed or 1e5) / slowness[model.name] for model in MODELS}
    amounts = list(lengths_s)
    for stages in (["fetch"], ["segment", "score"], ["dedup"], ["transcribe"], ["tokenise"]):
        started = False
        for at, length_s in enumerate(amounts):
            audio_s = length_s
            for stage in stages:
                left_s, done_s = 0.0 if started or stage == "fetch" else start_s, 0.0
                while left_s > 0 or done_s < audio_s:
                    now_s += STEP_S
                    left_s -= STEP_S
                    done_s += STEP_S * speeds[stage] if left_s < 0 else 0.0
                    total = audio_s if stage == "segment" else None
                    names = {"recording_id": "r", "title": "Episode"}
                    yield now_s, [], [Pulse(stage=stage, names=names, done_s=min(done_s, audio_s), total_s=total)]
                yield now_s, [done(stage, now_s, audio_s, audio_s * kept[stage])], []
                audio_s *= kept[stage]
            started = True
            amounts[at] = audio_s
    yield now_s, [done("publish", now_s, 0.0, 0.0)], []


@pytest.mark.parametrize("slowness", [0.3, 1.0, 4.0])
def test_the_end_is_right_within_a_quarter_after_a_tenth_of_the_way(slowness: float) -> None:
    """On a machine that is faster or slower than usual, where feeds declare a fifth too little.

    Downloads tell nothing of the machine: where they take longer than a tenth, the forecast is as usual machines are.
    """
    slow = dict.fromkeys((model.name for model in MODELS), slowness) | {"fetch": 0.05}
    observations = list(simulated([900.0, 2400.0, 1500.0, 300.0, 1800.0, 1200.0] * 3, slow, start_s=4.0))
    assert max(map(abs, errors(observations, forecast()))) < 0.25


def test_one_long_recording_has_an_end_too() -> None:
    slow = dict.fromkeys((model.name for model in MODELS), 2.0)
    assert max(map(abs, errors(list(simulated([36_000.0], slow, start_s=4.0)), forecast()))) < 0.25


def test_a_recorded_run_on_a_busy_machine_has_its_end_in_sight_after_a_half() -> None:
    """13 minutes of audio on two cores that others used too: the machine became three times slower as it went."""
    found = errors(*read_recorded(RECORDED / "thirteen_minutes.jsonl.gz"))
    assert len(found) >= 90
    assert max(map(abs, found[40:])) < 0.25


FIRST = RECORDED / "few_long.jsonl.gz"
ALL = sorted(set(RECORDED.glob("*.jsonl.gz")) - {RECORDED / "thirteen_minutes.jsonl.gz"})
AFTER_IT = sorted(set(RECORDED.glob("*.jsonl.gz")) - {FIRST, RECORDED / "thirteen_minutes.jsonl.gz"})


@pytest.mark.parametrize("path", AFTER_IT, ids=lambda path: path.name)
def test_an_earlier_run_on_this_machine_tells_when_a_real_one_ends(path: Path) -> None:
    """Runs of minutes on real recordings, in which loading is most of the time, after another one with its settings."""
    observations, forecast = read_recorded(path)
    models = learnt(forecast.models, FIRST)
    if models == forecast.models:
        pytest.skip("it has other stages than the earlier run")
    found = errors(observations, Forecast(models))
    if observations[-1][0] > 20.0:
        assert sum(abs(error) <= 0.25 for error in found) >= 0.85 * len(found)
    assert max(map(abs, found)) <= 0.55  # seconds, of a run of seconds


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_the_first_run_on_a_machine_has_its_end_in_sight(path: Path) -> None:
    found = errors(*read_recorded(path))
    assert sum(abs(error) <= 0.25 for error in found) >= 0.65 * len(found)  # of the slow feed 69 %, of others 84 %
    assert max(map(abs, found)) <= 0.45


def test_a_stage_that_had_something_of_all_recordings_has_no_more_to_do() -> None:
    tracker = Tracker(forecast())
    tracker.observe(0.0, [{"listed": 1, "expected_s": 1000.0}])
    tracker.observe(20.0, [done("segment", 20.0, 1000.0, 800.0), done("score", 20.0, 800.0, 600.0)])
    assert tracker.forecast.totals["transcribe"] > 500.0
    tracker.observe(30.0, [done("transcribe", 30.0, 40.0, 40.0)])
    assert tracker.forecast.totals["transcribe"] == 40.0


def test_a_pulse_that_outlives_its_event_is_not_counted_again() -> None:
    tracker, pulse = (
        Tracker(forecast()),
        Pulse(stage="segment", names={"recording_id": "r"}, done_s=9.0, total_s=1000.0),
    )
    tracker.observe(0.0, [{"listed": 2, "expected_s": 2000.0}], [pulse])
    tracker.observe(9.0, [done("segment", 9.0, 1000.0, 800.0)], [pulse])
    failed = done("segment", 9.5, 0.0, 0.0) | {"state": "failed", "recording_id": "s"}
    tracker.observe(10.0, [failed], [])
    assert tracker.states["segment"].active == 0
    assert tracker.forecast.totals["segment"] == 1000.0
    assert tracker.forecast.totals["score"] == 800.0


def test_the_speeds_of_a_run_are_kept_for_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build = a_build(tmp_path)
    models = [StageModel(name="score", flow="clips", speed=100.0, start_s=3.0)]
    state = StageState(made_s=600.0, wall_s=24.0, result_made_s=600.0, recent_s=20.0, recent_made_s=500.0)
    assert speeds.recalled(models, build) == models
    speeds.remember(models, {"score": state}, build)
    assert speeds.recalled(models, build) == [StageModel(name="score", flow="clips", speed=25.0, start_s=0.0)]
    speeds.remember(models, {"score": replace(state, made_s=1.0)}, build)  # too little to tell
    speeds.remember(models, {"score": replace(state, recent_s=10.0)}, build)
    assert speeds.recalled(models, build)[0].speed == pytest.approx(2 / (1 / 25 + 1 / 50), abs=0.1)
    kept = tmp_path / "cache/speechmill/speeds.json"
    for damaged in ("[1]", kept.read_text().replace("[", "[-"), kept.read_text().replace("[", "[NaN,0,")):
        kept.write_text(damaged)
        assert speeds.recalled(models, build) == models


def test_where_there_is_no_home_no_speeds_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a user who is in no list."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    build, models = a_build(tmp_path), [StageModel(name="score", flow="clips", speed=100.0, start_s=3.0)]
    speeds.remember(models, {"score": StageState(made_s=600.0, wall_s=24.0)}, build)
    assert speeds.recalled(models, build) == models


def test_what_is_loaded_in_the_middle_of_a_recording_says_nothing_of_the_speed() -> None:
    state = StageState()
    for made_s, took_s in ((10.0, 1.0), (10.0, 1.0), (10.0, 1.0), (10.0, 9.0), (10.0, 1.0)):
        state.partial_s += made_s
        state.spend(took_s)
    assert state.loading_s == pytest.approx(8.0)
    assert 1 / state.cost(0.1) == pytest.approx(10.0, rel=0.01)


def test_what_is_loaded_after_the_first_result_makes_no_machine_slow() -> None:
    """The first words of a recording may come before its models are loaded."""
    state = StageState()
    for made_s, took_s in ((0.5, 1.0), (0.5, 2.0), (0.5, 2.0), (20.0, 1.0)):
        state.partial_s += made_s
        state.spend(took_s)
    assert 1 / state.cost(0.05, start_s=5.0) == pytest.approx(20.0, rel=0.1)
    assert 1 / state.cost(0.05) < 17.0
    assert state.cost(0.2, start_s=50.0) >= state.cost(0.05, start_s=50.0)  # nothing explains that it is fast


def test_what_was_made_before_of_an_element_counts_too() -> None:
    tracker = Tracker(forecast())
    half = done("transcribe", 1.0, 40.0, 100.0)  # 60 s of its clips had been transcribed
    tracker.observe(0.0, [{"listed": 1, "expected_s": 100.0}])
    tracker.observe(1.0, [half])
    state = tracker.states["transcribe"]
    assert (state.in_s, state.made_s) == (100.0, 40.0)


def test_the_audio_that_is_shown_moves_between_two_batches_and_never_falls() -> None:
    tracker, shown = Tracker(forecast()), list[float]()
    tracker.observe(0.0, [{"listed": 1, "expected_s": 900.0}])
    for now_s in range(1, 60):
        done_s = 100.0 * (now_s // 10)
        tracker.observe(float(now_s), [], [Pulse(stage="transcribe", names={"recording_id": "r"}, done_s=done_s)])
        shown.append(tracker.states["transcribe"].shown_s)
    assert shown == sorted(shown)
    later = shown[20:50]
    assert sum(before < after for before, after in pairwise(later)) > 20  # of 29; batches come every ten
    assert shown[-1] < 700.0


def rendered(tracker: Tracker, width: int = 120, *, stopping: bool = False) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    with console.capture() as captured:
        console.print(view(tracker, stopping=stopping))
    return captured.get().splitlines()


def test_the_view_has_one_bar_a_row_a_stage_and_what_is_in_work() -> None:
    tracker = Tracker(forecast())
    assert "starting" in rendered(tracker)[0]
    tracker.observe(
        100.0, [{"listed": 3, "expected_s": 5400.0}, done("fetch", 100.0, 0.0, 0.0) | {"title": "One\x1b[2J"}]
    )
    pulses = [Pulse(stage="segment", names={"recording_id": "r"}, done_s=600.0, total_s=1800.0)]
    tracker.observe(160.0, [], pulses, {"1.json": 0})
    tracker.observe(161.0, [], pulses, {"1.json": 3_200_000})
    bar, fetch, segment, at_work = rendered(tracker)
    assert "1:01 elapsed" in bar
    assert "left" in bar
    assert fetch.split() == ["fetch", "1", "of", "3", "3.2", "MB/s"]
    assert segment.split()[:4] == ["segment", "0", "of", "3"]
    assert "0.18 of 1.50 h" in segment
    assert at_work == "now: segment One[2J (10:00 of 30:00)"
    assert rendered(tracker, stopping=True)[-1].startswith("stopping: ")
    line = plain_line(tracker)
    assert "\n" not in line
    assert "segment 0 of 3 0.18 of 1.50 h" in line


def test_the_view_fits_a_terminal_of_120_columns() -> None:
    slow = dict.fromkeys((model.name for model in MODELS), 1.0)
    tracker = Tracker(forecast())
    for now_s, events, pulses in simulated([360_000.0], slow, start_s=4.0):
        tracker.observe(now_s, events, [*pulses, *(Pulse(stage="segment", names={"title": "x" * 300}),) * 9])
        if now_s % 500 < STEP_S:
            lines = rendered(tracker)
            assert max(map(len, lines)) <= 120
            assert len(lines) <= 35
    assert tracker.share <= 1.0


def test_amounts_have_a_unit_that_fits() -> None:
    assert amount(30.0, 30.0) == "0.5 min"
    assert amount(1800.0, 7200.0) == "0.50 of 2.00 h"


def test_a_pulse_tells_what_each_thread_works_on_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    monkeypatch.setattr(pulse, "INTERVAL_S", 0.01)
    with pulse.at_work(store, "segment", {"recording_id": "r"}):
        pulse.expect(100.0)
        pulse.add(40.0)
        with pulse.at_work(store, "score", {"recording_id": "s"}, 5.0):
            pulse.add(1.0)
            pulse.add_bytes(7)
            found = _wait(
                lambda: {each.stage: each.done_s for each in pulse.read(store)[0]}, {"segment": 40.0, "score": 6.0}
            )
        assert found
        assert sum(pulse.read(store)[1].values()) >= 7
    pulse.add(1.0)  # of no element
    assert _wait(lambda: store.names(pulse.FOLDER), [])
    (tmp_path / "work/progress").mkdir(exist_ok=True)
    (tmp_path / "work/progress/999999999.json").write_text('{"bytes": 1, "pulses": []}')  # of a process that is gone
    (tmp_path / f"work/progress/{os.getpid()}.json").write_text("{")
    assert pulse.read(store) == ([], {})


def _wait(ask: Any, answer: Any) -> bool:
    """Whether a question gets an answer, soon."""
    return any(ask() == answer or threading.Event().wait(0.02) for _ in range(5_000))


def test_a_status_line_has_a_share_and_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream, now = Terminal(), iter((0.0, 10.0, 20.0, 100.0, 102.0, 106.0))
    monkeypatch.setattr("speechmill.runner.statusline.time.monotonic", lambda: next(now))
    with StatusLine(stream) as line:
        line("loading", 0, 8)
        line("recomputing", 2, 8)
        line("recomputing", 4, 8)
        line("train: step 1 of 1,000, loss 3.1")
        line("train: step 2 of 1,000, loss 3.0")
        line("train: step 4 of 1,000, loss 3.0")
    assert "recomputing: 4 of 8, 50%, 0:20 left" in stream.getvalue()
    assert "train: step 4 of 1,000, loss 3.0, 33:12 left" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[2K")


SHELL = """
class Shell:
    kernel = True

def get_ipython():
    return Shell()
"""
DISPLAY = """
class Handle:
    def update(self, bundle, *, raw):
        print("update", bundle["text/plain"].splitlines()[0])

def display(bundle, *, raw, display_id):
    print("display")
    return Handle()
"""


def test_a_notebook_shows_one_output_that_is_replaced(tmp_path: Path) -> None:
    """With a stand-in for IPython, which is no dependency: the calls are those of its documented `display`."""
    (tmp_path / "IPython").mkdir()
    (tmp_path / "IPython/__init__.py").write_text(SHELL)
    (tmp_path / "IPython/display.py").write_text(DISPLAY)
    code = (
        "import IPython, sys\nfrom speechmill.runner.live import screen_for\n"
        "from speechmill.runner.tracking import Tracker\nfrom speechmill.runner.forecast import Forecast\n"
        "with screen_for(sys.stderr) as screen: screen.show(Tracker(Forecast([])), stopping=False)"
    )
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    told = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert told[0] == "display"
    assert told[1].startswith("update")
    assert "starting" in told[1]
    assert told[-1] == "update ended after 0:00"
