"""Scores clips in batches, so that a clip's scores depend on that clip alone.

A clip's shape in a batch follows from its own length, and padding is masked in every layer:
other clips change neither the numbers nor the kernels that compute them.
"""

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import soxr
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from speech_defects import FRAME, LONGEST_S, RATE, SHORTEST_S, Defect, Float32, Judgement, Span, profile
from speech_defects.model import TARGETS, Network, levelled
from speech_defects.spans import located

LENGTHS_S = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 25, 30, 40, 50, 60)
BATCH_S = {"cpu": 40, "cuda": 2_400}  # on a CPU batches that fit its caches are fastest
COLUMNS = (*Defect, *TARGETS)
EVEN_ODDS = 0.0  # logit of a frame that has a defect as likely as not


class NetworkScorer:
    """The shipped classifiers, or others from `speechmill train defects`. See `speech_defects.Scorer`."""

    def __init__(self, weights: Path, device: str) -> None:
        self.profile = profile(weights=weights)
        self._device = torch.device(find_device(device))
        self._network = read_network(weights)
        self._judge = _fused(self._network).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def score(self, waves: Sequence[Float32], sample_rate: int) -> Mapping[str, Float32]:
        """Score float32[T] waves, 0.5 to 60 s long (else ValueError); one with samples that are not finite gets NaN."""
        return self.judge(waves, sample_rate).scores

    def judge(self, waves: Sequence[Float32], sample_rate: int) -> Judgement:
        """Score waves as `score` does, and locate their defects."""
        clips = [_prepared(wave, sample_rate) for wave in waves]
        scores = np.full((len(clips), len(COLUMNS)), np.nan, np.float32)
        spans: list[list[Span]] = [[] for _ in clips]
        for rows, length, size in self._batches(clips):
            scores[rows], frames = self._score([clips[row] for row in rows], length, size)
            for row, logits in zip(rows, frames, strict=True):
                spans[row] = _located(logits, clips[row].size)
        return Judgement({column: scores[:, i] for i, column in enumerate(COLUMNS)}, spans)

    def _batches(self, clips: Sequence[Float32]) -> Iterator[tuple[list[int], int, int]]:
        """Indices of clips of similar length, the samples that they are padded to, and the batch size."""
        on_gpu = self._device.type == "cuda"
        by_length: dict[int, list[int]] = defaultdict(list)
        for row, clip in enumerate(clips):
            if np.isfinite(clip).all():
                by_length[padded_length(clip.size)].append(row)
        for length, rows in sorted(by_length.items()):
            size = max(1, int(BATCH_S[self._device.type] * RATE / length))
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                yield part, length, size if on_gpu else len(part)  # a GPU's kernels differ by batch size

    def _score(self, clips: Sequence[Float32], length: int, size: int) -> tuple[Float32, Float32]:
        """Scores float32[clips, columns] and logits of frames float32[clips, 5, F], `size` clips at a time.

        A batch that exceeds the memory is halved.
        """
        try:
            parts = [self._run(clips[at : at + size], length, size) for at in range(0, len(clips), size)]
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        else:
            scores, frames = (np.concatenate(part) for part in zip(*parts, strict=True))
            return scores, frames
        return self._score(clips, length, size // 2)  # outside the handler, which would keep the memory

    @torch.inference_mode()
    def _run(self, clips: Sequence[Float32], length: int, size: int) -> tuple[Float32, Float32]:
        on_gpu = self._device.type == "cuda"
        waves = torch.zeros(size, length, pin_memory=on_gpu)
        samples = torch.full((size,), length)
        for row, clip in enumerate(clips):
            waves[row, : clip.size], samples[row] = torch.from_numpy(clip), clip.size
        with torch.autocast("cuda", torch.float16, enabled=on_gpu):
            verdict = self._judge(*(part.to(self._device, non_blocking=True) for part in (waves, samples)))
        scores = torch.cat([self._network.calibrated(verdict.clips.float().cpu()), verdict.targets.float().cpu()], 1)
        return scores[: len(clips)].numpy(), verdict.frames[: len(clips)].float().cpu().numpy()


def find_device(device: str) -> str:
    """Resolve `auto` to cuda where there is a GPU, else cpu."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def read_network(weights: Path) -> Network:
    """Load a network without running code from the file. Raises ValueError for a file of another kind."""
    network = Network()
    try:
        without = {"mix": network.mix, "band": network.band}  # of weights from before there were these
        network.load_state_dict(without | load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{weights}: not weights of this version's defect network: {error}") from None
    return network.eval()


def padded_length(samples: int) -> int:
    """Length in samples that a clip is padded to; depends on its own length only."""
    seconds = next(length for length in LENGTHS_S if samples <= length * RATE)
    return seconds * RATE


def _prepared(wave: Float32, sample_rate: int) -> Float32:
    seconds = wave.size / sample_rate
    if wave.ndim != 1 or not SHORTEST_S <= seconds <= LONGEST_S:
        allowed = f"float[T] and {SHORTEST_S} to {LONGEST_S:.0f} s long"
        raise ValueError(f"clips are {allowed}, not {wave.shape} ({seconds:.2f} s)")
    if not np.isfinite(wave).all():
        return wave
    return levelled(soxr.resample(wave.astype(np.float32), sample_rate, RATE)[: int(LONGEST_S * RATE)])


def _located(logits: Float32, samples: int) -> list[Span]:
    """Spans of all defects in a clip of so many samples, from logits of padded frames float32[5, F]."""
    frames, duration_s, step_s = -(-samples // FRAME), samples / RATE, FRAME / RATE
    return sorted(
        span
        for defect, verdicts in zip(Defect, logits[:, :frames], strict=True)
        for span in located(defect, verdicts, EVEN_ODDS, step_s=step_s, duration_s=duration_s)
    )


def _fused(network: nn.Module) -> nn.Module:
    """A copy for inference, with normalisations folded into the preceding convolutions."""
    fused = copy.deepcopy(network)
    for module in fused.modules():
        if isinstance(module, nn.Sequential) and isinstance(module[-1], nn.BatchNorm2d):
            module[0], module[1] = fuse_conv_bn_eval(module[0], module[1]), nn.Identity()  # type: ignore[type-var, arg-type]
    return fused
