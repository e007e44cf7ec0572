"""Builds from a config: which stages run, with which models, and the profiles that name their artifacts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from speechmill import speakers
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.config_file import load
from speechmill.core.manual import ManualDecisions
from speechmill.core.models import FindModel, ModelRef, find_device
from speechmill.core.removals import Removals
from speechmill.core.state import read_run, stored_config
from speechmill.core.store import Store
from speechmill.stages import PASSAGE_CROSS_CHECK, PASSAGE_TEXTS
from speechmill.stages.base import Stage
from speechmill.stages.flow import STAGES


def _known_before_downloads(stages: Iterable[Stage]) -> frozenset[str]:
    """Names of the stages whose models are local files, and whose profiles stand on those of such stages alone."""
    names: set[str] = set()
    for stage in stages:
        if stage.models_are_local and names.issuperset(stage.after):
            names.add(stage.name)
    return frozenset(names)


KNOWN_BEFORE_DOWNLOADS = _known_before_downloads(STAGES)
NO_PROFILES: Mapping[str, str | None] = MappingProxyType({})


def plan_build(config: RunConfig, store: Store, *, find_model: FindModel) -> Build:
    """Build of a run. `find_model` returns the folder of a model by name and config key.

    Raises ConfigError for unusable settings and models.
    """
    config = resolve_auto(config)
    profiles: dict[str, str | None] = {}
    models: dict[str, tuple[ModelRef, ...]] = {}
    for stage in STAGES:
        is_on = stage.settings(config) is not None
        models[stage.name] = stage.models(config, store, find_model) if is_on else ()
        profiles[stage.name] = stage.profile(config, models[stage.name], profiles)
    return _build(config, store, profiles, models)


def resolve_auto(config: RunConfig) -> RunConfig:
    """The config with a model's name or null in place of `auto`, by which packages are installed.

    It is stored with the corpus, which so keeps its models when packages come or go.
    """
    model = speakers.resolve(config.turns.model)
    overlap = None if model is None else speakers.resolve_overlap(config.turns.overlap)
    turns = config.turns.model_copy(update={"model": model, "overlap": overlap})
    clustering = config.speakers.model_copy(update={"model": speakers.resolve(config.speakers.model)})
    return config.model_copy(update={"turns": turns, "speakers": clustering})


def build_up_to_scores(config: RunConfig, store: Store, known: Mapping[str, str | None] = NO_PROFILES) -> Build:
    """Build of the stages up to the scores, which needs no model to download. Nothing is written.

    Where clips are cut by texts of passages, their profile is taken from those that are `known`, or else of the newest
    folder.
    """
    config = resolve_auto(config)
    profiles: dict[str, str | None] = dict.fromkeys(stage.name for stage in STAGES)
    models: dict[str, tuple[ModelRef, ...]] = dict.fromkeys(profiles, ())
    for stage in STAGES:
        if stage.name in KNOWN_BEFORE_DOWNLOADS and stage.settings(config) is not None:
            models[stage.name] = stage.models(config, store, _no_model)
            profiles[stage.name] = stage.profile(config, models[stage.name], profiles)
        elif stage in (PASSAGE_TEXTS, PASSAGE_CROSS_CHECK) and stage.settings(config) is not None:
            before = str(profiles["passage_scores"])
            profiles[stage.name] = known.get(stage.name) or _newest_profile(stage, store, before)
    return _build(config, store, profiles, models)


def _build(
    config: RunConfig, store: Store, profiles: Mapping[str, str | None], models: Mapping[str, tuple[ModelRef, ...]]
) -> Build:
    return Build(
        config=config, store=store, profiles=profiles, models=models, device=find_device(config.device),
        removals=Removals.load(store), by_hand=ManualDecisions.load(store),
    )  # fmt: skip


def _no_model(name: str, _: str) -> Any:
    raise AssertionError(f"no model may be looked for, not even {name}")


def stored_build(corpus: str) -> Build:
    """The build that a corpus was last finished with, or, if it never was, the one that its config describes.

    Its profiles are right, but its models may be absent. Raises ConfigError if there is no corpus.
    """
    store = Store(corpus)
    config = load(base=stored_config(corpus, required=True))
    run, build = read_run(store), build_up_to_scores(config, store)
    if run is None:
        return replace(build, profiles=dict(_unfinished_profiles(build)))
    models = {name: tuple(ModelRef(**ref, files=()) for ref in refs) for name, refs in run["models"].items()}
    profiles = dict.fromkeys(build.profiles) | run["profiles"]
    return replace(build, device=run["device"], profiles=profiles, models={**build.models, **models})


def _unfinished_profiles(build: Build) -> Iterator[tuple[str, str | None]]:
    """Profiles of a corpus that was never finished.

    If the profile of a stage depends on a model that is absent, the one of its newest folder is taken.
    """
    profiles = dict(build.profiles)
    for stage in STAGES:
        if stage.name not in KNOWN_BEFORE_DOWNLOADS and stage.settings(build.config) is not None:
            own = _profile(stage, build, profiles) or profiles[stage.name]
            profiles[stage.name] = own or _newest_profile(stage, build.store, str(profiles["segment"]))
    yield from profiles.items()


def _profile(stage: Stage, build: Build, profiles: Mapping[str, str | None]) -> str | None:
    """Profile of a stage whose models are local files; None if one is absent or may have to be downloaded."""
    try:
        return local_profile(stage, build.config, build.store, profiles)
    except ConfigError:
        return None


def local_profile(stage: Stage, config: RunConfig, store: Store, before: Mapping[str, str | None]) -> str | None:
    """Profile of a stage, given those `before` it, without a download. Raises ConfigError if that needs a model."""
    return stage.profile(config, stage.models(config, store, find_no_model), before)


def find_no_model(name: str, key: str) -> Any:
    """A `find_model` that always raises ConfigError."""
    raise ConfigError(f"{key}: {name} is not looked for")


def _newest_profile(stage: Stage, store: Store, before: str) -> str:
    """Profile of the newest folder of a stage that stands on a profile; without any, one that no artifact has."""
    prefix = f"{before}-"
    folders = [leaf for leaf in store.names(f"work/{stage.name}") if leaf.startswith(prefix)]
    times = {leaf: store.fs.info(store.path(f"work/{stage.name}/{leaf}")).get("mtime", 0) for leaf in folders}
    return max(folders, key=times.__getitem__, default=prefix)
