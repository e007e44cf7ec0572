"""Trains the dVAE of mel tokens on speech: `speechmill train mel-tokens`.

Small ones collapse onto a few codes when trained as TorToiSe's was. So here the network is trained without
quantisation first; then its output is normalised to zero mean and unit variance, the codes are initialised by k-means,
and unused codes are reinitialised. The loss weighs all bands equally: squared error at first, which learns faster, then
absolute error, which is what is reported.
"""

import copy
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor, nn

from speechmill.audio import INT16_STEPS
from speechmill.tokens import mel
from speechmill.tokens.dvae import DVAE, STRIDE, save
from speechmill.tokens.encode import MelTokenizer
from speechmill.training.tokens.evaluate import evaluate
from speechmill.training.tokens.quantisers import Recipe, Unquantised, quantiser
from speechmill.training.tokens.sound import Float32, Sound, Span, collect

__all__ = ["REPORT_FILE", "STATE_FILE", "WEIGHTS_FILE", "Recipe", "Trainer", "train"]

WEIGHTS_FILE, REPORT_FILE, STATE_FILE = "mel-tokens.safetensors", "training.json", "training.pt"
FIRST_BATCHES = 32  # batches for the scale of the encoder and the initial codes
QUANTISE, ABSOLUTE, SETTLE = (
    0.15,
    0.6,
    0.9,
)  # shares of the steps after which: quantisation, absolute error, no reinitialisation
# Augmentation of crops.
SPEED = (0.85, 1.18)  # and pitch; also fills the upper band that recordings at 16 kHz leave empty
GAIN_DB = (-12.0, 3.0)  # corpora differ in loudness
HISS_DB = (-85.0, -55.0)  # white noise, added to half of the crops
TILT = 1.0  # nats: standard deviation of a smooth curve over the bands, like another microphone's
TILTS = 4  # cosines of that curve
WARM_UP = 100
PROGRESS_S, SAVE_S = 5.0, 120.0
CURVE_SECONDS = 5 * 60  # of held-out speech, for the curve

Progress = Callable[[str], None]
Float64 = npt.NDArray[np.float64]


