"""What travels between the stages, and what a stage reports of its work."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from speechmill.core.reasons import Reason
from speechmill.core.records import Recording
from speechmill.sources import Listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One content on its way through the stages. Small: audio never travels."""

    recording_id: str
    content_id: str
    sha256: str | None = None  # of the media, where that is not what they are decoded to; see records.content_of
    span: tuple[float, float | None] | None = None  # what is decoded of the media, s; None: all
    media: str  # path or URL that the filesystem of the store, or the local one, can open
    is_local: bool
    allowed: bool  # whether its licence lets it be published
    order: tuple[str, ...]  # of recordings with the same content the first in this order is the primary
    is_as_before: bool = False  # nothing that is known of it changed in this run


def primary(works: Iterable[Work]) -> Work:
    """Of works with the same content the one that counts, with media that are there if any of them has such."""
    first, *others = sorted(works, key=lambda work: work.order)
    if first.is_local and others and not os.path.exists(first.media):
        there = next((one for one in others if not one.is_local or os.path.exists(one.media)), first)
        return replace(first, media=there.media, is_local=there.is_local)
    return first


def primary_order(recording: Recording) -> tuple[str, ...]:
    """Sort key: of recordings with the same content the first published counts, then the one that was here first.

    By its first name, since another name or address makes no other recording of it. Its last part is the id.
    """
    name = recording.first_url or recording.media_url
    return (recording.published or "9999", f"{recording.added_in_run:09}", name, recording.recording_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a stage did with one input: for the counters, the progress line and the log."""

    state: str  # done, reused or failed
    seconds_in: float = 0.0
    seconds_kept: float = 0.0
    reason: Reason | None = None
    detail: str = ""
    work: Work | None = None  # what fetching found; the later stages pass on what they were given


def identify(element: Any) -> dict[str, str]:
    """What names an element in the log."""
    element = getattr(element, "work", element)
    if isinstance(element, Work):
        return {"recording_id": element.recording_id, "content_id": element.content_id}
    return {"recording_id": element.recording.recording_id} if isinstance(element, Listed) else {"file": element.name}
