"""Hours of recordings for the benchmarks, made of the demo podcast in no time.

The demo is encoded once, as most podcasts are: MP3, 44.1 kHz, stereo, 128 kbit/s. Its frames are then copied as
they are, from another starting point for each recording: no two recordings are the same bytes, so none is
skipped as a duplicate.
"""

import itertools
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from speechmill.core.build import Build
from speechmill.core.config_file import load
from speechmill.core.store import Store
from speechmill.fetch import model_folder
from speechmill.sources.demo.podcast import make_podcast
from speechmill.stages.profiles import plan_build
from speechmill.stages.segment import segment_media
from speechmill.stages.work import WorkItem

from tests.benchmarks.bare import decode, to_int16

SOURCE_RATE, BITS_A_SECOND = 44_100, 128_000
FRAME_S = 1152 / SOURCE_RATE
LAG = 20  # samples by which the right channel is later: 0.5 ms, two microphones in a room
THRESHOLDS = (
    *("noise", "music", "telephone", "overlap", "reverb"),
    *("snr_db", "bandwidth_hz", "loudness_lufs", "clipped_ratio", "edge_ratio"),
    *("no_speech", "asr_confidence", "language_probability"),
)
# Nothing that the bare script does not have either.
KEEP_ALL = (*(f"thresholds.{name}=null" for name in THRESHOLDS), "defects.weights=null", "tokenise.checkpoint=null")
NO_TEXT = "asr.model=null"
Clips = dict[Path, list[tuple[int, int]]]  # samples [start, end) of each recording's clips, at the corpus rate


@lru_cache(maxsize=1)
def _frames(folder: Path) -> list[bytes]:
    """Every MP3 frame of the demo podcast, in stereo."""
    episodes = [path for path in make_podcast(folder) if path.suffix == ".mp3"]
    mono = np.concatenate([to_int16(decode(path)[0][0]) for path in episodes])
    frame = av.AudioFrame.from_ndarray(np.stack([mono, np.roll(mono, LAG)]), "s16p", "stereo")
    frame.sample_rate = SOURCE_RATE
    encoder = av.CodecContext.create("libmp3lame", "w")
    encoder.rate, encoder.layout, encoder.format, encoder.bit_rate = SOURCE_RATE, "stereo", "s16p", BITS_A_SECOND
    return [bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]]


def make_recordings(folder: Path, *, count: int, seconds: float) -> list[Path]:
    """Make `count` MP3 files of the given length in `folder`, which is beside that of the demo podcast."""
    frames = _frames(folder.parent / "podcast")
    folder.mkdir(parents=True)
    paths = [folder / f"{i:03}.mp3" for i in range(count)]
    for i, path in enumerate(paths):
        start = i * len(frames) // count
        looped = itertools.islice(itertools.cycle(frames), start, start + round(seconds / FRAME_S))
        with path.open("wb") as file:
            file.writelines(looped)
    return paths


def make_build(output: Path, *settings: str) -> Build:
    """A build into a fresh folder."""
    return plan_build(load(settings=settings, output=str(output)), Store(str(output)), find_model=model_folder)


def work_on(path: Path) -> WorkItem:
    """A recording on its way into the segment stage."""
    order = ("", "", "")
    return WorkItem(
        recording_id=path.stem, content_id=path.stem, media=str(path), is_local=True, allowed=True, order=order
    )


def segment(paths: list[Path], output: Path) -> Clips:
    """Run the segment stage on recordings; returns where their clips are."""
    build = make_build(output, NO_TEXT)
    clips: Clips = {}
    for path in paths:
        segment_media(work_on(path), build)
        rows = build.store.read(build.segments(path.stem), ["start", "end", "clip_id"]).to_pylist()
        clips[path] = [(row["start"], row["end"]) for row in rows if row["clip_id"]]
    return clips
