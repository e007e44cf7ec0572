"""What runs ask of an object store: `python -m tests.benchmarks.storage [--recordings N] [--json FILE]`.

A generated corpus of N recordings from feeds is put on an S3 server of this machine that takes 20 ms for a request, and
run again with nothing to do: the server does the listings in Python, and of a large corpus slower than that. And a few
real recordings are run from the beginning: the requests of one. Needs `.[aws,demo]` and `moto[server]`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import soundfile

from deploy.flink.local.cluster import BUCKET, SECRETS, free_ports
from tests.benchmarks.generated import CLIPS_A_RECORDING, build_of, generate, stamp
from tests.benchmarks.timing import HEADING, Figure, show, write_json
from tests.commandline import RATE, SETTINGS, TEXTS, spoken

RECORDINGS = 10_000
REQUEST_S, MOST_S = 0.02, 90.0
FEW, MORE = 3, 9  # real recordings, of which a run is counted
WRITES = ("PUT", "POST", "LIST")  # what a price list counts as writing
START_S = 300.0  # in which the server reads what it is to hold


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.storage", description=__doc__)
    parser.add_argument("--recordings", type=int, default=RECORDINGS, help="of the generated corpus; 0: without one")
    parser.add_argument("--clips-a-recording", type=int, default=CLIPS_A_RECORDING, help="of the generated corpus")
    parser.add_argument("--folder", type=Path, help="where the corpus is made and kept; by default nowhere")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    print(HEADING)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        root = options.folder or Path(folder)
        for found in (_of_a_recording(root), _with_nothing_to_do(root, options.recordings, options.clips_a_recording)):
            for figure in found:
                show([figure])
                figures.append(figure)
    if options.json:
        write_json(options.json, figures, {"cores": os.cpu_count(), "recordings": options.recordings})


class _Storage:
    """The S3 server, and this machine's ways to it."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"
        self.environment = os.environ | SECRETS | {"AWS_ENDPOINT_URL": self._address}

    def delay(self, seconds: float) -> None:
        """Have each request take so long, and count from here."""
        urllib.request.urlopen(urllib.request.Request(f"{self._address}/__seconds/{seconds}", method="PUT")).close()

    def counts(self) -> Counter[str]:
        """Requests since then, by kind."""
        with urllib.request.urlopen(f"{self._address}/__counts") as answer:
            return Counter(json.load(answer))

    def run(self, *arguments: str) -> tuple[str, float, float]:
        """Run the command line; returns what it printed, seconds on the clock, and CPU seconds."""
        begin, before = time.monotonic(), _cpu_s()
        command = [sys.executable, "-m", "speechmill", "run", *arguments, "--quiet"]
        done = subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout, time.monotonic() - begin, _cpu_s() - before


@contextmanager
def _served(folder: Path) -> Iterator[_Storage]:
    """A server with a bucket that holds a folder."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tests.benchmarks.slow_s3", str(port), BUCKET, str(folder)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        storage = _Storage(port)
        try:
            until = time.monotonic() + START_S
            while time.monotonic() < until:
                with suppress(OSError):
                    storage.delay(0.0)
                    break
                time.sleep(0.1)
            yield storage
        finally:
            server.terminate()


def _of_a_recording(root: Path) -> Iterator[Figure]:
    """Requests that a recording more costs a run that makes it."""
    few, more = (_requests_of(count, root / f"real-{count}") for count in (FEW, MORE))
    for name, kinds in (("writes and listings", WRITES), ("reads", ("GET", "HEAD"))):
        grown = sum(more[kind] - few[kind] for kind in kinds) / (MORE - FEW)
        yield Figure("a run", f"{name} of a recording more", grown, None, "requests")
    for kind in sorted(more):
        yield Figure("a run", f"{kind}, {FEW} and {MORE} recordings", few[kind], more[kind], "requests")


def _requests_of(recordings: int, folder: Path) -> Counter[str]:
    """Requests of a run of so many recordings from the beginning."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = list(TEXTS.values())
    for number in range(recordings):
        soundfile.write(folder / f"{number}.flac", spoken(texts[number % len(texts)], number), RATE)
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    with _served(folder) as storage:
        storage.run("--input", str(folder), "--output", f"s3://{BUCKET}/corpus", *settings)
        return storage.counts()


def _with_nothing_to_do(root: Path, recordings: int, clips: int) -> Iterator[Figure]:
    """Time and requests of two runs of a finished corpus, whose recordings have so many clips."""
    if not recordings:
        return
    corpus = generate(root / "generated", recordings * clips, each=clips, from_feeds=True)
    for step in ("tabulate", "publish"):
        command = [sys.executable, "-m", "tests.benchmarks.scale", "--folder", str(corpus), "--step", step]
        subprocess.run(command, check=True)
    with _served(corpus) as storage:
        copy = f"s3://{BUCKET}/{corpus.name}"
        os.environ |= storage.environment
        stamp(build_of(copy))
        for turn in ("first", "second"):
            storage.delay(REQUEST_S)
            out, wall, cpu = storage.run("--output", copy)
            yield from _figures(f"{recordings:,} recordings, nothing to do, {turn}", out, wall, cpu, storage.counts())


def _figures(name: str, out: str, wall: float, cpu: float, counts: Counter[str]) -> Iterator[Figure]:
    if "nothing to do" not in out:
        raise ValueError(f"there was something to do:\n{out}")
    limit = MOST_S if name.startswith(f"{RECORDINGS:,} ") else None
    yield Figure("on S3", f"{name}: on the clock", wall, None, "s", limit, at_most=True)
    yield Figure("on S3", f"{name}: CPU", cpu, None, "s")
    yield Figure("on S3", f"{name}: requests", counts.total(), None, "requests")
    for kind, count in sorted(counts.items()):
        yield Figure("on S3", f"{name}: {kind}", count, None, "requests")


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
