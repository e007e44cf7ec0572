"""Replays what the live view saw of a run, recorded by `tests.benchmarks.record_runs`, or simulated."""

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechmill.core.pulse import Pulse
from speechmill.runner.forecast import Forecast, StageModel, StageState, usual_start_s
from speechmill.runner.speeds import speed_of
from speechmill.runner.tracking import Tracker

FIRST_SHARE = 0.1  # of a run, before which no forecast is judged

Observation = tuple[float, list[dict[str, Any]], list[Pulse]]  # time in seconds, new events, elements in work


def read_recorded(path: Path) -> tuple[list[Observation], Forecast]:
    """Observations of a real run, and the forecast that it would have had."""
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    models = [StageModel(**({"start_s": usual_start_s(model["name"])} | model)) for model in lines[0]["models"]]
    observations = [(line["t"], line["events"], [Pulse(**each) for each in line["pulses"]]) for line in lines[1:]]
    return observations, Forecast(models)


def learnt(models: Sequence[StageModel], path: Path) -> list[StageModel]:
    """Models of stages with the speeds of a recorded run, as the same machine would have them."""
    observations, forecast = read_recorded(path)
    if {model.name for model in forecast.models} != {model.name for model in models}:
        return list(models)  # its stages do other things
    tracker = Tracker(forecast)
    for now_s, events, pulses in observations:
        tracker.observe(now_s, events, pulses)
    found = {model.name: speed_of(model, tracker.states.get(model.name, StageState())) for model in forecast.models}
    pairs = ((model, found.get(model.name)) for model in models)
    return [replace(model, speed=own.speed, start_s=own.start_s) if own else model for model, own in pairs]


def errors(observations: Iterable[Observation], forecast: Forecast) -> list[float]:
    """Relative errors of the forecast end, at each hundredth of a run after FIRST_SHARE."""
    tracker, told, observed = Tracker(forecast), list[float](), list(observations)
    began_s, end_s = observed[0][0], observed[-1][0]
    for now_s, events, pulses in observed:
        tracker.observe(now_s, events, pulses)
        share = (now_s - began_s) / (end_s - began_s)
        while share >= FIRST_SHARE and len(told) < 100 * (share - FIRST_SHARE):
            left_s = tracker.left_s
            told.append(-1.0 if left_s is None else (tracker.elapsed_s + left_s) / (end_s - began_s) - 1)
    return told
