"""Evaluates mel tokens on speech: error, use of the codes, stability, and quality of the reconstructed audio.

Audio is reconstructed from spectrograms by Griffin and Lim's method, from the true ones too, so that its share of the
loss is visible. TorToiSe's own decoder is a diffusion model, which gives far better audio from the same tokens.
"""

import base64
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from speechmill.audio.spectrogram import paint
from speechmill.tokens import mel
from speechmill.tokens.encode import SAMPLES, Float32, MelTokenizer
from speechmill.training import pages
from speechmill.training.tokens.sound import Sound

FIGURES_FILE, PAGE_FILE = "mel-tokens.json", "mel-tokens.html"
HERE = Path(__file__).parent
LONGEST_S = 20  # evaluated of each recording
EDITED, VOCODED, SHOWN = 20, 24, 6  # recordings, of at most CUT_S, for slow measures and for the page
CUT_S = 8
HEARD_HZ = 16_000
GRIFFIN_LIM_STEPS, MOMENTUM = 48, 0.99
LOUDEST, QUIETEST = 3.0, np.log(mel.FLOOR)  # nats: the range of the spectrogram images

Plain = dict[str, Any]
Hear = Callable[[Sequence[Float32]], list[str]]  # float32[n] waves at 16 kHz to their transcripts
Progress = Callable[[str], None]


