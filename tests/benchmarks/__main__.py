"""All benchmarks of speed and memory: `python -m tests.benchmarks [--quick] [--hours H] [--json FILE]`.

The yardsticks are ratios between rivals in one run on one machine; times real time are of that machine only.
Install with `pip install -c constraints.txt -e '.[demo,bench]'`. Quote figures of a quiet machine only: under load the
ratios suffer too. Full mode takes an hour, --quick about ten minutes.
"""

import argparse
import importlib.util
import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

THREADS = 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)  # before CTranslate2 is loaded, here and in the children

from tests.benchmarks import parts, plan, whole  # noqa: E402
from tests.benchmarks.material import make_recordings, segment  # noqa: E402
from tests.benchmarks.timing import HEADING, Figure, show, write_json  # noqa: E402

RECORDINGS = 5


def main() -> None:
    """Run every benchmark, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a sixth of an hour, and one hour for the memory")
    parser.add_argument("--hours", type=float, help="audio for the single stages and the runs; 1, or a sixth")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    audio_s = 3600 * (options.hours or (1 / 6 if options.quick else 1))
    figures: list[Figure] = []
    print(HEADING)
    with tempfile.TemporaryDirectory() as folder:
        for found in run(Path(folder), audio_s=audio_s, quick=options.quick):
            show(found)
            figures += found
            if options.json:
                write_json(options.json, figures, machine() | {"audio_s": audio_s})


def run(folder: Path, *, audio_s: float, quick: bool) -> Iterator[list[Figure]]:
    """All figures, benchmark by benchmark, for `audio_s` seconds of recordings made in `folder`."""
    rounds = 3
    paths = make_recordings(folder / "recordings", count=RECORDINGS, seconds=audio_s / RECORDINGS)
    clips = segment(paths, folder / "segments")
    yield parts.segmenting(clips, audio_s=audio_s, rounds=rounds)
    yield parts.measuring(clips, rounds=rounds)
    yield parts.transcribing(clips, audio_s=90 if quick else 600, rounds=rounds, threads=THREADS)
    yield [*plan.one_feed(folder, plan.ITEMS), *plan.many_feeds(folder, plan.ITEMS)]
    yield whole.memory(folder, short_s=600, long_s=3600 if quick else 36_000)
    yield whole.linearity(folder, paths, audio_s=audio_s, rounds=1 if quick else rounds)
    yield whole.against_bare(folder, clips, audio_s=audio_s, rounds=1 if quick else rounds)


def machine() -> dict[str, object]:
    """What the figures are of."""
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "threads_of_whisper": THREADS,
        "pydub_with_ffmpeg": importlib.util.find_spec("imageio_ffmpeg") is not None,
    }


if __name__ == "__main__":
    main()
