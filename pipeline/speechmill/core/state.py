"""Reads the config and run record of a corpus, whether it is finished, in progress or interrupted.

Opens finished files only, and creates no folder, lock or cache.
"""

import os
from typing import Any

from speechmill.core import ownership, plugins
from speechmill.core.build import CONFIG_FILE, FINISHED_FILE
from speechmill.core.config_errors import ConfigError
from speechmill.core.ownership import RUN_FILE
from speechmill.core.store import Store
from speechmill.core.urls import public_values

FORMER_SECTION = "transcribe"  # section of configs of version 0.1: `asr` now


def stored_config(corpus: str | None, *, required: bool = False) -> dict[str, Any] | None:
    """Config of the last finished run of a corpus; without one, of the unfinished run.

    None if there is neither, or ConfigError if the config is `required`. Also raises ConfigError if plug-ins are
    missing, and for a corpus of version 0.1.
    """
    store = Store(corpus) if corpus else None
    config = _config_in(store) if store and ownership.is_corpus(store) else None
    if config is None and required:
        raise no_corpus(str(corpus))
    return config


def _config_in(store: Store) -> dict[str, Any] | None:
    run = read_run(store)
    if run and (missing := plugins.missing(run)):
        raise ConfigError(f"{store.root}: {missing}")
    config = _finished_config(run, store) if run else store.read_json(CONFIG_FILE)
    if config and FORMER_SECTION in config:
        raise _older_version(store)
    return config


def no_corpus(corpus: str) -> ConfigError:
    """Error for a path or URL without a corpus."""
    store = Store(corpus)
    is_missing = store.is_local and not os.path.isdir(store.path(""))
    what = "no such folder, and no corpus here" if is_missing else "no corpus here"
    return ConfigError(f"{corpus}: {what}; make one with: speechmill run --input X --output {corpus}")


def _finished_config(run: dict[str, Any], store: Store) -> dict[str, Any]:
    """Config in `run.json`, with the secrets of its addresses if `work/` still has them."""
    with_secrets = store.read_json(FINISHED_FILE)
    published: dict[str, Any] = run["config"]
    return with_secrets if with_secrets is not None and public_values(with_secrets) == published else published


def _older_version(store: Store) -> ConfigError:
    fix = "go on with that version, or make it anew in another folder"
    return ConfigError(f"{store.root}: made by speechmill 0.1, whose columns and artifacts have other names; {fix}")


def read_run(store: Store) -> dict[str, Any] | None:
    """Contents of `run.json` of a corpus; None if no run was finished.

    Raises ConfigError if the file is damaged, or for a corpus of version 0.1.
    """
    try:
        run = store.read_json(RUN_FILE)
        if run is not None and not {"config", "profiles", "files", "fingerprint"} <= run.keys():
            raise ValueError("keys are missing")
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{store.root}/{RUN_FILE}: damaged ({error}); delete it and run again") from None
    if run is not None and FORMER_SECTION in run["config"]:
        raise _older_version(store)
    return run
