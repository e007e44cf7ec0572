"""Trains the dVAE of mel tokens on speech: what `speechmill train mel-tokens` does.

Small ones collapse onto a few codes when trained as TorToiSe's was, so here the encoder's output begins with zero mean
and unit variance, the codebook with k-means, and codes that nobody uses begin anew; the loss weighs all bands alike.
"""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from pipeline.tokenise import mel
from pipeline.tokenise.dvae import DVAE, STRIDE, Sizes, save
from pipeline.tokenise.sound import Sound, collect

WEIGHTS_FILE, REPORT_FILE, STATE_FILE = "mel-tokens.safetensors", "training.json", "training.pt"
FSQ_LEVELS = {8_192: [8, 8, 8, 4, 4], 4_096: [8, 8, 8, 8], 1_024: [8, 8, 4, 4], 256: [8, 8, 4]}
FIRST_BATCHES = 32  # that set the scale of the encoder and the first codes
REVIVE = 0.05  # of a code's even share of the tokens: one used less begins anew
SETTLE = 0.1  # last share of the steps, in which none does
GAIN_DB = (-12.0, 3.0)  # corpora are not all as loud
WARM_UP = 100
PROGRESS_S, SAVE_S = 5.0, 120.0
TEST_SECONDS = 15 * 60  # of held-out speech at most

Quantiser = Literal["vq", "rotation", "simvq", "fsq", "none"]
Progress = Callable[[str], None]


class Recipe(BaseModel):
    """What to train on, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: tuple[Path, ...] = Field(min_length=1)
    """Corpora, JSONL manifests or folders of audio."""
    steps: int = Field(12_000, ge=1)
    """Batches learnt from."""
    batch_size: int = Field(32, ge=1)
    """Crops in a batch."""
    crop_tokens: int = Field(40, ge=8)
    """Length of a crop: 40 tokens are 1.86 s, as TorToiSe's."""
    quantiser: Quantiser = "vq"
    """vq: moving averages; rotation: the same with the rotation trick; simvq; fsq and none are for comparison only."""
    codes: int = Field(8_192, ge=2, le=65_536)
    """Size of the codebook."""
    code_dim: int = Field(64, ge=1)
    """Width of a code."""
    hidden: int = Field(128, ge=8)
    """Width of the first layer; the others are twice as wide."""
    blocks: int = Field(2, ge=0, le=3)
    """Residual blocks on either side."""
    learning_rate: float = Field(1e-3, gt=0)
    """Highest rate; a cosine brings it down to a twentieth."""
    commitment: float = Field(0.25, ge=0)
    """Weight of the encoder's distance from its codes."""
    held_out: float = Field(0.08, ge=0, lt=0.5)
    """Share of the speakers that is only judged on."""
    seed: int = Field(1, ge=0)
    """Draws first weights, crops and the split."""

    @property
    def sizes(self) -> Sizes:
        """Of the dVAE."""
        return Sizes(self.codes, self.code_dim, self.hidden, self.blocks)


