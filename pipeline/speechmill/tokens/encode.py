"""Encodes waves into mel tokens that depend only on the wave and the weights.

Floating-point sums depend on the order of addition, and that on batch, padding, threads and device. Where two
codes are almost equally near, a token could thus flip. So a token is defined as the nearest code in float64, and
float32 is trusted only where the second nearest is further away than its rounding error can reach.
"""

import copy
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from speechmill.audio import Int16, resample
from speechmill.tokens import Silence, mel
from speechmill.tokens.dvae import DVAE, STRIDE, WrongCheckpointError

SAMPLES = mel.HOP * STRIDE  # samples of a token
TAIL = 8_192  # zeros after a wave: the receptive field of the last token
CLOSE = 4e-5  # share of |z|² + |e|²: fifty times the largest float32 error seen, over batches and sizes of model
BATCH_SAMPLES = {"cpu": 4 * 20 * mel.RATE, "cuda": 256 * 20 * mel.RATE}
ENCODE_VERSION = 1  # raise when the same weights give other tokens

Float32 = npt.NDArray[np.float32]
Uint16 = npt.NDArray[np.uint16]


class MelTokenizer:
    """Turns waves into codes; see the module for what they depend on."""

    def __init__(self, model: DVAE, norms: Sequence[float] = mel.NORMS, device: str = "cpu") -> None:
        if len(norms) != mel.BINS or model.sizes.bins != mel.BINS:
            raise WrongCheckpointError(
                f"{model.sizes.bins} bins and {len(norms)} norms, where the front end has {mel.BINS}"
            )
        reach = 3 + 2 * STRIDE * model.sizes.blocks  # receptive field: mel frames before and after a token's first
        if reach * mel.HOP + mel.EDGE > TAIL:
            raise WrongCheckpointError(f"{model.sizes.blocks} blocks hear more than the {TAIL} zeros after a clip")
        self._context = -(-reach // STRIDE)  # the same in tokens
        self._device = torch.device(device)
        self._norms = torch.tensor(norms, dtype=torch.float64)
        self._model = copy.deepcopy(model).eval().to(self._device)
        self._exact = copy.deepcopy(model).eval().double()
        self.codes = model.sizes.codes
        self.profile = profile(model, norms)

    @torch.inference_mode()
    def encode(self, waves: Sequence[Float32]) -> list[Uint16]:
        """Encode float32[S] waves in [-1, 1] at 22,050 Hz: uint16[S // 1,024 + 1] each, in [0, codes)."""
        encoded: list[Uint16] = [np.zeros(0, np.uint16)] * len(waves)
        for rows in _batches([len(wave) for wave in waves], BATCH_SAMPLES[self._device.type]):
            for row, codes in zip(rows, self._encode([waves[row] for row in rows]), strict=True):
                encoded[row] = codes
        return encoded

    def encode_clips(self, clips: Sequence[Int16], rate: int) -> list[tuple[Uint16, float]]:
        """Encode int16[n] clips at `rate` Hz, as they are stored: codes as `encode`, and their `error`."""
        waves = [resample(clip, rate, mel.RATE) for clip in clips]
        return [(codes, self.error(wave, codes)) for wave, codes in zip(waves, self.encode(waves), strict=True)]

    def silence(self) -> Silence:
        """Codes of three seconds of zeros."""
        codes = self.encode([np.zeros(3 * mel.RATE, np.float32)])[0].tolist()
        return Silence(codes[len(codes) // 2], tuple(codes[-3:]))

    def error(self, wave: Float32, codes: Uint16) -> float:
        """Mean absolute difference, in nats, of a wave's spectrogram and the one decoded from its codes."""
        original = self.spectrogram(wave)
        return round(float((self.decode(codes)[:, : original.shape[1]] - original).abs().mean()), 3)

    @torch.inference_mode()
    def spectrogram(self, wave: Float32) -> Tensor:
        """The log-mel spectrogram of a wave in nats, float32[80, S // 256 + 1], on the CPU."""
        edged = self._edged(wave)[:, : len(wave) + mel.N_FFT]
        return mel.log_mel(edged, torch.ones(mel.BINS))[0]

    @torch.inference_mode()
    def decode(self, codes: Uint16) -> Tensor:
        """Log-mel spectrogram decoded from codes, in nats, float32[80, 4 T], on the CPU."""
        normalised = self._model.decode(torch.from_numpy(codes.astype(np.int64))[None].to(self._device))
        return normalised[0].cpu() * self._norms.float()[:, None]

    @torch.inference_mode()
    def unquantised(self, wave: Float32) -> Tensor:
        """Log-mel spectrogram decoded from the encoder's output without quantisation, for comparison with `decode`."""
        z = self._model.encoder(mel.log_mel(self._edged(wave).to(self._device), self._norms))
        normalised: Tensor = self._model.decoder(z[:, :, : len(wave) // SAMPLES + 1])
        return normalised[0].cpu() * self._norms.float()[:, None]

    def _edged(self, wave: Float32) -> Tensor:
        return mel.mirrored(torch.from_numpy(np.pad(wave.clip(-1, 1), (0, TAIL)))[None])

    def _encode(self, waves: Sequence[Float32]) -> list[Uint16]:
        counts = [len(wave) // SAMPLES + 1 for wave in waves]
        padded = np.zeros((len(waves), max(map(len, waves)) + TAIL), np.float32)
        for row, wave in enumerate(waves):
            padded[row, : len(wave)] = wave.clip(-1, 1)
        edged = mel.mirrored(torch.from_numpy(padded))
        with torch.backends.cudnn.flags(allow_tf32=False):
            z = self._model.encoder(mel.log_mel(edged.to(self._device), self._norms)).transpose(1, 2)
        clips = torch.repeat_interleave(torch.arange(len(waves)), torch.tensor(counts))
        tokens = torch.cat([torch.arange(count) for count in counts])
        codes, close = self._nearest(z[clips.to(z.device), tokens.to(z.device)])
        if close.any():
            codes[close] = self._nearest_exact(edged, clips[close], tokens[close])
        return [part.numpy().astype(np.uint16) for part in torch.split(codes, counts)]

    def _nearest(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Nearest codes int64[N] of float32[N, dim], and where the second nearest is too close to call, bool[N]."""
        nearest_two = [self._model.codebook.distances(part).topk(2, largest=False) for part in torch.split(z, 4_096)]
        gaps = torch.cat([pair.values[:, 1] - pair.values[:, 0] for pair in nearest_two])
        codes = torch.cat([pair.indices[:, 0] for pair in nearest_two])
        sizes = z.square().sum(1) + self._model.codebook.embed.square().sum(0)[codes]
        return codes.cpu(), (gaps <= CLOSE * sizes).cpu()

    def _nearest_exact(self, edged: Tensor, clips: Tensor, tokens: Tensor) -> Tensor:
        """Nearest codes int64[N] of single tokens in float64, on the CPU, from the samples of their receptive field."""
        frames = STRIDE * (2 * self._context + 1)
        length = (frames - 1) * mel.HOP + mel.N_FFT
        first = (tokens - self._context).clamp(min=0)
        codes = []
        for rows in torch.split(torch.arange(len(tokens)), 64):
            samples = torch.stack([edged[clips[row], int(first[row]) * SAMPLES :][:length] for row in rows]).double()
            z = self._exact.encoder(mel.log_mel(samples, self._norms)).transpose(1, 2)
            codes.append(self._exact.codebook.distances(z[torch.arange(len(rows)), (tokens - first)[rows]]).argmin(1))
        return torch.cat(codes)


def profile(model: DVAE, norms: Sequence[float]) -> str:
    """Hash of all that a token depends on but the wave: resampler, front end, norms, encoder, codebook, this code."""
    digest = hashlib.sha256(f"{ENCODE_VERSION}:soxr HQ:{mel.N_FFT}:{mel.HOP}:{mel.FLOOR}".encode())
    digest.update(np.asarray(norms, "<f8").tobytes())
    state = model.state_dict()
    for key in sorted(key for key in state if key.startswith("encoder.") or key == "codebook.embed"):
        digest.update(f"{key}{tuple(state[key].shape)}".encode() + state[key].numpy().astype("<f4").tobytes())
    return digest.hexdigest()[:16]


def _batches(lengths: Sequence[int], samples: int) -> Iterator[list[int]]:
    """Indices of waves of similar length, longest first, as many as `samples` allow."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if batch and (len(batch) + 1) * (lengths[batch[0]] + TAIL) > samples:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
