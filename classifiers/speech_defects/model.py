"""The network: five defects from one trunk, scored by frame and pooled over the clip.

Two seconds of a second voice must count in a clip of twenty, so every defect is first scored in frames of
40 ms; a clip's score combines the strongest half second, the average and a summary of the whole.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from speech_defects import FRAME, RATE, Defect

HOP, WINDOW, N_FFT = FRAME // 2, 640, 1_024  # 20 and 40 ms; zero-padded, so that low harmonics fall into several bins
BINS = 128
FLOOR = 1e-8  # 60 dB under speech: fainter sound is no defect, and differs between recorders
LEVEL = 0.1  # rms of the loud parts of a clip after normalisation, so that quiet clips do not look noisy
PEAK_FRAMES = 13  # the strongest half second
WIDTHS = (24, 32, 48, 64)
CHANNELS = 160
DILATIONS = (1, 2, 4, 8)
UPPER_HZ = (4_400.0, 5_400.0)  # a telephone passes nothing there, and the poorest of full-band codecs something
UPPER_SHARE = 0.05  # of the frames: sibilants, not clicks
UPPER_DB = -45.0  # of full scale: a level there that speech of full bandwidth reaches (95 % of 448 clean clips)
TARGETS = ("snr_db", "c50_db")
TARGET_SCALE = 10.0  # dB: scales the regressions to the range of the logits


class Verdict(NamedTuple):
    """Output of the network for a batch of B clips, at most F frames long."""

    frames: Tensor  # float32[B, 5, F]: logits of the defects in frames
    clips: Tensor  # float32[B, 5]: logits of the defects in clips, by all that is known of each clip
    targets: Tensor  # float32[B, 2]: snr_db and c50_db
    evidence: Tensor  # float32[B, 6]: what `clips` follow from: each defect's own logit, and what `lack` measures


def levelled(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Normalise the level of float32[T]: the 90th percentile of 20 ms levels becomes LEVEL."""
    whole = wave[: wave.size // HOP * HOP].reshape(-1, HOP)
    loud = float(np.percentile(np.sqrt(np.square(whole, dtype=np.float64).mean(1)), 90)) if whole.size else 0.0
    return (wave * (LEVEL / loud)).astype(np.float32) if loud > 1e-6 else wave


def mel_weights() -> npt.NDArray[np.float32]:
    """Triangular filters, float32[513, BINS], equally spaced in HTK mels from 20 Hz to 8 kHz, each of sum 1."""
    hertz = np.linspace(0, RATE / 2, N_FFT // 2 + 1)
    mels = np.linspace(_mel(20.0), _mel(RATE / 2), BINS + 2)
    position = _mel(hertz)[:, None]
    rising = (position - mels[:-2]) / (mels[1:-1] - mels[:-2])
    falling = (mels[2:] - position) / (mels[2:] - mels[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(weights / weights.sum(0), np.float32)


def mel_centres() -> npt.NDArray[np.float64]:
    """Middle of each filter in Hz, float64[BINS]."""
    mels = np.linspace(_mel(20.0), _mel(RATE / 2), BINS + 2)
    return np.asarray(700.0 * np.expm1(mels[1:-1] / 1127.0))


def _mel(hertz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


class Features(nn.Module):
    """Log-mel spectrum of levelled waves."""

    window: Tensor
    mel: Tensor

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(WINDOW, periodic=True)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        self.register_buffer("mel", torch.from_numpy(mel_weights()), persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        """float32[B, T], T a multiple of FRAME, to float32[B, 1, T / HOP, BINS], about zero mean and unit spread."""
        with torch.autocast(waves.device.type, enabled=False):  # FLOOR underflows in half precision
            frames = functional.pad(waves, (0, WINDOW - HOP)).unfold(1, WINDOW, HOP)
            spectrum = torch.fft.rfft(frames * self.window, N_FFT)
            power = torch.view_as_real(spectrum).square().sum(-1) @ self.mel
            log_mel: Tensor = ((power + FLOOR).log() + 12.0) / 4.0
        return log_mel.unsqueeze(1)


class Block(nn.Module):
    """A residual pair of 3 × 3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = _conv(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """float32[B, width, F, bins] to the same."""
        inner = _within(self.first(x).relu_(), mask)
        outer: Tensor = self.second(inner) + x
        return _within(outer.relu_(), mask)


class Context(nn.Module):
    """A residual dilated convolution over time."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.wide = nn.Conv1d(CHANNELS, CHANNELS, 3, padding=dilation, dilation=dilation, groups=4, bias=False)
        self.norm = nn.BatchNorm1d(CHANNELS)
        self.mix = nn.Conv1d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """float32[B, CHANNELS, F] to the same."""
        context: Tensor = self.mix(self.norm(self.wide(x)).relu_())
        return (x + context) * mask


def _conv(inputs: int, outputs: int, stride: tuple[int, int] = (1, 1), kernel: tuple[int, int] = (3, 3)) -> nn.Module:
    padding = (kernel[0] // 2, kernel[1] // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Network(nn.Module):
    """Trunk and heads. Frames beyond a clip's end are zeroed in each layer, so that padding has no effect."""

    calibration: Tensor
    mix: Tensor
    band: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = Features()
        self.stem = _conv(1, WIDTHS[0], (2, 2), (5, 5))
        self.narrow = nn.ModuleList(_conv(a, b, (1, 2)) for a, b in pairwise(WIDTHS))
        self.blocks = nn.ModuleList(Block(width) for width in WIDTHS[1:])
        self.join = nn.Conv1d(WIDTHS[-1] * BINS // 16, CHANNELS, 1)
        self.context = nn.ModuleList(Context(dilation) for dilation in DILATIONS)
        self.judge = nn.Conv1d(CHANNELS, len(Defect), 1)
        self.summary = nn.Sequential(
            nn.Linear(2 * CHANNELS, CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, len(Defect) + len(TARGETS))
        )
        self.weigh = nn.Parameter(torch.tensor([[0.5, 0.5, 1.0]]).repeat(len(Defect), 1))
        self.register_buffer("calibration", torch.tensor([[1.0, 0.0]]).repeat(len(Defect), 1))  # slope and offset

        self.register_buffer("mix", torch.eye(len(Defect)))  # what each logit of a clip counts for each defect
        self.register_buffer("band", torch.zeros(len(Defect)))  # and what a bel that the upper band lacks counts

    def calibrated(self, clips: Tensor) -> Tensor:
        """Probabilities of the defects, float32[B, 5], from clip logits (Platt 1999)."""
        return (clips * self.calibration[:, 0] + self.calibration[:, 1]).sigmoid()

    def forward(self, waves: Tensor, samples: Tensor) -> Verdict:
        """Judge levelled clips: float32[B, T], T a multiple of FRAME, with int64[B] true lengths."""
        x = self.features(waves)
        mask = torch.arange(x.shape[2] // 2, device=x.device) < (samples[:, None] + FRAME - 1) // FRAME
        mask = mask.to(x.dtype)
        lacking = lack(x[:, 0], mask)
        x = self._trunk(x, mask, is_full=bool((samples >= waves.shape[1]).all()))
        frames = self.judge(x)
        summary = self.summary(_statistics(x, mask))
        pooled = torch.stack([_peak(frames, mask), _mean(frames, mask), summary[:, : len(Defect)]], -1)
        logits = (pooled * self.weigh).sum(-1)
        clips = (logits[:, None] * self.mix).sum(-1)  # no matmul: its sums differ by batch size
        clips = clips + lacking[:, None] * self.band
        evidence = torch.cat([logits, lacking[:, None].to(logits)], 1)
        return Verdict(frames, clips, summary[:, len(Defect) :] * TARGET_SCALE, evidence)

    def _trunk(self, x: Tensor, mask: Tensor, *, is_full: bool) -> Tensor:
        area = None if is_full else mask[:, None, :, None]  # then there is nothing to zero
        x = _within(self.stem(x).relu_(), area)
        for narrow, block in zip(self.narrow, self.blocks, strict=True):
            x = block(_within(narrow(x).relu_(), area), area)
        x = x.permute(0, 1, 3, 2).flatten(1, 2)
        x = self.join(x) * mask[:, None]
        for layer in self.context:
            x = layer(x, mask[:, None])
        return x.relu()


def _within(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    return (x * mask[:, None]).sum(-1) / mask.sum(-1)[:, None]


def _statistics(x: Tensor, mask: Tensor) -> Tensor:
    """Mean and spread over a clip's frames: float32[B, 2 C]."""
    mean = _mean(x, mask)
    spread = _mean((x - mean[..., None]).square(), mask)
    return torch.cat([mean, (spread + 1e-6).sqrt()], 1)


def lack(log_mel: Tensor, mask: Tensor) -> Tensor:
    """Bels by which a clip's sound within UPPER_HZ stays under UPPER_DB: float32[B], 0 to 3.5; 3.5 where there is none.

    Of `Features` without their channel, float32[B, 2 F, BINS], and the mask of frames, float[B, F]. The level is what
    UPPER_SHARE of the frames exceed.
    """
    first, last = np.searchsorted(mel_centres(), UPPER_HZ)
    power = (log_mel[..., first:last].float() * 4.0 - 12.0).exp().mean(-1)
    loudest = (power * mask.repeat_interleave(2, dim=1)).sort(1, descending=True).values
    rank = (mask.sum(1, keepdim=True) * 2 * UPPER_SHARE).long()
    level = loudest.gather(1, rank)[:, 0].clamp(min=FLOOR).log10()
    return (UPPER_DB / 10 - level).clamp(min=0)


def _peak(frames: Tensor, mask: Tensor) -> Tensor:
    """The highest average over PEAK_FRAMES neighbours, or over the whole of a shorter clip: float32[B, 5]."""
    sums = functional.pad(frames * mask[:, None], (PEAK_FRAMES - 1, PEAK_FRAMES - 1)).unfold(2, PEAK_FRAMES, 1).sum(-1)
    counts = functional.pad(mask, (PEAK_FRAMES - 1, PEAK_FRAMES - 1)).unfold(1, PEAK_FRAMES, 1).sum(-1)
    enough = mask.sum(-1).clamp(max=PEAK_FRAMES)[:, None]
    averages = (sums / counts.clamp(min=1)[:, None]).masked_fill((counts < enough)[:, None], -torch.inf)
    return averages.amax(-1)
