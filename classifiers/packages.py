"""Finds other packages' files, and lets SpeechBrain and pyannote.audio import a torchaudio that does not fit torch.

PyPI's torchaudio is linked against CUDA and does not load beside a CPU build of torch. Neither package calls
its compiled part; a stand-in that says so keeps the Python part importable. No file is changed.
"""

import importlib.util
import sys
import types
from pathlib import Path


def package_folder(package: str) -> Path:
    """Where a package lies, without importing it. Raises ModuleNotFoundError."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no package {package}", name=package)
    return Path(spec.origin).parent


def ensure_torchaudio() -> None:
    """Call before the first import of torchaudio; does nothing where it works or is not installed."""
    found = importlib.util.find_spec("torchaudio")
    if "torchaudio" in sys.modules or found is None or found.origin is None:
        return
    import torch

    library = next((Path(found.origin).parent / "lib").glob("_torchaudio*.so"), None)
    try:
        if library is not None:
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    except OSError:
        sys.modules["torchaudio._extension"] = _absent_extension()


def _absent_extension() -> types.ModuleType:
    module = types.ModuleType("torchaudio._extension")
    module.__path__ = []
    for flag in ("_IS_TORCHAUDIO_EXT_AVAILABLE", "_IS_ALIGN_AVAILABLE", "_IS_RIR_AVAILABLE"):
        setattr(module, flag, False)
    module._check_cuda_version = lambda: None  # type: ignore[attr-defined]
    module.fail_if_no_align = lambda function: function  # type: ignore[attr-defined]
    return module


def drop_lazy_modules() -> None:
    """Call after an import of SpeechBrain, or of pyannote.audio, which imports it.

    It leaves stand-ins for optional parts in sys.modules; to look at one is to import what is not installed, so
    whoever walks sys.modules (inspect, Hypothesis) trips over them.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("speechbrain.") and type(module).__name__ in ("LazyModule", "DeprecatedModuleRedirect"):
            del sys.modules[name]
