"""Labelled clips for training the defect network: made once, in shards, and read in shuffled batches."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.utils.data import Dataset

from speech_defects import FRAME, RATE, Defect
from speech_defects.clip_shards import SHARD_CLIPS, write_shard
from speech_defects.degrade import Sources, Take
from speech_defects.degrade.takes import share
from speech_defects.model import levelled
from speech_defects.workers import worker_pool

CROPS_S = (3.0, 5.0, 8.0, 8.0)  # batches are cropped to one of these, so that short clips occur too
LEAST_FRAMES = {Defect.NOISE: 25, Defect.MUSIC: 25, Defect.OVERLAP: 13}  # frames of a defect that must remain in a crop
UNKNOWN = 255
KINDS = Sources.kinds()
Progress = Callable[[str], None]


class Recipe(BaseModel):
    """What to train on, and how. Recordings are listed in manifests, see `takes.read_manifest`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifests: tuple[Path, ...] = Field(min_length=1)
    """JSONL lists of speech, noise, music and room responses; of conversations, telephone calls and labelled recordings
    where there are."""
    hours: float = Field(32.0, gt=0)
    """Labelled clips to make."""
    clip_seconds: float = Field(8.0, ge=3, le=20)
    """Length of a training clip."""
    calibration_clips: int = Field(2_560, ge=100)
    """Clips of held-out recordings that calibrate the scores."""
    held_out: float = Field(0.12, gt=0, lt=0.5)
    """Share of speakers, and of recordings of other kinds, kept from training."""
    initial: Path | None = None
    """Weights to go on from, such as the shipped ones; null begins with random ones."""
    epochs: int = Field(5, ge=1)
    """Times that all clips are learnt from."""
    batch_size: int = Field(16, ge=1)
    """Clips in a step."""
    learning_rate: float = Field(1.5e-3, gt=0)
    """Highest rate of the schedule."""
    weight_decay: float = Field(1e-2, ge=0)
    """Of AdamW."""
    bfloat16: bool = False
    """Compute in bfloat16, 1.7 times as fast on a CPU that can."""
    seed: int = Field(1, ge=0)
    """Draws clips, split, order and first weights."""


def split(sources: Sources, held_out: float, seed: int) -> tuple[Sources, Sources]:
    """Split recordings into training and held-out: by speaker, or by recording without one.

    A name is on the same side in all kinds. If a kind would be empty on one side, it is used whole on that side.
    Labelled recordings are split by source.
    """
    training, held_out_kinds = {}, {}
    for kind in KINDS:
        takes = getattr(sources, kind)
        kept = [take for take in takes if share(seed, _name(take, kind)) < held_out]
        training[kind] = tuple(take for take in takes if take not in kept) or takes
        held_out_kinds[kind] = tuple(kept) or takes
    return Sources(**training), Sources(**held_out_kinds)


def _name(take: Take, kind: str) -> str:
    return take.source if kind == "labelled" else take.speaker or take.path.name


def make_clips(
    sources: Sources, seed: tuple[int, int], folder: Path, lengths: Sequence[float], *, workers: int, progress: Progress
) -> None:
    """Write labelled clips, a shard for each of `lengths`; existing shards are kept.

    Args:
        sources: Recordings to make them from.
        seed: Of the run and of this set of clips.
        folder: Folder to write to.
        lengths: Length of the clips of each shard in seconds.
        workers: Processes.
        progress: Called with messages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [shard for shard in range(len(lengths)) if not (folder / f"{shard:05}.npz").exists()]
    started, made_s = time.monotonic(), 0.0
    with worker_pool(max(1, min(workers, len(missing)))) as pool:
        futures = {pool.submit(write_shard, sources, seed, lengths[shard], folder, shard): shard for shard in missing}
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            made_s += SHARD_CLIPS * lengths[futures[future]]
            rate = made_s / (time.monotonic() - started)
            progress(f"{folder.name}: {done} of {len(missing)} shards, {made_s / 3_600:.1f} h, {rate:.0f} x real time")


class Clips(Dataset[dict[str, Tensor]]):
    """Batches of labelled clips, reshuffled each epoch: item i is batch i."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        names = sorted(folder.glob("?????.npz"))
        self._waves = [np.load(name.with_suffix(".npy"), mmap_mode="r") for name in names]
        parts = [dict(np.load(name)) for name in names]
        self._labels, self._frames, self._targets = (
            np.concatenate([part[key] for part in parts]) for key in ("labels", "frames", "targets")
        )
        self._recipe = recipe
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._labels) // self._recipe.batch_size

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Waves float32[B, T], labels [B, 5], frames uint8[B, 5, F] and targets [B, 2]."""
        size = self._recipe.batch_size
        order = np.random.default_rng([self._recipe.seed, self.epoch]).permutation(len(self._labels))
        rows = order[index * size : (index + 1) * size]
        rng = np.random.default_rng([self._recipe.seed, self.epoch, index])
        frames = min(round(rng.choice(CROPS_S) * RATE / FRAME), self._frames.shape[2])
        first = int(rng.integers(self._frames.shape[2] - frames + 1))
        waves = np.stack([self._waves[row // SHARD_CLIPS][row % SHARD_CLIPS] for row in rows])
        cut = waves[:, first * FRAME : (first + frames) * FRAME].astype(np.float32) / 32_768
        labels, in_frames = cropped(self._labels[rows], self._frames[rows][:, :, first : first + frames])
        batch = (np.stack([levelled(wave) for wave in cut]), labels, in_frames, self._targets[rows])
        return dict(zip(("waves", "labels", "frames", "targets"), map(torch.from_numpy, batch), strict=True))


def cropped(
    labels: npt.NDArray[np.float32], frames: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Adapt labels float32[B, 5] to a crop with frames uint8[B, 3, F]; returns them and frame labels uint8[B, 5, F].

    A defect of which too little remains is unlabelled; one of which nothing remains is absent.
    """
    labels = labels.copy()
    everywhere = np.repeat(np.where(np.isnan(labels), UNKNOWN, labels).astype(np.uint8)[:, :, None], frames.shape[2], 2)
    for track, (defect, min_frames) in enumerate(LEAST_FRAMES.items()):
        column = list(Defect).index(defect)
        present = (frames[:, track] == 1).sum(1)
        is_uncertain = np.isnan(labels[:, column]) | (frames[:, track] == UNKNOWN).any(1)
        crop_label = np.where(present >= min_frames, 1.0, np.where(is_uncertain | (present > 0), np.nan, 0.0))
        labels[:, column] = np.where(labels[:, column] == 0, 0.0, crop_label)
        everywhere[:, column] = frames[:, track]
    return labels, everywhere
