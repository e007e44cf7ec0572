"""An encoder trained to give the known tokens of spectrograms."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from speechmill.tokens import MEL_TOKENS, mel
from speechmill.tokens.dvae import DVAE, STRIDE, Sizes, load
from speechmill.training.tokens.agreement import agreement
from speechmill.training.tokens.embeddings import foretold_by, table_of
from speechmill.training.tokens.pairs import SILENT, TAIL_FRAMES, Pairs

CONTEXT = 7  # receptive field in tokens on either side
FIT_BATCHES = 60  # to which the last layer and the initial codes are fitted
SHRINK = 1.0  # weight of the prior of a code, in pairs
RANKED = 10


class Recipe(BaseModel):
    """What to recover an encoder from, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairs: tuple[Path, ...] = Field(min_length=1)
    """Corpora with mel_tokens, or JSONL manifests of pairs: many, of whatever quality."""
    good_pairs: tuple[Path, ...] = ()
    """Fewer and better ones, learnt from after the others."""
    test_pairs: tuple[Path, ...] = ()
    """Pairs of other speakers that the encoder is judged on; none: a share of the speakers, see held_out."""
    codebook: Path | None = None
    """A dVAE with the codebook of the tokens; its encoder, if it has one, is used for judging only."""
    embedding: Path | None = None
    """State dict of a consumer, whose token embeddings tell which codes of an unknown codebook are alike."""
    embedding_key: str = "mel_embedding.weight"
    """Which of its tensors they are: float[codes or more, width]."""
    codes: int = Field(8_192, ge=2, le=65_536)
    """Number of codes, where the codebook is unknown."""
    code_dim: int = Field(64, ge=1)
    """Width of a code, where the codebook is unknown and start is null."""
    start: Path | None = MEL_TOKENS
    """A dVAE whose encoder training begins with; null: a new one of hidden and blocks."""
    hidden: int = Field(128, ge=8)
    """Width of the first layer of a new encoder."""
    blocks: int = Field(2, ge=0, le=3)
    """Residual blocks of a new encoder."""
    hours: float | None = Field(None, gt=0)
    """Learn from so many hours of `pairs` only."""
    steps: int = Field(6_000, ge=1)
    """Batches of `pairs`."""
    good_steps: int = Field(2_000, ge=0)
    """Batches of `good_pairs`, if there are any."""
    decoder_steps: int = Field(0, ge=0)
    """Batches through the frozen decoder of `codebook`, at last."""
    batch_size: int = Field(16, ge=1)
    """Crops in a batch."""
    crop_tokens: int = Field(40, ge=8)
    """Tokens of a crop that are learnt."""
    learning_rate: float = Field(1e-3, gt=0)
    """Highest rate of the first stage; the others begin with a quarter of it. A cosine brings it down."""
    held_out: float = Field(0.08, ge=0, lt=0.5)
    """Share of the speakers of `pairs` that is only judged on, where there are no test_pairs."""
    seed: int = Field(1, ge=0)
    """Draws first weights, crops and the split."""

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if self.codebook and self.embedding:
            raise ValueError("codebook and embedding are both given; a known codebook needs no embedding")
        if self.decoder_steps and not self.codebook:
            raise ValueError("decoder_steps needs codebook, a dVAE with the decoder of the tokens")
        return self


class Student(nn.Module):
    """An encoder, the codebook `embed`, float32[codes, dim], and a learnt sharpness of distances."""

    def __init__(self, model: DVAE, embed: Tensor, *, learn_codes: bool) -> None:
        super().__init__()
        self.encoder, self.embed = model.encoder, nn.Parameter(embed.clone(), requires_grad=learn_codes)
        self.sharpness = nn.Parameter(torch.zeros(()))

    def forward(self, mels: Tensor) -> Tensor:
        """Encode normalised spectrograms float32[B, 80, 4 T]: float32[B, T, dim]."""
        return self.encoder(mels).transpose(1, 2)  # type: ignore[no-any-return]

    def logits(self, z: Tensor) -> Tensor:
        """Negative scaled distances of float32[N, dim] to all codes: float32[N, codes]."""
        distances = z.square().sum(1, keepdim=True) + self.embed.square().sum(1) - 2 * z @ self.embed.T
        return -distances * self.sharpness.exp()


