"""What `speechmill plan` costs for 100,000 items: `python -m tests.benchmarks.plan [--items N] [--json FILE]`.

One feed of all of them, which is as long as a feed may be, and an OPML of feeds of a hundred each on a real server.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechmill.fetch import MAX_FEED_BYTES

from tests.benchmarks.timing import HEADING, Figure, show, write_json

ITEMS, ITEMS_A_FEED = 100_000, 100
MAX_WALL_S, MAX_PEAK_MB = 60, 500
MB = 1_000_000
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"'
    ' xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:podcast="https://podcastindex.org/namespace/1.0">'
    "<channel><title>Show</title><link>https://example.org/show</link><language>en</language>"
    "<itunes:author>Ann Author</itunes:author><podcast:license>cc-by-4.0</podcast:license>\n"
)
ITEM = (  # 100,000 of them are just less than 50 MB
    '<item><title>Episode {n}</title><guid isPermaLink="false">ep-{n:06}</guid>'
    "<pubDate>Mon, 05 Jan 2026 09:00:00 GMT</pubDate>"
    '<enclosure url="https://cdn.example.org/{n}.mp3" length="28000000" type="audio/mpeg"/>'
    "<itunes:duration>0:30:00</itunes:duration><itunes:summary>On {n}</itunes:summary>"
    "<description>&lt;p&gt;On &lt;b&gt;{n}&lt;/b&gt;&lt;/p&gt;</description>"
    "<content:encoded><![CDATA[<p>Notes</p>]]></content:encoded>"
    '<podcast:transcript url="{n}.srt" type="application/x-subrip"/></item>\n'
)
# A process begins with the peak of the one that started it, so that one must be small.
MEASURED = """
import json, resource, subprocess, sys, time
begin = time.monotonic()
told = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE).stdout
used = resource.getrusage(resource.RUSAGE_CHILDREN)
seconds = used.ru_utime + used.ru_stime, time.monotonic() - begin
print(json.dumps([json.loads(told), *seconds, used.ru_maxrss * 1024]))
"""


def main() -> None:
    """Measure both, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.plan", description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS, help="how many in all")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = [*one_feed(Path(folder), options.items), *many_feeds(Path(folder), options.items)]
    print(HEADING)
    show(figures)
    if options.json:
        write_json(options.json, figures, {"cores": os.cpu_count(), "items": options.items})


def write_feed(path: Path, items: int, first: int = 0) -> Path:
    """Write a feed whose items are numbered from `first` on."""
    with path.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        file.writelines(ITEM.format(n=n) for n in range(first, first + items))
        file.write("</channel></rss>")
    return path


def one_feed(folder: Path, items: int) -> list[Figure]:
    """Plan of a single feed."""
    path = write_feed(folder / "feed.xml", items)
    if path.stat().st_size > MAX_FEED_BYTES:
        raise ValueError(f"{items} items are more than a feed may have")
    return _plan("one feed", path, items)


def many_feeds(folder: Path, items: int) -> list[Figure]:
    """Plan of an OPML on a server, as are its feeds."""
    root = folder / "served"
    root.mkdir()
    starts = range(0, items, ITEMS_A_FEED)
    for start in starts:
        write_feed(root / f"{start}.xml", ITEMS_A_FEED, start)
    outlines = "".join(f'<outline type="rss" xmlUrl="{start}.xml"/>' for start in starts)
    (root / "all.opml").write_text(f'<opml version="2.0"><head/><body>{outlines}</body></opml>')
    with _served(root) as host:
        return _plan(f"{len(starts)} feeds", f"http://{host}/all.opml", items, f"fetch.allow_hosts=[{host!r}]")


def _plan(name: str, address: Path | str, items: int, *settings: str) -> list[Figure]:
    flags = [word for setting in (*settings, "fetch.pages=false") for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as output:
        done = plan(str(address), "--output", f"{output}/corpus", *flags)
    found, name = done.found, f"{items} items of {name}"
    if (found["recordings"], found["listed_twice"], found["refused"]) != (items, 0, {}):
        raise ValueError(f"{items} items, but the plan says {found}")
    return [
        Figure("plan", f"{name}, CPU", done.cpu_s, done.wall_s, "s"),
        Figure("plan", f"{name}, on the clock", done.wall_s, None, "s", MAX_WALL_S, at_most=True),
        Figure("plan", f"{name}, peak", done.peak_bytes / MB, None, "MB", MAX_PEAK_MB, at_most=True),
    ]


@dataclass(frozen=True, slots=True)
class Planned:
    """What the command says, and what it cost."""

    found: dict[str, Any]
    cpu_s: float
    wall_s: float
    peak_bytes: int


def plan(address: str, *flags: str) -> Planned:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "speechmill", "plan", "--json", "--input", address, *flags]
    done = subprocess.run([sys.executable, "-c", MEASURED, *command], check=True, stdout=subprocess.PIPE)
    return Planned(*json.loads(done.stdout))


@contextmanager
def _served(root: Path) -> Iterator[str]:
    """Serve a folder from a process of its own; yields host:port."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"port (\d+)", server.stdout.readline())
        assert found is not None
        try:
            yield f"127.0.0.1:{found[1]}"
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
