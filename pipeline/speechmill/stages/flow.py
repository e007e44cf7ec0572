"""All stages in order of execution: those of this package and those of plug-ins.

Plug-ins import `speechmill.stages`, so this module is separate from it, to avoid an import cycle.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from speechmill.core import plugins
from speechmill.core.columns import BASE_COLUMNS, Column, feature_of
from speechmill.core.reasons import Reason
from speechmill.core.records import DECISION
from speechmill.core.thresholds import Thresholds
from speechmill.stages import ASSESS, BEFORE_PLUGINS, SPEAKERS
from speechmill.stages.base import ClipStage, Stage

NAME = re.compile("[a-z][a-z0-9_]*")
RESERVED = {
    "compared",
    "documents",
    "feeds",
    "fetch",
    "hosts",
    "left",
    "log",
    "media",
    "progress",
    "publish",
    "spans",
    "tables",
    "tmp",
}  # folders of `work/`


def _plugged_in() -> tuple[ClipStage, ...]:
    """Accepted plug-in stages. Those that process all clips come first, since their tests select the others' clips."""
    accepted: list[ClipStage] = []
    loaded = plugins.load(plugins.STAGES)
    for plugin in sorted(loaded, key=lambda plugin: (getattr(plugin.value, "clips_only", True), plugin.name)):
        if why := next(_faults(plugin.value, accepted), None):
            plugins.leave_out(plugin, why)
        else:
            accepted.append(plugin.value)
    return tuple(accepted)


def _faults(stage: Any, accepted: list[ClipStage]) -> Iterator[str]:
    """Faults for which a plug-in stage is refused, given the stages `accepted` so far."""
    others = (*BEFORE_PLUGINS, *accepted)
    if not isinstance(stage, ClipStage):
        yield f"{type(stage).__name__} is no ClipStage"
    elif not NAME.fullmatch(stage.name):
        yield f"the name {stage.name!r} has other characters than a-z, 0-9 and _"
    elif stage.name in RESERVED.union(other.name for other in (*others, SPEAKERS, ASSESS)):
        yield f"it redefines the stage {stage.name}"
    elif unknown := [name for name in stage.after if name not in {other.name for other in others}]:
        yield f"it reads {unknown[0]}, which is no stage before it"
    else:
        taken = _taken((*others, SPEAKERS, ASSESS))
        yield from (fault for column in stage.columns if (fault := _fault(column, taken, accepted)))


def _taken(stages: Iterable[Stage]) -> set[str]:
    """Names of all columns of a corpus and of some stages, published or not."""
    names = {column.name for column in BASE_COLUMNS} | {field.name for field in DECISION}
    for stage in stages:
        names.update(column.name for column in stage.columns)
        names.update(stage.artifact.names if stage.artifact is not None else ())
    return names


def _fault(column: Column, taken: set[str], accepted: list[ClipStage]) -> str | None:
    """Fault of a column of a plug-in; None if there is none. `taken` are names that are in use."""
    if column.name in taken:
        return f"it redefines the column {column.name}"
    try:
        feature_of(column.type)
    except KeyError:
        return f"the column {column.name} has a type that readers of a corpus do not know: {column.type}"
    test = column.test
    if test is None:
        return None
    others = {other.test.key for stage in accepted for other in stage.columns if other.test}
    if test.key in others.union(Thresholds.model_fields):
        return f"it redefines the threshold {test.key}"
    if not isinstance(test.reason, Reason) and test.reason in {*Reason}:
        return f"it redefines the reason {test.reason}"
    if not isinstance(test.reason, Reason) and not test.meaning:
        return f"its reason {test.reason} has no meaning"
    return None


def rejecting_stage(reason: str) -> str | None:
    """Name of the stage that rejects clips for a reason, the last of several; None if there is none."""
    for stage in reversed(STAGES):
        tested = (column.test.reason for column in stage.columns if column.test)
        if reason in (*stage.reasons, *tested):
            return stage.name
    return None


PLUGGED_IN = _plugged_in()
STAGES: tuple[Stage, ...] = (*BEFORE_PLUGINS, *PLUGGED_IN, SPEAKERS, ASSESS)
"""A stage comes after those whose artifacts it reads. In a corpus, columns of later stages come first."""
