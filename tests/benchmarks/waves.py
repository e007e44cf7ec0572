"""What waves change for a feed of many recordings: `python -m tests.benchmarks.waves [--recordings N] [--json FILE]`.

A server on this machine sends each file at a limited rate, as a real one does. The same feed is run without waves, and
in waves whose media are dropped: when the first clips are stored and scored, how much of the disk media take at
most, and how long all takes. Needs `.[demo]`: the voice that speaks.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.timing import HEADING, Figure, show, write_json
from tests.media import RATE, encode

SECONDS = 20.0  # of each recording
BYTES_S = 60_000  # of a connection: a file takes as long as a file of 20 minutes from a fast host
POLL_S = 0.05
WAVE_S, WORKERS = 900.0, 2  # of audio
SAID = (
    "The old lighthouse keeper climbed the narrow stairs every evening to light the lamp before the ships came near.",
    "She sells sea shells by the sea shore and they say that she is rather rich because six of us wished to see it.",
    "A cold wind came down from the hills and blew the dry leaves along the road until they lay against the wall.",
)
WITHOUT, WITH = "all fetched first", "in waves"


def main() -> None:
    """Make the recordings, run twice, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.waves", description=__doc__)
    parser.add_argument("--recordings", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the corpora are kept; by default nowhere")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options.folder or Path(folder), options.recordings)
    print(HEADING)
    show(figures)
    if options.json:
        write_json(options.json, figures, {"cores": os.cpu_count(), "recordings": options.recordings})


def measure(root: Path, recordings: int) -> list[Figure]:
    """Figures of both runs, whose data must be the same."""
    figures, digests = [], set()
    with served(dict(enumerate(speak(recordings)))) as feed:
        for name, wave_hours in ((WITHOUT, "null"), (WITH, str(WAVE_S / WORKERS / 3600))):
            output = root / name.replace(" ", "-")
            seen = run(feed, output, wave_hours, keeps=name == WITHOUT)
            digests.add(_digest(output))
            values = (
                ("first clips stored", seen.first_s.get("segment"), "s"),
                ("first clips scored", seen.first_s.get("score"), "s"),
                ("media on the disk, most", seen.media_bytes / 1e6, "MB"),
                ("all done", seen.total_s, "s"),
                ("cores idle", 1 - seen.cpu_s / seen.total_s / WORKERS, "of the time"),
            )
            figures += [Figure(name, what, value or 0.0, None, unit) for what, value, unit in values]
    if len(digests) != 1:
        raise ValueError("the data differ")
    return figures


def speak(count: int) -> Iterator[bytes]:
    """Recordings of a synthetic voice, all different, as MP3."""
    from hibari import Hibari

    voice, dice = Hibari(), np.random.default_rng(1)
    spoken = [np.asarray(voice(text, seed=seed), np.float32) for text in SAID for seed in range(3)]
    pause = np.zeros(round(0.8 * RATE), np.float32)
    for _ in range(count):
        parts = [pause]
        while sum(part.size for part in parts) < SECONDS * RATE:
            sound = spoken[dice.integers(len(spoken))]
            parts += [sound / np.abs(sound).max() / 2 * dice.uniform(0.5, 1), pause]
        sound = np.concatenate(parts)
        yield encode("mp3", "libmp3lame", sound + 1e-4 * dice.standard_normal(sound.size), RATE)


@dataclass(slots=True)
class Seen:
    """What a run was seen to do, in seconds from its start."""

    first_s: dict[str, float]  # first artifact, by stage
    media_bytes: int
    total_s: float
    cpu_s: float = 0.0


def run(feed: str, output: Path, wave_hours: str, *, keeps: bool) -> Seen:
    """Run the command and look at its folder while it works."""
    settings = (
        f"fetch.allow_hosts=[{feed.split('/')[2]}]", "fetch.pages=false", "licences.allow=[unknown]", "asr.model=null",
        "turns.model=null", "speakers.model=null", "tokenise.checkpoint=null", f"fetch.wave_hours={wave_hours}",
        f"fetch.keep_media={str(keeps).lower()}", "thresholds.repeated_ratio=null",
        f"workers={WORKERS}",
    )  # fmt: skip
    flags = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "speechmill", "run", "--input", feed, "--output", str(output), "--quiet", *flags]
    begin, before, seen = time.monotonic(), os.times(), Seen({}, 0, 0.0)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(POLL_S)
            for stage in ("segment", "score"):
                if stage not in seen.first_s and next((output / "work" / stage).rglob("[0-9a-f]*.parquet"), None):
                    seen.first_s[stage] = time.monotonic() - begin
            seen.media_bytes = max(seen.media_bytes, _bytes(output / "work" / "media"))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seen.total_s, after = time.monotonic() - begin, os.times()
    seen.cpu_s = sum(after[2:4]) - sum(before[2:4])  # of children that ended, and of theirs
    return seen


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue  # it was renamed
    return total


def _digest(corpus: Path) -> str:
    files = sorted([*corpus.glob("data/*"), *corpus.glob("pool.parquet/*"), corpus / "ledger.parquet"])
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()


@contextmanager
def served(recordings: dict[int, bytes]) -> Iterator[str]:
    """Serve recordings and a feed of them, each connection at BYTES_S; yields the address of the feed."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").removesuffix(".mp3")
            body = feed.encode() if self.path == "/feed.xml" else recordings.get(int(name)) if name.isdigit() else None
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            for at in range(0, len(body or b""), BYTES_S // 10):
                self.wfile.write((body or b"")[at : at + BYTES_S // 10])
                time.sleep(0.1 if name.isdigit() else 0.0)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    base = f"http://127.0.0.1:{server.server_port}"
    items = "".join(
        f"<item><title>{n}</title><guid isPermaLink='false'>g{n}</guid>"
        f"<enclosure url='{base}/{n}.mp3' type='audio/mpeg' length='{len(body)}'/>"
        f"<pubDate>Mon, 05 Jan {2000 + n % 20} 09:{n % 60:02}:00 GMT</pubDate>"
        f"<itunes:duration>{SECONDS:.0f}</itunes:duration></item>"
        for n, body in recordings.items()
    )
    feed = (
        '<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel><title>Show</title>'
        f"<language>en</language>{items}</channel></rss>"
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{base}/feed.xml"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
