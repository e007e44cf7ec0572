"""Trains the defect network: makes labelled clips, trains on them, and calibrates the scores.

Everything follows from a recipe and its seed. An interrupted run continues where it was: clips are made in shards,
and the trainer (SpeechBrain's Brain) writes checkpoints within an epoch.
"""

import json
import logging
import shutil
import time
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from speech_defects.calibrate import calibrate
from speech_defects.clip_shards import SHARD_CLIPS
from speech_defects.degrade import Sources
from speech_defects.degrade.takes import read_manifests
from speech_defects.evaluate.metrics import roc_auc
from speech_defects.model import Network, Verdict, levelled
from speech_defects.packages import drop_lazy_modules, ensure_torchaudio
from speech_defects.scorer import read_network
from speech_defects.training_clips import KINDS, UNKNOWN, Clips, Progress, Recipe, make_clips, split

ensure_torchaudio()
import speechbrain as sb  # noqa: E402 - it imports torchaudio
from speechbrain.augment.time_domain import DropFreq  # noqa: E402
from speechbrain.dataio.dataloader import SaveableDataLoader  # noqa: E402

drop_lazy_modules()

__all__ = ["REPORT_FILE", "WEIGHTS_FILE", "Recipe", "train"]

TRAIN, CALIBRATE = 0, 1  # separate seeds for the two sets of clips
CALIBRATION_S = (3.0, 6.0, 10.0, 20.0)  # lengths of calibration clips
WEIGHTS_FILE, REPORT_FILE = "defects.safetensors", "training.json"
FRAME_WEIGHT, TARGET_WEIGHT = 0.5, 0.2
DROP_PROBABILITY = 0.3  # probability that narrow bands of a batch are muted
PROGRESS_S, CHECKPOINT_MINUTES = 5.0, 5.0


