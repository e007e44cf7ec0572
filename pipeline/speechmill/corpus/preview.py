"""What `select` changes: counts before and after by reason, and what settings and decisions by hand add up to."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

import numpy as np

from speechmill import publish
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.locks import BusyError
from speechmill.core.manual import ManualDecisions
from speechmill.core.store import Store
from speechmill.corpus.status import is_active
from speechmill.publish import tables
from speechmill.publish.decided import decide_group, find_duplicates
from speechmill.publish.groups import all_groups, group_inputs, is_current
from speechmill.runner.run import build_for_selection
from speechmill.stages.selection import among

SELECTED = ("thresholds", "licences", "publish")  # sections that `select` may change, besides asr.languages


def preview(config: RunConfig) -> dict[str, Any]:
    """Preview the decision with another config. Nothing is written.

    Returns:
        The changes, as of `compare`, with `settings` and `decisions`: see `accumulated`.

    Raises:
        ConfigError: There is no finished corpus, or a setting needs a stage to run.
        BusyError: A run is active on the corpus.
    """
    build = build_for_selection(config)
    if is_active(build.store):
        raise BusyError(f"another run is at work on {build.store.root}: wait for it")
    now = build.store.read_json(publish.STATS_FILE) or {}
    with _tabulated(build) as tabulated:
        return compare(now, publish.preview(tabulated)) | accumulated(tabulated)


def compare(now: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the statistics of two decisions about a corpus.

    Returns:
        {"kept": {"clips": {"now", "then"}, "hours": {"now", "then"}}, "rejected": {reason: {"now", "then"}}}, where
        rejected counts clips.
    """
    reasons = sorted({*now.get("rejected_by_reason", {}), *then["rejected_by_reason"]})
    hour = then["sampling_rate"] * 3600
    return {
        "kept": {
            "clips": _pair(now, then, ("clips", "kept")),
            "hours": {key: samples / hour for key, samples in _pair(now, then, ("samples", "kept")).items()},
        },
        "rejected": {reason: _pair(now, then, ("rejected_by_reason", reason, "clips")) for reason in reasons},
    }


def accumulated(build: Build) -> dict[str, Any]:
    """What this command and all earlier ones add up to. The clip tables must be current; nothing is written.

    Returns:
        {"settings": {key: value} of those that differ from their defaults, "decisions": None without any by hand, else
        the number of clips that they `kept`, `dropped` or gave another `text`, that would be decided so `anyway`, and
        that are `not_here`}.
    """
    return {"settings": dict(_settings(build.config)), "decisions": _decisions(build)}


def _settings(config: RunConfig) -> Iterator[tuple[str, Any]]:
    """Keys that `select` may change and that differ from their defaults, with their values."""
    default = RunConfig()
    for section in SELECTED:
        values, usual = (getattr(each, section).model_dump(mode="json") for each in (config, default))
        yield from ((f"{section}.{key}", value) for key, value in values.items() if value != usual.get(key))
    if config.asr.languages:
        yield "asr.languages", list(config.asr.languages)


def _decisions(build: Build) -> dict[str, int] | None:
    """Effect of the decisions by hand, by number of clips; None without any."""
    manual, without = build.by_hand, replace(build, by_hand=ManualDecisions())
    if not manual.clip_ids:
        return None
    counts = dict.fromkeys(("kept", "dropped", "text", "anyway", "not_here"), 0)
    seen = 0
    for group, duplicates in find_duplicates(all_groups(build), build).items():
        decided = decide_group(group, duplicates, build)
        kept, before = decided.decision.kept, decide_group(group, duplicates, without).decision.kept
        is_manual, has_text = (among(decided.places, ids) for ids in (manual.clip_ids, manual.texts))
        found = {"kept": kept & ~before, "dropped": before & ~kept, "text": kept & has_text}
        for name, clips in found.items():
            counts[name] += int(clips.sum())
        counts["anyway"] += int((is_manual & ~np.logical_or.reduce(list(found.values()))).sum())
        seen += int(is_manual.sum())
    return counts | {"not_here": len(manual.clip_ids) - seen}


class _Overlay(Store):
    """A store that writes into a folder of its own, and reads what it wrote there in place of what was there."""

    def __init__(self, root: str, folder: str) -> None:
        super().__init__(root)
        self._written: set[str] = set()
        self._own = Store(folder)

    def path(self, name: str) -> str:
        """See Store."""
        return self._own.path(name) if name in self._written else super().path(name)

    @contextmanager
    def create(self, name: str, *, new: bool = False) -> Iterator[IO[bytes]]:
        """See Store."""
        with self._own.create(name, new=new) as file:
            yield file
        self._written.add(name)


@contextmanager
def _tabulated(build: Build) -> Iterator[Build]:
    """The build with clip tables that are current, without a change to the corpus."""
    if all(is_current(inputs, build) for inputs in group_inputs(build)):
        yield build
        return
    if not build.store.is_local:
        fix = f"make them with: speechmill run --output {build.store.root}"
        raise ConfigError(f"{build.store.root}: has results that are not in its tables yet; {fix}")
    folder = tempfile.mkdtemp(prefix="speechmill-")
    try:
        current = replace(build, store=_Overlay(build.store.root, folder))
        tables.tabulate_all(current)
        yield current
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pair(now: Mapping[str, Any], then: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, int]:
    """A count in both statistics by its keys; 0 if it is absent."""
    return {"now": _count(now, keys), "then": _count(then, keys)}


def _count(stats: Any, keys: tuple[str, ...]) -> int:
    for key in keys:
        stats = stats.get(key, {})
    return stats or 0
