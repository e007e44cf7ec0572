"""Tells how far a process is with the element that it works on, for the live view and `status` of a run.

A thread writes `work/progress/PID.json` at most twice a second, while there is anything to tell and only where the
corpus is a local folder: workers of a cluster write nothing. Code deep inside a stage calls `add`, which needs no
argument but an amount. Nothing is read back by stages, so that no result can depend on it.
"""

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field

from speechmill.core.store import Store

FOLDER = "work/progress"
INTERVAL_S = 0.5


@dataclass(slots=True, kw_only=True)
class Pulse:
    """An element in work, and how far it is."""

    stage: str
    names: dict[str, str]
    """As in the log: `recording_id`, `title`, `file`."""
    done_s: float = 0.0
    """Seconds of audio done so far that no event of the log has counted yet."""
    total_s: float | None = None
    """Seconds of audio in all; None: not known."""


@dataclass(slots=True)
class _Process:
    """What this process is at."""

    folder: str = ""
    pulses: dict[int, Pulse] = field(default_factory=dict)
    bytes_received: int = 0
    written: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    writer: threading.Thread | None = None


_process = _Process()
_current = threading.local()


@contextmanager
def at_work(store: Store, stage: str, names: Mapping[str, str], done_s: float = 0.0) -> Iterator[None]:
    """Say that this thread works on an element, until the block ends; blocks may be nested."""
    if not store.is_local:
        yield
        return
    before: Pulse | None = getattr(_current, "pulse", None)
    pulse = Pulse(stage=stage, names=dict(names), done_s=done_s)
    _current.pulse = pulse
    with _process.lock:
        _process.folder = f"{store.path('work')}/progress"
        _process.pulses[id(pulse)] = pulse
        if _process.writer is None:
            _process.writer = threading.Thread(target=_write_often, daemon=True)
            _process.writer.start()
    try:
        yield
    finally:
        _current.pulse = before
        with _process.lock:
            del _process.pulses[id(pulse)]


def add(seconds: float) -> None:
    """Count seconds of audio as done, of the element that this thread works on."""
    pulse: Pulse | None = getattr(_current, "pulse", None)
    if pulse is not None:
        pulse.done_s += seconds


def expect(total_s: float | None) -> None:
    """Set the seconds of audio of the element that this thread works on, and begin it anew."""
    pulse: Pulse | None = getattr(_current, "pulse", None)
    if pulse is not None:
        pulse.total_s, pulse.done_s = total_s, 0.0


def add_bytes(count: int) -> None:
    """Count bytes that were received."""
    _process.bytes_received += count


def _write_often() -> None:
    """Write the file of this process whenever it would change, and remove it when nothing is in work."""
    while True:
        time.sleep(INTERVAL_S)
        with _process.lock:
            pulses = [asdict(pulse) for pulse in _process.pulses.values()]
        text = json.dumps({"bytes": _process.bytes_received, "pulses": pulses}) if pulses else ""
        if text != _process.written:
            _process.written = text
            with suppress(OSError):  # it only serves the display
                _replace(f"{_process.folder}/{os.getpid()}.json", text)


def _replace(path: str, text: str) -> None:
    """Write a file in one step, without waiting for the disk as artifacts do; remove it for an empty text."""
    folder, name = os.path.split(path)
    if not text:
        os.remove(path)
        return
    temporary = f"{folder}/.{name}.{os.getpid()}-0-00000000.tmp"
    os.makedirs(folder, exist_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644), "w") as file:
        file.write(text)
    os.replace(temporary, path)


def read(store: Store) -> tuple[list[Pulse], dict[str, int]]:
    """The elements that all processes of a corpus work on, and the bytes received so far by process."""
    pulses, received = list[Pulse](), dict[str, int]()
    for name in store.names(FOLDER) if store.is_local else ():
        with suppress(OSError, ValueError, TypeError, KeyError):
            if not _is_alive(name):
                continue
            with store.open(f"{FOLDER}/{name}") as file:
                facts = json.load(file)
            pulses += [Pulse(**pulse) for pulse in facts["pulses"]]
            received[name] = int(facts["bytes"])
    return pulses, received


def _is_alive(name: str) -> bool:
    """Whether the process that wrote a file still runs."""
    try:
        os.kill(int(name.removesuffix(".json")), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
