"""Whole runs, each in a fresh process: against a bare script, over hours of audio, and their peak memory.

Start-up is that of the same command on ten seconds of audio: imports, Beam's graph, worker processes, models.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.benchmarks.material import KEEP_ALL, NO_TEXT, Clips, make_recordings, segment
from tests.benchmarks.timing import Cost, Figure, ratio, speed, take_turns

STARTUP_S = 10.0
SAMPLING_S = 0.1
MB = 1_000_000


def against_bare(folder: Path, clips: Clips, *, audio_s: float, rounds: int) -> list[Figure]:
    """The whole run with transcripts of all clips, one decoding process, over a bare script that does as much."""
    brief = make_recordings(folder / "brief", count=1, seconds=STARTUP_S)
    jobs = {"all": clips, "brief": segment(brief, folder / "brief-segments")}
    for name, job in jobs.items():
        (folder / f"{name}.json").write_text(json.dumps({str(path): found for path, found in job.items()}))
    source = next(iter(clips)).parent
    text = (*KEEP_ALL, "asr.model=tiny.en", "asr.language=en")
    costs = take_turns(
        rounds,
        mill=lambda: _mill(source, *text),
        bare=lambda: _script(folder / "all.json"),
        mill_start=lambda: _mill(brief[0], *text),
        bare_start=lambda: _script(folder / "brief.json"),
    )
    net = {name: _less(costs[name], costs[f"{name}_start"]) for name in ("mill", "bare")}
    return [
        speed("whole run", "run with transcripts", costs["mill"], audio_s),
        speed("whole run", "bare script", costs["bare"], audio_s),
        _start_up("run", costs["mill_start"]),
        _start_up("bare script", costs["bare_start"]),
        ratio("whole run", "cost over the bare script's", costs["mill"], costs["bare"]),
        ratio("whole run", "the same without start-up", net["mill"], net["bare"], limit=1.15, at_most=True),
    ]


def linearity(folder: Path, paths: list[Path], *, audio_s: float, rounds: int) -> list[Figure]:
    """Whole runs without transcription on a folder, and on one with four times as many recordings as long."""
    more = make_recordings(folder / "more", count=4 * len(paths), seconds=audio_s / len(paths))
    brief = make_recordings(folder / "briefer", count=1, seconds=STARTUP_S)
    costs = take_turns(
        rounds,
        once=lambda: _mill(paths[0].parent, NO_TEXT),
        four=lambda: _mill(more[0].parent, NO_TEXT),
        start=lambda: _mill(brief[0], NO_TEXT),
    )
    once, four = (_less(costs[name], costs["start"]) for name in ("once", "four"))
    return [
        speed("no text", f"run on {4 * audio_s / 3600:.2g} h", costs["four"], 4 * audio_s),
        _start_up("run without transcripts", costs["start"]),
        ratio("no text", "cost of 4 x the hours", costs["four"], costs["once"], limit=4.2, at_most=True),
        ratio("no text", "the same without start-up", four, once, limit=4.2, at_most=True),
    ]


def memory(folder: Path, *, short_s: float, long_s: float) -> list[Figure]:
    """Peak resident memory of a run and its worker on one short and on one long recording, without transcription."""
    short, long = (
        _peak_mb(*make_recordings(folder / name, count=1, seconds=seconds))
        for name, seconds in (("short", short_s), ("long", long_s))
    )
    return [
        Figure("memory", f"peak for {short_s / 60:.3g} min in one file", short, None, "MB"),
        Figure("memory", f"peak for {long_s / 60:.3g} min in one file", long, None, "MB"),
        Figure("memory", "growth", long - short, None, "MB", 100, at_most=True),
    ]


def _start_up(name: str, costs: list[Cost]) -> Figure:
    middle = sorted(costs, key=lambda cost: cost.cpu)[len(costs) // 2]
    return Figure("start-up", name, middle.cpu, middle.wall, "s")


def _less(costs: list[Cost], starts: list[Cost]) -> list[Cost]:
    return [cost - start for cost, start in zip(costs, starts, strict=True)]


def _command(source: Path, output: str, *settings: str) -> list[str]:
    flags = [word for setting in (*settings, "workers=1") for word in ("--set", setting)]
    return [sys.executable, "-m", "speechmill", "run", "--input", str(source), "--output", output, "--quiet", *flags]


def _mill(source: Path, *settings: str) -> None:
    with tempfile.TemporaryDirectory() as output:
        subprocess.run(_command(source, output, *settings), check=True, capture_output=True)


def _script(job: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.bare", str(job), str(job.with_suffix(".parquet"))]
    subprocess.run(command, check=True, capture_output=True)


def _peak_mb(source: Path) -> float:
    """Highest sum, over a run and its children, of resident memory; pages they share count for each."""
    peak = 0
    with tempfile.TemporaryDirectory() as output:
        running = psutil.Popen(_command(source, output, NO_TEXT), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while running.poll() is None:
            peak = max(peak, _resident(running))
            time.sleep(SAMPLING_S)
        if running.returncode:
            raise subprocess.CalledProcessError(running.returncode, "run")
    return peak / MB


def _resident(root: psutil.Process) -> int:
    total = 0
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
