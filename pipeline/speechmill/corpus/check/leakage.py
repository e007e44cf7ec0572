"""What of a corpus lies in several of its splits: sounds, texts, speakers.

A model that is tested on what it has learnt does better than it is. Sounds and texts of a held-out split that train has
too are reasons to leave them out; speakers are counted only, since many corpora share them on purpose.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from speechmill.core.reasons import Reason
from speechmill.corpus.check.items import TRAIN
from speechmill.corpus.check.verdicts import Verdict
from speechmill.text.passages import Keys, passage_keys

SOUND_IN_TRAIN, TEXT_IN_TRAIN = "sound_in_train", "text_in_train"
MOST_OF_TEXT = 0.5  # share of the keys of a text that train has too, from which on it counts as read in train
MOST_NAMED = 10


def add_leaks(verdicts: Sequence[Verdict]) -> None:
    """Add SOUND_IN_TRAIN and TEXT_IN_TRAIN to the reasons of items of other splits.

    Of a sound that train and another split have, that of train is kept, whichever the run took for the duplicate.
    """
    train = [verdict for verdict in verdicts if verdict.item.split == TRAIN]
    held_out = [verdict for verdict in verdicts if verdict.item.split not in (None, TRAIN)]
    if not train or not held_out:
        return
    sounds = _sounds(verdicts)
    by_sound: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in train:
        if id(verdict) in sounds:
            by_sound[sounds[id(verdict)]].append(verdict)
    known_texts = _distinct(passage_keys(verdict.item.text) for verdict in train if verdict.item.text)
    for verdict in held_out:
        if copies := by_sound.get(sounds.get(id(verdict), "")):
            verdict.reasons.append(SOUND_IN_TRAIN)
            if all(Reason.DUPLICATE in copy.reasons for copy in copies):
                copies[0].reasons.remove(Reason.DUPLICATE)
        if verdict.item.text and _share(passage_keys(verdict.item.text), known_texts) >= MOST_OF_TEXT:
            verdict.reasons.append(TEXT_IN_TRAIN)


def _sounds(verdicts: Sequence[Verdict]) -> dict[int, str]:
    """Name of the sound of each item, by `id` of the item: the same for the same bytes, and for repeated clips."""
    content_of = {verdict.clip_id: verdict.content_id for verdict in verdicts if verdict.clip_id}
    of_file = {verdict.item.path: verdict.content_id for verdict in verdicts if verdict.content_id}
    named = {}
    for verdict in verdicts:
        own = verdict.content_id or of_file.get(verdict.item.path)  # of a file that is listed twice
        content = content_of.get(verdict.duplicate_of, own) if verdict.duplicate_of else own
        if content:
            named[id(verdict)] = content
    return named


def _distinct(keys: Iterator[Keys]) -> Keys:
    return np.unique(np.concatenate([np.zeros(0, np.int64), *keys]))


def _share(keys: Keys, known: Keys) -> float:
    """Share of the keys of a text that are known; 0 for a text without keys."""
    if not len(keys) or not len(known):
        return 0.0
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return float((known[places] == keys).mean())


def shared_speakers(verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    """Splits of each speaker who is in several, as the corpus names speakers."""
    return _shared((verdict.item.speaker, verdict.item.split) for verdict in verdicts)


def shared_voices(verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    """Splits of each voice that is in several, by the clustering of the run."""
    return _shared((verdict.voice, verdict.item.split) for verdict in verdicts)


def _shared(pairs: Iterator[tuple[str | None, str | None]]) -> dict[str, list[str]]:
    splits: dict[str, set[str]] = defaultdict(set)
    for name, split in pairs:
        if name is not None and split is not None:
            splits[name].add(split)
    return {name: sorted(own) for name, own in sorted(splits.items()) if len(own) > 1}
