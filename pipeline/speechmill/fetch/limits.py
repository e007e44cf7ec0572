"""Limits of a download, and turns at a host."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.fetch.addresses import PassingError
from speechmill.fetch.wire import POLL_S


class StoppedError(Exception):
    """Raised when the run stops. Unfinished downloads stay in place for the next one."""


def never() -> bool:
    """Return False: the default for `stopping`."""
    return False


@dataclass(slots=True, kw_only=True)
class Limits:
    """Limits of a download; `deadline` and `next_ask`, when `stopping` is called again, are on the monotonic clock."""

    config: Fetch
    max_bytes: int
    deadline: float
    stopping: Callable[[], bool]
    next_ask: float = 0.0

    @classmethod
    def of(cls, config: Fetch, max_bytes: int, stopping: Callable[[], bool] = never) -> Self:
        """Limits of a config, starting now."""
        deadline = time.monotonic() + config.max_seconds
        return cls(config=config, max_bytes=max_bytes, deadline=deadline, stopping=stopping)

    def check(self) -> float:
        """Seconds left. Raises StoppedError or RejectedError(TIMED_OUT)."""
        self.raise_if_stopping()
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise RejectedError(Reason.TIMED_OUT, f"took more than {self.config.max_seconds:g} s", retry=True)
        return left_s

    def raise_if_stopping(self) -> None:
        """Raise StoppedError if the run stops.

        `stopping` may be a request itself, and is called so seldom that it takes at most a tenth of the time.
        """
        start = time.monotonic()
        if start < self.next_ask:
            return
        if self.stopping():
            raise StoppedError
        end = time.monotonic()
        self.next_ask = end + min(10 * (end - start), POLL_S)

    def check_bytes(self, count: int) -> None:
        """Raise RejectedError(TOO_BIG) for too many bytes."""
        if count > self.max_bytes:
            raise RejectedError(Reason.TOO_BIG, f"more than {self.max_bytes} bytes")

    def pause(self, seconds: float) -> None:
        """Sleep. Raises as `check` does."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_S, self.check()))

    def back_off(self, failures: int, fault: PassingError) -> None:
        """Sleep before a request is repeated; longer with each failure. Raises the fault after too many failures."""
        if failures > self.config.retries:
            raise fault
        backoff = self.config.backoff_s * 2 ** (failures - 1) * random.uniform(0.5, 1.5)  # noqa: S311
        self.pause(max(backoff, fault.after_s))


class Turns:
    """Requests of this process at one host: how many are open, and when the next may begin."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open, self._next = 0, 0.0

    @contextmanager
    def taken(self, limits: Limits, most: int, delay: float) -> Iterator[Self]:
        """Wait for a turn and hold it; the wait does not count against the download's deadline."""
        asked = time.monotonic()
        with self._changed:
            while self._open >= most:
                self._changed.wait(POLL_S)
                limits.raise_if_stopping()
            self._open += 1
            begin = max(time.monotonic(), self._next)
            self._next = begin + delay
        try:
            while (left := begin - time.monotonic()) > 0:
                time.sleep(min(left, POLL_S))
                limits.raise_if_stopping()
            limits.deadline += time.monotonic() - asked
            yield self
        finally:
            with self._changed:
                self._open -= 1
                self._changed.notify()

    def hold(self, seconds: float) -> None:
        """Let no request begin for a while."""
        with self._changed:
            self._next = max(self._next, time.monotonic() + seconds)

    def left_s(self) -> float:
        """Seconds until the next request may begin."""
        return max(self._next - time.monotonic(), 0.0)


_turns: dict[tuple[str, int], Turns] = {}  # by host and port
_turns_lock = threading.Lock()


def turns_of(host: tuple[str, int]) -> Turns:
    """Turns at a host and port."""
    with _turns_lock:
        return _turns.setdefault(host, Turns())


def delays() -> dict[tuple[str, int], float]:
    """Seconds until the next request to each host, where it has to wait; for another process of this run."""
    with _turns_lock:
        return {host: left for host, turns in _turns.items() if (left := turns.left_s()) > 0}


def hold(delays_s: Mapping[tuple[str, int], float]) -> None:
    """Adopt the delays of another process."""
    for host, seconds in delays_s.items():
        turns_of(host).hold(seconds)
