"""Reads a config from a YAML file, from `--set key=value` and from flags, in that order."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from speechmill.core import yaml_file
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError, explain

Kind = TypeVar("Kind", bound=BaseModel)


def load_config(path: str | os.PathLike[str] | None = None, settings: Iterable[str] = (), **keys: Any) -> RunConfig:
    """Read and check the config of a run. What comes later wins: the file, the settings, the keys.

    Args:
        path: a YAML file; without one, all defaults.
        settings: changes as the command line writes them, such as `thresholds.snr_db=20`.
        keys: changes by section or key, such as `thresholds={"snr_db": 20}`; None leaves a key as it is.

    Returns:
        The config, frozen; docs/configuration.md has all keys with their units and defaults.

    Raises:
        ConfigError: for the first thing that is wrong; the message names the key and the fix.

    >>> import speechmill
    >>> config = speechmill.load_config(inputs=["recordings"], thresholds={"snr_db": 20})
    >>> config.thresholds.snr_db
    20.0
    >>> speechmill.load_config(settings=["thresholds.snr=20"])
    Traceback (most recent call last):
    speechmill.core.config_errors.ConfigError: thresholds.snr: unknown key; did you mean 'snr_db'?
    """
    return load(None if path is None else os.fspath(path), settings, **keys)


def load(
    path: str | None = None, settings: Iterable[str] = (), base: Mapping[str, Any] | None = None, **flags: Any
) -> RunConfig:
    """Read the config of a run; see `read`."""
    return read(RunConfig, path, settings, base, **flags)


def read(
    kind: type[Kind], path: str | None = None, settings: Iterable[str] = (), base: Mapping[str, Any] | None = None,
    **flags: Any,
) -> Kind:  # fmt: skip
    """Read a config from several sources, of which later ones override earlier ones.

    Args:
        kind: The pydantic model of the config.
        path: YAML file, applied after `base`.
        settings: Lines `key.sub=value`, applied next.
        base: Values to begin with.
        **flags: Values of top-level keys, applied last; None and () are ignored.

    Raises:
        ConfigError: One line for the first error.
    """
    values: dict[str, Any] = json.loads(json.dumps(base or {}))
    if path is not None:
        _merge(values, _read_yaml(Path(path)))
    for setting in settings:
        _apply(values, setting)
    _merge(values, {key: value for key, value in flags.items() if value not in (None, ())})
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error, kind)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml_file.parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give the path of a YAML config") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold keys and values, such as 'inputs: [podcast.xml]'")
    return values


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _apply(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {setting}: no name and '=' before the value; write it like thresholds.snr_db=20")
    try:
        value = yaml_file.parse(text)
    except ValueError as error:
        cause = "the value is not YAML; quote it" if str(error).startswith("not YAML:") else error
        raise ConfigError(f"--set {setting}: {cause}") from None
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {setting}: {section} is a value, not a section")
    values[last] = value
