"""Follows a run: what its stages did so far, by the events of its log, and what is in work, by the pulses."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from speechmill.core.pulse import Pulse
from speechmill.runner.forecast import Forecast, StageState
from speechmill.stages import FETCH

MAX_TITLES = 10_000
IN_ORDER = ("passages", "segment")  # stages in other processes: a result waits for its turn after its pulse is gone
MOST_STALE = 100  # elements whose pulse may still be there for a moment after their event
RATE_S = 3.0  # of downloads: bytes of so many last seconds


@dataclass(slots=True)
class Tracker:
    """State of a run on any clock: call `observe` again and again."""

    forecast: Forecast
    states: dict[str, StageState] = field(default_factory=dict)
    """By stage, in the order in which they began."""
    pulses: list[Pulse] = field(default_factory=list)
    """What is in work."""
    left_s: float | None = None
    """Seconds until the end; None: not known yet."""
    began_s: float | None = None
    now_s: float = 0.0
    share: float = 0.0
    """Share of the run that is done, 0 to 1; never falls."""
    files: int = 0
    """Files of the corpus written so far."""
    _unspent_s: float = 0.0
    _uncounted: dict[tuple[str, str], Pulse] = field(default_factory=dict)  # pulses of IN_ORDER without their event
    _counted: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=MOST_STALE))  # whose event came last
    _titles: dict[str, str] = field(default_factory=dict)
    _received: list[tuple[float, int]] = field(default_factory=list)
    _by_process: dict[str, int] = field(default_factory=dict)

    def observe(
        self, now_s: float, events: Iterable[Mapping[str, Any]] = (), pulses: Iterable[Pulse] = (),
        received: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        """Take in what is new.

        Args:
            now_s: The time in seconds, on any clock.
            events: New events of the log.
            pulses: All elements in work.
            received: Bytes received so far by process.
        """
        self.began_s = now_s if self.began_s is None else self.began_s
        passed_s, self.now_s = now_s - max(self.now_s, self.began_s), now_s
        busy: dict[str, float] = {}
        for event in events:
            self._add(event)
            if "stage" in event:
                busy[event["stage"]] = busy.get(event["stage"], 0.0) + event["seconds"]
        self.pulses = list(pulses)
        self._add_pulses()
        self._by_process |= received or {}
        self._received.append((now_s, sum(self._by_process.values())))
        self._received = [entry for entry in self._received if now_s - entry[0] <= RATE_S]
        self._spend(passed_s, busy)
        self._estimate()

    def title(self, pulse: Pulse) -> str:
        """Name of the element of a pulse for people."""
        recording = pulse.names.get("recording_id", "")
        return self._titles.get(recording) or pulse.names.get("title") or pulse.names.get("file") or recording[:8]

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first observation."""
        return self.now_s - (self.now_s if self.began_s is None else self.began_s)

    @property
    def bytes_per_s(self) -> float:
        """Bytes received in a second, over the last RATE_S."""
        (first_s, first), (last_s, last) = self._received[0], self._received[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else 0.0

    def _add(self, event: Mapping[str, Any]) -> None:
        """Count one event."""
        if "listed" in event:
            self.forecast.listed += event["listed"]
            self.forecast.expected_s += event["expected_s"]
        if "stage" not in event:
            return
        self.files += event["stage"] == "publish"
        if event["stage"] == FETCH.name and event.get("title") and len(self._titles) < MAX_TITLES:
            self._titles[event["recording_id"]] = event["title"]
        state = self.states.setdefault(event["stage"], StageState())
        if event["stage"] in IN_ORDER:
            self._uncounted.pop(_key(event["stage"], event), None)
            self._counted.append(_key(event["stage"], event))
        state.inputs += 1
        state.failed += event["state"] == "failed"
        state.reused += event["state"] == "reused"
        # A content that was made in part before counts whole, but only its new audio took time.
        state.in_s += max(event["audio_in_s"], event["audio_kept_s"])
        state.kept_s += event["audio_kept_s"]
        state.made_s += event["audio_in_s"] if event["state"] == "done" else 0.0

    def _add_pulses(self) -> None:
        for state in self.states.values():
            state.partial_s = state.active_s = 0.0
            state.active = state.at_work = 0
        for pulse in self.pulses:
            if pulse.stage in IN_ORDER and _key(pulse.stage, pulse.names) not in self._counted:
                self._uncounted[_key(pulse.stage, pulse.names)] = pulse
        others = (pulse for pulse in self.pulses if pulse.stage not in IN_ORDER)
        for pulse in (*others, *self._uncounted.values()):
            state = self.states.setdefault(pulse.stage, StageState())
            total_s = pulse.total_s
            state.at_work += 1
            state.partial_s += pulse.done_s if total_s is None else min(pulse.done_s, total_s)
            if total_s is not None:
                state.active_s += max(total_s, pulse.done_s)
                state.active += 1

    def _spend(self, passed_s: float, busy: Mapping[str, float]) -> None:
        """Divide the time since the last observation among the stages at work."""
        self._unspent_s += passed_s
        weights = dict.fromkeys((pulse.stage for pulse in self.pulses), 1.0) or busy
        total = sum(weights.values())
        if total <= 0:  # where there are no pulses, as on a cluster, the time waits for the next event
            return
        for stage, weight in weights.items():
            self.states[stage].spend(self._unspent_s * weight / total)
        self._unspent_s = 0.0

    def _estimate(self) -> None:
        if not self.forecast.listed:
            return
        self.left_s = self.forecast.left_s(self.states)
        for name, state in self.states.items():
            done_s, total_s = state.in_s + state.partial_s, self.forecast.totals.get(name, 0.0)
            likely_s = min(done_s + state.unseen_s(self.forecast.costs.get(name, 0.0)), total_s)
            state.shown_s = max(state.shown_s, done_s, likely_s)
        self.share = max(self.share, self.elapsed_s / max(self.elapsed_s + self.left_s, 1e-9))


def _key(stage: str, names: Mapping[str, Any]) -> tuple[str, str]:
    return stage, str(names.get("recording_id", ""))
