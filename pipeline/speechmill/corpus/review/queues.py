"""The order in which clips are reviewed: `doubtful`, `random:200` or `reason:music`."""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from speechmill.core.config_errors import ConfigError
from speechmill.core.reasons import Reason
from speechmill.corpus.review.clips import Clips
from speechmill.decide.decision import Mask

Kind = Literal["doubtful", "random", "reason"]
COUNT = 200  # clips of a queue, where none is given
FINAL = (Reason.LICENCE, Reason.AI_GENERATED, Reason.REMOVED, Reason.INTERNAL_ERROR)  # whatever people decide
_NAME = re.compile(r"(?P<kind>doubtful|random)(:(?P<count>[1-9][0-9]*))?|reason:(?P<reason>[a-z0-9_]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue as it was asked for. `count` is the most clips in it, None for all; `reason` is of a `reason` queue."""

    name: str
    kind: Kind
    count: int | None = None
    reason: str = ""


def parse(name: str) -> Queue:
    """Read a queue. Raises ConfigError that names the three kinds.

    >>> parse("random:50").count, parse("doubtful").count, parse("reason:music").reason
    (50, 200, 'music')
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ConfigError(f"queue: {name!r} is none; give doubtful, doubtful:100, random:200 or reason:music")
    if match["reason"]:
        return Queue(name=name, kind="reason", reason=match["reason"])
    kind: Kind = "random" if match["kind"] == "random" else "doubtful"
    return Queue(name=name, kind=kind, count=int(match["count"] or COUNT))


def clip_ids(queue: Queue, clips: Clips) -> list[str]:
    """The clips of a queue, in order.

    `doubtful` begins with the clips that are nearest to what would decide the other way, kept or rejected. `random` is
    drawn from all clips that people can decide about, evenly and always the same ones. `reason` begins with the clips
    nearest to the threshold. Raises ConfigError for a reason by which no clip was rejected.
    """
    ids = list(clips.row)
    if queue.kind == "random":
        drawn = sorted((ids[at] for at in np.flatnonzero(_open(clips))), key=_draw)
        return drawn[: queue.count]
    if queue.kind == "reason" and not clips.reasons.get(queue.reason, np.zeros(0, bool)).any():
        known = ", ".join(sorted(reason for reason, failing in clips.reasons.items() if failing.any())) or "none"
        raise ConfigError(f"queue: no clip was rejected for {queue.reason!r}; reasons here: {known}")
    doubt = _doubt(clips)
    chosen = clips.reasons[queue.reason] & clips.shown if queue.kind == "reason" else _open(clips) & np.isfinite(doubt)
    rows = np.flatnonzero(chosen)
    return [ids[at] for at in rows[np.argsort(doubt[rows], kind="stable")][: queue.count]]


def _open(clips: Clips) -> Mask:
    """Whether each clip is in the page, and people can decide about it: bool[clips]."""
    closed = [clips.reasons[reason] for reason in FINAL if reason in clips.reasons]
    mask: Mask = ~np.logical_or.reduce([~clips.shown, *closed])
    return mask


def _doubt(clips: Clips) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Distance of each clip to the threshold that decides about it, float64[clips]; infinite where none does."""
    margins = np.where(np.isnan(clips.margins), np.inf, clips.margins).astype(np.float64)
    nearest = margins.min(axis=1, initial=np.inf)
    is_by_threshold = clips.kept | (nearest < 0)
    return np.where(is_by_threshold, np.abs(nearest), np.inf)


def _draw(clip_id: str) -> str:
    return hashlib.sha256(f"review {clip_id}".encode()).hexdigest()
