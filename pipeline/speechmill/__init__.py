"""speechmill: mills hours of audiobooks and podcasts into a speech corpus for text-to-speech models.

    >>> import speechmill
    >>> config = speechmill.load_config(inputs=["recordings"], output="new-corpus", asr={"model": "tiny.en"})
    >>> speechmill.run(config, quiet=True).exit_code
    0
    >>> clips = speechmill.Corpus("new-corpus").clips().to_table(columns=["clip_id", "duration_s", "text"])

This module imports what a name needs when the name is used, so that `speechmill --help` answers at once.
"""

import importlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from speechmill.core.version import __version__

if TYPE_CHECKING:
    from speechmill.core.config import RunConfig
    from speechmill.core.config_errors import ConfigError
    from speechmill.corpus.reader import Corpus
    from speechmill.runner.run import Summary

__all__ = ["ConfigError", "Corpus", "__version__", "load_config", "run"]

_MODULES = {"ConfigError": "speechmill.core.config_errors", "Corpus": "speechmill.corpus.reader"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_config(path: str | os.PathLike[str] | None = None, settings: Iterable[str] = (), **keys: Any) -> "RunConfig":
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
    from speechmill.core.config_file import load

    return load(None if path is None else os.fspath(path), settings, **keys)


def run(config: "RunConfig", beam_options: tuple[str, ...] = (), *, quiet: bool = False) -> "Summary":
    """Make the corpus that a config describes, or complete it: what is there is not made again.

    Args:
        config: what to make; see `load_config`.
        beam_options: options of Apache Beam, such as `--runner=FlinkRunner`; without any, it runs in this process.
        quiet: whether no progress is shown on standard error.

    Returns:
        How the run ended: `exit_code` as the command line gives it (0 done, 1 no recordings, 3 more of them failed
        than `max_failed_ratio`, 130 interrupted), counters by stage, and statistics of the corpus.

    Raises:
        ConfigError: before anything is downloaded, where the config cannot be carried out.
        BusyError, OutOfSpaceError: of `speechmill.core.store`: another run holds the output; the disk is full.
        WithheldError: of `speechmill.publish`: the corpus would lose recordings whose media are out of reach.

    >>> import speechmill
    >>> config = speechmill.load_config(inputs=["recordings"], output="new-corpus", asr={"model": "tiny.en"})
    >>> summary = speechmill.run(config, quiet=True)
    >>> summary.exit_code, summary.stats["clips"]["kept"] > 0
    (0, True)
    """
    from speechmill.runner.run import run as run_build

    return run_build(config, beam_options, quiet=quiet)
