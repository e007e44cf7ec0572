"""The live view: the end is forecast from events and pulses on any clock, and what is shown fits a terminal."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from speechmill.core.pulse import Pulse
from speechmill.runner.forecast import Forecast, StageModel
from speechmill.runner.tracking import Tracker

RECORDED = Path(__file__).with_name("recorded_runs")
STEP_S = 0.5

Observation = tuple[float, list[dict[str, Any]], list[Pulse]]

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


def errors(observations: list[Observation], forecast: Forecast) -> list[float]:
    """Relative errors of the forecast end, at each hundredth of a run after the first tenth."""
    tracker, told = Tracker(forecast), []
    began_s, end_s = observations[0][0], observations[-1][0]
    for now_s, events, pulses in observations:
        tracker.observe(now_s, events, pulses)
        share = (now_s - began_s) / (end_s - began_s)
        if share >= 0.1 and len(told) < 100 * share - 10:
            assert tracker.left_s is not None
            told.append((tracker.elapsed_s + tracker.left_s) / (end_s - began_s) - 1)
    return told


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


def recorded(name: str) -> tuple[list[Observation], Forecast]:
    """Observations of a real run, and the forecast that it would have had."""
    lines = [json.loads(line) for line in gzip.decompress((RECORDED / name).read_bytes()).splitlines()]
    models = [StageModel(**model) for model in lines[0]["models"]]
    observations = [(line["t"], line["events"], [Pulse(**each) for each in line["pulses"]]) for line in lines[1:]]
    return observations, Forecast(models)
