"""Plug-ins of other packages: sources, stages, ASR backends and exporters, found by the entry points that they declare.

Each group is loaded once per process, sorted by name. A plug-in that cannot be imported or used is left out and
reported in one line, so that a broken package costs its own plug-ins only.
"""

import functools
import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel

SOURCES, STAGES, ASR, EXPORTERS = GROUPS = (
    "speechmill.sources", "speechmill.stages", "speechmill.asr", "speechmill.exporters",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """An entry point. `value` is the object that it names, or an instance where that is a class."""

    group: str
    name: str
    package: str
    version: str
    value: Any

    def __str__(self) -> str:
        return f"{self.group.removeprefix('speechmill.')}: {self.name} of {self.package} {self.version}"


_lock = threading.RLock()
_loaded: dict[str, list[Plugin]] = {}
_importing: set[str] = set()
_left_out: dict[tuple[str, str, str], str] = {}


@functools.cache
def _entry_points() -> Any:
    """Those of all packages, whose metadata are read once for all groups. Python 3.11 and 3.12 differ in the type."""
    return entry_points()


def load(group: str) -> tuple[Plugin, ...]:
    """Plug-ins of one of GROUPS, sorted by name.

    Raises ImportError for a plug-in that calls it while being imported.
    """
    with _lock:
        if group in _importing:
            raise ImportError("a plug-in may not import what is made of all plug-ins, such as speechmill.publish")
        if group not in _loaded:
            _importing.add(group)
            points = sorted(_entry_points().select(group=group), key=lambda point: (point.name, point.value))
            _loaded[group] = [plugin for point in points if (plugin := _import(point)) is not None]
            _importing.remove(group)
            _drop_same_names(_loaded[group])
        return tuple(_loaded[group])


def _drop_same_names(plugins: list[Plugin]) -> None:
    for first, second in itertools.pairwise(plugins):
        if first.name == second.name:
            leave_out(second, f"{first.package} has this name too")


def _import(point: EntryPoint) -> Plugin | None:
    """Import the object of an entry point; None, after `leave_out`, where that fails or it lacks attributes."""
    about = point.dist.metadata if point.dist else {"Name": "unknown", "Version": ""}
    plugin = Plugin(group=point.group, name=point.name, package=about["Name"], version=about["Version"], value=None)
    try:
        value = point.load()
        value = value() if isinstance(value, type) else value
    except Exception as error:
        leave_out(plugin, f"{type(error).__name__}: {' '.join(str(error).split())}")
        return None
    if missing := [name for name in NEEDED[point.group] if not hasattr(value, name)]:
        leave_out(plugin, f"has no {missing[0]}")
        return None
    return replace(plugin, value=value)


NEEDED: Mapping[str, tuple[str, ...]] = {  # attributes
    SOURCES: ("list_recordings",), STAGES: ("name", "columns", "rows"), ASR: ("can_load", "load"),
    EXPORTERS: ("name", "about", "add"),
}  # fmt: skip


def leave_out(plugin: Plugin, why: str) -> None:
    """Leave out a plug-in from now on, and keep the reason for `left_out`."""
    with _lock:
        _left_out[plugin.group, plugin.name, plugin.package] = f"{plugin} is left out: {why}"
        _loaded[plugin.group] = [other for other in _loaded.get(plugin.group, ()) if other is not plugin]


def left_out() -> tuple[str, ...]:
    """One line for each plug-in that was left out, with the reason."""
    for group in GROUPS:
        load(group)
    return tuple(line for _, line in sorted(_left_out.items()))


def threshold_keys() -> set[str]:
    """Keys of the section `thresholds` that plug-ins declare."""
    tests = (column.test for plugin in load(STAGES) for column in plugin.value.columns)
    return {test.key for test in tests if test is not None}


def sections() -> dict[str, type[BaseModel] | None]:
    """Pydantic model of each section of `plugins` in the config, by stage name; None: the stage has no settings."""
    return {plugin.value.name: getattr(plugin.value, "section", None) for plugin in load(STAGES)}


def asr_backend(folder: Path) -> Plugin | None:
    """The first plug-in that can load the model in a folder, or None; a plug-in whose `can_load` raises is left out."""
    for plugin in load(ASR):
        try:
            if plugin.value.can_load(folder):
                return plugin
        except Exception as error:
            leave_out(plugin, f"can_load: {type(error).__name__}: {' '.join(str(error).split())}")
    return None


def record(profiles: Mapping[str, str | None]) -> dict[str, dict[str, str]]:
    """Package and version, for `run.json`, of the plug-ins whose stages are in `profiles`, by stage name."""
    return {
        plugin.value.name: {"package": plugin.package, "version": plugin.version}
        for plugin in load(STAGES)
        if profiles.get(plugin.value.name) is not None
    }


def missing(run: Mapping[str, Any]) -> str | None:
    """One line that names the plug-ins of a corpus, by its run.json, that are not installed; None if all are."""
    used = run.get("plugins") or {}
    installed = {plugin.value.name for plugin in load(STAGES)} if used else set()
    absent = {stage: plugin for stage, plugin in used.items() if stage not in installed}
    if not absent:
        return None
    names = ", ".join(f"{stage} (of {made['package']} {made['version']})" for stage, made in sorted(absent.items()))
    packages = " ".join(sorted({plugin["package"] for plugin in absent.values()}))
    return f"made with plug-ins that are not here: {names}; pip install {packages}, or see `speechmill doctor`"
