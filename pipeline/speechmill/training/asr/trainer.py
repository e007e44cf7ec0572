"""Training of a network with a CTC head, step by step.

As wav2vec 2.0 is fine-tuned (Baevski et al. 2020, arXiv:2006.11477, section 4.3): a new head over the characters of the
texts, frozen convolutions, masked spans of time, and a learning rate that rises, stays and falls.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from speechmill.asr import SAMPLE_RATE_HZ
from speechmill.asr.wav2vec2 import load_network
from speechmill.core.records import RejectedError
from speechmill.fetch import model_folder
from speechmill.training.asr.material import DELIMITER, HEAD_WIDTH, Material, Plain, Recipe
from speechmill.training.clip_sound import sound
from speechmill.training.inputs import Clip

from transformers import (  # isort: skip - after wav2vec2, which lets it import torchaudio
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
)

BLANK, UNKNOWN = "<pad>", "<unk>"  # as in wav2vec 2.0's own vocabularies
UNSEEN = -100  # a label that transformers ignores
WARM_UP, FALL = 0.1, 0.5  # shares of the steps at which the rate is highest, and begins to fall
LAST_RATE = 0.05  # share of the highest rate at the last step
MIXED_BATCHES = 50  # batches sorted together, so that the clips of a batch have similar lengths


def fresh(recipe: Recipe, outputs: int) -> Any:
    """A small wav2vec 2.0 with random weights."""
    return Wav2Vec2ForCTC(
        Wav2Vec2Config(
            vocab_size=outputs, hidden_size=recipe.hidden, num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.hidden // HEAD_WIDTH, intermediate_size=4 * recipe.hidden,
            conv_dim=(recipe.hidden // 2,) * 7, feat_extract_norm="layer", do_stable_layer_norm=True,
            num_conv_pos_embeddings=64, hidden_dropout=recipe.dropout, attention_dropout=recipe.dropout,
            activation_dropout=recipe.dropout, feat_proj_dropout=recipe.dropout, final_dropout=recipe.dropout,
            layerdrop=0.0, **_options(recipe),
        )
    )  # fmt: skip


def _options(recipe: Recipe) -> Plain:
    return {
        "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None, "ctc_loss_reduction": "mean",
        "ctc_zero_infinity": True,  # for texts with more characters than frames
        "apply_spec_augment": True, "mask_time_prob": recipe.mask_time, "mask_feature_prob": recipe.mask_features,
    }  # fmt: skip


def begin(recipe: Recipe, outputs: int) -> tuple[Any, Any]:
    """Feature extractor and network to train. Raises ConfigError for an unusable base."""
    if recipe.base is None:
        return Wav2Vec2FeatureExtractor(return_attention_mask=True), fresh(recipe, outputs)
    extractor, network = load_network(
        model_folder(recipe.base, "base"), "base", vocab_size=outputs, ignore_mismatched_sizes=True, **_options(recipe)
    )
    network.freeze_feature_encoder()
    return extractor, network


class Trainer:
    """A network in training. All that changes is in `state`, so that an interrupted run continues identically."""

    def __init__(self, recipe: Recipe, material: Material, device: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.clips, self.device = recipe, material.learnt, torch.device(device)
        self.tokens = [BLANK, UNKNOWN, DELIMITER, *material.characters]
        self._labels = {" ": 2} | {token: index for index, token in enumerate(self.tokens) if index > 2}
        self.extractor, network = begin(recipe, len(self.tokens))
        self.network: Any = network.to(self.device).train()
        learnt = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(learnt, recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.step, self._epoch, self._batches = 0, -1, np.empty((0, 0), np.int64)

    def state(self) -> dict[str, Tensor]:
        """All tensors that change in training."""
        moments = self.optimizer.state_dict()["state"]
        return {f"network.{name}": tensor.contiguous() for name, tensor in self.network.state_dict().items()} | {
            f"optimizer.{index}.{name}": tensor
            for index, tensors in moments.items()
            for name, tensor in tensors.items()
        }

    def restore(self, state: dict[str, Tensor], step: int) -> None:
        """Continue from a `state` after `step` steps."""
        whole = self.optimizer.state_dict()
        for name, tensor in state.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                index, _, key = rest.partition(".")
                whole["state"].setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict(whole)
        prefix = "network."
        self.network.load_state_dict({n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)})
        self.step = step

    def batch(self, step: int) -> Plain:
        """The batch of a step, a function of recipe and step: waves float32[B, n] and labels int64[B, characters]."""
        size = min(self.recipe.batch_size, len(self.clips))
        epoch, at = divmod(step, len(self.clips) // size)
        if epoch != self._epoch:
            rng = np.random.default_rng([self.recipe.seed, epoch])
            self._epoch, self._batches = epoch, shuffled([len(clip.text) for clip in self.clips], size, rng)
        return self._padded([self.clips[row] for row in self._batches[at]])

    def _padded(self, clips: Sequence[Clip]) -> Plain:
        """Make a batch of clips: padded, with an attention mask if the network was trained with one."""
        try:
            waves = [sound(clip) for clip in clips]
        except RejectedError as rejected:
            names = ", ".join(clip.file for clip in clips)
            raise ValueError(f"one of {names}: {rejected.detail}") from None
        inputs = self.extractor(waves, sampling_rate=SAMPLE_RATE_HZ, padding=True, return_tensors="pt")
        labels = [torch.tensor([self._labels[c] for c in clip.text if c in self._labels]) for clip in clips]
        return {**inputs, "labels": nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=UNSEEN)}

    def learn(self, batch: Plain) -> float:
        """Take one step; returns its loss in nats per character."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * rate(self.step / self.recipe.steps)
        seed = self.recipe.seed + self.step  # the random draws of a step depend only on its number
        torch.manual_seed(seed)
        np.random.seed(seed)  # for transformers' masks
        loss = self._loss(batch)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def _loss(self, batch: Plain) -> Tensor:
        on_gpu = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=on_gpu):
            loss: Tensor = self.network(**{key: tensor.to(self.device) for key, tensor in batch.items()}).loss
        return loss

    @torch.no_grad()
    def judge(self, clips: Sequence[Clip]) -> float | None:
        """Mean loss of clips, one by one, in nats per character; None without clips."""
        if not clips:
            return None
        self.network.eval()
        losses = [self._loss(self._padded([clip])).item() for clip in clips]
        self.network.train()
        return float(np.mean(losses))

    def save(self, folder: Path) -> None:
        """Write a folder for asr.model: weights, config, vocabulary and feature extractor."""
        vocabulary = folder / "vocab.json"
        vocabulary.write_text(json.dumps({token: index for index, token in enumerate(self.tokens)}), encoding="utf-8")
        tokenizer = Wav2Vec2CTCTokenizer(
            str(vocabulary), pad_token=BLANK, unk_token=UNKNOWN, bos_token=None, eos_token=None,
            word_delimiter_token=DELIMITER,
        )  # fmt: skip
        for part in (tokenizer, self.extractor, self.network):
            part.save_pretrained(folder)


def shuffled(lengths: Sequence[int], size: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Indices in batches of similar length, int64[batches, size], in random order; the remainder is left out."""
    whole = len(lengths) // size * size
    order, block = rng.permutation(len(lengths))[:whole], MIXED_BATCHES * size
    sorted_rows = [sorted(order[at : at + block], key=lambda row: lengths[row]) for at in range(0, whole, block)]
    return np.asarray(rng.permutation(np.concatenate(sorted_rows).reshape(-1, size)))


def rate(done: float) -> float:
    """Learning rate as a share of the highest, when a share `done` of the steps is done."""
    if done < WARM_UP:
        return (done + 1e-3) / (WARM_UP + 1e-3)
    return 1.0 if done < FALL else float(math.exp(math.log(LAST_RATE) * (done - FALL) / (1 - FALL)))
