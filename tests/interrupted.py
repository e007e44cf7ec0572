"""Interrupts a process at a place in its code, by a real SIGINT; for the `first` of `tests.forked.Forked`."""

import hashlib
import os
import pkgutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

ISOLATED_S = 0.3  # after which a worker has begun with its element
HANG_ROUNDS = 2**31 - 1  # minutes of C code, in which Python handles no signal


def at_stage(stage: str, *, hangs: bool = False, times: int = 1) -> None:
    """Interrupt when work of a stage begins, here or in a worker process; `hangs`: it then takes minutes."""
    from speechmill.core import processes, pulse

    here, submit = pulse.at_work, processes.Pool.submit
    interrupt = _once(times)

    def at_work(store: Any, name: str, *rest: Any) -> Any:
        if name == stage and interrupt() and hangs:
            hang()
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
    original, interrupt = getattr(owner, attribute), _once(times)

    def called(*arguments: Any, **named: Any) -> Any:
        if interrupt() and hangs:
            hang()
        return original(*arguments, **named)

    setattr(owner, attribute, called)


def _once(times: int) -> Callable[[], bool]:
    """A function that interrupts this process at its first call, as often as asked; returns whether it did."""
    first = threading.Lock()

    def interrupt() -> bool:
        if not first.acquire(blocking=False):
            return False
        print(f"interrupted at {time.time()}", file=sys.stderr, flush=True)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
        return True

    return interrupt


def hang() -> None:
    """Be in C code for minutes, as a model may be."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", HANG_ROUNDS)
