"""How soon the report of a large corpus answers: `python -m tests.benchmarks.report_page [--clips N] [--json FILE]`.

The corpus is that of `generated.py`, whose artifacts have no sound, so as much sound as a page may hold is added. It is
opened in Chromium. Its figures are wall time of the browser: until the lists answer, and of a slider's moves, for which
the CPU time of the page's thread stands too.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from speechmill import publish
from speechmill.core.build import Build
from speechmill.publish import report
from speechmill.publish.report.samples import SOUND_BYTES

from tests.benchmarks import generated
from tests.benchmarks.timing import HEADING, Figure, show, write_json
from tests.browser import BROWSER

CLIPS = 100_000
MOST_OPEN_S, MOST_MOVE_S, MOST_MOVE_CPU_S, MOST_MB, MOST_RENDER_S = 2.0, 0.3, 0.1, 15.0, 60.0
OPENINGS = 5
MOVE = """async () => {
  const [begin, range] = [performance.now(), document.querySelector("#threshold-snr_db")];
  range.value = Number(range.value) + 7;
  range.dispatchEvent(new Event("input"));
  for (let frame = 0; frame < 4; frame++) await new Promise((done) => requestAnimationFrame(done));
  return performance.now() - begin;
}"""  # until figures, histograms and list are drawn anew, which takes three frames of 17 ms at least
ROW = ".clip-grid .grid-body .grid-row"


def main() -> None:
    """Generate, render, open, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.report_page", description=__doc__)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--folder", type=Path, help="where the corpus is made and kept; by default nowhere")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(HEADING)
        figures = list(measure(options.folder or Path(folder), options.clips))
    show(figures)
    if options.json:
        write_json(options.json, figures, {"cores": os.cpu_count(), "clips": options.clips})


def measure(root: Path, clips: int) -> Iterator[Figure]:
    """All figures of one corpus."""
    build, group = generated.prepared(root / f"{clips}", clips), f"{clips:,} clips"
    begin = time.monotonic()
    page = _page(build, root / f"{clips}.html")
    yield _figure(group, "render", time.monotonic() - begin, "s", MOST_RENDER_S)
    yield _figure(group, "size with all sound", page.stat().st_size / 1e6, "MB", MOST_MB)
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        opened = [_opened(browser, page) for _ in range(OPENINGS)]
        browser.close()
    moves = [move for _, of_page in opened for move in of_page]
    yield _figure(group, "open, median", statistics.median(open_s for open_s, _ in opened), "s", MOST_OPEN_S)
    yield _figure(group, "move a slider, median", statistics.median(wall_s for wall_s, _ in moves), "s", MOST_MOVE_S)
    yield _figure(group, "move a slider, slowest", max(wall_s for wall_s, _ in moves), "s", MOST_MOVE_S)
    yield _figure(group, "its CPU time, most", max(cpu_s for _, cpu_s in moves), "s", MOST_MOVE_CPU_S)


def _figure(group: str, name: str, value: float, unit: str, limit: float) -> Figure:
    return Figure(group, name, value, None, unit, limit, at_most=True)


def _page(build: Build, path: Path) -> Path:
    """The report of a build, with as much sound as it may have at most, which nobody can hear."""
    text = report.render(build, publish.preview(build), publish.decide_all(build))
    player = '<audio hidden preload="none" src="data:audio/flac;base64,{}"></audio></main>'
    room = report.MOST_BYTES - len(text.encode()) - len(player)
    path.write_text(text.replace("</main>", player.format("A" * max(0, min(SOUND_BYTES * 4 // 3, room)))))
    return path


def _opened(browser: Any, page: Path) -> tuple[float, list[tuple[float, float]]]:
    """Seconds until the page answers; of each move of a slider, seconds of wall time and of CPU time."""
    tab = browser.new_page(viewport={"width": 1400, "height": 900})
    tab.goto(page.as_uri())
    tab.wait_for_selector("body[data-ready]")
    tab.wait_for_selector(ROW)
    open_s = float(tab.get_attribute("body", "data-ready")) / 1000
    devtools = tab.context.new_cdp_session(tab)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    moves = []
    for _ in range(10):
        before_s = _task_s(devtools)
        wall_s = tab.evaluate(MOVE) / 1000
        moves.append((wall_s, _task_s(devtools) - before_s))
    tab.close()
    return open_s, moves


def _task_s(devtools: Any) -> float:
    """CPU seconds of all tasks of the page's thread so far."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


if __name__ == "__main__":
    main()
