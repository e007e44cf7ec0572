"""Decides about all groups of a corpus, and which recordings are held out: no speaker and no text is in both splits.

Separation has to leave something to hold out. Where recordings that share any passage make groups too large for the
validation split, only those are kept apart most of whose text others have too.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import Build
from speechmill.decide.shared_texts import Indices, SharedText, linked
from speechmill.decide.splits import TRAIN, VALIDATION, split_of
from speechmill.publish import speakers
from speechmill.publish.decided import DecidedGroup, Duplicates, decide_group
from speechmill.publish.groups import Group
from speechmill.publish.tables import PASSAGES, read_clips
from speechmill.speakers.split import validation
from speechmill.stages import ASSESS
from speechmill.text.passages import Keys

ENOUGH = 0.5  # of the share to hold out: with less than that, fewer recordings are kept apart
NOTHING_LEFT = "nothing_left"  # in place of a SharedText: texts leave nothing to hold out, of which there is some

Links = list[tuple[str, str]]  # recording_id and label of a group of recordings with common texts


class Splitting:
    """The decisions about all groups; iterating repeats them group by group, with speakers and splits."""

    def __init__(self, duplicates: Mapping[Group, Duplicates], build: Build) -> None:
        self._duplicates, self._build = duplicates, build
        self._texts = Texts(build)
        self._assigned: speakers.Assigned | None = None
        self._held_out: frozenset[str] | None = None
        self.shared: str | None = None
        """What was kept apart by text: a SharedText or NOTHING_LEFT; None where texts do not matter."""
        if build.runs("speakers"):
            self._assigned = speakers.assign(self._texts.gather(self._decide()), self._by_speaker, build)
        elif self._texts.are_wanted and may_share_texts(duplicates, build):
            self._held_out = self._by_hash(
                [one for decided in self._texts.gather(self._decide()) for one in _ids(decided)]
            )
        elif self._texts.are_wanted:
            self.shared = SharedText.ANY

    def __iter__(self) -> Iterator[DecidedGroup]:
        for decided in self._decide():
            if self._assigned is not None:
                self._assigned.add_to(decided)
            elif self._held_out is not None:
                decided.splits = [VALIDATION if name in self._held_out else TRAIN for name in _ids(decided)]
            yield decided

    def _decide(self) -> Iterator[DecidedGroup]:
        return (decide_group(group, of_group, self._build) for group, of_group in self._duplicates.items())

    def _by_speaker(self, recordings: list[str], speaker_ids: list[str]) -> frozenset[str]:
        """Recordings of the validation split, of the recording and the speaker of each clip."""
        share = self._build.config.publish.validation_share
        return self._choose(lambda links: frozenset(validation(recordings, speaker_ids, share=share, links=links)))

    def _by_hash(self, recordings: list[str]) -> frozenset[str]:
        """Recordings of the validation split by hash: those with common texts by that of the first of them."""
        share, clips = self._build.config.publish.validation_share, self._texts.clips

        def hold_out(links: Links) -> frozenset[str]:
            members: dict[str, list[str]] = defaultdict(list)
            for name, label in links:
                members[label].append(name)
            split = {name: split_of(name, share) for name in recordings}
            for group in members.values():
                fits = sum(clips[name] for name in group) <= share * sum(clips.values())
                split |= dict.fromkeys(group, split[min(group)] if fits else TRAIN)
            return frozenset(name for name, own in split.items() if own == VALIDATION)

        return self._choose(hold_out)

    def _choose(self, hold_out: Callable[[Links], frozenset[str]]) -> frozenset[str]:
        """The recordings to hold out, with as much separation of texts as leaves enough of them."""
        if not self._texts.are_wanted:
            return hold_out([])
        clips = self._texts.clips
        enough = ENOUGH * self._build.config.publish.validation_share * sum(clips.values())
        chosen, most = frozenset[str](), -1
        for shared in (SharedText.ANY, SharedText.MOST):
            held_out = hold_out(self._texts.links(shared))
            size = sum(clips[name] for name in held_out)
            if size > most:
                chosen, most, self.shared = held_out, size, shared
            if size >= enough:
                break
        if not most and any(clips[name] for name in hold_out([])):
            self.shared = NOTHING_LEFT
        return chosen


class Texts:
    """Passages of the kept clips of a corpus: some seven for each clip, 12 bytes each."""

    def __init__(self, build: Build) -> None:
        self._build = build
        publish = build.config.publish
        self.are_wanted = publish.separate_texts and publish.validation_share > 0 and build.runs(ASSESS.name)
        self.clips: dict[str, int] = {}
        """Number of kept clips of each recording, by recording_id."""
        self._keys, self._recordings = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)]

    def gather(self, groups: Iterable[DecidedGroup]) -> Iterator[DecidedGroup]:
        """Pass groups on, and take over the passages of their kept clips."""
        for decided in groups:
            if self.are_wanted:
                self._add(decided)
            yield decided

    def _add(self, decided: DecidedGroup) -> None:
        kept, first = decided.decision.kept, len(self.clips)
        recording = decided.recording[kept]
        counts = np.bincount(recording, minlength=len(decided.recordings))
        self.clips |= dict(zip(_ids(decided), counts.tolist(), strict=True))
        lists = read_clips(decided.group, self._build, [PASSAGES.name], decided.rows[kept])[PASSAGES.name]
        keys, recordings = _passages(lists, first + recording)
        self._keys.append(keys)
        self._recordings.append(recordings)

    def links(self, shared: SharedText) -> Links:
        """The recordings that are linked by texts, each with a label of its group."""
        names = list(self.clips)
        members, labels = linked(np.concatenate(self._keys), np.concatenate(self._recordings), shared)
        return [(names[at], f"text {label}") for at, label in zip(members.tolist(), labels.tolist(), strict=True)]


def may_share_texts(groups: Iterable[Group], build: Build) -> bool:
    """Whether any two recordings have a passage in common, kept or not: else nothing has to be decided for it."""
    every, first = [(np.zeros(0, np.int64), np.zeros(0, np.int32))], 0
    for group in groups:
        clips = read_clips(group, build, ["recording", PASSAGES.name])
        recordings = first + clips["recording"].to_numpy()
        every.append(_passages(clips[PASSAGES.name], recordings))
        first = int(recordings.max(initial=first)) + 1
    keys, owners = (np.concatenate(parts) for parts in zip(*every, strict=True))
    return len(linked(keys, owners, SharedText.ANY)[0]) > 0


def _passages(lists: pa.ChunkedArray, recordings: Indices) -> tuple[Keys, Indices]:
    """Passages of clips one after another, and the recording of each, given that of each clip."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    return pc.list_flatten(lists).to_numpy(), np.repeat(recordings, lengths).astype(np.int32)


def _ids(decided: DecidedGroup) -> list[str]:
    return [recording.recording_id for recording in decided.recordings]
