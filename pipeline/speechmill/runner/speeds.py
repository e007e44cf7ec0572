"""How fast stages were on this machine: small figures in the user's cache folder, for the forecasts of later runs.

They serve the live view alone: no result depends on them, and without them the speeds of usual machines count.
"""

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from speechmill.core.atomic import atomic_write
from speechmill.core.build import Build
from speechmill.runner.forecast import StageModel, StageState

FILE = "speechmill/speeds.json"
MIN_AUDIO_S = 20.0  # of which a stage says how long it takes to start
MEASURED_AUDIO_S = 60.0  # … and how fast it is then
MAX_ENTRIES = 200


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a stage was."""

    speed: float
    """In multiples of real time, all processes together."""
    start_s: float
    """Seconds in which it loaded what it needs."""


def recalled(models: list[StageModel], build: Build) -> list[StageModel]:
    """Models of stages, with the speeds of earlier runs that had the same settings, models and device."""
    known = _read()
    found = ((model, known.get(_key(model.name, build))) for model in models)
    return [replace(model, speed=own.speed, start_s=own.start_s) if own else model for model, own in found]


def remember(models: list[StageModel], states: Mapping[str, StageState], build: Build) -> None:
    """Keep the speeds of a run: means of these and those before, since a machine is not always as busy."""
    known = _read()
    for model in models:
        now = speed_of(model, states.get(model.name, StageState()))
        if now is not None:
            before = known.pop(_key(model.name, build), now)
            speed = 2 / (1 / now.speed + 1 / before.speed)
            known[_key(model.name, build)] = Speed(speed, (now.start_s + before.start_s) / 2)
    with suppress(OSError, RuntimeError):  # a home that cannot be written to, or none
        _write(known)


def speed_of(model: StageModel, state: StageState) -> Speed | None:
    """How fast a stage was; None if it did too little to tell. Speed and start add up to the time that it took."""
    if not model.speed or state.made_s < MIN_AUDIO_S:
        return None
    is_measured = state.measured_s >= MEASURED_AUDIO_S and state.recent_s > 0
    speed = state.recent_made_s / state.recent_s if is_measured else model.speed
    return Speed(speed, max(state.wall_s - state.made_s / speed, 0.0))


def _key(name: str, build: Build) -> str:
    """What the speed of a stage depends on: its own settings and models, and the device."""
    return f"{name} {str(build.profiles.get(name)).rpartition('-')[2]} {build.device}"


def _path() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / FILE


def _read() -> dict[str, Speed]:
    with suppress(OSError, RuntimeError, ValueError, TypeError, AttributeError):  # none yet, or somebody changed it
        known = {key: Speed(*map(float, pair)) for key, pair in json.loads(_path().read_text()).items()}
        return {key: own for key, own in known.items() if 0 < own.speed < math.inf and 0 <= own.start_s < math.inf}
    return {}


def _write(known: Mapping[str, Speed]) -> None:
    path, newest = _path(), list(known.items())[-MAX_ENTRIES:]
    path.parent.mkdir(parents=True, exist_ok=True)
    figures = {key: [round(speed.speed, 2), round(speed.start_s, 2)] for key, speed in newest}
    with atomic_write(str(path), new=False, private=False) as file:
        file.write(json.dumps(figures, indent=1).encode())
