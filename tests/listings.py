"""What inputs do to the process that lists them: by itself, so that the process need not load what its test needs."""

import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

from speechmill import fetch
from speechmill.core.config_errors import ConfigError
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.sources import listing_process


def one(name: str) -> Iterator[str]:
    yield name


def process_id() -> Iterator[int]:
    yield os.getpid()


def many(count: int) -> Iterator[int]:
    yield from range(count)


def endless() -> Iterator[int]:
    while True:
        yield from range(1000)


def backtracking() -> Iterator[str]:
    yield "first"
    re.match("(a+)+b", "a" * 60)  # in C, where no signal handler and no thread of Python's gets a turn


def sleeping() -> Iterator[str]:
    yield "first"
    time.sleep(600)


def hungry() -> Iterator[str]:
    yield "first"
    yield str(len(b"x" * 3_000_000_000))


def killed() -> Iterator[str]:
    yield "first"
    os.kill(os.getpid(), signal.SIGKILL)


def leaving() -> Iterator[str]:
    yield "first"
    raise SystemExit(7)


def rejecting() -> Iterator[str]:
    yield "first"
    raise RejectedError(Reason.NOT_FOUND, "HTTP 404")


def misconfigured() -> Iterator[str]:
    yield "first"
    raise ConfigError("inputs: no such file: x; give another")


def surprised() -> Iterator[Any]:
    def rows() -> Iterator[str]:
        yield "first"
        raise AssertionError("we should not get here!\n\x1b[2J")

    return listing_process.guarded(rows)


def logging_much() -> Iterator[str]:
    log = logging.getLogger("speechmill")
    for number in range(5_000):
        log.warning("line %d %s", number, "x" * 10_000)
    yield "row"


def delayed(host: tuple[str, int]) -> Iterator[float]:
    yield fetch.delays()[host]
    fetch.hold({host: 500.0})
