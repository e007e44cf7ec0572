"""Forecasts the end of a run, from what its stages did so far and from their usual speeds.

The time that passes is divided among the stages that are at work, so that what stages cost adds up to the time of the
run, however many of them work side by side. A stage that has not begun is taken to be as much slower or faster than
usual as those before it were, since a machine is as slow for all of them.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from speechmill.audio.duration import duration_by_head
from speechmill.core.build import Build
from speechmill.core.processes import usable_cores
from speechmill.sources import Listed
from speechmill.stages import FETCH
from speechmill.stages.base import Isolated
from speechmill.stages.flow import STAGES

BYTES_PER_S = {".wav": 96_000.0, ".flac": 35_000.0, ".opus": 8_000.0, ".ogg": 12_000.0}
USUAL_BYTES_PER_S = 14_000.0  # of podcasts and audiobooks: 112 kbit/s
UNKNOWN_S = 1_800.0  # of a recording of which nothing is known: that of most podcasts is between 20 and 60 minutes
PRIOR_S = 5.0  # seconds of work of a stage after which what is measured counts as much as what was expected
TRUSTED_S = 8.0  # seconds of audio, likewise, for shares of audio that are kept
# Shares of audio that a stage passes on: those of the demo podcast.
USUALLY_KEPT = {"passages": 0.8, "passage_scores": 0.8, "segment": 0.75, "score": 0.65, "dedup": 0.95}
SELECTING = ("score", "dedup")  # stages after which fewer clips are left
# Loading of what a stage needs, on two cores: libraries by the first stage of a process, its models by each. Figures
# of recorded runs, half of them on a busy machine: time of a stage without that of its audio at its usual speed.
START_S = {
    "passages": 5.0, "segment": 5.0, "score": 3.0, "transcribe": 0.7, "embed": 1.2, "pitch": 0.2, "tokenise": 1.5,
}  # fmt: skip
USUAL_START_S = 0.5
STALLED = 3.0  # times the time that other audio took, from which on a stage was loading something, once
SHORTEST_LOADING_S = 1.0
DONE_AT_WORK = 0.5  # of downloads that are at work, on average
RECENT_S = 120.0  # of work, after which a measured speed counts half
PUBLISHING_S = 1.0


def expected_s(listed: Listed) -> float:
    """Expected duration of a recording in seconds: as declared, or by the head or the size of a local file."""
    recording = listed.recording
    if recording.declared_duration_s:
        return float(recording.declared_duration_s)
    if recording.end_s is not None:
        return recording.end_s - (recording.start_s or 0.0)
    try:
        if listed.media_path and (seconds := duration_by_head(listed.media_path)):
            return seconds
        size = os.path.getsize(listed.media_path) if listed.media_path else recording.bytes
    except (OSError, EOFError, ValueError):
        size = None
    if not size:
        return UNKNOWN_S
    return size / BYTES_PER_S.get(os.path.splitext(recording.media_url)[1].lower(), USUAL_BYTES_PER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageModel:
    """What is known of a stage before it runs."""

    name: str
    flow: str
    """What it processes: `recordings`, `passages`, `texts` of passages, all `clips`, or the `selected` ones."""
    speed: float | None
    """In multiples of real time, all processes together; None: it hardly takes time."""
    start_s: float = 0.0
    """Seconds in which it loads what it needs, before it begins."""


def stage_models(build: Build) -> list[StageModel]:
    """Models of the stages of a build that are in the graph, in order, at the speeds of usual machines."""
    models = []
    workers = build.config.workers or usable_cores()
    for stage in STAGES:
        if not stage.is_in_graph or not build.runs(stage.name):
            continue
        speed = stage.speed(build.config)
        if speed is not None and isinstance(stage.execution_in(build), Isolated):
            speed *= workers
        models.append(StageModel(name=stage.name, flow=_flow(stage), speed=speed, start_s=usual_start_s(stage.name)))
    return models


def usual_start_s(name: str) -> float:
    """Seconds in which a stage usually loads what it needs."""
    return 0.0 if name == FETCH.name else START_S.get(name, USUAL_START_S)


def _flow(stage: Any) -> str:
    if stage.name in ("fetch", "passages", "segment"):
        return "recordings"
    if stage.name == "passage_scores":
        return "passages"
    if stage.name in ("passage_texts", "passage_cross_check"):
        return "texts"
    return "selected" if stage.clips_only or stage.name == "align" else "clips"


@dataclass(slots=True, kw_only=True)
class StageState:
    """What a stage did so far in this run. Durations of audio, and times, are in seconds."""

    inputs: int = 0
    """Finished elements."""
    failed: int = 0
    reused: int = 0
    in_s: float = 0.0
    """Audio of finished elements."""
    kept_s: float = 0.0
    """Audio of them that it passes on."""
    made_s: float = 0.0
    """Audio of them that was processed now, not reused."""
    partial_s: float = 0.0
    """Audio done of elements that are not finished."""
    active_s: float = 0.0
    """Expected audio of these elements, as far as it is known."""
    active: int = 0
    """Number of elements in work whose audio is known."""
    at_work: int = 0
    """Number of all elements in work."""
    wall_s: float = 0.0
    """Time of the run that is its share."""
    start_s: float = 0.0
    """Part of it until the first result, in which processes start and models are loaded."""
    start_made_s: float = 0.0
    """Audio processed by then."""
    result_s: float = 0.0
    """Part of its time until the last result: results come in pieces."""
    result_made_s: float = 0.0
    """Audio processed by then."""
    piece_s: float = 0.0
    """Audio of the last piece."""
    loading_s: float = 0.0
    """Part of its time after the first result in which it hardly worked, since something was loaded only then."""
    recent_s: float = 0.0
    """Part of its time that its speed is judged by: lately, as machines become busy, and without loading."""
    recent_made_s: float = 0.0
    """Audio processed in it."""
    shown_s: float = 0.0
    """Audio done, for the display: with what it should have processed since the last result; never falls."""

    @property
    def worked_s(self) -> float:
        """Audio processed so far, with that of unfinished elements."""
        return self.made_s + self.partial_s

    def spend(self, seconds: float) -> None:
        """Add time of the run to its share."""
        self.wall_s += seconds
        if not self.start_made_s:
            self.start_s, self.start_made_s = self.wall_s, self.worked_s
        if self.worked_s > self.result_made_s:
            self._add_result(self.worked_s - self.result_made_s, self.wall_s - self.result_s)

    def _add_result(self, piece_s: float, took_s: float) -> None:
        if self.result_made_s:
            usual_s = piece_s * self.recent_s / self.recent_made_s if self.recent_made_s else took_s
            if not self.loading_s and took_s > max(STALLED * usual_s, SHORTEST_LOADING_S):
                self.loading_s, took_s = took_s - usual_s, usual_s
            lasting = 0.5 ** (took_s / RECENT_S)
            self.recent_s = self.recent_s * lasting + took_s
            self.recent_made_s = self.recent_made_s * lasting + piece_s
        self.piece_s, self.result_s, self.result_made_s = piece_s, self.wall_s, self.worked_s

    @property
    def measured_s(self) -> float:
        """Audio processed since the first result."""
        return max(self.result_made_s - self.start_made_s, 0.0)

    def worked_at(self, usual: float, start_s: float) -> float:
        """Time for `recent_made_s`, without loading after the first result: what is left of `start_s` then.

        `usual`: time that is expected for a second of audio, below which nothing is taken for loading.
        """
        left_s = max(start_s - self.start_s - self.loading_s, 0.0)
        return max(self.recent_s - left_s, min(self.recent_s, self.recent_made_s * usual))

    def cost(self, usual: float, start_s: float = 0.0) -> float:
        """Time of the run for a second of audio; `usual`: what was expected, `start_s`: for loading."""
        weight_s, weight_made_s = (PRIOR_S, PRIOR_S / usual) if usual else (0.0, TRUSTED_S)
        return (self.worked_at(usual, start_s) + weight_s) / (self.recent_made_s + weight_made_s)

    def unseen_s(self, cost: float) -> float:
        """Audio that it should have processed since the last result, at a cost; at most a piece."""
        return min((self.wall_s - self.result_s) / cost, self.piece_s) if cost else 0.0


@dataclass(slots=True)
class Forecast:
    """Forecast of a run.

    >>> forecast = Forecast([StageModel(name="score", flow="recordings", speed=10.0)], listed=1, expected_s=1000.0)
    >>> state = StageState(partial_s=500.0, start_made_s=1.0, result_made_s=500.0, result_s=50.0, wall_s=50.0)
    >>> round(forecast.left_s({"score": state}) - PUBLISHING_S)
    50
    """

    models: list[StageModel]
    listed: int = 0
    """Recordings of the run."""
    expected_s: float = 0.0
    """Their expected audio in seconds."""
    totals: dict[str, float] = field(default_factory=dict)
    """Expected audio of each stage in seconds, as last computed."""
    costs: dict[str, float] = field(default_factory=dict)
    """Time of the run for a second of audio of each stage, as last computed."""

    def left_s(self, states: Mapping[str, StageState]) -> float:
        """Seconds until the end; also sets `totals` and `costs`."""
        self.totals = self._totals(states)
        slowness, left = self._slowness(states), PUBLISHING_S
        for model in self.models:
            state = states.get(model.name, StageState())
            if model.name == FETCH.name:
                left += self._fetching_s(model, state)
                continue
            usual = slowness / model.speed if model.speed else 0.0
            self.costs[model.name] = cost = state.cost(usual, slowness * model.start_s)
            left_s = self.totals[model.name] - state.in_s - state.partial_s
            if model.speed and left_s > 0 and not state.start_made_s:
                left += max(model.start_s * slowness - state.wall_s, 0.0)
            left += cost * max(left_s - state.unseen_s(cost), 0.0)
        return left

    def _fetching_s(self, model: StageModel, state: StageState) -> float:
        """Seconds until all is fetched, by number of recordings: how long one is, is known only when it is decoded."""
        usual_s = self.totals[model.name] / (model.speed or 1.0) / max(self.listed, 1)
        each_s = (state.wall_s + usual_s) / (state.inputs + DONE_AT_WORK * state.at_work + 1)
        return each_s * max(self.listed - state.inputs - DONE_AT_WORK * state.at_work, 0.0)

    def _slowness(self, states: Mapping[str, StageState]) -> float:
        """Time that stages took over what they usually take; downloads say nothing of the machine."""
        took = usually = PRIOR_S
        for model in self.models:
            if model.speed and model.name in states and model.name != FETCH.name:
                state = states[model.name]
                took += state.worked_at(1 / model.speed, model.start_s)
                usually += state.recent_made_s / model.speed
        return took / usually

    def _totals(self, states: Mapping[str, StageState]) -> dict[str, float]:
        """Expected audio of each stage in seconds."""
        flows = {"recordings": self._recordings_s(states)}
        flows["passages"] = self._passed_on("passages", flows["recordings"], states)
        flows["texts"] = self._passed_on("passage_scores", flows["passages"], states)
        flows["clips"] = self._passed_on("segment", flows["recordings"], states)
        flows["selected"] = flows["clips"]
        for name in SELECTING:
            flows["selected"] = self._passed_on(name, flows["selected"], states)
        return {model.name: self._total_s(flows[model.flow], states.get(model.name)) for model in self.models}

    def _total_s(self, flow_s: float, state: StageState | None) -> float:
        """Audio of a stage, given that of its flow: what it had, once it had something of all recordings."""
        if state is None:
            return flow_s
        return state.in_s if state.inputs >= self.listed > 0 else max(flow_s, state.in_s)

    def _recordings_s(self, states: Mapping[str, StageState]) -> float:
        """Audio of all recordings: as decoded or declared where it is known; the others as long as these suggest."""
        decoded = max((states.get(name, StageState()) for name in ("passages", "segment")), key=lambda s: s.inputs)
        mean_s = self.expected_s / self.listed if self.listed and self.expected_s else UNKNOWN_S
        known = decoded.inputs + decoded.active
        ratio = (decoded.in_s + decoded.active_s + mean_s) / ((known + 1) * mean_s)
        return decoded.in_s + decoded.active_s + max(self.listed - known, 0) * mean_s * ratio

    def _passed_on(self, name: str, in_s: float, states: Mapping[str, StageState]) -> float:
        """Audio that a stage passes on of `in_s` seconds; all of it if it is not in the graph."""
        if not any(model.name == name for model in self.models):
            return in_s
        state, usual = states.get(name, StageState()), USUALLY_KEPT.get(name, 1.0)
        share = (state.kept_s + TRUSTED_S * usual) / (state.in_s + TRUSTED_S)
        return state.kept_s + max(in_s - state.in_s, 0.0) * share
