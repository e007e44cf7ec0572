"""Recomputes a sample of clips, or all, for the checks of `verify`: every check of a clip before the next clip.

So the end is in sight from the first clips on, and each clip is read once.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow.parquet as pq

from speechmill.corpus.checks import Check, CorpusTables, Row
from speechmill.decide.splits import TRAIN, VALIDATION

BATCH_CLIPS = 8  # recomputed at a time

Again = Callable[[Sequence[Row]], None]  # computes columns of some rows again, and compares them


@dataclass(frozen=True, slots=True)
class Recomputation:
    """A check: `prepare` loads what it needs and returns its function; None, with a note, if it compares nothing."""

    prepare: Callable[[CorpusTables, Check], Again | None]
    most: int | None = None
    """Most rows of a sample, for slow checks; None: all of them. Every row of a corpus is another matter."""


def recompute(
    corpus: CorpusTables, recomputations: Mapping[str, Recomputation], rows: int | None, *,
    progress: Callable[..., None], run: Callable[[Check, Callable[[], Any]], Any],
) -> dict[str, Check]:  # fmt: skip
    """Compute columns of clips again; returns the checks by name.

    Args:
        corpus: The corpus.
        recomputations: What to compute, by name; the first check has the errors of reading clips.
        rows: So many clips, evenly spread over all shards; None: all of them.
        progress: Called with a text, the number of clips done, and of all to do.
        run: Calls a function for a check; turns its errors into problems of the check, and then returns None.
    """
    checks = {name: Check() for name in recomputations}
    reading = next(iter(checks.values()))
    total = run(reading, lambda: sum(_counts(corpus).values())) or 0
    wanted = total if rows is None else min(rows, total)
    functions: dict[str, Again] = {}
    for name, recomputation in recomputations.items():
        checks[name].of = total
        progress(f"loading what recomputes {name.replace('_', ' ')}", 0, wanted)
        if wanted and (function := run(checks[name], partial(recomputation.prepare, corpus, checks[name]))):
            functions[name] = _limited(function, recomputation.most if rows is not None else None, wanted)
    clips, done = sample(corpus, wanted), 0
    while batch := run(reading, lambda: list(itertools.islice(clips, BATCH_CLIPS))):
        for name, function in functions.items():
            run(checks[name], partial(function, batch))
        done += len(batch)
        progress("recomputing clips from their audio", done, wanted)
    return checks


def _limited(function: Again, most: int | None, wanted: int) -> Again:
    """The function for at most `most` of the `wanted` rows that it gets, evenly spread."""
    if most is None or wanted <= most:
        return function
    chosen, numbers = {at * wanted // most for at in range(most)}, itertools.count()

    def limited(rows: Sequence[Row]) -> None:
        own = [row for row in rows if next(numbers) in chosen]
        if own:
            function(own)

    return limited


def _counts(corpus: CorpusTables) -> dict[str, int]:
    """Clips of each shard by its name, in order."""
    names = [name for split in (TRAIN, VALIDATION) for name in corpus.shards(split)]
    return {name: pq.read_metadata(corpus.store.path(name), filesystem=corpus.store.fs).num_rows for name in names}


def sample(corpus: CorpusTables, rows: int) -> Iterator[Row]:
    """At most `rows` clips, evenly spread over all shards, deterministically."""
    if not rows:
        return
    counts = _counts(corpus)
    total = sum(counts.values())
    wanted = {at * total // min(rows, total) for at in range(min(rows, total))}
    begin = 0
    for name, count in counts.items():
        yield from _rows_of(corpus, name, {at - begin for at in wanted if begin <= at < begin + count})
        begin += count


def _rows_of(corpus: CorpusTables, name: str, wanted: set[int]) -> Iterator[Row]:
    """Rows of a file by number; row groups without any of them are not read."""
    with corpus.store.open(name) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)
        begin = 0
        for number in range(parquet.num_row_groups):
            end = begin + parquet.metadata.row_group(number).num_rows
            if wanted.intersection(range(begin, end)):
                rows = itertools.chain.from_iterable(
                    b.to_pylist() for b in parquet.iter_batches(8, row_groups=[number])
                )
                yield from (row for at, row in enumerate(rows, begin) if at in wanted)
            begin = end
