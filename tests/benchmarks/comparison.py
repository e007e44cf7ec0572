"""What comparing a generated corpus costs: `python -m tests.benchmarks.comparison [--hours N] [--new N] [--one-in K]`.

Landmarks are made as they are read, as many an hour as speech has, of so many values that as many are equal by chance
as in 50,000 hours of speech. The disk needs 2 MB an hour; stored landmarks would need 1 MB more. With `--one-in K` only
one in K of the files of landmarks is made, written and compared: memory is that of all, since it holds one file at a
time, and disk and time are a Kth.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from speechmill.core.build import Build
from speechmill.stages import comparison
from speechmill.stages.dedup import CLIP_BITS
from speechmill.stages.work import WorkItem

from tests.benchmarks.timing import HEADING, Figure, show, write_json
from tests.media import a_build

LANDMARKS_HOUR = 100_800  # 28 a second
CLIPS_HOUR = 300
BYTES_LANDMARK = 10  # as stored
VOTES = 0.5  # a landmark: at 50,000 hours of speech, matches are 0.8 MB an hour, of 16 bytes each
MOST_MB = 1_000


def main() -> None:
    """Compare all, then some new ones; print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.comparison", description=__doc__)
    parser.add_argument("--hours", type=int, default=1_000, help="of the corpus")
    parser.add_argument("--new", type=int, default=20, help="hours that are added")
    parser.add_argument("--one-in", type=int, default=1, help="of the files of landmarks that are compared")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(HEADING)
        figures = []
        for figure in measure(a_build(Path(folder)), options.hours, options.new, options.one_in):
            show([figure])
            figures.append(figure)
    if options.json:
        facts = {"cores": os.cpu_count(), "hours": options.hours, "new": options.new, "one in": options.one_in}
        write_json(options.json, figures, facts)


def measure(build: Build, hours: int, new: int, one_in: int) -> Any:
    """Figures of the first comparison, of the next with nothing new, and of one with some."""
    _generate(hours + new, one_in)
    works = [_work(number) for number in range(hours + new)]
    for name, count in (("all", hours), ("nothing new", hours), (f"{new} h new", hours + new)):
        begin, cpu = time.monotonic(), time.process_time()
        items = comparison.compare(works[:count], build, is_whole=True)
        compared = sum(item.matches is not None for item in items)
        wall, busy = time.monotonic() - begin, time.process_time() - cpu
        yield Figure(f"{hours:,} h, {name}", f"{compared} contents compared, CPU", busy, wall, "s", None)
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield Figure(f"{hours:,} h, {name}", "peak so far", megabytes, None, "MB", MOST_MB, at_most=True)


def _work(number: int) -> WorkItem:
    name = f"{number:064x}"
    return WorkItem(recording_id=name, content_id=name, media="", is_local=True, allowed=True, order=(name, "", "", ""))


def _generate(hours: int, one_in: int) -> None:
    """Take the place of stored landmarks: an hour for each content."""
    values = round(hours * LANDMARKS_HOUR / (2 * VOTES))  # the mean content has half of the corpus before it
    parts = hours * LANDMARKS_HOUR * BYTES_LANDMARK // comparison.PART_BYTES + 1

    def some_hashes(content_id: str, build: Build) -> Any:
        return _hashes(content_id, values, parts, one_in)

    def landmarks(rank: int, content_id: str, build: Build) -> Any:
        hashes, dice = some_hashes(content_id, build), np.random.default_rng(rank)
        records = np.empty(hashes.size, comparison.LANDMARK)
        records["hash"], records["frame"] = hashes, dice.integers(0, 2_000, hashes.size)
        records["clip"] = rank << CLIP_BITS | dice.integers(0, CLIPS_HOUR, hashes.size)
        return records

    replaced = {
        "_landmarks": landmarks,
        "_hashes": some_hashes,
        "_part_count": lambda build: parts,
        "contents_with": lambda stage, build: {f"{number:064x}" for number in range(hours)},
    }
    for name, function in replaced.items():
        setattr(comparison, name, function)


def _hashes(content_id: str, values: int, parts: int, one_in: int) -> Any:
    """Those hashes of an hour that go into one in `one_in` of the files."""
    dice, files = np.random.default_rng(int(content_id, 16) + 2**40), -(-parts // one_in)
    count = dice.binomial(LANDMARKS_HOUR, files / parts)
    file = one_in * dice.integers(0, files, count, np.uint64)
    return file + parts * dice.integers(0, values // parts, count, np.uint64)


if __name__ == "__main__":
    main()
