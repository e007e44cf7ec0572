"""Measures turns: clips with two voices, one-voice speech that comes out, boundaries, and the cost.

    python -m tests.benchmarks.voices --data DIR [--pairs 2] [--tuning] [--json FILE]

DIR holds manifest.jsonl and its recordings; dialogues are made of it, see dialogues.py, of speakers kept for
tests unless `--tuning` is given. Of every episode the clips that each profile cuts are counted, and, of a whole
run with the default thresholds, those that it publishes. Baselines: no turns; local speakers of segmentation-3.0 in
windows of 10 s; CAM++ on either side of every step.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import soundfile
import torch
from speechmill import speakers
from speechmill.audio.cutting import NO_FRAMES, gate, place_changes, spans
from speechmill.audio.vad import Listener
from speechmill.core.config import Segment
from speechmill.core.records import SpanKind
from speechmill.speakers import SEGMENTATION, second_voice
from speechmill.speakers.segmentation import FIRST_FRAME, FRAME_SHIFT, PackagedDetector, load_packaged
from speechmill.speakers.steps import pauses_before, speech_steps
from speechmill.speakers.turns import STEP, Statistics, TurnDetector, Voices

from tests.benchmarks.dialogues import FRAME, RATE, SCENES, Episode, Readers, episodes

PROFILES = ("tortoise", "recover")
NEAR_S = 0.25  # a boundary is right within so much
SECOND_S = 0.5  # of a second voice make a clip mixed
SIDE, LOWEST_COSINE = 15, 0.5  # steps, and the cosine, of the baseline that slides
CORPUS_RATE = 24_000

Frames = npt.NDArray[np.int64]
Place = tuple[float, float]  # start and end in s


@dataclass
class Models:
    """The networks, loaded once."""

    statistics: Statistics = field(default_factory=lambda: speakers.load_statistics("campplus"))
    overlap: PackagedDetector = field(default_factory=lambda: load_packaged(speakers.overlap_file(SEGMENTATION)))


@dataclass(frozen=True)
class Heard:
    """An episode with its VAD marks and levels."""

    episode: Episode
    marks: npt.NDArray[np.bool_]
    levels: npt.NDArray[np.float32]

    @property
    def wave(self) -> npt.NDArray[np.float32]:
        """Whole steps of the episode."""
        steps = speech_steps(self.marks).size
        return np.pad(self.episode.wave, (0, max(0, steps * STEP - self.episode.wave.size)))[: steps * STEP]


def prepare(episode: Episode) -> Heard:
    """Run the VAD."""
    listener = Listener("webrtc", RATE)
    listener.hear(episode.wave)
    marks, levels = listener.finish()
    return Heard(episode, gate(marks, levels), levels)


# --- rivals: from an episode to the frames at which the voice changes ---


def none(heard: Heard, models: Models) -> Frames:
    """No turns."""
    return NO_FRAMES


def detected(heard: Heard, models: Models) -> Voices:
    """Our voices."""
    detector = TurnDetector(models.statistics)
    overlap = models.overlap.probabilities(heard.wave)
    speech = speech_steps(heard.marks)
    detector.feed(heard.wave, speech, pauses_before(heard.marks, speech), overlap)
    return detector.finish()


def turns(heard: Heard, models: Models) -> Frames:
    """Ours."""
    return place_changes(detected(heard, models).labels, heard.marks, heard.levels)


def turns_alone(heard: Heard, models: Models) -> Frames:
    """Ours, without a look for second voices within turns."""
    with mock.patch.object(second_voice, "BIAS", -np.inf):
        return turns(heard, models)


def known(heard: Heard, models: Models) -> Frames:
    """The true changes: the most that turns can leave of a dialogue."""
    return np.unique(np.array([round(100 * at) for at in heard.episode.changes()], np.int64))


def segmentation(heard: Heard, models: Models) -> Frames:
    """Changes of the likeliest local speaker in the middle of overlapping windows of 10 s."""
    network, wave, changes = models.overlap._network, heard.wave, []
    for first in range(0, max(wave.size, 1), 5 * RATE):
        window = wave[first : first + 10 * RATE]
        window = np.pad(window, (0, 10 * RATE - window.size))
        with torch.inference_mode():
            classes = network(torch.from_numpy(window)[None])[0].exp().numpy()
        alone = classes[:, 1:4] + 0.5 * (classes[:, [4, 4, 5]] + classes[:, [5, 6, 6]])
        step = np.minimum((first + FIRST_FRAME + FRAME_SHIFT * np.arange(len(alone))) // STEP, wave.size // STEP - 1)
        labels = np.full(wave.size // STEP, -1, np.int16)
        labels[step] = np.where(alone.max(axis=1) > 0.5, alone.argmax(axis=1), -1)
        found = place_changes(labels, heard.marks, heard.levels)
        middle = (first + (0 if first == 0 else 2.5 * RATE)) / FRAME, (first + 7.5 * RATE) / FRAME
        changes += [at for at in found.tolist() if middle[0] <= at < middle[1]]
    return np.unique(np.array(changes, np.int64))


def sliding(heard: Heard, models: Models) -> Frames:
    """Local minima of the cosine of 1.5 s before and after a step, where it is low."""
    places = np.flatnonzero(speech_steps(heard.marks))
    if places.size < 2 * SIDE:
        return NO_FRAMES
    sums = np.concatenate(list(models.statistics.sums(heard.wave.reshape(-1, STEP)[places].ravel()))).astype(np.float64)
    total = np.concatenate([np.zeros((1, sums.shape[1])), np.cumsum(sums, axis=0)])
    at = np.arange(SIDE, len(places) - SIDE)
    length = np.full(at.size, SIDE)
    before = models.statistics.embed((total[at] - total[at - SIDE]).astype(np.float32), length)
    after = models.statistics.embed((total[at + SIDE] - total[at]).astype(np.float32), length)
    cosines = (before * after).sum(axis=1)
    is_lowest = np.array([value == cosines[max(i - 5, 0) : i + 6].min() for i, value in enumerate(cosines)])
    labels = np.full(heard.wave.size // STEP, -1, np.int16)
    changed = np.zeros(len(places), bool)
    changed[at[is_lowest & (cosines < LOWEST_COSINE)]] = True
    labels[places] = np.cumsum(changed)
    return place_changes(labels, heard.marks, heard.levels)


RIVALS: dict[str, Callable[[Heard, Models], Frames]] = {
    "no turns": none, "segmentation-3.0 windows": segmentation, "CAM++ sliding": sliding, "turns": turns,
    "turns, second voices not looked for": turns_alone, "known turns": known,
}  # fmt: skip


# --- counting ---


class Score(Counter[str]):
    """Counts of a rival under a profile."""

    def add_clips(self, episode: Episode, clips: Iterable[Place]) -> None:
        """Count the clips of an episode."""
        truth = episode.truth()
        self["alone_s"] += (truth.sum(axis=1) == 1).sum() / 100  # type: ignore[assignment]
        for start, end in clips:
            seconds = np.sort(truth[round(100 * start) : round(100 * end)].sum(axis=0) / 100)
            is_mixed = len(seconds) > 1 and seconds[-2] >= SECOND_S
            self["clips"] += 1
            self["mixed"] += int(is_mixed)
            self["kept_s"] += 0 if is_mixed else seconds[-1]  # type: ignore[assignment]

    def add_changes(self, episode: Episode, changes: Frames) -> None:
        """Count right and wrong boundaries of an episode."""
        wanted = np.array(episode.changes())
        apart = np.abs(wanted[:, None] - changes[None] / 100) <= NEAR_S
        self.update(wanted=len(wanted), given=len(changes))
        self.update(recalled=int(apart.any(axis=1).sum()), right=int(apart.any(axis=0).sum()))

    def row(self) -> dict[str, float]:
        """Shares of the table."""
        return {
            "clips": self["clips"],
            "mixed": self["mixed"] / max(self["clips"], 1),
            "one-voice speech kept": self["kept_s"] / max(self["alone_s"], 1e-9),
            "recall": self["recalled"] / max(self["wanted"], 1),
            "precision": self["right"] / max(self["given"], 1),
        }


def cut(heard: Heard, rules: Segment, changes: Frames) -> Iterator[Place]:
    """Clips of an episode."""
    size = heard.episode.wave.size
    for span in spans(heard.marks, heard.levels, samples=size, rate=RATE, rules=rules, changes=changes):
        if span.kind is SpanKind.CLIP:
            yield span.start / RATE, span.end / RATE


def measure(material: list[Episode], min_length_s: float) -> Iterator[tuple[str, str, str, dict[str, float]]]:
    """Rival, profile, scene and figures; every rival also over all scenes, with its cost."""
    models, prepared = Models(), [prepare(episode) for episode in material]
    audio_s = sum(episode.wave.size for episode in material) / RATE
    for rival, find in RIVALS.items():
        begin = time.process_time()
        changes = [find(heard, models) for heard in prepared]
        speed = audio_s / max(time.process_time() - begin, 1e-9)
        for profile in PROFILES:
            rules = Segment.model_validate({"profile": profile, "min_length_s": min_length_s})
            scores = {scene: Score() for scene in ("all", *(scene.name for scene in SCENES))}
            for heard, found in zip(prepared, changes, strict=True):
                for scene in ("all", heard.episode.name.rpartition("-")[0]):
                    scores[scene].add_clips(heard.episode, cut(heard, rules, found))
                    scores[scene].add_changes(heard.episode, found)
            for scene, score in scores.items():
                yield rival, profile, scene, score.row() | ({"x real time": speed} if find not in (none, known) else {})


def published(material: list[Episode]) -> Iterator[tuple[str, str, str, dict[str, float]]]:
    """The same of whole runs, with the default thresholds on sound."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "episodes"
        inputs.mkdir()
        for episode in material:
            soundfile.write(inputs / f"{episode.name}.flac", episode.wave, RATE)
        for profile in PROFILES:
            output = Path(folder) / profile
            settings = (
                "asr.model=null",
                "tokenise.checkpoint=null",
                "speakers.model=null",
                f"segment.profile={profile}",
                "thresholds.repeated_ratio=null",  # scenes share recordings
            )
            chosen = [part for setting in settings for part in ("--set", setting)]
            run = [sys.executable, "-m", "speechmill", "run", "--quiet", "--input", inputs, "--output", output, *chosen]
            subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
            titles = pq.read_table(output / "recordings.parquet", columns=["recording_id", "media_url"]).to_pylist()
            names = {row["recording_id"]: Path(row["media_url"]).stem for row in titles}
            clips: dict[str, list[Place]] = {episode.name: [] for episode in material}
            columns = ["recording_id", "start", "end", "decision"]
            for row in pq.read_table(output / "pool.parquet", columns=columns).to_pylist():
                if row["decision"] == "kept":
                    place = row["start"] / CORPUS_RATE, row["end"] / CORPUS_RATE
                    clips[names[row["recording_id"]]].append(place)
            score = Score()
            for episode in material:
                score.add_clips(episode, clips[episode.name])
            yield "a run", profile, "all", score.row()


