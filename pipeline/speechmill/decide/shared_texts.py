"""Which recordings share texts, so that none is in both splits: two readers of a book, or a sentence read twice."""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from speechmill.text.passages import Keys

MOST_OF_TEXT = 0.5  # share of the passages of a recording that others have too, in SharedText.MOST

Indices = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int64]


class SharedText(StrEnum):
    """Which recordings are linked by their texts."""

    ANY = "any"  # that share any passage
    MOST = "most"  # most of whose passages others have too: not for a greeting, or the credits of a series


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
    key, recording = _distinct(keys, recordings)
    is_shared = np.bincount(key, minlength=1)[key] > 1
    if shared is SharedText.MOST:
        passages, own = np.bincount(recording), np.bincount(recording, weights=is_shared)
        is_shared &= (own >= MOST_OF_TEXT * passages)[recording]
    if not is_shared.any():
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    members, member = np.unique(recording[is_shared], return_inverse=True)
    groups = _groups(key[is_shared], member.astype(np.int64))
    return members.astype(np.int32), groups.astype(np.int32)


def _distinct(keys: Keys, recordings: Indices) -> tuple[Numbers, Numbers]:
    """Number of the key, from 0, and the recording of each passage, every pair once; int64[m] each."""
    order = np.lexsort((recordings, keys))
    sorted_keys, recording = keys[order], recordings[order].astype(np.int64)
    is_new_key = np.diff(sorted_keys, prepend=sorted_keys[:1]) != 0
    is_new = is_new_key | (np.diff(recording, prepend=-1) != 0)
    return np.cumsum(is_new_key)[is_new], recording[is_new]


def _groups(key: Numbers, member: Numbers) -> Numbers:
    """Number of the group, from 0, of each member; a member is in one group with all that have a key of its own."""
    from scipy.sparse import coo_array  # slow to import
    from scipy.sparse.csgraph import connected_components

    members, size = int(member.max()) + 1, int(member.max()) + int(key.max()) + 2
    links = coo_array((np.ones(len(key), bool), (members + key, member)), shape=(size, size))
    _, labels = connected_components(links, directed=False)
    _, groups = np.unique(labels[:members], return_inverse=True)
    return groups.astype(np.int64)
