"""What a corpus was made with: read without touching it, whether it is finished, being made, or interrupted.

It opens finished files only and takes part in nothing: it creates no folder, no lock and no cache.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from speechmill.core import ownership
from speechmill.core.build import (
    CONFIG_FILE,
    FINISHED_FILE,
    Build,
    plan_build,
    profile_of_speakers,
    profile_of_tokens,
)
from speechmill.core.config import Asr, ConfigError, RunConfig, Speakers, Tokenise, load
from speechmill.core.ownership import RUN_FILE
from speechmill.core.store import Store
from speechmill.core.urls import public_values


def stored_config(corpus: str | None, *, required: bool = False) -> dict[str, Any] | None:
    """Config that a corpus was last finished with; while it never was, that of the run which began it.

    None where there is neither. Raises ConfigError instead if the config is `required`.
    """
    store = Store(corpus) if corpus else None
    if store and not ownership.is_corpus(store):
        store = None
    run = read_run(store) if store else None
    found = _finished_config(run, store) if run and store else store.read_json(CONFIG_FILE) if store else None
    if found is None and required:
        fix = f"make one with: speechmill run --input X --output {corpus}"
        raise ConfigError(f"{corpus}: no corpus here; {fix}")
    return found


def _finished_config(run: dict[str, Any], store: Store) -> dict[str, Any]:
    """The config in `run.json`, with the users, passwords and tokens of its addresses while `work/` is there."""
    whole = store.read_json(FINISHED_FILE)
    published: dict[str, Any] = run["config"]
    return whole if whole is not None and public_values(whole) == published else published


def read_run(store: Store) -> dict[str, Any] | None:
    """`run.json` of a corpus; None if it was never finished. Raises ConfigError if the file is damaged."""
    try:
        run = store.read_json(RUN_FILE)
        if run is not None and not {"config", "profiles", "files", "fingerprint"} <= run.keys():
            raise ValueError("keys are missing")
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{store.root}/{RUN_FILE}: damaged ({error}); delete it and run again") from None
    return run


def stored_build(corpus: str) -> Build:
    """The build that a corpus was last finished with; while it never was, the one that its config means.

    Its names of artifacts hold, but it has no models for text and tokens. Raises ConfigError if there is no corpus.
    """
    store = Store(corpus)
    config = load(base=stored_config(corpus, required=True))
    run = read_run(store)
    if run is None:
        return _begun_build(config, store)
    made = {"cross_check": None, "speakers": None, "tokenise": None, "text": None} | run[
        "profiles"
    ]  # which older corpora do not name
    profiles = {f"{stage}_profile": profile for stage, profile in made.items()}
    found = {"has_defects": run["defect_models"], "device": run["device"], "compute_type": run["compute_type"]}
    return replace(up_to_scores(config, store), config=config, **found, **profiles)


def _begun_build(config: RunConfig, store: Store) -> Build:
    """The transcription profile depends on the model's bytes, which may not be here: the newest folder tells it."""
    build = up_to_scores(config, store)
    return replace(
        build,
        config=config,
        transcribe_profile=None if config.asr.model is None else _newest("transcribe", build),
        cross_check_profile=None if config.asr.cross_check is None else _newest("cross_check", build),
        speakers_profile=_profile(profile_of_speakers, config.speakers),
        tokenise_profile=_profile(profile_of_tokens, config.tokenise),
    )


def _newest(stage: str, build: Build) -> str:
    """Profile of a stage's newest folder."""
    store, prefix = build.store, f"{build.segment_profile}-"
    folders = [leaf for leaf in store.names(f"work/{stage}") if leaf.startswith(prefix)]
    times = {leaf: store.fs.info(store.path(f"work/{stage}/{leaf}")).get("mtime", 0) for leaf in folders}
    return max(folders, key=times.__getitem__, default="").removeprefix(prefix)


def _profile(of: Callable[[Any], str | None], chosen: Any) -> str | None:
    """Profile of what a config names, None if its files are not here."""
    try:
        return of(chosen)
    except ConfigError:
        return None


def up_to_scores(config: RunConfig, store: Store) -> Build:
    """Plan a build up to the scores, which needs no transcription model and no dVAE, and writes nothing."""
    later = {
        "asr": Asr(model=None), "speakers": Speakers(model=None), "tokenise": Tokenise(checkpoint=None)
    }  # fmt: skip
    return plan_build(config.model_copy(update=later), store, find_model=_no_model)


def _no_model(name: str, _: str) -> Any:
    raise AssertionError(f"no model was to be looked for, not even {name}")
