"""Runs clips through a speaker network one by one, so that a clip's embedding depends on that clip alone.

Padding to a common length would need masks in every layer, and another batch size may select another kernel.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from speechmill.speakers import DIGITS, SAMPLE_RATE_HZ, Float32

SHORTEST_S = 0.25


class NetworkEmbedder:
    """See speakers.Embedder. `features` turns float32[T] samples into the network's input, float32[F, bands]."""

    def __init__(self, network: nn.Module, features: Callable[[Float32], Tensor], device: str) -> None:
        self._network, self._features, self._device = network.eval().to(device), features, device

    def embed(self, waves: Sequence[Float32]) -> Float32:
        """See speakers.Embedder."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # layers are small: where cores are busy, threads that wait for each other take longer
        try:
            return np.stack([self._embed(wave) for wave in waves])
        finally:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def _embed(self, wave: Float32) -> Float32:
        if wave.ndim != 1 or wave.size < SHORTEST_S * SAMPLE_RATE_HZ:
            raise ValueError(f"a clip is float[T] and {SHORTEST_S} s or longer, not {wave.shape}")
        # TF32, which PyTorch allows convolutions, would round to three digits, and on some cards only.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            embedding = self._network(self._features(wave)[None].to(self._device)).flatten()
        unit = torch.nn.functional.normalize(embedding.double(), dim=0).cpu().numpy()
        return np.round(unit, DIGITS).astype(np.float32)
