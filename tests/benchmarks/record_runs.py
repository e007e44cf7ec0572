"""Records what the live view sees of real runs: `python -m tests.benchmarks.record_runs --data FOLDER --to FOLDER`.

Each of SHAPES is run on real recordings, one after the other: events and pulses twice a second, without names, as
lines of JSON. The data are a folder with a `manifest.jsonl` whose lines have `file`, `group` and `duration_s`.

The clock is the CPU time of the run's processes over the number of cores, so that other programs on the machine change
nothing, and the time of the day while a run only waits for a server.
"""

import argparse
import gzip
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import soundfile
import soxr
from speechmill.core.config_file import load
from speechmill.core.processes import usable_cores
from speechmill.core.pulse import Pulse
from speechmill.runner.run import run
from speechmill.runner.tracking import Tracker
from speechmill.stages import FETCH

RATE = 24_000
PAUSE = np.zeros(RATE, np.float32)
OF_AN_EVENT = ("listed", "expected_s", "stage", "state", "seconds", "audio_in_s", "audio_kept_s")
NAMES = ("recording_id", "content_id", "file")
STOPPED_SHARE = 0.4  # of the audio that a resumed run had transcribed before
SLOW_BYTES_S = 40_000.0  # of a connection

Sound = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A run that is recorded."""

    groups: tuple[str, ...] = ("clean_speech", "noisy_speech", "podcast", "longform", "overlap", "language")
    minutes: float = 5.0
    """Audio of all recordings."""
    recording_s: float | None = None
    """Length of each recording, of several files; None: a file is a recording."""
    config: Mapping[str, Any] = field(default_factory=dict)
    bytes_s: float | None = None
    """Speed of the server of each connection, with which a feed is fetched; None: files are local."""
    is_resumed: bool = False
    """Whether it goes on with a run that was stopped."""


SHAPES = {
    "many_short": Shape(),
    "few_long": Shape(recording_s=100.0),
    "one_long": Shape(groups=("podcast", "longform", "clean_speech"), recording_s=300.0),
    "slow_feed": Shape(recording_s=30.0, minutes=4.0, bytes_s=SLOW_BYTES_S),
    "slow_stage": Shape(recording_s=45.0, minutes=3.0, config={"asr": {"beam_size": 20}}),
    "resumed": Shape(recording_s=45.0, minutes=6.0, is_resumed=True),
    "recover": Shape(recording_s=75.0, config={"segment": {"profile": "recover"}}),
    "hardly_any_kept": Shape(groups=("noise", "music", "noisy_speech", "overlap"), recording_s=45.0),
    "no_text": Shape(recording_s=45.0, minutes=6.0, config={"asr": {"model": None}}),
}


def main() -> None:
    """Record the shapes."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.record_runs", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1, help="which recordings: those of the tests have 1")
    parser.add_argument("shapes", nargs="*", default=list(SHAPES))
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    for name in options.shapes:
        with TemporaryDirectory() as folder:
            lines = record(SHAPES[name], options.data, Path(folder), seed=options.seed)
        (options.to / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
        print(f"{name}: {json.loads(lines[-1])['t'] - json.loads(lines[1])['t']:.0f} s", flush=True)


def record(shape: Shape, data: Path, folder: Path, *, seed: int = 1) -> list[str]:
    """Run a shape; returns lines of JSON: the models of its stages, then an observation each, at last the end."""
    names = write_recordings(shape, data, folder / "recordings", seed=seed)
    output = folder / "corpus"
    with served(folder / "recordings", names, shape.bytes_s) if shape.bytes_s else nullcontext() as feed:
        inputs = [feed] if feed else [str(folder / "recordings")]
        served_by = {"fetch": {"allow_hosts": [feed.split("/")[2]], "pages": False}} if feed else {}
        licences = {"licences": {"allow": ["unknown"]}} if feed else {}
        settings = {**served_by, **licences, **shape.config}
        config = load(None, (), settings, inputs=tuple(inputs), output=str(output))
        if shape.is_resumed:
            _stop_midway(config)
        recorder = _Recorder()
        with recorder.listening():
            run(config)
    return recorder.lines()


def _stop_midway(config: Any) -> None:
    """Run until some of the audio is transcribed."""
    with _Recorder(_stop).listening():
        run(config)


def _stop(tracker: Tracker) -> None:
    """Interrupt this process, once."""
    state, total_s = tracker.states.get("transcribe"), tracker.forecast.totals.get("transcribe", float("inf"))
    if state and state.shown_s < float("inf") and state.in_s + state.partial_s > STOPPED_SHARE * total_s:
        state.shown_s = float("inf")
        os.kill(os.getpid(), signal.SIGINT)


class _Clock:
    """Time as a run would take it on a machine of its own."""

    def __init__(self) -> None:
        self._now_s, self._wall_s, self._used_s = 0.0, time.monotonic(), dict[int, float]()
        self._total_s = self._cpu_s()

    def now_s(self, *, waits: bool) -> float:
        """Seconds since the beginning; `waits`: the run waits for a server."""
        wall_s, total_s = time.monotonic(), self._cpu_s()
        self._now_s += wall_s - self._wall_s if waits else (total_s - self._total_s) / usable_cores()
        self._wall_s, self._total_s = wall_s, total_s
        return self._now_s

    def _cpu_s(self) -> float:
        """CPU time of this process and its children, those that ended too."""
        here = psutil.Process()
        for process in (here, *here.children(recursive=True)):
            with suppress(psutil.Error):
                times = process.cpu_times()
                self._used_s[process.pid] = max(times.user + times.system, self._used_s.get(process.pid, 0.0))
        return sum(self._used_s.values())


class _Recorder:
    """Notes what trackers observe."""

    def __init__(self, also: Callable[[Tracker], None] = lambda _: None) -> None:
        self._lines, self._ids, self._also = list[dict[str, Any]](), dict[str, str](), also
        self._clock = _Clock()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note all observations in the block, and its end."""
        observe = Tracker.observe

        def noted(
            tracker: Tracker, now_s: float, events: Iterable[Mapping[str, Any]] = (), pulses: Iterable[Pulse] = (),
            received: Mapping[str, int] | None = None,
        ) -> None:  # fmt: skip
            events, pulses = list(events), list(pulses)
            if not self._lines:
                self._lines.append({"models": [asdict(model) for model in tracker.forecast.models]})
            self._lines.append(self._line(events, pulses))
            observe(tracker, now_s, events, pulses, received)
            self._also(tracker)

        Tracker.observe = noted  # type: ignore[method-assign]
        try:
            yield
        finally:
            Tracker.observe = observe  # type: ignore[method-assign]
            self._lines.append(self._line([], []))

    def _line(self, events: list[Mapping[str, Any]], pulses: list[Pulse]) -> dict[str, Any]:
        kept = [
            {key: event[key] for key in OF_AN_EVENT if key in event} | self._named(event)
            for event in events
            if "stage" in event or "listed" in event
        ]
        at_work = [asdict(each) | {"names": self._named(each.names)} for each in pulses]
        waits = bool(pulses) and all(each.stage == FETCH.name for each in pulses)
        return {"t": self._clock.now_s(waits=waits), "events": kept, "pulses": at_work}

    def _named(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Numbers in place of names, since those are digests of what nobody needs."""
        return {key: self._ids.setdefault(str(names[key]), f"{len(self._ids)}") for key in NAMES if key in names}

    def lines(self) -> list[str]:
        """Lines of JSON; times are from the first observation on."""
        first = self._lines[1]["t"]
        timed = [line | {"t": round(line["t"] - first, 2)} for line in self._lines[1:]]
        return [json.dumps(line) for line in (self._lines[0], *timed)]


def write_recordings(shape: Shape, data: Path, folder: Path, *, seed: int = 1) -> list[str]:
    """Write the recordings of a shape as FLAC at 24 kHz; returns their names."""
    folder.mkdir(parents=True)
    names = list[str]()
    for number, sound in enumerate(_recordings(shape, data, seed)):
        names.append(f"{number:03}.flac")
        soundfile.write(folder / names[-1], sound, RATE)
    return names


def _recordings(shape: Shape, data: Path, seed: int) -> Iterator[Sound]:
    parts, waiting_s, left_s = list[Sound](), 0.0, 60 * shape.minutes
    for sound in _sounds(shape, data, seed):
        parts += [sound, PAUSE]
        waiting_s += (sound.size + PAUSE.size) / RATE
        if shape.recording_s is None or waiting_s >= shape.recording_s:
            yield np.concatenate(parts)
            left_s -= waiting_s
            parts, waiting_s = [], 0.0
            if left_s <= 0:
                return


def _sounds(shape: Shape, data: Path, seed: int) -> Iterator[Sound]:
    """The recordings of some groups, in an order that follows from `seed`, at the rate of the corpus."""
    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines()]
    chosen = [row for row in rows if row["group"] in shape.groups and 3 < row.get("duration_s", 0) < 60]
    for at in itertools.chain.from_iterable(itertools.repeat(np.random.default_rng(seed).permutation(len(chosen)))):
        try:
            sound, rate = soundfile.read(data / chosen[at]["file"], dtype="float32", always_2d=True)
        except soundfile.SoundFileError:
            continue
        yield soxr.resample(sound.mean(axis=1), rate, RATE).astype(np.float32)


