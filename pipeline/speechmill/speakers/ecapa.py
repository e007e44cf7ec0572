"""ECAPA-TDNN as SpeechBrain saves it: Desplanques et al., Interspeech 2020, arXiv:2005.07143.

Loads a folder such as speechbrain/spkrec-ecapa-voxceleb. Its settings are a program in SpeechBrain's own YAML,
which builds whatever it names; here it is read as plain values, and nothing in it runs.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from speechmill.speakers import Float32
from speechmill.speakers.network import NetworkEmbedder

SETTINGS = (
    *("attention_channels", "channels", "dilations", "groups"),
    *("kernel_sizes", "lin_neurons", "res2net_scale", "se_channels"),
)
MISFITS = (
    *(AssertionError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError),
    *(pickle.UnpicklingError, yaml.YAMLError),
)


def load(weights: Path, settings: Path, device: str) -> NetworkEmbedder:
    """Load a folder's two files. Raises ModuleNotFoundError without SpeechBrain, OSError or ValueError."""
    fbank, ecapa_tdnn = _speechbrain()
    content, text = weights.read_bytes(), settings.read_text(encoding="utf-8")
    try:
        chosen = read_settings(text)
        fbank_features = fbank(n_mels=chosen["input_size"])
        network = ecapa_tdnn(chosen.pop("input_size"), **chosen)
        network.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except MISFITS as error:
        raise ValueError(f"{weights.parent}: not an ECAPA-TDNN of SpeechBrain ({error!r:.200})") from None

    def features(wave: Float32) -> Tensor:
        """Log-mel energies in dB less their mean, float32[F, bands], 100 frames a second."""
        energies: Tensor = fbank_features(torch.from_numpy(wave)[None])[0]
        return energies - energies.mean(0)

    return NetworkEmbedder(network, features, device)


def read_settings(text: str) -> dict[str, Any]:
    """Settings of the network in SpeechBrain's `hyperparams.yaml`. Raises LookupError, TypeError, YAMLError."""
    values = yaml.load(text, PlainLoader)  # noqa: S506 - a SafeLoader
    chosen = values["embedding_model"]
    names = {"input_size", *SETTINGS} & chosen.keys()
    return {name: _resolved(chosen[name], values) for name in sorted(names)}


def _resolved(value: Any, values: dict[str, Any]) -> Any:
    is_name = isinstance(value, str) and value.startswith("<")
    return values[value.strip("<>")] if is_name else value


class PlainLoader(yaml.SafeLoader):
    """Reads YAML as if its tags, such as `!new:` or `!ref`, were not there."""


def _untagged(loader: PlainLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


PlainLoader.add_multi_constructor("!", _untagged)


def _speechbrain() -> tuple[Any, Any]:
    from speech_defects.packages import drop_lazy_modules, ensure_torchaudio

    try:
        ensure_torchaudio()
        from speechbrain.lobes.features import Fbank
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error}: pip install 'speechmill[train]'", name=error.name) from None
    drop_lazy_modules()
    return Fbank, ECAPA_TDNN
