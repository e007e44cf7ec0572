"""The command line and Python in processes of their own, each forked from one that has loaded Beam and torch."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

from speechmill.cli.main import main
from speechmill.core import processes

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["torch", "speechmill.runner.run", "speechmill.asr.whisper"])


class Forked:
    """A command at work: what tests need of a Popen. It says into a file, or nothing."""

    def __init__(
        self, *arguments: object, said: Path | str = os.devnull, first: Callable[[], None] | None = None
    ) -> None:
        """Start a command; `first`, a function of a module, is called before it in its process."""
        words = [str(argument) for argument in arguments]
        self._process = _context.Process(target=_live, args=[words, str(said), first])
        with processes._starting:
            self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Exit code, below 0 for a signal; None while it works."""
        return self._process.exitcode

    def wait(self, timeout_s: float = 200) -> int:
        """Wait for the end; returns the exit code."""
        self._process.join(timeout_s)
        assert self._process.exitcode is not None, "it does not end"
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def executed(code: str, folder: Path, environment: Mapping[str, str], said: Path) -> int:
    """Run Python in a folder, as `python -c` does; returns the exit code."""
    process = _context.Process(target=_execute, args=[code, str(folder), dict(environment), str(said)])
    with processes._starting:
        process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _execute(code: str, folder: str, environment: dict[str, str], said: str) -> None:
    _say_into(said)
    os.chdir(folder)
    os.environ.update(environment)
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), main.__dict__)


def _say_into(said: str) -> None:
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, sys.__stdout__.fileno())
    os.dup2(file, sys.__stderr__.fileno())


def _live(words: list[str], said: str, first: Callable[[], None] | None) -> None:
    _say_into(said)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    if first is not None:
        first()
    main(words)
