"""Agreement between the tokens of two encoders: six measures, on speech that neither was trained on.

The share of equal tokens alone is misleading: neighbouring codes sound alike, and no encoder agrees with itself after
a change of the audio. So distances in the codebook, decoded audio, edit distance, histograms, and the cross-entropy
of a model trained on the true tokens are measured too.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

NEAREST = (5, 10)  # codes that count as neighbours
EDGE = 7  # tokens at the end of a clip whose receptive field exceeds it
GPT_WIDTH, GPT_BATCH, GPT_TOKENS = 128, 16, 128
GPT_STEPS, GPT_EPOCHS = 300, 4  # at most

Codes = npt.NDArray[np.int64]
Plain = dict[str, Any]


def agreement(
    true: Sequence[Codes], ranked: Sequence[Codes], embed: Tensor, decode: Callable[[Codes], Tensor] | None,
    mels: Sequence[Tensor], learnt: Sequence[Codes]
) -> Plain:  # fmt: skip
    """Compare true tokens with those of another encoder.

    No encoder can be expected to agree better than the true one does with itself on resampled audio: that is `floor` of
    tests/benchmarks/recovery.py.

    Args:
        true: True tokens of each clip, int64[T].
        ranked: Tokens of the other encoder by rank, the nearest first, int64[T, ≥ 5].
        embed: Codebook, float32[codes, dim].
        decode: Makes a spectrogram of tokens, float32[80, 4 T] in nats; None: not measured.
        mels: True spectrograms, float32[80, ≥ 4 T] in nats.
        learnt: True tokens of other clips, on which a small GPT is trained.
    """
    first = [ranks[:, 0] for ranks in ranked]
    measures = (
        _top(true, ranked) | _near(true, first, embed) | _sequences(true, first) | _histograms(true, first, embed)
    )
    measures |= _parts(true, first, mels)
    if decode is not None:
        measures |= _decoded(true, first, mels, decode)
    if sum(map(len, learnt)) > GPT_TOKENS:
        measures |= _consumer(true, first, learnt, len(embed))
    return measures


def _top(true: Sequence[Codes], ranked: Sequence[Codes]) -> Plain:
    """Share of tokens that are equal, and whose true token is among the first five, with 95 % intervals."""
    hits = [(ranks == codes[:, None])[:, :5] for codes, ranks in zip(true, ranked, strict=True)]
    shares: Plain = {}
    for name, share in (("top1", [h[:, 0] for h in hits]), ("top5", [h.any(1) for h in hits])):
        sums, sizes = np.array([h.sum() for h in share]), np.array([len(h) for h in share])
        draws = np.random.default_rng(1).integers(len(share), size=(1_000, len(share)))
        spread = np.quantile(sums[draws].sum(1) / sizes[draws].sum(1), [0.025, 0.975])
        shares |= {name: float(sums.sum() / sizes.sum()), f"{name}_interval": spread.tolist()}
    return shares


def _near(true: Sequence[Codes], first: Sequence[Codes], embed: Tensor) -> Plain:
    old, new = np.concatenate(true), np.concatenate(first)
    kinds, places = np.unique(old, return_inverse=True)
    neighbours = (
        torch.cdist(embed[kinds], embed).topk(min(max(NEAREST) + 1, len(embed)), largest=False).indices.numpy()[places]
    )
    shares = {f"within_{k}_nearest": float((neighbours[:, : k + 1] == new[:, None]).any(1).mean()) for k in NEAREST}
    shuffled = np.random.default_rng(1).permutation(old)
    return shares | {"distance": _distance(old, new, embed), "distance_at_random": _distance(old, shuffled, embed)}


def _distance(old: Codes, new: Codes, embed: Tensor) -> float:
    return float((embed[old] - embed[new]).norm(dim=1).mean())


def _sequences(true: Sequence[Codes], first: Sequence[Codes]) -> Plain:
    """Edit distance between the tokens of each clip, per token; also with runs of a token merged."""
    from rapidfuzz.distance import Levenshtein

    def edits(before: Sequence[Codes], after: Sequence[Codes]) -> float:
        total = sum(Levenshtein.distance(a.tolist(), b.tolist()) for a, b in zip(before, after, strict=True))
        return total / sum(map(len, before))

    matches = [_matches_neighbour(a, b) for a, b in zip(true, first, strict=True)]
    return {
        "edits": edits(true, first),
        "edits_of_runs": edits(list(map(_runs, true)), list(map(_runs, first))),
        "top1_one_aside": float(np.concatenate(matches).mean()),
    }


def _runs(codes: Codes) -> Codes:
    begun = np.concatenate([[True], codes[1:] != codes[:-1]])
    return np.asarray(codes[begun])


def _matches_neighbour(true: Codes, first: Codes) -> npt.NDArray[np.bool_]:
    """Where the true token is the other encoder's at the same place or next to it, bool[T]."""
    padded = np.pad(first, 1, constant_values=-1)
    return np.asarray((padded[:-2] == true) | (first == true) | (padded[2:] == true))