@contextmanager
def served(folder: Path, names: list[str], bytes_s: float) -> Iterator[str]:
    """Serve recordings and a feed of them, each connection at a speed; yields the address of the feed."""
    bodies = {f"/{name}": (folder / name).read_bytes() for name in names}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = bodies.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            for at in range(0, len(body or b""), round(bytes_s / 10)) if body else ():
                self.wfile.write(body[at : at + round(bytes_s / 10)])
                time.sleep(0.1 if self.path != "/feed.xml" else 0.0)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ExitStack() as stack:
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        base = f"http://127.0.0.1:{server.server_port}"
        bodies["/feed.xml"] = _feed(base, folder, names).encode()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        yield f"{base}/feed.xml"


def _feed(base: str, folder: Path, names: list[str]) -> str:
    """A feed that declares lengths, as most do."""
    items = "".join(
        f"<item><title>{name}</title><guid>{name}</guid>"
        f'<enclosure url="{base}/{name}" type="audio/flac" length="{(folder / name).stat().st_size}"/>'
        f"<itunes:duration>{round(soundfile.info(folder / name).duration)}</itunes:duration></item>"
        for name in names
    )
    return (
        '<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel><title>Show</title>'
        f"<language>en</language>{items}</channel></rss>"
    )


if __name__ == "__main__":
    main()