class Trainer:
    """A dVAE in training. All that changes is in `state`, so that a stopped run goes on as if it had not been."""

    def __init__(self, recipe: Recipe, sound: Sound, device: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.sound, self.device = recipe, sound, torch.device(device)
        self.norms = torch.tensor(mel.NORMS, device=self.device)
        self.model = DVAE(recipe.sizes).to(self.device)
        self.quantiser: Any = quantiser(recipe).to(self.device)
        learnt = [*self.model.parameters(), *self.quantiser.parameters()]
        self.optimizer = torch.optim.AdamW(learnt, recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
        self.step = 0
        self.weights = torch.ones(mel.BINS, 1, device=self.device)  # of the error in each band

    def state(self) -> dict[str, Any]:
        """All that changes while it trains."""
        parts = {"model": self.model, "quantiser": self.quantiser, "optimizer": self.optimizer}
        state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
        return state | {"step": self.step, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        for name in ("model", "quantiser", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.weights = state["step"], state["weights"].to(self.device)

    @torch.no_grad()
    def begin(self) -> None:
        """Set what follows from the data: weights and means of the bands, scale of the encoder's output, codes."""
        mels = torch.cat([self._mels(-1 - at) for at in range(FIRST_BATCHES)])
        self.weights = (1 / mels.std((0, 2)))[:, None]
        z = torch.cat([self.model.encoder(part) for part in torch.split(mels, 64)]).transpose(1, 2).flatten(0, 1)
        last = self.model.encoder[-1]
        assert isinstance(last, nn.Conv1d)
        assert last.bias is not None
        mean, spread = z.mean(0), z.std(0).clamp(min=1e-4)
        last.weight /= spread[:, None, None]
        last.bias.copy_((last.bias - mean) / spread)
        self.quantiser.train()(((z - mean) / spread)[None])
        made = self.model.decoder[-1]
        assert isinstance(made, nn.Conv1d)
        assert made.bias is not None
        made.bias.copy_(mels.mean((0, 2)))

    def learn(self) -> dict[str, float]:
        """Take one step; returns its losses."""
        done = self.step / self.recipe.steps
        rate = self.recipe.learning_rate * min(1.0, (self.step + 1) / min(WARM_UP, self.recipe.steps / 10))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
        if done >= 1 - SETTLE and hasattr(self.quantiser, "_codebook"):
            self.quantiser._codebook.threshold_ema_dead_code = 0
        torch.manual_seed(self.recipe.seed + self.step)  # the draws of a step do not depend on when it is taken
        self.quantiser.train()
        mels = self._mels(self.step)
        made, _, commitment = self._through(mels)
        error = ((made - mels) * self.weights).square().mean()
        self.optimizer.zero_grad()
        (error + commitment).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([*self.model.parameters(), *self.quantiser.parameters()], 1.0)
        self.optimizer.step()
        self.step += 1
        return {"error": error.item(), "commitment": commitment.item()}

    def _through(self, mels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.model.encoder(mels).transpose(1, 2)
        found = self.quantiser(z)
        quantised, codes = found[0], found[1]
        commitment = found[2].sum() if len(found) > 2 else torch.zeros((), device=z.device)
        return self.model.decoder(quantised.transpose(1, 2)), codes, commitment

    def _mels(self, batch: int) -> Tensor:
        """Normalised spectrograms float32[B, 80, 4 crop_tokens] of crops that seed and batch draw."""
        rng = np.random.default_rng([self.recipe.seed, batch + FIRST_BATCHES])
        length = (STRIDE * self.recipe.crop_tokens - 1) * mel.HOP + mel.N_FFT
        lengths = np.array([span.last - span.first for span in self.sound.spans])
        rows = rng.choice(len(lengths), self.recipe.batch_size, p=lengths / lengths.sum())
        waves = np.zeros((len(rows), length), np.float32)
        for wave, row in zip(waves, rows, strict=True):
            span = self.sound.spans[row]
            first = span.first + int(rng.integers(max(1, lengths[row] - length)))
            cut = self.sound.samples[first : min(first + length, span.last)]
            wave[: len(cut)] = cut * np.float32(10 ** (rng.uniform(*GAIN_DB) / 20) / 32_768)
        return mel.log_mel(torch.from_numpy(waves.clip(-1, 1)).to(self.device), self.norms)

    @torch.no_grad()
    def judge(self, sound: Sound) -> dict[str, float]:
        """Error in nats and use of the codes on recordings, whole ones, at most TEST_SECONDS of them."""
        self.quantiser.eval()
        errors, codes, seconds = [], [], 0.0
        for span in sorted(sound.spans, key=lambda span: (span.first * 7_919) % 104_729):  # of all speakers
            if seconds > TEST_SECONDS:
                break
            wave = sound.wave(span)[: 20 * mel.RATE]
            frames = len(wave) // (mel.HOP * STRIDE) * STRIDE
            if frames < STRIDE * 8:
                continue
            mels = mel.log_mel(mel.mirrored(torch.from_numpy(wave)[None]).to(self.device), self.norms)[:, :, :frames]
            made, found, _ = self._through(mels)
            errors.append(((made - mels) * self.norms[:, None]).abs().mean().repeat(frames))
            codes.append(found.flatten())
            seconds += frames * mel.HOP / mel.RATE
        if not codes:  # all are shorter than a few tokens
            return {}
        counts = torch.bincount(torch.cat(codes).cpu(), minlength=self.recipe.codes).double()
        shares = counts[counts > 0] / counts.sum()
        entropy = float(-(shares * shares.log2()).sum())
        return {
            "l1_nats": float(torch.cat(errors).mean()), "codes_used": float((counts > 0).double().mean()),
            "perplexity": 2**entropy, "bits_a_second": entropy * mel.RATE / (mel.HOP * STRIDE),
            "tokens": float(counts.sum()), "seconds": seconds,
        }  # fmt: skip

    def finished(self) -> DVAE:
        """The dVAE with its codebook filled in, for the CPU."""
        codes = self.recipe.codes
        if self.recipe.quantiser == "simvq":
            embed, counts = self.quantiser.codebook.detach(), torch.ones(codes)
        else:
            embed, counts = self.quantiser._codebook.embed[0], self.quantiser._codebook.cluster_size.reshape(-1)
        made = self.model.cpu().eval()
        made.codebook.embed.copy_(embed.T.cpu())
        made.codebook.cluster_size.copy_(counts.cpu())
        made.codebook.embed_avg.copy_((embed.cpu() * counts.cpu()[:, None]).T)
        return made


def quantiser(recipe: Recipe) -> nn.Module:
    """Make what turns float32[B, T, dim] into quantised, codes int64[B, T] and a loss."""
    from vector_quantize_pytorch import FSQ, SimVQ, VectorQuantize

    found: nn.Module
    if recipe.quantiser == "none":
        return Unquantised()
    if recipe.quantiser == "fsq":
        if recipe.codes not in FSQ_LEVELS:
            raise ValueError(f"fsq has levels for {', '.join(map(str, FSQ_LEVELS))} codes, not for {recipe.codes}")
        found = FSQ(FSQ_LEVELS[recipe.codes], dim=recipe.code_dim)
    elif recipe.quantiser == "simvq":
        found = SimVQ(recipe.code_dim, recipe.codes, rotation_trick=True, commitment_weight=recipe.commitment)
    else:
        share = recipe.batch_size * recipe.crop_tokens / recipe.codes
        found = VectorQuantize(
            recipe.code_dim, recipe.codes, decay=0.99, commitment_weight=recipe.commitment,
            kmeans_init=True, kmeans_iters=8, threshold_ema_dead_code=REVIVE * share,
            rotation_trick=recipe.quantiser == "rotation",
        )  # fmt: skip
    return found


class Unquantised(nn.Module):
    """Lets all through: the bound that no quantiser of this width can beat."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """float32[B, T, dim] to itself, and no codes."""
        return z, torch.zeros(z.shape[:2], dtype=torch.int64, device=z.device)


def train(recipe: Recipe, output: Path, *, device: str, progress: Progress = print) -> dict[str, Any]:
    """Train, write WEIGHTS_FILE and REPORT_FILE into a folder, and return what the latter says.

    A run that was stopped goes on from STATE_FILE. Raises ValueError or OSError for recordings that cannot be used.
    """
    learnt, held_out = collect(recipe.inputs, output / "sound", progress).split(recipe.held_out, recipe.seed)
    if not learnt.spans:
        raise ValueError("no speaker is left to learn from; give more speakers, or set held_out=0")
    trainer = Trainer(recipe, learnt, device)
    told = json.loads(recipe.model_dump_json()) | {"inputs": [path.name for path in recipe.inputs]}
    state, curve = output / STATE_FILE, []
    if state.exists():
        kept = torch.load(state, map_location=device, weights_only=True)
        other = [key for key, value in told.items() if kept["recipe"].get(key) != value]
        if other:
            raise ValueError(f"{output} holds a run with another {', '.join(other)}; give another --output")
        trainer.restore(kept["trainer"])
        curve = kept["curve"]
    else:
        trainer.begin()
    said = saved = time.monotonic()
    while trainer.step < recipe.steps:
        losses = trainer.learn()
        if trainer.step % max(1, recipe.steps // 50) == 0:
            curve.append({"step": trainer.step, **losses} | (trainer.judge(held_out) if held_out.spans else {}))
        if time.monotonic() - said > PROGRESS_S:
            said = time.monotonic()
            progress(f"train: step {trainer.step} of {recipe.steps}, error {losses['error']:.4f}")
        if time.monotonic() - saved > SAVE_S:
            _keep(state, {"recipe": told, "trainer": trainer.state(), "curve": curve})
            saved = time.monotonic()
    _keep(state, {"recipe": told, "trainer": trainer.state(), "curve": curve})
    report: dict[str, Any] = {"recipe": told, "hours": learnt.hours, "curve": curve, "torch": torch.__version__}
    if held_out.spans:
        report["held_out"] = trainer.judge(held_out)
    if recipe.quantiser not in ("fsq", "none"):  # which have no codebook that the layout could hold
        save(trainer.finished(), output / WEIGHTS_FILE)
    (output / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _keep(path: Path, state: dict[str, Any]) -> None:
    """Write a state aside, then in place, so that a crash leaves a whole one."""
    unfinished = path.with_suffix(".tmp")
    torch.save(state, unfinished)
    os.replace(unfinished, path)