def _histograms(true: Sequence[Codes], first: Sequence[Codes], embed: Tensor) -> Plain:
    old, new = (np.bincount(np.concatenate(codes), minlength=len(embed)) for codes in (true, first))
    p, q = old / old.sum(), new / new.sum()
    middle = (p + q) / 2
    return {
        "jensen_shannon_bits": (_bits(p, middle) + _bits(q, middle)) / 2,
        "kullback_leibler_bits": _bits(p, (new + 0.5) / (new + 0.5).sum()),
        "perplexity_true": 2 ** -_bits(p, np.ones_like(p)), "perplexity": 2 ** -_bits(q, np.ones_like(q)),
    }  # fmt: skip


def _bits(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    positive = p > 0
    return float((p[positive] * np.log2(p[positive] / q[positive])).sum())


def _parts(true: Sequence[Codes], first: Sequence[Codes], mels: Sequence[Tensor]) -> Plain:
    """Agreement on rare and common tokens, in silence and speech, and at the ends of clips and inside."""
    old, same = np.concatenate(true), np.concatenate([a == b for a, b in zip(true, first, strict=True)])
    counts = np.bincount(old)[old]
    quarters = np.quantile(counts, [0.25, 0.5, 0.75])
    loud = np.concatenate(
        [m[:, : 4 * len(t)].mean(0).reshape(-1, 4).mean(1).numpy() for t, m in zip(true, mels, strict=True)]
    )
    speech = loud > (np.quantile(loud, 0.05) + np.quantile(loud, 0.95)) / 2
    ends = np.concatenate([np.arange(len(codes)) >= len(codes) - EDGE for codes in true])
    groups = {
        "top1_rare": counts <= quarters[0], "top1_common": counts >= quarters[2], "top1_silence": ~speech,
        "top1_speech": speech, "top1_ends": ends, "top1_within": ~ends,
    }  # fmt: skip
    return {name: float(same[where].mean()) for name, where in groups.items() if where.any()}


def _decoded(
    true: Sequence[Codes], first: Sequence[Codes], mels: Sequence[Tensor], decode: Callable[[Codes], Tensor]
) -> Plain:
    """Errors, in nats, of the spectrograms decoded from both encoders' tokens."""
    totals, frames = np.zeros(2), 0
    for old, new, logs in zip(true, first, mels, strict=True):
        target = logs[:, : 4 * len(old)]
        totals += [
            float((decode(codes)[:, : target.shape[1]] - target).abs().mean()) * target.shape[1] for codes in (old, new)
        ]
        frames += target.shape[1]
    errors = totals / frames
    return {
        "l1_true_tokens": float(errors[0]),
        "l1_tokens": float(errors[1]),
        "l1_gap": float(errors[1] / errors[0] - 1),
    }


# --- cross-entropy of a consumer ---


class Gpt(nn.Module):
    """A small causal transformer over tokens, with as many positions as it is trained on."""

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(codes + 1, GPT_WIDTH)  # the last one is for the start of a clip
        self.place = nn.Embedding(GPT_TOKENS, GPT_WIDTH)
        layer = nn.TransformerEncoderLayer(GPT_WIDTH, 4, 4 * GPT_WIDTH, 0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(GPT_WIDTH, codes)

    def forward(self, codes: Tensor) -> Tensor:
        """Logits float32[B, T, codes] of the tokens int64[B, T ≤ GPT_TOKENS], each from the previous ones."""
        shifted = functional.pad(codes[:, :-1], (1, 0), value=self.embed.num_embeddings - 1)
        x = self.embed(shifted) + self.place.weight[: codes.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(codes.shape[1])
        return self.out(self.layers(x, mask=mask, is_causal=True))  # type: ignore[no-any-return]


def _consumer(true: Sequence[Codes], first: Sequence[Codes], learnt: Sequence[Codes], codes: int) -> Plain:
    """Cross-entropy, in bits per token, of a GPT trained on true tokens: on true tokens and on the other encoder's."""
    torch.manual_seed(1)
    gpt = Gpt(codes)
    optimizer = torch.optim.AdamW(gpt.parameters(), 2e-3)
    joined, rng = np.concatenate(learnt), np.random.default_rng(1)
    gpt.train()
    for _ in range(min(GPT_STEPS, GPT_EPOCHS * len(joined) // (GPT_BATCH * GPT_TOKENS) + 1)):
        starts = rng.integers(max(1, len(joined) - GPT_TOKENS), size=GPT_BATCH)
        batch = torch.from_numpy(np.stack([joined[at : at + GPT_TOKENS] for at in starts]))
        loss = functional.cross_entropy(gpt(batch).flatten(0, 1), batch.flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    gpt.eval()
    return {"consumer_bits_true": _surprise(gpt, true), "consumer_bits": _surprise(gpt, first)}


@torch.inference_mode()
def _surprise(gpt: Gpt, clips: Sequence[Codes]) -> float:
    total, count = 0.0, 0
    for piece in _pieces(clips):
        tokens = torch.from_numpy(piece)[None]
        total += float(functional.cross_entropy(gpt(tokens)[0], tokens[0], reduction="sum"))
        count += len(piece)
    return total / count / float(np.log(2))


def _pieces(clips: Sequence[Codes]) -> Iterator[Codes]:
    for codes in clips:
        for at in range(0, len(codes), GPT_TOKENS):
            yield codes[at : at + GPT_TOKENS]
