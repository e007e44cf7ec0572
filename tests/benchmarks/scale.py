"""What deciding and publishing cost for a large corpus: `python -m tests.benchmarks.scale [--clips N] [--json FILE]`.

A corpus of 10,000 recordings is generated whose artifacts have no sound, and a smaller one with sound, for `data/`.
Each step is done by a process of its own, whose memory counts. Growth is that from a tenth of the clips.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from speechmill import publish
from speechmill.core import processes
from speechmill.core.build import CONFIG_FILE, Build

from tests.benchmarks.generated import build_of, generate, tabulate
from tests.benchmarks.timing import HEADING, Figure, show, write_json

CLIPS = 1_000_000
SOUND_CLIPS = 4_000  # half a gigabyte
MOST_S = {"decide": 10.0, "pool and ledger": 60.0, "nothing to do": 30.0}  # of wall time, for CLIPS
MOST_MB, LEAST_OF_COPY, MOST_GROWTH = 2_000, 0.7, 11.0
# Of a step the wall time, the CPU time and the peak of memory. It begins with the peak of whoever starts it.
MEASURED = """
import json, resource, subprocess, sys, time
begin = time.monotonic()
subprocess.run([sys.executable, "-m", "tests.benchmarks.scale", *sys.argv[1:]], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([time.monotonic() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def main() -> None:
    """Generate, measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--clips", type=int, default=CLIPS, help="of the large corpus")
    parser.add_argument("--folder", type=Path, help="where the corpora are made and kept; by default nowhere")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        STEPS[options.step](build_of(options.folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = options.folder or Path(folder)
        print(HEADING)
        figures = list(measure(root, options.clips))
    if options.json:
        write_json(options.json, figures, {"cores": os.cpu_count(), "clips": options.clips})


def measure(root: Path, clips: int) -> Iterator[Figure]:
    """All figures; each is shown as soon as it is there."""
    walls = {}
    for name, count in (("a tenth", clips // 10), ("whole", clips)):
        corpus = generate(root / name, count)
        for step in STEPS:
            wall, cpu, megabytes = _run(corpus, step)
            walls[name, step] = wall
            limit = MOST_S.get(step) if count == CLIPS else None
            yield _shown(Figure(f"{count:,} clips", step, cpu, wall, "s", None))
            if limit:
                yield _shown(Figure(f"{count:,} clips", f"{step}, wall", wall, None, "s", limit, at_most=True))
            if step == "decide":
                yield _shown(Figure(f"{count:,} clips", "decide, memory", megabytes, None, "MB", MOST_MB, at_most=True))
    growth = walls["whole", "decide"] / walls["a tenth", "decide"]
    yield _shown(Figure("growth", "decide, ten times the clips", growth, None, "×", MOST_GROWTH, at_most=True))
    yield _shown(_against_copy(generate(root / "with sound", SOUND_CLIPS, sound=True)))


def _shown(figure: Figure) -> Figure:
    show([figure])
    return figure


def _run(corpus: Path, step: str) -> tuple[float, float, float]:
    arguments = [sys.executable, "-c", MEASURED, "--folder", str(corpus), "--step", step]
    wall, cpu, megabytes = json.loads(subprocess.run(arguments, check=True, stdout=subprocess.PIPE).stdout)
    return wall, cpu, megabytes


# --- steps, each in a process of its own ---


def _decide(build: Build) -> None:
    publish.preview(build)


def _pool_and_ledger(build: Build) -> None:
    tasks = [task for task in publish.plan(build) if task.shard is None]
    workers = processes.pool(None)
    for future in [workers.submit(publish.write, task, build) for task in tasks]:
        future.result()


def _publish(build: Build) -> None:
    """Write what is not written, and put all in place: rows of `data/` have no sound."""
    from speechmill.publish import card, croissant, report  # here, since Beam, which others do not need, takes seconds
    from speechmill.runner.record import run_record

    for task in publish.plan(build):
        publish.write(task, build)
    plan = build.store.read_json(publish.PLAN_FILE) or {}
    files = publish.file_facts(build, plan)
    described = croissant.render(build, plan, files, date=croissant.publication_day())
    pages = {
        card.CARD_FILE: "- speechmill\n",
        report.REPORT_FILE: "speechmill report",
        croissant.CROISSANT_FILE: described,
    }
    build.store.write_json(CONFIG_FILE, json.loads(build.config.model_dump_json()))
    publish.commit(build, plan, run_record(build, {}), pages=pages, files=files)


def _nothing_to_do(build: Build) -> None:
    """The command itself, on a corpus to which nothing was added."""
    command = [sys.executable, "-m", "speechmill", "run", "--output", build.store.root, "--quiet"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    if "nothing to do" not in done.stdout:
        raise ValueError(f"there was something to do:\n{done.stdout}")


def _data(build: Build) -> None:
    workers = processes.pool(None)
    for future in [workers.submit(publish.write, task, build) for task in publish.plan(build) if task.shard]:
        future.result()


STEPS = {
    "tabulate": tabulate,
    "decide": _decide,
    "pool and ledger": _pool_and_ledger,
    "publish": _publish,
    "nothing to do": _nothing_to_do,
}


def _against_copy(corpus: Path) -> Figure:
    """Speed at which `data/` is written, as a share of that at which it is copied, in turns."""
    build = build_of(corpus)
    tabulate(build)
    shares = []
    for _ in range(3):
        build.store.remove(publish.STAGING)
        begin = time.monotonic()
        _data(build)
        written = time.monotonic()
        shutil.copytree(corpus / publish.STAGING, corpus / "copy")
        os.sync()
        shares.append((time.monotonic() - written) / (written - begin))
        shutil.rmtree(corpus / "copy")
    return Figure("with sound", "data/ against a copy of it", sorted(shares)[1], None, "×", LEAST_OF_COPY)


if __name__ == "__main__":
    main()
