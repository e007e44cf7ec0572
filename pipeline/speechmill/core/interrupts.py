"""Ends a command at SIGINT or SIGTERM: acknowledged at once, ended within seconds, and at the second signal at once.

Python runs its own handlers only between two instructions of the main thread, which may be inside a model for half a
minute. So signals are received by a thread, through the pipe that Python's C handler writes to.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from speechmill.core import last_acts

LAST_ACTS_S = 1.0
STOP_S = 3.0  # after which what is in hand is given up, files being whole or absent; the last acts follow
EXIT_INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)
CLEAR_LINE, SHOW_CURSOR = "\r\x1b[2K", "\x1b[?25h"
ACKNOWLEDGED = "speechmill: interrupted; interrupt again to end at once"


@contextmanager
def end_at_signal() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block at a signal; if it has not ended STOP_S later, end this process.

    Outside the main thread signals are left as they are.
    """
    deadline = threading.Timer(STOP_S, exit_at_once)
    deadline.daemon = True
    asked = threading.Event()

    def ask() -> None:
        if asked.is_set():
            exit_at_once()
        asked.set()
        say(ACKNOWLEDGED)
        deadline.start()

    try:
        with received(ask, raise_from=1):
            yield
    finally:
        deadline.cancel()


@contextmanager
def received(ask: Callable[[], None], *, raise_from: int | None) -> Iterator[None]:
    """Call a function, in a thread, for each signal of SIGNALS until the block ends.

    `raise_from`: number of the signal from which on KeyboardInterrupt is raised in the main thread too; None: of none.
    Outside the main thread, only in which handlers may be set, signals are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled, heard = list[int](), list[int]()

    def handle(number: int, _: Any) -> None:
        handled.append(number)
        if raise_from is not None and len(handled) >= raise_from:
            raise KeyboardInterrupt

    def hear(number: int) -> None:
        heard.append(number)
        ask()

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    pipe_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=_listen, args=[reader, hear], daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(pipe_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)
        thread.join()
        os.close(reader)
        if len(heard) < len(handled):  # the C handler marks a signal before it writes to the pipe, and was overtaken
            ask()


def _listen(reader: int, hear: Callable[[int], None]) -> None:
    while numbers := os.read(reader, 64):
        for number in (number for number in numbers if number in SIGNALS):
            hear(number)


def exit_at_once(last_words: str = "speechmill: stopped") -> None:
    """End this process and its workers, after the last acts."""
    acts = threading.Thread(target=last_acts.run_all, daemon=True)
    acts.start()
    acts.join(LAST_ACTS_S)  # one of them may wait for a lock that nobody gives back
    if processes := sys.modules.get("speechmill.core.processes"):  # without it there are no workers
        processes.kill_all()
    if sys.stderr.isatty():
        last_words = f"{SHOW_CURSOR}\n{last_words}"
    say(last_words)
    os._exit(EXIT_INTERRUPTED)


def say(words: str) -> None:
    """Print a line on standard error, in place of a status line."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{CLEAR_LINE if sys.stderr.isatty() else ''}{words}\n")
        sys.stderr.flush()
