"""The stages of a build in the order of the flow: those of this package, and those that plug-ins bring.

It stands apart from the package's own names, which plug-ins import, so that nothing waits for itself.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from speechmill.core import plugins
from speechmill.core.columns import FRAME, Column, feature_of
from speechmill.core.config import Thresholds
from speechmill.core.reasons import Reason
from speechmill.core.records import DECISION
from speechmill.stages import ASSESS, BEFORE_PLUGINS, SPEAKERS
from speechmill.stages.base import ClipStage, Stage

NAME = re.compile("[a-z][a-z0-9_]*")
RESERVED = {
    "documents",
    "feeds",
    "fetch",
    "hosts",
    "left",
    "media",
    "publish",
    "spans",
    "tables",
    "tmp",
}  # folders of `work/`


def _plugged_in() -> tuple[ClipStage, ...]:
    """Stages of plug-ins that are fit: those that take all clips come first, since they decide what the others take."""
    fit: list[ClipStage] = []
    found = plugins.load(plugins.STAGES)
    for plugin in sorted(found, key=lambda one: (getattr(one.value, "clips_only", True), one.name)):
        if why := next(_faults(plugin.value, fit), None):
            plugins.leave_out(plugin, why)
        else:
            fit.append(plugin.value)
    return tuple(fit)


def _faults(stage: Any, fit: list[ClipStage]) -> Iterator[str]:
    """Why a stage cannot be taken, beside ours and those that are `fit`."""
    others = (*BEFORE_PLUGINS, *fit)
    if not isinstance(stage, ClipStage):
        yield f"{type(stage).__name__} is no ClipStage"
    elif not NAME.fullmatch(stage.name):
        yield f"the name {stage.name!r} has other characters than a-z, 0-9 and _"
    elif stage.name in RESERVED.union(one.name for one in (*others, SPEAKERS, ASSESS)):
        yield f"it redefines the stage {stage.name}"
    elif unknown := [name for name in stage.after if name not in {one.name for one in others}]:
        yield f"it reads {unknown[0]}, which is no stage before it"
    else:
        taken = _taken((*others, SPEAKERS, ASSESS))
        yield from (fault for column in stage.columns if (fault := _fault(column, taken, fit)))


def _taken(stages: Iterable[Stage]) -> set[str]:
    """Names of all columns that there are, whether they are published or not."""
    names = {column.name for column in FRAME} | {field.name for field in DECISION}
    for stage in stages:
        names.update(column.name for column in stage.columns)
        names.update(stage.artifact.names if stage.artifact is not None else ())
    return names


def _fault(column: Column, taken: set[str], fit: list[ClipStage]) -> str | None:
    if column.name in taken:
        return f"it redefines the column {column.name}"
    try:
        feature_of(column.type)
    except KeyError:
        return f"the column {column.name} has a type that readers of a corpus do not know: {column.type}"
    test = column.test
    if test is None:
        return None
    if test.key in Thresholds.model_fields or test.key in {one.test.key for s in fit for one in s.columns if one.test}:
        return f"it redefines the threshold {test.key}"
    if not isinstance(test.reason, Reason) and test.reason in {*Reason}:
        return f"it redefines the reason {test.reason}"
    if not isinstance(test.reason, Reason) and not test.meaning:
        return f"its reason {test.reason} has no meaning"
    return None


def rejecting(reason: str) -> str | None:
    """Name of the stage that rejects clips for a reason, the last one where several do; None where no stage does."""
    for stage in reversed(STAGES):
        tested = (column.test.reason for column in stage.columns if column.test)
        if reason in (*stage.reasons, *tested):
            return stage.name
    return None


PLUGGED_IN = _plugged_in()
STAGES: tuple[Stage, ...] = (*BEFORE_PLUGINS, *PLUGGED_IN, SPEAKERS, ASSESS)
"""One that reads another comes after it; what the last ones add stands first in a corpus."""
