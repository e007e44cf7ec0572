"""Splits recordings into training and validation, so that no speaker and no recording is in both."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np


def groups(recordings: Sequence[str], speakers: Sequence[str]) -> list[list[str]]:
    """Connected groups of recordings that share speakers, directly or through others.

    `recordings` and `speakers` are those of each clip. Each group is sorted, and groups are in order of their first.
    """
    from scipy.sparse import coo_array  # slow to import
    from scipy.sparse.csgraph import connected_components

    names, recording_of_clip = np.unique(np.asarray(recordings, np.str_), return_inverse=True)
    speaker_names, speaker_of_clip = np.unique(np.asarray(speakers, np.str_), return_inverse=True)
    size = len(names) + len(speaker_names)
    links = coo_array(
        (np.ones(len(recording_of_clip)), (recording_of_clip, len(names) + speaker_of_clip)), shape=(size, size)
    )
    _, labels = connected_components(links, directed=False)
    members = defaultdict(list)
    for name, label in zip(names.tolist(), labels.tolist(), strict=False):
        members[label].append(name)
    return sorted(members.values())


def validation(
    recordings: Sequence[str], speakers: Sequence[str], *, share: float, seed: int = 0,
    links: Sequence[tuple[str, str]] = (),
) -> set[str]:  # fmt: skip
    """Choose the recordings of the validation split: whole groups with at most `share` of the clips.

    Groups are ordered by a hash of `seed` and their first recording, and taken while they fit, so that the split
    changes little when a corpus grows. The largest group is never held out. Empty where no other group is small enough:
    where one speaker, such as the host of a podcast, is in every recording, nothing can be held out.

    Args:
        recordings: Recording of each clip.
        speakers: Speaker of each clip.
        share: Largest share of the clips to hold out, 0 to 1.
        seed: Changes the order of the groups.
        links: Recordings, and a name that those have in common which must not be parted either.
    """
    clips = Counter(recordings)
    own = [link for link in links if link[0] in clips]
    related = groups([*recordings, *(name for name, _ in own)], [*speakers, *(label for _, label in own)])
    ordered = sorted(related, key=lambda group: _position(seed, group[0]))
    sizes = [sum(clips[name] for name in group) for group in ordered]
    largest = max(range(len(ordered)), key=lambda at: sizes[at], default=-1)
    room, chosen = share * len(recordings), set[str]()
    for at, group in enumerate(ordered):
        if at != largest and sizes[at] <= room:
            chosen.update(group)
            room -= sizes[at]
    return chosen


def _position(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
