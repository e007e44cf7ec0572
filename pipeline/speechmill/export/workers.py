"""Works on the shards of a corpus in parallel, and reports progress."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import Any

from speechmill.core import processes
from speechmill.core.store import raise_if_out_of_space
from speechmill.export.reading import Job

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Workers:
    """Processes that work on the shards of a job; with one of them, or one shard, this process."""

    count: int | None
    """None: one per core."""
    report: Report

    def map(
        self, what: str, function: Callable[..., Any], job: Job, arguments: dict[int, tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        """Call a function with the job, each part and its arguments; yields parts and results as they come."""
        started = time.monotonic()
        calls = self._here if self.count == 1 or len(arguments) < 2 else self._apart
        try:
            for done, (part, result) in enumerate(calls(function, job, arguments), 1):
                yield part, result
                left = (time.monotonic() - started) / done * (len(arguments) - done)
                self.report(f"{what}: {done} of {len(arguments)} shards, {left:.0f} s left")
        except OSError as error:
            raise_if_out_of_space(error, job.output.root)
            raise

    def _here(
        self, function: Callable[..., Any], job: Job, arguments: dict[int, tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        for part, rest in arguments.items():
            yield part, function(job, part, *rest)

    def _apart(
        self, function: Callable[..., Any], job: Job, arguments: dict[int, tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        pool = processes.pool(self.count)
        futures = {pool.submit(function, job, part, *rest): part for part, rest in arguments.items()}
        try:
            for future in as_completed(futures):
                yield futures[future], processes.result(future)[0]
        finally:
            for future in futures:
                future.cancel()