def train(recipe: Recipe, output: Path, *, device: str, workers: int, progress: Progress = print) -> dict[str, Any]:
    """Train, calibrate, write WEIGHTS_FILE and REPORT_FILE, and return the content of the latter.

    Args:
        recipe: What to train on, and how.
        output: Folder to write to.
        device: cpu or cuda.
        workers: Processes that make clips.
        progress: Called with messages.

    Raises:
        ValueError: Recordings cannot be used.
        OSError: Recordings cannot be read.
    """
    if recipe.initial:
        read_network(recipe.initial)  # says what is wrong with it before clips are made
    training, held_out = split(read_manifests(recipe.manifests), recipe.held_out, recipe.seed)
    make = partial(make_clips, workers=workers, progress=progress)
    shards = max(1, round(recipe.hours * 3_600 / recipe.clip_seconds / SHARD_CLIPS))
    make(training, (recipe.seed, TRAIN), output / "clips", [recipe.clip_seconds] * shards)
    lengths = [CALIBRATION_S[i % len(CALIBRATION_S)] for i in range(-(-recipe.calibration_clips // SHARD_CLIPS))]
    make(held_out, (recipe.seed, CALIBRATE), output / "calibration", lengths)
    network = _fit(recipe, Clips(output / "clips", recipe), output, device, progress)
    report: dict[str, Any] = {"calibration": _calibrate(network, output / "calibration")}
    settings = json.loads(recipe.model_dump_json()) | {"manifests": [path.name for path in recipe.manifests]}
    settings["initial"] = recipe.initial.name if recipe.initial else None
    report |= {"recipe": settings, "recordings": _counted(training), "torch": torch.__version__}
    _save(network, report, output)
    return report


class Checkpoints(sb.utils.checkpoints.Checkpointer):  # type: ignore[misc]
    """Complete checkpoints: written to a temporary folder, then renamed, so that a crash leaves no partial one."""

    def save_checkpoint(self, *arguments: Any, **options: Any) -> Any:
        """Save, see SpeechBrain."""
        folder: Path = self.checkpoints_dir  # type: ignore[has-type]
        self.checkpoints_dir = folder / "unfinished"
        shutil.rmtree(self.checkpoints_dir, ignore_errors=True)
        try:
            checkpoint = super().save_checkpoint(*arguments, **options)
        finally:
            self.checkpoints_dir = folder
        return checkpoint._replace(path=checkpoint.path.rename(folder / checkpoint.path.name))


class Trainer(sb.Brain):  # type: ignore[misc]
    """Optimises the network; SpeechBrain does the loop and the checkpoints."""

    def on_fit_start(self) -> None:
        """Start the timer of progress messages."""
        super().on_fit_start()
        self.said = time.monotonic()

    def compute_forward(self, batch: dict[str, Tensor], stage: sb.Stage) -> Verdict:
        """Score a batch, with some of its bands muted."""
        waves = batch["waves"].to(self.device)
        samples = torch.full((len(waves),), waves.shape[1], device=self.device)
        if stage == sb.Stage.TRAIN:
            torch.manual_seed(self.optimizer_step)  # an interrupted run continues with the same random draws
            if float(torch.rand(())) < DROP_PROBABILITY:
                waves = self.hparams.drop(waves)
        verdict: Verdict = self.modules.network(waves, samples)
        return verdict

    def compute_objectives(self, verdict: Verdict, batch: dict[str, Tensor], _: sb.Stage) -> Tensor:
        """Loss of clips, frames and regressions, each over labelled entries."""
        labels, frames, targets = (batch[key].to(self.device) for key in ("labels", "frames", "targets"))
        clip_loss = _masked_bce(verdict.clips, labels, ~labels.isnan())
        frame_loss = _masked_bce(verdict.frames, frames.float(), frames != UNKNOWN)
        is_known = ~targets.isnan()
        target_loss = (
            functional.smooth_l1_loss(verdict.targets[is_known] / 10, targets[is_known] / 10) if is_known.any() else 0.0
        )
        return clip_loss + FRAME_WEIGHT * frame_loss + TARGET_WEIGHT * target_loss

    def on_fit_batch_end(self, *_: Any) -> None:
        """Step the schedule; report progress."""
        self.hparams.schedule.step()
        if time.monotonic() - self.said > PROGRESS_S:
            self.said = time.monotonic()
            epoch, total = self.hparams.counter.current, self.hparams.counter.limit
            steps = f"step {self.optimizer_step}"
            self.hparams.progress(f"train: epoch {epoch} of {total}, {steps}, loss {float(self.avg_train_loss):.4f}")

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Reshuffle for the epoch."""
        if stage == sb.Stage.TRAIN:
            self.hparams.clips.epoch = epoch

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """Save a checkpoint at the end of an epoch."""
        if stage == sb.Stage.TRAIN:
            self.hparams.progress(f"train: epoch {epoch} done, loss {stage_loss:.4f}")
            self.checkpointer.save_and_keep_only(meta={"epoch": epoch, "loss": float(stage_loss)}, num_to_keep=2)


def _masked_bce(logits: Tensor, labels: Tensor, is_labelled: Tensor) -> Tensor:
    targets = labels.nan_to_num(0.0).clamp(max=1.0)
    losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * is_labelled).sum() / is_labelled.sum().clamp(min=1)


def _fit(recipe: Recipe, clips: Clips, output: Path, device: str, progress: Progress) -> Network:
    logging.getLogger("speechbrain").setLevel(logging.WARNING)
    torch.manual_seed(recipe.seed)
    network = (read_network(recipe.initial).train() if recipe.initial else Network()).to(
        memory_format=torch.channels_last  # type: ignore[call-overload]
    )
    torch.nn.init.eye_(network.mix)  # each logit learns of its own defect alone
    torch.nn.init.zeros_(network.band)
    steps = recipe.epochs * len(clips)
    optimizer = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, steps + 1, pct_start=0.05)
    counter = sb.utils.epoch_loop.EpochCounter(recipe.epochs)
    loader = SaveableDataLoader(clips, batch_size=None)
    checkpointer = Checkpoints(
        output / "checkpoints", {"network": network, "schedule": schedule, "counter": counter, "loader": loader}
    )
    drop = DropFreq(drop_freq_low=0.03, drop_freq_count_high=2, drop_freq_width=0.02)
    hparams = {"schedule": schedule, "counter": counter, "clips": clips, "progress": progress, "drop": drop}
    options = {
        "device": device, "precision": _precision(recipe, device), "noprogressbar": True,
        "ckpt_interval_minutes": CHECKPOINT_MINUTES,
    }  # fmt: skip
    trainer = Trainer({"network": network}, lambda _: optimizer, hparams, options, checkpointer)
    trainer.fit(counter, loader)
    trained: Network = network.cpu().eval()
    return trained


def _precision(recipe: Recipe, device: str) -> str:
    return "bf16" if recipe.bfloat16 else "fp16" if device == "cuda" else "fp32"


@torch.inference_mode()
def _calibrate(network: Network, folder: Path) -> dict[str, Any]:
    """Set the network's calibration from held-out clips; returns it with default thresholds and AUCs."""
    logits, labels = [], []
    for name in sorted(folder.glob("?????.npz")):
        waves = np.load(name.with_suffix(".npy"), mmap_mode="r")
        for start in range(0, len(waves), 16):
            batch = np.stack([levelled(wave.astype(np.float32) / 32_768) for wave in waves[start : start + 16]])
            samples = torch.full((len(batch),), batch.shape[1])
            logits.append(network(torch.from_numpy(batch), samples).clips.numpy())
        labels.append(np.load(name)["labels"])
    clip_logits, truth = np.concatenate(logits), np.concatenate(labels)
    calibrations = calibrate(clip_logits, truth, clip_logits[(truth == 0).all(1)])
    network.calibration.copy_(torch.tensor([[c.slope, c.offset] for c in calibrations.values()]))
    report: dict[str, Any] = {}
    for column, (defect, calibration) in enumerate(calibrations.items()):
        present, absent = truth[:, column] == 1, (truth == 0).all(1)
        auc = roc_auc(clip_logits[present, column], clip_logits[absent, column])
        report[defect.value] = asdict(calibration) | {"auc_against_clean": auc, "clips": int(present.sum())}
    return report


def _counted(sources: Sources) -> list[dict[str, Any]]:
    """Numbers of training recordings, by kind, source and licence."""
    kinds = [(kind, take.source, take.licence) for kind in KINDS for take in getattr(sources, kind)]
    return [
        {"kind": kind, "source": source, "licence": licence, "recordings": count}
        for (kind, source, licence), count in sorted(Counter(kinds).items())
    ]


def _save(network: Network, report: dict[str, Any], output: Path) -> None:
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, output / WEIGHTS_FILE)
    (output / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n")
