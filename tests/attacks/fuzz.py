"""Attacks whatever reads bytes of others with mutated inputs, guided by coverage (atheris, libFuzzer).

    pip install '.[fuzz]'
    python -m tests.attacks.fuzz --inputs 1000000 --findings findings
    python -m tests.attacks.fuzz --target feed --inputs 100000

An input must neither raise anything that callers do not expect, nor take 10 s or 2 GB, nor open a file for writing
outside the target's folder. What does is kept in the folder of findings, and the target goes on with other inputs.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.attacks.targets import FOLDER, TARGETS

MAX_SECONDS, MAX_MEGABYTES = 10, 2_500
MAX_FINDINGS = 20  # of a target, which is then given up
DONE = re.compile(r"^Done (\d+) runs", re.MULTILINE)
EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)|^#(\d+)", re.MULTILINE)
SLOWEST = re.compile(r"stat::slowest_unit_time_sec:\s*(\d+)")


@dataclass(slots=True)
class Outcome:
    """What came of one target."""

    inputs: int = 0
    seconds: float = 0.0
    slowest_s: int = 0
    findings: list[str] = field(default_factory=list)


def attack_here(name: str, arguments: list[str]) -> None:
    """Attack a target in this process, which does not return."""
    import atheris

    with atheris.instrument_imports(include=["speechmill"]):
        target = TARGETS[name]
        target.function(b"")
    _watch_files()
    atheris.Setup([sys.argv[0], *arguments], target.function)
    atheris.Fuzz()


def _watch_files() -> None:
    """End the process where a file elsewhere is opened for writing, renamed or deleted."""
    inside = (str(FOLDER), "/dev/null")

    def look(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and isinstance(path, str) and not path.startswith(inside):
                raise AssertionError(f"opened for writing outside the folder: {path} {mode}")
        elif event in ("os.rename", "os.remove", "os.rmdir", "os.symlink") and not str(arguments[0]).startswith(inside):
            raise AssertionError(f"{event} outside the folder: {arguments}")

    sys.addaudithook(look)


def attack(name: str, inputs: int, findings: Path) -> Outcome:
    """Attack a target in processes of their own, a new one after each finding."""
    target, found = TARGETS[name], Outcome()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(target.seeds()):
            (corpus / f"seed{number}").write_bytes(seed)
        while found.inputs < inputs and len(found.findings) < MAX_FINDINGS:
            before = {path.name for path in findings.iterdir()}
            log = _run(name, inputs - found.inputs, corpus, findings, seed=len(found.findings) + 1)
            found.inputs += max((int(one or other) for one, other in EXECUTED.findall(log)), default=0) or 1
            found.slowest_s = max([found.slowest_s, *map(int, SLOWEST.findall(log))])
            if DONE.search(log):
                continue
            found.findings += sorted({path.name for path in findings.iterdir()} - before) or ["no input was kept"]
            (findings / f"{name}-{len(found.findings)}.log").write_text(log[-20_000:])
    found.seconds = time.monotonic() - began
    return found


def _run(name: str, inputs: int, corpus: Path, findings: Path, *, seed: int) -> str:
    command = [
        *(sys.executable, "-m", "tests.attacks.fuzz", "--here", name, "--", f"-runs={inputs}", f"-seed={seed}"),
        *(f"-timeout={MAX_SECONDS}", f"-rss_limit_mb={MAX_MEGABYTES}", f"-max_len={TARGETS[name].max_bytes}"),
        *("-print_final_stats=1", f"-artifact_prefix={findings}/{name}-", str(corpus)),
    ]
    with tempfile.TemporaryDirectory() as scratch:  # each process has a folder of its own
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env={**os.environ, "TMPDIR": scratch}
        )
    return done.stdout + done.stderr


def main() -> None:
    """Attack the targets, two at a time, and print what came of each."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of all targets together")
    parser.add_argument("--target", choices=sorted(TARGETS), help="this one alone")
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--here", choices=sorted(TARGETS), help=argparse.SUPPRESS)
    chosen, rest = parser.parse_known_args()
    if chosen.here:
        attack_here(chosen.here, [word for word in rest if word != "--"])
    chosen.findings.mkdir(exist_ok=True)
    shares = {chosen.target: 1.0} if chosen.target else {name: target.share for name, target in TARGETS.items()}
    findings = chosen.findings.resolve()
    with ThreadPoolExecutor(chosen.jobs) as pool:
        running = {
            name: pool.submit(attack, name, round(chosen.inputs * share), findings) for name, share in shares.items()
        }
        failed = False
        for name, future in running.items():
            found = future.result()
            failed = failed or bool(found.findings)
            words = ", ".join(found.findings) or "nothing"
            line = f"{name:10}  {found.inputs:9,} inputs  {found.seconds:7.0f} s  slowest {found.slowest_s} s"
            print(f"{line}  found: {words}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
