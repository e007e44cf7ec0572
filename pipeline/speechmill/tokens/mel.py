"""The front end of mel tokens: the log-mel spectrogram that TorToiSe's dVAE and its kin were trained on.

Power spectra of 1,024 samples every 256 at 22,050 Hz, 80 bands up to 8 kHz on the HTK scale with Slaney's
normalisation, ln(max(power, 1e-5)), divided by one number a band. That is `TorchMelSpectrogram` of
neonbjb/tortoise-tts (torchaudio's MelSpectrogram with its defaults); no torchaudio is needed here.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

RATE = 22_050  # Hz
N_FFT, HOP, BINS = 1_024, 256, 80
HIGHEST_HZ = 8_000.0
FLOOR = 1e-5  # of band power: about the floor of 16-bit audio
EDGE = N_FFT // 2  # samples mirrored before the first one, so that frame f is centred on sample f * HOP

# Mean ln-mel of the clips that TorToiSe's dVAE was trained on (tortoise/data/mel_norms.pth, Apache-2.0). All are
# negative, so the normalised spectrogram is about +1 and falls where the sound gets louder.
NORMS = (
    -7.009460, -6.083233, -4.643991, -3.356217, -2.454781, -2.009686, -1.603590, -1.864090, -2.372800, -2.345549,
    -2.594703, -2.669504, -2.712865, -2.855477, -3.025094, -3.088925, -3.426148, -3.675871, -4.077994, -4.462376,
    -4.781159, -5.007452, -5.128354, -5.271665, -5.400560, -5.499322, -5.531041, -5.587804, -5.672626, -5.701577,
    -5.794292, -5.883075, -5.953696, -5.998858, -6.030526, -6.053944, -6.074769, -6.116334, -6.148137, -6.247625,
    -6.319520, -6.445708, -6.537699, -6.610982, -6.648107, -6.667131, -6.653948, -6.649947, -6.679384, -6.783321,
    -6.930696, -7.081806, -7.189355, -7.243903, -7.316775, -7.377871, -7.449100, -7.523320, -7.622362, -7.747303,
    -7.899416, -8.060431, -8.218083, -8.399795, -8.555578, -8.716107, -8.848075, -8.958160, -9.037121, -9.086742,
    -9.154593, -9.203839, -9.233387, -9.229236, -9.230441, -9.267980, -9.315551, -9.371553, -9.416545, -9.482238,
)  # fmt: skip


def load_norms(path: Path) -> tuple[float, ...]:
    """Read norms as TorToiSe (`mel_norms.pth`) and XTTS (`mel_stats.pth`) keep them: one tensor, float[80].

    Nothing in the file is run. Raises OSError, or ValueError where it holds something else.
    """
    import pickle

    try:
        norms = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        raise ValueError(f"{path.name} is no file of norms") from None
    if not isinstance(norms, Tensor) or norms.numel() != BINS or not (norms.isfinite().all() and norms.abs().min() > 0):
        raise ValueError(f"{path.name} does not hold {BINS} numbers to divide by")
    return tuple(norms.flatten().tolist())


def mirrored(waves: Tensor) -> Tensor:
    """Pad waves with EDGE mirrored samples on either side: float[B, S], S > EDGE, to float[B, S + N_FFT]."""
    return functional.pad(waves[:, None], (EDGE, EDGE), mode="reflect")[:, 0]


def log_mel(edged: Tensor, norms: Tensor) -> Tensor:
    """Normalised log-mel spectrogram float[B, 80, F] of waves that have their edges, float[B, (F - 1) HOP + N_FFT].

    `norms` is float[80]. The arithmetic is that of the waves: float32, or float64 where a close call is decided.
    """
    window, filters = _constants(edged.dtype, edged.device)
    frames = edged.unfold(1, N_FFT, HOP) * window
    power = torch.view_as_real(torch.fft.rfft(frames)).square().sum(-1)
    mel: Tensor = (power @ filters).clamp(min=FLOOR).log() / norms.to(edged)
    return mel.transpose(1, 2)


@lru_cache(maxsize=4)
def _constants(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    window = torch.hann_window(N_FFT, periodic=True, dtype=torch.float64)
    return window.to(device, dtype), torch.from_numpy(filters()).to(device, dtype)


def filters() -> npt.NDArray[np.float64]:
    """Triangular bands, float64[513, 80]: equally spaced on the HTK mel scale, each of unit area over Hz (Slaney)."""
    hertz = np.linspace(0, RATE / 2, N_FFT // 2 + 1)
    highest = 2595 * np.log10(1 + HIGHEST_HZ / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, BINS + 2) / 2595) - 1)
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))
