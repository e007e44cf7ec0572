"""Which recordings share texts, so that none is in both splits: two readers of a book, or a sentence read twice."""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from speechmill.text.passages import Keys

MOST_OF_TEXT = 0.5  # share of the passages of a recording that others have too, in SharedText.MOST

Indices = npt.NDArray[np.int32]


class SharedText(StrEnum):
    """Which recordings are linked by their texts."""

    ANY = "any"  # that share any passage
    MOST = "most"  # most of whose passages others have too: not for a greeting, or the credits of a series
    NONE = "none"


def linked(keys: Keys, recordings: Indices, shared: SharedText) -> tuple[Indices, Indices]:
    """Recordings that are linked by their texts, directly or through others.

    Args:
        keys: Keys of passages, int64[n], see text/passages.py.
        recordings: Recording that has each passage, int32[n].
        shared: What links them.

    Returns:
        Numbers of the linked recordings, sorted, and the label of the group of each: int32[m] each.

    >>> keys = np.array([11, 12, 11, 13, 14], np.int64)
    >>> linked(keys, np.array([0, 0, 2, 2, 1], np.int32), SharedText.ANY)
    (array([0, 2], dtype=int32), array([0, 0], dtype=int32))
    """
    from scipy.sparse import coo_array  # slow to import
    from scipy.sparse.csgraph import connected_components

    pairs = np.unique(np.stack([keys, recordings.astype(np.int64)], axis=1), axis=0) if len(keys) else None
    if pairs is None or shared is SharedText.NONE:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    names, key, counts = np.unique(pairs[:, 0], return_inverse=True, return_counts=True)
    recording, is_shared = pairs[:, 1], counts[key] > 1
    if shared is SharedText.MOST:
        passages, own = np.bincount(recording), np.bincount(recording, weights=is_shared)
        is_shared &= (own >= MOST_OF_TEXT * passages)[recording]
    key, recording = key[is_shared], recording[is_shared]
    size = len(names) + int(pairs[:, 1].max()) + 1
    links = coo_array((np.ones(len(key), bool), (key, len(names) + recording)), shape=(size, size))
    _, labels = connected_components(links, directed=False)
    members = np.unique(recording)
    _, group = np.unique(labels[len(names) + members], return_inverse=True)
    return members.astype(np.int32), group.astype(np.int32)