class Trainer:
    """A dVAE in training. All that changes is in `state`, so that an interrupted run continues identically."""

    def __init__(self, recipe: Recipe, sound: Sound, device: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.sound, self.device = recipe, sound, torch.device(device)
        self.norms = torch.tensor(mel.NORMS, device=self.device)
        self.model = DVAE(recipe.sizes).to(self.device)
        self.quantiser: Any = quantiser(recipe).to(self.device)
        learnt = [*self.model.parameters(), *self.quantiser.parameters()]
        self.optimizer = torch.optim.AdamW(learnt, recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
        self._first_quantised = int(QUANTISE * recipe.steps)
        self._chances = chances(sound.spans)
        waves = torch.arange(1, TILTS + 1)[:, None]
        self._cosines = torch.cos(math.pi * waves * (torch.arange(mel.BINS) + 0.5) / mel.BINS) / waves
        self.step = 0
        self.weights = torch.ones(mel.BINS, 1, device=self.device)  # of the error in each band

    def state(self) -> dict[str, Any]:
        """All that changes in training."""
        parts = {"model": self.model, "quantiser": self.quantiser, "optimizer": self.optimizer}
        state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
        return state | {"step": self.step, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        for name in ("model", "quantiser", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.weights = state["step"], state["weights"].to(self.device)

    @torch.no_grad()
    def begin(self) -> None:
        """Set band weights and output bias from the data."""
        mels = torch.cat([self._mels(-1 - at) for at in range(FIRST_BATCHES)])
        self.weights = (1 / mels.std((0, 2)))[:, None]
        last_layer = self.model.decoder[-1]
        assert isinstance(last_layer, nn.Conv1d)
        assert last_layer.bias is not None
        last_layer.bias.copy_(mels.mean((0, 2)))

    @torch.no_grad()
    def quantise(self) -> None:
        """Start quantisation: zero mean and unit variance of the encoder's output, k-means for the codes."""
        mels = torch.cat([self._mels(-1 - at) for at in range(FIRST_BATCHES)])
        z = torch.cat([self.model.encoder(part) for part in torch.split(mels, 64)]).transpose(1, 2).flatten(0, 1)
        mean, spread = z.mean(0), z.std(0).clamp(min=1e-4)
        last, first = self.model.encoder[-1], self.model.decoder[0]
        assert isinstance(last, nn.Conv1d)
        assert isinstance(first, nn.Conv1d)
        assert last.bias is not None
        assert first.bias is not None
        first.bias += first.weight[:, :, 0] @ mean
        first.weight *= spread[:, None]
        last.weight /= spread[:, None, None]
        last.bias.copy_((last.bias - mean) / spread)
        self.quantiser(((z - mean) / spread)[None])
        book = getattr(self.quantiser, "_codebook", None)
        if book is not None:  # its moving averages are of a step's tokens from now on
            share = self.recipe.batch_size * self.recipe.crop_tokens / self.recipe.codes
            scale = share / book.cluster_size.mean()
            book.cluster_size *= scale
            book.embed_avg *= scale

    def learn(self) -> dict[str, float]:
        """Take one step; returns its losses."""
        done = self.step / self.recipe.steps
        rate = self.recipe.learning_rate * min(1.0, (self.step + 1) / min(WARM_UP, self.recipe.steps / 10))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))
        if done >= SETTLE and hasattr(self.quantiser, "_codebook"):
            self.quantiser._codebook.threshold_ema_dead_code = 0
        torch.manual_seed(self.recipe.seed + self.step)  # the random draws of a step depend only on its number
        self.quantiser.train()
        if self.step == self._first_quantised:
            self.quantise()
        mels = self._mels(self.step)
        decoded, _, commitment = self._through(mels)
        error = (decoded - mels) * self.weights
        error = error.abs().mean() if done >= ABSOLUTE else error.square().mean()
        self.optimizer.zero_grad()
        (error + commitment).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([*self.model.parameters(), *self.quantiser.parameters()], 1.0)
        self.optimizer.step()
        self.step += 1
        return {"error": error.item(), "commitment": commitment.item()}

    def _through(self, mels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.model.encoder(mels).transpose(1, 2)
        outputs = (self.quantiser if self.step >= self._first_quantised else Unquantised())(z)
        quantised, codes = outputs[0], outputs[1]
        commitment = outputs[2].sum() if len(outputs) > 2 else torch.zeros((), device=z.device)
        return self.model.decoder(quantised.transpose(1, 2)), codes, commitment

    def _mels(self, batch: int) -> Tensor:
        """Normalised spectrograms float32[B, 80, 4 crop_tokens] of random crops, a function of seed and batch."""
        rng = np.random.default_rng([self.recipe.seed, batch + FIRST_BATCHES])
        length = (STRIDE * self.recipe.crop_tokens - 1) * mel.HOP + mel.N_FFT
        rows = rng.choice(len(self.sound.spans), self.recipe.batch_size, p=self._chances)
        waves = torch.from_numpy(np.stack([self._crop(self.sound.spans[row], length, rng) for row in rows]))
        tilts = torch.from_numpy(rng.normal(0, TILT, (len(rows), TILTS)).astype(np.float32)) @ self._cosines
        norms = self.norms[:, None]
        logs = mel.log_mel(waves.to(self.device), self.norms) * norms + tilts[:, :, None].to(self.device)
        return logs.clamp(min=math.log(mel.FLOOR)) / norms

    def _crop(self, span: Span, length: int, rng: np.random.Generator) -> Float32:
        """A random part of a recording, float32[length], with random speed, loudness and noise."""
        speed = rng.uniform(*SPEED)
        wanted = math.ceil(length * speed) + 1
        first = span.first + int(rng.integers(max(1, span.last - span.first - wanted)))
        cut = self.sound.samples[first : min(first + wanted, span.last)].astype(np.float32) / np.float32(INT16_STEPS)
        resampled = soxr.resample(cut, speed, 1.0, "MQ")[:length]
        wave = np.zeros(length, np.float32)
        wave[: len(resampled)] = resampled * np.float32(10 ** (rng.uniform(*GAIN_DB) / 20))
        if rng.random() < 0.5:
            wave += rng.standard_normal(length, np.float32) * np.float32(10 ** (rng.uniform(*HISS_DB) / 20))
        return wave.clip(-1, 1)

    @torch.no_grad()
    def judge(self, sound: Sound, most_s: float = math.inf) -> dict[str, float]:
        """Error in nats and use of the codes on recordings, 20 s of each, `most_s` in all."""
        self.quantiser.eval()
        errors, codes, seconds = [], [], 0.0
        for span in sorted(
            sound.spans, key=lambda span: (span.first * 7_919) % 104_729
        ):  # in an order that mixes speakers
            if seconds > most_s:
                break
            wave = sound.wave(span)[: 20 * mel.RATE]
            frames = len(wave) // (mel.HOP * STRIDE) * STRIDE
            if frames < STRIDE * 8:
                continue
            mels = mel.log_mel(mel.mirrored(torch.from_numpy(wave)[None]).to(self.device), self.norms)[:, :, :frames]
            decoded, indices, _ = self._through(mels)
            errors.append(((decoded - mels) * self.norms[:, None]).abs().mean().repeat(frames))
            codes.append(indices.flatten())
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
        """The dVAE with its codebook filled in, on the CPU."""
        codes = self.recipe.codes
        if self.recipe.quantiser == "simvq":
            embed, counts = self.quantiser.codebook.detach(), torch.ones(codes)
        else:
            embed, counts = self.quantiser._codebook.embed[0], self.quantiser._codebook.cluster_size.reshape(-1)
        model = copy.deepcopy(self.model).cpu().eval()
        model.codebook.embed.copy_(embed.T.cpu())
        model.codebook.cluster_size.copy_(counts.cpu())
        model.codebook.embed_avg.copy_((embed.cpu() * counts.cpu()[:, None]).T)
        return model.half().float()  # as it is saved


def chances(spans: Sequence[Span]) -> Float64:
    """Probability of drawing each recording: a speaker with four times the duration is drawn twice as often."""
    lengths = np.array([span.last - span.first for span in spans], np.float64)
    speakers = np.unique([span.speaker for span in spans], return_inverse=True)[1]
    weights = lengths / np.sqrt(np.bincount(speakers, lengths)[speakers])
    return np.asarray(weights / weights.sum())


def train(recipe: Recipe, output: Path, *, device: str, progress: Progress = print) -> dict[str, Any]:
    """Train, or continue from STATE_FILE; write WEIGHTS_FILE and REPORT_FILE, and return the content of the latter.

    Args:
        recipe: What to train on, and how.
        output: Folder to write to.
        device: cpu or cuda.
        progress: Called with messages.

    Raises:
        ValueError: Recordings cannot be used.
        OSError: Recordings cannot be read.
    """
    training, held_out = collect(recipe.inputs, output / "sound", progress).split(recipe.held_out, recipe.seed)
    if not training.spans:
        raise ValueError("no speaker is left to learn from; give more speakers, or set held_out=0")
    trainer = Trainer(recipe, training, device)
    settings = json.loads(recipe.model_dump_json()) | {
        key: ["/".join(path.parts[-2:]) for path in getattr(recipe, key)] for key in ("inputs", "test")
    }
    state = output / STATE_FILE
    curve = _restored(trainer, state, settings)
    reported = saved = time.monotonic()
    while trainer.step < recipe.steps:
        losses = trainer.learn()
        if trainer.step % max(1, recipe.steps // 50) == 0:
            curve.append({"step": trainer.step, **losses} | trainer.judge(held_out, CURVE_SECONDS))
        if time.monotonic() - reported > PROGRESS_S:
            reported = time.monotonic()
            progress(f"train: step {trainer.step} of {recipe.steps}, error {losses['error']:.4f}")
        if time.monotonic() - saved > SAVE_S:
            _keep(state, {"recipe": settings, "trainer": trainer.state(), "curve": curve})
            saved = time.monotonic()
    _keep(state, {"recipe": settings, "trainer": trainer.state(), "curve": curve})
    report: dict[str, Any] = {"recipe": settings, "hours": training.hours, "curve": curve, "torch": torch.__version__}
    report["held_out"] = trainer.judge(held_out)
    if recipe.test:
        report["test"] = trainer.judge(collect(recipe.test, output / "test", progress))
    if recipe.quantiser not in ("fsq", "none"):  # which have no codebook that the layout could hold
        finished = trainer.finished()
        save(finished, output / WEIGHTS_FILE)
        if report["held_out"]:
            evaluate(held_out, MelTokenizer(finished), output, hear=None, curve=curve, progress=progress)
    (output / REPORT_FILE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _restored(trainer: Trainer, path: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Continue from a stored state or begin; returns the curve so far. Raises ValueError for another run's state."""
    if not path.exists():
        trainer.begin()
        return []
    stored = torch.load(path, map_location=trainer.device, weights_only=True)
    differing = [key for key, value in settings.items() if stored["recipe"].get(key) != value]
    if differing:
        raise ValueError(f"{path.parent} holds a run with another {', '.join(differing)}; give another --output")
    trainer.restore(stored["trainer"])
    curve: list[dict[str, Any]] = stored["curve"]
    return curve


def _keep(path: Path, state: dict[str, Any]) -> None:
    """Write a state to a temporary file, then rename it, so that a crash leaves a complete file."""
    unfinished = path.with_suffix(".tmp")
    torch.save(state, unfinished)
    os.replace(unfinished, path)
