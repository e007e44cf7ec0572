"""Ids of the clips that the report's table holds: of a very large corpus some clips, and of ids their first digits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_CLIPS = 200_000
MOST_WHOLE_IDS = 50_000  # clips; past them the first ID_BYTES of a clip_id have to do
ID_BYTES = 8


def share_in_table(clips: int, *, most: int = MOST_CLIPS) -> float:
    """Share of the clips of a corpus that its table holds, in (0, 1]."""
    return min(1.0, most / max(clips, 1))


def in_table(clip_ids: Sequence[str], share: float) -> npt.NDArray[np.bool_]:
    """Whether the table holds each clip, bool[clips], if it holds this share of all."""
    mask: npt.NDArray[np.bool_] = id_bytes(clip_ids)[:, :4].copy().view(">u4").ravel() < share * 2**32
    return mask


def id_bytes(clip_ids: Sequence[str]) -> npt.NDArray[Any]:
    """Ids of hexadecimal digits as uint8[clips, bytes]."""
    joined = bytes.fromhex("".join(clip_ids))
    return np.frombuffer(joined, np.uint8).reshape(len(clip_ids), -1) if clip_ids else np.zeros((0, 16), np.uint8)
