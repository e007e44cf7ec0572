"""What Flink's data path costs: `python -m tests.benchmarks.on_flink [--recordings N] [--seconds S] [--json FILE]`.

The same folder is run in one process and on a Flink cluster of this machine (`deploy/flink/local`), both onto its S3
server, and must give the same bytes. CPU seconds are of all processes, by what they are: Flink with Beam's job server,
the workers, the submitting command, the S3 server.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from deploy.flink.local.cluster import BUCKET, Cluster
from tests.benchmarks.material import make_recordings
from tests.benchmarks.timing import HEADING, Figure, show, write_json
from tests.cluster.conftest import OnFlink, finished
from tests.commandline import fingerprint, flags

RECORDINGS, SECONDS = 40, 30.0
KINDS = {"jobmanager": "Flink", "taskmanager": "Flink", "jobserver": "Flink", "pool": "workers", "s3": "S3 server"}
TICKS_S = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run both, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.on_flink", description=__doc__)
    parser.add_argument("--recordings", type=int, default=RECORDINGS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each recording")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_recordings(root / "recordings", count=options.recordings, seconds=options.seconds)
        figures = list(measure(root))
    print(HEADING)
    show(figures)
    if options.json:
        facts = {"cores": os.cpu_count(), "recordings": options.recordings, "seconds": options.seconds}
        write_json(options.json, figures, facts)


def measure(root: Path) -> Iterator[Figure]:
    """Figures of a run in one process, of one on Flink, and of the latter again with nothing to do."""
    with Cluster(root / "state") as cluster:
        flink = OnFlink(cluster)
        folder, here = root / "recordings", f"s3://{BUCKET}/here"
        runs = {
            "one process": lambda: flink.call("run", *flags(folder, here)),
            "Flink": lambda: flink.start(folder, "there"),
            "Flink, nothing to do": lambda: flink.start(folder, "there"),
        }
        for name, begin in runs.items():
            before, start, own = _cpu_s(cluster), time.monotonic(), _children_s()
            finished(begin(), within_s=None)
            spent = _cpu_s(cluster) - before
            yield Figure(name, "on the clock", time.monotonic() - start, None, "s")
            for kind in sorted(spent):
                yield Figure(name, f"CPU, {kind}", spent[kind], None, "s")
            yield Figure(name, "CPU, the command", _children_s() - own, None, "s")
        digests = [fingerprint(flink.download(name, root / name)) for name in ("here", "there")]
        if digests[0] != digests[1]:
            raise ValueError("the data differ")


def _children_s() -> float:
    used = os.times()
    return used.children_user + used.children_system


def _cpu_s(cluster: Cluster) -> Counter[str]:
    """CPU seconds so far of the processes of a cluster and of all that they started, by kind."""
    kinds = {process.pid: KINDS[name.partition("-")[0]] for name, process in cluster.processes.items()}
    spent = Counter[str]()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended
        if kind := kinds.get(int(fields[3])):  # each began a session of its own
            spent[kind] += sum(map(int, fields[11:15])) / TICKS_S  # its own, and of children that ended
    return spent


if __name__ == "__main__":
    main()
