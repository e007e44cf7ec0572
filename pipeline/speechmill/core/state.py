"""What a corpus was made with: read without touching it, whether it is finished, being made, or interrupted.

It opens finished files only and takes part in nothing: it creates no folder, no lock and no cache.
"""

from typing import Any

from speechmill.core import ownership, plugins
from speechmill.core.build import CONFIG_FILE, FINISHED_FILE
from speechmill.core.config_errors import ConfigError
from speechmill.core.ownership import RUN_FILE
from speechmill.core.store import Store
from speechmill.core.urls import public_values

FORMER_SECTION = "transcribe"  # of the config of version 0.1: `asr` now


def stored_config(corpus: str | None, *, required: bool = False) -> dict[str, Any] | None:
    """Config that a corpus was last finished with; while it never was, that of the run which began it.

    None where there is neither. Raises ConfigError instead if the config is `required`.
    """
    store = Store(corpus) if corpus else None
    if store and not ownership.is_corpus(store):
        store = None
    run = read_run(store) if store else None
    if run and (gone := plugins.missing(run)):
        raise ConfigError(f"{corpus}: {gone}")
    found = _finished_config(run, store) if run and store else store.read_json(CONFIG_FILE) if store else None
    if store and found and FORMER_SECTION in found:
        raise _by_an_older_version(store)
    if found is None and required:
        fix = f"make one with: speechmill run --input X --output {corpus}"
        raise ConfigError(f"{corpus}: no corpus here; {fix}")
    return found


def _finished_config(run: dict[str, Any], store: Store) -> dict[str, Any]:
    """The config in `run.json`, with the users, passwords and tokens of its addresses while `work/` is there."""
    whole = store.read_json(FINISHED_FILE)
    published: dict[str, Any] = run["config"]
    return whole if whole is not None and public_values(whole) == published else published


def _by_an_older_version(store: Store) -> ConfigError:
    fix = "go on with that version, or make it anew in another folder"
    return ConfigError(f"{store.root}: made by speechmill 0.1, whose columns and artifacts have other names; {fix}")


def read_run(store: Store) -> dict[str, Any] | None:
    """`run.json` of a corpus; None if it was never finished.

    Raises ConfigError if the file is damaged, or the corpus was made by a version whose artifacts have other names.
    """
    try:
        run = store.read_json(RUN_FILE)
        if run is not None and not {"config", "profiles", "files", "fingerprint"} <= run.keys():
            raise ValueError("keys are missing")
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{store.root}/{RUN_FILE}: damaged ({error}); delete it and run again") from None
    if run is not None and FORMER_SECTION in run["config"]:
        raise _by_an_older_version(store)
    return run