def evaluate(
    sound: Sound, tokenizer: MelTokenizer, output: Path, *, hear: Hear | None, curve: Sequence[Plain] = (),
    progress: Progress,
) -> Plain:  # fmt: skip
    """Evaluate a tokenizer, write FIGURES_FILE and PAGE_FILE, and return the content of the former.

    Args:
        sound: Recordings.
        tokenizer: The tokenizer.
        output: Folder to write to.
        hear: ASR model for word error rates; None: they are left out.
        curve: Training curve, for the page.
        progress: Called with messages.

    Raises:
        ValueError: No recording is long enough.
    """
    waves = [sound.wave(span)[: LONGEST_S * mel.RATE] for span in sound.spans]
    waves = [wave for wave in waves if len(wave) >= 8 * SAMPLES]
    if not waves:
        raise ValueError("no recording is long enough to be judged on; give some of a second or more")
    few = [waves[at * len(waves) // min(VOCODED, len(waves))] for at in range(min(VOCODED, len(waves)))]
    few = [wave[: CUT_S * mel.RATE] for wave in few]
    sounds = _sounds(few, tokenizer, progress)
    report = {
        "profile": tokenizer.profile,
        "recordings": len(waves),
        "speakers": len({span.speaker for span in sound.spans}),
        **_errors(waves, tokenizer, progress),
        "stability": _stability(few[:EDITED], tokenizer, progress),
        "heard": _heard(few, sounds, hear),
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / FIGURES_FILE).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    examples = list(zip(few, sounds["tokens"], strict=True))[:SHOWN]
    (output / PAGE_FILE).write_text(page(report, examples, tokenizer, curve), encoding="utf-8")
    return report


# --- error and codes ---


@torch.inference_mode()
def _errors(waves: Sequence[Float32], tokenizer: MelTokenizer, progress: Progress) -> Plain:
    """Mean absolute errors in nats over all frames, and use of the codes."""
    totals, frames, codes, seconds, cpu_s = np.zeros(4), 0, [], 0.0, 0.0
    for number, wave in enumerate(waves, start=1):
        began = time.process_time()
        codes.append(tokenizer.encode([wave])[0])
        cpu_s += time.process_time() - began
        true = tokenizer.spectrogram(wave)
        decoded, continuous = (
            m[:, : true.shape[1]] for m in (tokenizer.decode(codes[-1]), tokenizer.unquantised(wave))
        )
        error = (decoded - true).abs()
        parts = (error, error[:40], error[40:], (continuous - true).abs())
        totals += [float(part.mean()) * true.shape[1] for part in parts]
        frames += true.shape[1]
        seconds += len(wave) / mel.RATE
        progress(f"errors: {number} of {len(waves)} recordings")
    counts = np.bincount(np.concatenate(codes), minlength=tokenizer.codes)
    shares = counts[counts > 0] / counts.sum()
    bits = float(-(shares * np.log2(shares)).sum())
    repeats = [float((sequence[1:] == sequence[:-1]).mean()) for sequence in codes]
    rate, l1 = mel.RATE / SAMPLES, (totals / frames).tolist()
    return {
        "hours": seconds / 3600, "tokens": int(counts.sum()), "codes": tokenizer.codes,
        "l1_nats": l1[0], "l1_low_bands": l1[1], "l1_high_bands": l1[2],
        "l1_not_quantised": l1[3], "codes_used": float((counts > 0).mean()), "perplexity": 2**bits,
        "bits_a_second": bits * rate, "nominal_bits_a_second": float(np.log2(tokenizer.codes)) * rate,
        "repeated": float(np.mean(repeats)), "x_real_time_a_core": seconds / cpu_s,
    }  # fmt: skip


# --- stability ---


def _stability(waves: Sequence[Float32], tokenizer: MelTokenizer, progress: Progress) -> Plain:
    """Share of tokens that stay the same after inaudible or hardly audible changes of a wave."""
    before = tokenizer.encode(waves)
    shares = {}
    for name, edit in edits().items():
        progress(f"stability: {name}")
        after = tokenizer.encode([edit(wave) for wave in waves])
        same = [old[: len(new)] == new[: len(old)] for old, new in zip(before, after, strict=True)]
        shares[name] = float(np.concatenate(same).mean())
    return shares


def edits() -> dict[str, Callable[[Float32], Float32]]:
    """Harmless changes of a float32[n] wave at 22,050 Hz, by name; deterministic."""
    return {
        "16-bit rounding": lambda wave: (np.round(wave * 32_767) / 32_767).astype(np.float32),
        "resampled to 48 kHz and back": lambda wave: soxr.resample(soxr.resample(wave, 22_050, 48_000), 48_000, 22_050),
        "one sample later": lambda wave: np.pad(wave, (1, 0))[: len(wave)],
        "half a hop later": lambda wave: np.pad(wave, (mel.HOP // 2, 0))[: len(wave)],
        "1 dB quieter": lambda wave: wave * np.float32(10 ** (-1 / 20)),
        "6 dB quieter": lambda wave: wave * np.float32(10 ** (-6 / 20)),
        "noise 50 dB below": lambda wave: _noisy(wave, 50),
        "noise 30 dB below": lambda wave: _noisy(wave, 30),
        "MP3": lambda wave: _coded(wave, "MP3", "MPEG_LAYER_III"),
        "Vorbis": lambda wave: _coded(wave, "OGG", "VORBIS"),
    }


def _noisy(wave: Float32, snr_db: float) -> Float32:
    noise = np.random.default_rng(1).standard_normal(len(wave)).astype(np.float32)
    return wave + noise * np.float32(np.sqrt(np.mean(wave**2)) * 10 ** (-snr_db / 20))


def _coded(wave: Float32, container: str, codec: str) -> Float32:
    file = io.BytesIO()
    soundfile.write(file, wave, mel.RATE, format=container, subtype=codec)
    file.seek(0)
    decoded = soundfile.read(file, dtype="float32")[0]
    return np.pad(decoded, (0, max(0, len(wave) - len(decoded))))[: len(wave)]


# --- reconstructed audio ---


def vocode(logs: Tensor) -> Float32:
    """Reconstruct a wave, float32[n] at 22,050 Hz, from a log-mel spectrogram in nats, float32[80, F]: Griffin-Lim."""
    bands = torch.from_numpy(mel.filters()).float()
    power = torch.linalg.lstsq(bands.T, logs.exp()).solution.clamp(min=1e-10)  # initial estimate
    for _ in range(50):  # Lee and Seung's updates to the nearest non-negative one
        power *= (bands @ logs.exp()) / (bands @ (bands.T @ power)).clamp(min=1e-10)
    framing: Plain = {"n_fft": mel.N_FFT, "hop_length": mel.HOP, "window": torch.hann_window(mel.N_FFT)}
    size = power.sqrt()
    phase = torch.rand(size.shape, generator=torch.Generator().manual_seed(1)) * 2 * torch.pi
    spectrum = before = torch.polar(size, phase)
    for _ in range(GRIFFIN_LIM_STEPS):  # fast Griffin-Lim of Perraudin, Balazs and Søndergaard (2013)
        wave = torch.istft(spectrum, **framing)
        rebuilt = torch.stft(wave, **framing, return_complex=True)[:, : size.shape[1]]
        spectrum, before = torch.polar(size, (rebuilt + MOMENTUM * (rebuilt - before)).angle()), rebuilt
    return np.asarray(torch.istft(spectrum, **framing).numpy(), np.float32)


def _sounds(waves: Sequence[Float32], tokenizer: MelTokenizer, progress: Progress) -> dict[str, list[Float32]]:
    """Audio reconstructed from true spectrograms and from tokens."""
    sounds: dict[str, list[Float32]] = {"true spectrogram": [], "tokens": []}
    for number, wave in enumerate(waves, start=1):
        progress(f"sound: {number} of {len(waves)} recordings")
        true = tokenizer.spectrogram(wave)
        sounds["true spectrogram"].append(vocode(true))
        sounds["tokens"].append(vocode(tokenizer.decode(tokenizer.encode([wave])[0])[:, : true.shape[1]]))
    return sounds


def _heard(waves: Sequence[Float32], sounds: dict[str, list[Float32]], hear: Hear | None) -> Plain:
    """Similarity of reconstructed audio to the original: means over the recordings."""
    originals = [_at_16k(wave) for wave in waves]
    transcripts = hear(originals) if hear else None
    return {
        name: dict(_likeness(originals, list(map(_at_16k, reconstructed)), transcripts, hear))
        for name, reconstructed in sounds.items()
    }


def _likeness(
    originals: Sequence[Float32], reconstructed: Sequence[Float32], transcripts: Sequence[str] | None, hear: Hear | None
) -> Iterator[tuple[str, float]]:
    """STOI, PESQ and word error rate of reconstructed audio, as far as the packages are installed."""
    pairs = [(a[: len(b)], b[: len(a)]) for a, b in zip(originals, reconstructed, strict=True)]
    try:
        from pesq import NoUtterancesError, pesq
        from pystoi import stoi
    except ImportError:
        pass
    else:
        yield "stoi", float(np.mean([stoi(a, b, HEARD_HZ) for a, b in pairs]))
        yield "estoi", float(np.mean([stoi(a, b, HEARD_HZ, extended=True) for a, b in pairs]))
        scores = []
        for a, b in pairs:
            try:
                scores.append(pesq(HEARD_HZ, a, b, "wb"))
            except NoUtterancesError:
                continue
        yield "pesq_wb", float(np.mean(scores))
    if transcripts is not None and hear is not None:
        from jiwer import wer

        words = [
            (_plain(before), _plain(after)) for before, after in zip(transcripts, hear(reconstructed), strict=True)
        ]
        words = [pair for pair in words if pair[0]]
        yield "word_error", float(wer([before for before, _ in words], [after for _, after in words]))


def _plain(text: str) -> str:
    return " ".join("".join(c for c in text.lower() if c.isalnum() or c in " '").split())


def _at_16k(wave: Float32) -> Float32:
    return np.asarray(soxr.resample(wave, mel.RATE, HEARD_HZ), np.float32)


# --- the page ---


def page(
    report: Plain, examples: Sequence[tuple[Float32, Float32]], tokenizer: MelTokenizer, curve: Sequence[Plain]
) -> str:
    """Render the figures as one page, with spectrograms and audio of some recordings before and after.

    Args:
        report: The figures.
        examples: Original and reconstructed waves.
        tokenizer: The tokenizer.
        curve: Training curve.
    """
    shown = [_example(*pair, tokenizer) for pair in examples]
    return pages.render(HERE / "page.html", found=report, examples=shown, curve=_curve(curve))


def _example(wave: Float32, again: Float32, tokenizer: MelTokenizer) -> Plain:
    true = tokenizer.spectrogram(wave)
    codes = tokenizer.encode([wave])[0]
    decoded = tokenizer.decode(codes)[:, : true.shape[1]]
    return {
        "codes": codes.tolist(), "error": float((decoded - true).abs().mean()),
        "before": _picture(true), "after": _picture(decoded), "sound": _flac(wave), "again": _flac(again),
    }  # fmt: skip


def _picture(logs: Tensor) -> str:
    levels = (logs.flip(0).numpy() - QUIETEST) / (LOUDEST - QUIETEST)
    return base64.b64encode(paint(np.repeat(levels, 2, axis=0))).decode()


def _flac(wave: Float32) -> str:
    file = io.BytesIO()
    soundfile.write(file, wave.clip(-1, 1), mel.RATE, format="FLAC", subtype="PCM_16")
    return base64.b64encode(file.getvalue()).decode()


def _curve(curve: Sequence[Plain]) -> Plain | None:
    """Error on held-out speech against steps, as points of a 300 by 120 plot."""
    values = [(entry["step"], entry["l1_nats"]) for entry in curve if "l1_nats" in entry]
    if len(values) < 2:
        return None
    errors = [error for _, error in values]
    low, high = min(errors), max(errors)
    last = values[-1][0]
    points = " ".join(f"{300 * s / last:.1f},{120 * (1 - (e - low) / ((high - low) or 1)):.1f}" for s, e in values)
    return {"points": points, "low": low, "high": high, "steps": last}
