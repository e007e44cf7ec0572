"""The items that pass through the stages, and the outcome of a stage for an item."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from speechmill.core import pulse
from speechmill.core.build import Build
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording
from speechmill.sources import Listed


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A content on its way through the stages. It holds no audio."""

    recording_id: str
    content_id: str
    sha256: str | None = None  # of the media file; differs from content_id for a stretch, see records.content_id_of
    span: tuple[float, float | None] | None = None  # part of the media to decode, start and end in seconds; None: all
    media: str  # path for the filesystem of the store, or the local one
    is_local: bool
    allowed: bool  # whether its licence allows publication
    order: tuple[str, ...]  # see `primary_order`
    is_as_before: bool = False  # whether recording and footer are unchanged by this run


def primary(works: Iterable[WorkItem]) -> WorkItem:
    """The first of items with the same content, with the media of another one if its own file is gone."""
    first, *others = sorted(works, key=lambda work: work.order)
    if first.is_local and others and not os.path.exists(first.media):
        present = next((other for other in others if not other.is_local or os.path.exists(other.media)), first)
        return replace(first, media=present.media, is_local=present.is_local)
    return first


def primary_order(recording: Recording) -> tuple[str, ...]:
    """Sort key of recordings with the same content, the first of which is used: by date of publication, then by age.

    It has the first address, since a recording stays the same when it is renamed. Its last part is the recording_id.
    """
    name = recording.first_url or recording.media_url
    return (recording.published or "9999", f"{recording.added_in_run:09}", name, recording.recording_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Outcome of a stage for one item: for counters, progress and log."""

    state: str  # done, reused or failed
    seconds_in: float = 0.0
    seconds_kept: float = 0.0
    reason: Reason | None = None
    detail: str = ""
    work: WorkItem | None = None  # the item made by fetching; later stages pass on their input


StageFunction = Callable[[Any, Build], Outcome]


def identify(element: Any) -> dict[str, str]:
    """Fields by which log and live view name an element."""
    element = getattr(element, "work", element)
    if isinstance(element, WorkItem):
        title = {"title": os.path.basename(element.media)} if element.is_local else {}
        return {"recording_id": element.recording_id, "content_id": element.content_id} | title
    if not isinstance(element, Listed):
        return {"file": element.name}
    recording = element.recording
    return {"recording_id": recording.recording_id, "title": recording.title or os.path.basename(recording.media_url)}


def watched(name: str, function: StageFunction, element: Any, build: Build) -> Outcome:
    """Call the function of a stage, while the live view shows what it works on."""
    with pulse.at_work(build.store, name, identify(element)):
        return function(element, build)
