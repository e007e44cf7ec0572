"""Each model on a CPU and on another device: `python -m tests.benchmarks.devices [--device cuda] [--data DIR]`.

How fast each is, and whether the results keep the rule of docs/architecture.md: mel tokens are equal, defect scores
differ by 1e-3 at most, and of the texts most are equal. Clips are those of the demo podcast, or of a folder.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from speechmill.audio import decode_flac
from speechmill.core.build import Build
from speechmill.stages import SEGMENT, TOKENISE, TRANSCRIBE, Stage
from speechmill.stages.base import Clips
from speechmill.stages.embed import Embed
from speechmill.stages.score import SCORES_TO_STORE, scores_of
from speechmill.stages.segment import segment_media

from tests.benchmarks.material import make_build, make_recordings, work_on
from tests.benchmarks.timing import HEADING, Figure, show, write_json

MOST_APART, LEAST_COSINE = 1e-3, 0.999
SHORTEST_S = 30.0  # a recording that surely gives clips
Results = list[Any]


def main() -> None:
    """Run every model on both devices, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.devices", description=__doc__)
    parser.add_argument("--device", default="cuda", help="to be compared with a CPU")
    parser.add_argument("--data", type=Path, help="recordings; by default half an hour of the demo podcast")
    parser.add_argument("--model", default="tiny.en", help="Whisper")
    parser.add_argument("--minutes", type=float, default=30.0, help="of the demo podcast")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(options.data.iterdir()) if options.data else _podcast(Path(folder), options.minutes)
        build = make_build(Path(folder) / "corpus", f"asr.model={options.model}", "device=cpu")
        clips = dict(_clips(paths, build))
        if not clips:
            parser.error("these recordings give no clip: more --minutes, or other --data")
        print(HEADING)
        figures = []
        for figure in measure(clips, build, options.device):
            show([figure])
            figures.append(figure)
    if options.json:
        name = torch.cuda.get_device_name() if options.device == "cuda" else options.device
        write_json(options.json, figures, {"cores": os.cpu_count(), "device": name, "clips": len(clips)})


def _podcast(folder: Path, minutes: float) -> list[Path]:
    count = min(max(round(60 * minutes / SHORTEST_S), 1), 6)
    return make_recordings(folder / "recordings", count=count, seconds=60 * minutes / count)


def _clips(paths: list[Path], build: Build) -> Iterator[tuple[str, Any]]:
    for path in paths:
        segment_media(work_on(path), build)
        for row in SEGMENT.read(path.stem, build, ["clip_id", "flac"]).to_pylist():
            if row["clip_id"]:
                yield row["clip_id"], decode_flac(row["flac"])


def measure(clips: Clips, build: Build, device: str) -> Iterator[Figure]:
    """Speeds of every model, and how far its results are apart."""
    seconds = sum(clip.size for clip in clips.values()) / build.config.audio.sample_rate
    other = replace(build, device=device)
    for name, run, compare in (
        ("score", _score, _of_scores),
        ("transcribe", _rows_of(TRANSCRIBE), _of_texts),
        ("tokenise", _rows_of(TOKENISE), _of_tokens),
        ("embed", _rows_of(Embed()), _of_embeddings),
    ):
        first = dict(list(clips.items())[:2])
        results, speeds = [], []
        for on in (build, other):
            run(first, on)  # loads the model
            begin = time.monotonic()
            results.append(run(clips, on))
            speeds.append(seconds / (time.monotonic() - begin))
        yield Figure(name, "speed on a CPU, and on the other", speeds[0], speeds[1], "x real time")
        yield compare(name, *results)


def _score(clips: Clips, build: Build) -> Results:
    values = scores_of(list(clips.values()), build)
    return [values[column].to_numpy(zero_copy_only=False) for column in SCORES_TO_STORE.values() if "score" in column]


def _rows_of(stage: Stage) -> Callable[[Clips, Build], Results]:
    """The rows that a stage makes, in the order of the clips."""

    def run(clips: Clips, build: Build) -> Results:
        rows = {row["clip_id"]: row for part in stage.in_parts(clips, build) for row in part}
        return [rows[clip_id] for clip_id in clips]

    return run


def _of_scores(name: str, ours: Results, theirs: Results) -> Figure:
    apart = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    return Figure(name, "scores, farthest apart", apart, None, "", MOST_APART, at_most=True)


def _of_texts(name: str, ours: Results, theirs: Results) -> Figure:
    same = np.mean([a["text"] == b["text"] for a, b in zip(ours, theirs, strict=True)])
    return Figure(name, "texts that are equal", float(same), None, "of the clips")


def _of_tokens(name: str, ours: Results, theirs: Results) -> Figure:
    same = np.mean([np.array_equal(a["mel_tokens"], b["mel_tokens"]) for a, b in zip(ours, theirs, strict=True)])
    return Figure(name, "clips whose tokens are equal", float(same), None, "of the clips", 1.0)


def _of_embeddings(name: str, ours: Results, theirs: Results) -> Figure:
    cosines = [np.dot(a["embedding"], b["embedding"]) for a, b in zip(ours, theirs, strict=True)]
    return Figure(name, "embeddings, smallest cosine", float(min(cosines)), None, "", LEAST_COSINE)


if __name__ == "__main__":
    main()
