"""Chooses recordings to hold out, so that neither a speaker nor a recording is on both sides."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def groups(recordings: Sequence[str], speakers: Sequence[str]) -> list[list[str]]:
    """Recordings that share a speaker, directly or through others, each group sorted; of clips' recordings, speakers.

    Groups are in order of their smallest recording.
    """
    names, of_recording = np.unique(np.asarray(recordings, np.str_), return_inverse=True)
    voices, of_speaker = np.unique(np.asarray(speakers, np.str_), return_inverse=True)
    size = len(names) + len(voices)
    links = coo_array((np.ones(len(of_recording)), (of_recording, len(names) + of_speaker)), shape=(size, size))
    _, labels = connected_components(links, directed=False)
    found = defaultdict(list)
    for name, label in zip(names.tolist(), labels.tolist(), strict=False):
        found[label].append(name)
    return sorted(found.values())


def validation(recordings: Sequence[str], speakers: Sequence[str], *, share: float, seed: int = 0) -> set[str]:
    """Recordings to hold out: whole groups, at most `share` of the clips; [i] is clip i's recording and speaker.

    Groups come by a hash of `seed` and their smallest recording, and are taken while they fit. So what is held out
    changes little when a corpus grows. The largest group is never held out. Empty where no other group is as small as
    the share: where one speaker, as the host of a podcast, is everywhere, nothing can be held out.
    """
    clips = Counter(recordings)
    found = sorted(groups(recordings, speakers), key=lambda group: _position(seed, group[0]))
    sizes = [sum(clips[name] for name in group) for group in found]
    largest = max(range(len(found)), key=lambda at: sizes[at], default=-1)
    room, held = share * len(recordings), set[str]()
    for at, group in enumerate(found):
        if at != largest and sizes[at] <= room:
            held.update(group)
            room -= sizes[at]
    return held


def _position(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
