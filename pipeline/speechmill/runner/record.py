"""What `run.json` says about how a corpus was made."""

import json
import platform
import time
from importlib import metadata
from typing import Any

from speechmill.core import plugins
from speechmill.core.build import Build
from speechmill.core.urls import public_values
from speechmill.core.version import __version__

PACKAGES = (  # with versions in run.json
    *("apache-beam", "av", "soxr", "soundfile", "webrtcvad-wheels", "faster-whisper", "ctranslate2", "pyarrow"),
    *("torch", "num2words", "anyascii", "tokenizers", "rapidfuzz", "transformers", "kaldi-native-fbank"),
)


def run_record(build: Build, stages: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Contents of `run.json` on how a corpus was made: versions, config, models, counters."""
    versions = {name: _version(name) for name in PACKAGES}
    return {
        "speechmill": __version__,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "packages": versions,
        "config": public_values(json.loads(build.config.model_dump_json())),
        "profiles": dict(build.profiles),
        "plugins": plugins.record(build.profiles),
        "decisions_sha256": build.by_hand.digest() if build.by_hand.clip_ids else None,
        "models": {
            stage: [{"key": model.key, "name": model.name, "sha256": model.sha256} for model in models]
            for stage, models in build.models.items()
            if models
        },
        "stages": stages,
        "defect_models": build.has_defects,
        "device": build.device,
        "compute_type": build.config.asr.arithmetic(build.device),
    }  # fmt: skip


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