class Recovery:
    """A student in training. Each step is a function of the recipe, the pairs and its number."""

    def __init__(self, recipe: Recipe, device: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, torch.device(device)
        self.norms = torch.tensor(mel.NORMS, device=self.device)[:, None]
        self.teacher = load(recipe.codebook) if recipe.codebook else None
        start = load(recipe.start) if recipe.start else None
        sizes = start.sizes if start else Sizes(recipe.codes, recipe.code_dim, recipe.hidden, recipe.blocks)
        self._own, self._embeddings = sizes, self._table()
        codebook = self.teacher.codebook.embed.T.contiguous() if self.teacher is not None else None
        count, dim = codebook.shape if codebook is not None else (recipe.codes, sizes.code_dim)
        model = DVAE(Sizes(count, dim, sizes.hidden, sizes.blocks))
        if start:
            model.encoder[:-1].load_state_dict(start.encoder[:-1].state_dict())
            if dim == sizes.code_dim:
                model.encoder[-1].load_state_dict(start.encoder[-1].state_dict())
        embed = codebook if codebook is not None else torch.randn(count, dim)
        self.student = Student(model, embed, learn_codes=codebook is None).to(self.device)
        self.step = 0

    def _table(self) -> Tensor | None:
        """The consumer's token embeddings, float32[codes, width]."""
        if self.recipe.embedding is None:
            return None
        table = table_of(self.recipe.embedding, self.recipe.embedding_key)
        if len(table) < self.recipe.codes:
            raise ValueError(f"{self.recipe.embedding_key} has {len(table)} rows, fewer than {self.recipe.codes} codes")
        return table[: self.recipe.codes]

    # --- initialisation ---

    @torch.no_grad()
    def begin(self, pairs: Pairs) -> None:
        """Fit the initial codes to the pairs, if the codebook is unknown, and the last layer to the codes."""
        features, tokens = [], []
        for batch in range(FIT_BATCHES):
            mels, codes, wanted = self._crops(pairs, -1 - batch)
            features.append(self.student.encoder[:-1](mels).transpose(1, 2)[wanted])
            tokens.append(codes[wanted])
        x, codes = torch.cat(features).cpu(), torch.cat(tokens).cpu()
        last = self.student.encoder[-1]
        assert isinstance(last, nn.Conv1d)
        assert last.bias is not None
        if self.teacher is None:
            self.student.embed.copy_(self._means(pairs))
        target = self.student.embed.cpu()[codes]
        ones = torch.cat([x, torch.ones(len(x), 1)], 1).double()
        ridge = 1e-4 * ones.square().mean() * len(ones) * torch.eye(ones.shape[1], dtype=torch.float64)
        fitted = torch.linalg.solve(ones.T @ ones + ridge, ones.T @ target.double()).float()
        last.weight.copy_(fitted[:-1].T[:, :, None])
        last.bias.copy_(fitted[-1])
        residual = (x @ fitted[:-1] + fitted[-1] - target).square().mean()  # variance of the residual
        self.student.sharpness.fill_(-math.log(2 * max(float(residual), 1e-6)))

    @torch.no_grad()
    def _means(self, pairs: Pairs) -> Tensor:
        """Initial codes: means of their spectrograms' encodings, float32[codes, dim].

        Codes with few or no pairs are shrunk towards the prediction from the consumer's embeddings; without
        these, codes without pairs are placed far away.
        """
        count, dim = self.student.embed.shape
        sums, counts = torch.zeros(count, dim), torch.zeros(count)
        for clip in pairs.clips:
            logs, tokens = pairs.of(clip)
            z = self.student(self._normalised(logs))[0, : clip.tokens].cpu()
            codes = torch.from_numpy(tokens.astype(np.int64))
            sums.index_add_(0, codes, z)
            counts.index_add_(0, codes, torch.ones(len(codes)))
        mean, means = sums.sum(0) / counts.sum(), sums / counts.clamp(min=1)[:, None]
        if self._embeddings is not None:
            predicted = mean + foretold_by(self._embeddings, means - mean, counts)
            return (sums + SHRINK * predicted) / (counts[:, None] + SHRINK)
        embed = (sums + SHRINK * mean) / (counts[:, None] + SHRINK)
        unseen = counts == 0
        embed[unseen] = mean + 10 * means[~unseen].std(0) * torch.randn(int(unseen.sum()), dim)
        return embed

    # --- training ---

    def stages(self, pairs: Pairs, good: Pairs | None) -> Iterator[tuple[str, Pairs, int, float]]:
        """Name, pairs, steps and highest learning rate of each stage."""
        recipe = self.recipe
        yield "pairs", pairs, recipe.steps, recipe.learning_rate
        if good is not None and recipe.good_steps:
            yield "good pairs", good, recipe.good_steps, recipe.learning_rate / 4
        if recipe.decoder_steps:
            yield "decoder", good or pairs, recipe.decoder_steps, recipe.learning_rate / 4

    def learn(self, stage: str, pairs: Pairs, optimizer: torch.optim.Optimizer) -> float:
        """Take one step; returns its loss."""
        mels, codes, wanted = self._crops(pairs, self.step)
        z = self.student(mels)
        loss = functional.cross_entropy(self.student.logits(z[wanted]), codes[wanted])
        if stage == "decoder":
            loss = 0.1 * loss + self._decoded(z, mels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        optimizer.step()
        self.step += 1
        return float(loss.detach())

    def _decoded(self, z: Tensor, mels: Tensor) -> Tensor:
        """Error of the frozen decoder on the nearest codes, straight-through, plus the distance to these codes."""
        assert self.teacher is not None
        flat = z.flatten(0, 1)
        nearest = self.student.embed[self.student.logits(flat).argmax(1)].view_as(z)
        decoded = self.teacher.decoder(((nearest - z).detach() + z).transpose(1, 2))
        error: Tensor = ((decoded - mels) * self.norms).square().mean()
        return error + 0.25 * (z - nearest.detach()).square().mean()

    def _crops(self, pairs: Pairs, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """A batch: normalised spectrograms [B, 80, F], codes int64[B, F / 4], and a mask of codes with full context."""
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, step + FIT_BATCHES])
        width = recipe.crop_tokens + 2 * CONTEXT
        sizes = np.array([clip.tokens for clip in pairs.clips], np.float64)
        mels = np.full((recipe.batch_size, width * STRIDE, mel.BINS), SILENT, np.float32)
        codes, wanted = np.zeros((2, recipe.batch_size, width), np.int64)
        for row, at in enumerate(rng.choice(len(sizes), recipe.batch_size, p=sizes / sizes.sum())):
            clip = pairs.clips[at]
            logs, tokens = pairs.of(clip)
            first = int(rng.integers(-CONTEXT, max(1 - CONTEXT, clip.tokens - width + CONTEXT + 1)))
            first = max(0, first)  # a clip's start has no context, for the true encoder either
            crop = logs[first * STRIDE : (first + width) * STRIDE]
            mels[row, : len(crop)] = crop
            target = tokens[first : first + width]
            codes[row, : len(target)] = target
            is_end = first + width >= clip.tokens + TAIL_FRAMES // STRIDE
            last = len(target) if is_end else min(len(target), width - CONTEXT)
            wanted[row, CONTEXT if first else 0 : last] = 1
        inputs, labels, used = (torch.from_numpy(part).to(self.device) for part in (mels, codes, wanted.astype(bool)))
        return inputs.transpose(1, 2) / self.norms, labels, used

    def _normalised(self, logs: np.ndarray[Any, Any]) -> Tensor:
        return torch.from_numpy(np.array(logs)).to(self.device).T[None] / self.norms

    # --- judging ---

    @torch.inference_mode()
    def judge(self, test: Pairs, learnt: Pairs | None = None) -> dict[str, Any]:
        """All measures on test clips; without `learnt` only those without training."""
        true, ranked, mels = [], [], []
        for clip in test.clips:
            logs, tokens = test.of(clip)
            z = self.student(self._normalised(logs))[0, : clip.tokens]
            ranked.append(self.student.logits(z).topk(RANKED).indices.cpu().numpy())
            true.append(tokens.astype(np.int64))
            mels.append(torch.from_numpy(np.array(logs)).T)
        codebook = self.teacher.codebook.embed.T if self.teacher is not None else self.student.embed.detach().cpu()
        decode = None
        if self.teacher is not None:
            teacher, norms = self.teacher, self.norms.cpu()

            def decode(codes: np.ndarray[Any, Any]) -> Tensor:
                return teacher.decode(torch.from_numpy(codes)[None])[0].detach() * norms

        training_tokens = [learnt.of(clip)[1].astype(np.int64) for clip in learnt.clips] if learnt else []
        with torch.inference_mode(mode=False):
            return agreement(true, ranked, codebook, decode, mels, training_tokens)

    def finished(self) -> DVAE:
        """The student in TorToiSe's layout, with the decoder of the tokens if it is known."""
        dim = self.student.embed.shape[1]
        model = DVAE(Sizes(len(self.student.embed), dim, self._own.hidden, self._own.blocks))
        model.encoder.load_state_dict({key: value.cpu() for key, value in self.student.encoder.state_dict().items()})
        model.codebook.embed.copy_(self.student.embed.detach().cpu().T)
        if self.teacher is not None and self.teacher.sizes == model.sizes:
            model.decoder.load_state_dict(self.teacher.decoder.state_dict())
        return model.eval()