def show(rows: Iterable[tuple[str, str, str, dict[str, float]]]) -> list[dict[str, Any]]:
    """Print the table as it grows; returns its rows."""
    print("| rival | profile | scene | clips | two voices | one-voice speech kept | recall | precision | × real time |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    kept = []
    for rival, profile, scene, figures in rows:
        kept.append({"rival": rival, "profile": profile, "scene": scene, **figures})
        cells = [f"{figures['mixed']:.1%}", f"{figures['one-voice speech kept']:.0%}"]
        cells += [f"{figures[name]:.2f}" for name in ("recall", "precision")] if rival != "a run" else ["", ""]
        cells.append(f"{figures['x real time']:.0f}" if "x real time" in figures else "")
        print(f"| {rival} | {profile} | {scene} | {figures['clips']:.0f} | {' | '.join(cells)} |", flush=True)
    return kept


def main() -> None:
    """Make the dialogues, measure, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.voices", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl")
    parser.add_argument("--pairs", type=int, default=2, help="pairs of one sex, and as many of any, for each scene")
    parser.add_argument("--tuning", action="store_true", help="the speakers that were used for tuning")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--min-length-s", type=float, default=5.0, help="shortest clip, without whole runs")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    readers = Readers(options.data)
    names = readers.speakers(tests=not options.tuning)
    material = list(episodes(readers, names, pairs=options.pairs, seed=options.seed))
    minutes = sum(episode.wave.size for episode in material) / RATE / 60
    print(f"{len(material)} episodes, {minutes:.0f} minutes, {sum(len(one.changes()) for one in material)} changes")
    for edge_s in (Segment().edge_s, 0.5):
        reached, spoken = np.sum([one.in_reach(options.min_length_s, edge_s) for one in material], axis=0)
        print(f"one-voice speech that can be in clips with edges of {edge_s} s: {reached / spoken:.0%}")
    rows = show(row for part in (measure(material, options.min_length_s), published(material)) for row in part)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
