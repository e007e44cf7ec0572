"""Interrupts a process at a place in its code, by a real SIGINT; for the `first` of `tests.forked.Forked`."""

import hashlib
import os
import pkgutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

ISOLATED_S = 0.3  # after which a worker has begun with its element
BETWEEN_S = 0.2
NOTICED_S = 2.0  # that a place takes, so that nothing is at its end before the signal is there
HANG_ROUNDS = 2**31 - 1  # minutes of C code, in which Python handles no signal


def at_stage(stage: str, *, hangs: bool = False, times: int = 1, temporary: str | None = None) -> None:
    """Interrupt when work of a stage begins, here or in a worker process; `hangs`: it then takes minutes.

    `temporary`: folder for temporary files of this process.
    """
    from speechmill.core import processes, pulse

    tempfile.tempdir = temporary
    here, submit = pulse.at_work, processes.Pool.submit
    interrupt = _once(times, hangs=hangs)

    def at_work(store: Any, name: str, *rest: Any) -> Any:
        if name == stage and interrupt():
            hang() if hangs else time.sleep(NOTICED_S)
        return here(store, name, *rest)

    def submitted(pool: Any, function: Any, name: str, *rest: Any) -> Any:
        if name != stage:
            return submit(pool, function, name, *rest)
        threading.Timer(ISOLATED_S, interrupt).start()
        return submit(pool, hang) if hangs else submit(pool, function, name, *rest)

    pulse.at_work = at_work
    processes.Pool.submit = submitted  # type: ignore[method-assign]


def at_call(name: str, *, hangs: bool = False, times: int = 1) -> None:
    """Interrupt at the first call of a method, given as `package.module:Class.name`; `hangs`: it takes minutes."""
    place, _, attribute = name.rpartition(".")
    owner = pkgutil.resolve_name(place)
    original, interrupt = getattr(owner, attribute), _once(times, hangs=hangs)

    def called(*arguments: Any, **named: Any) -> Any:
        if interrupt():
            hang() if hangs else time.sleep(NOTICED_S)
        return original(*arguments, **named)

    setattr(owner, attribute, called)


def _once(times: int, *, hangs: bool) -> Callable[[], bool]:
    """A function that has this process interrupted at its first call, so many times; returns whether it was that."""
    first = threading.Lock()

    def interrupt() -> bool:
        if not first.acquire(blocking=False):
            return False
        threading.Thread(target=_send, args=[times, BETWEEN_S if hangs else 0.0], daemon=True).start()
        return True

    return interrupt


def _send(times: int, after_s: float) -> None:
    """Send this process SIGINT from a thread, as a terminal would from outside."""
    time.sleep(after_s)  # until it hangs
    print(f"interrupted at {time.time()}", file=sys.stderr, flush=True)
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(BETWEEN_S)


def hang() -> None:
    """Be in C code for minutes, as a model may be."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", HANG_ROUNDS)
