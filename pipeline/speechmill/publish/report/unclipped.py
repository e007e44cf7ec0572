"""Chooses utterances that became no clip, too short or too long for one, of which the stage `segment` stored the sound.

They show whether the limits of length, or the profile, lose speech that one would like to have.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nsmallest

import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import Build
from speechmill.core.records import Recording, SpanKind
from speechmill.decide.licences import reasons_by_licence
from speechmill.publish.decided import DecidedGroup
from speechmill.publish.sounds import read_example
from speechmill.publish.stats import non_clip_spans
from speechmill.stages.segment import EXAMPLE_KINDS, EXAMPLES

MOST = 3  # of each kind
TRIED = 10  # of each kind, of which those that an older version cut have no sound
MOST_BYTES = 1_000_000  # of FLAC in all


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """An utterance that became no clip: [start, end) in samples of a recording."""

    kind: SpanKind
    start: int
    end: int
    recording: Recording


class Unclipped:
    """Collects the utterances of each kind that are nearest to the limit they miss, group by group."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._nearest: dict[SpanKind, list[Utterance]] = {kind: [] for kind in EXAMPLE_KINDS}

    def through(self, groups: Iterable[DecidedGroup]) -> Iterator[DecidedGroup]:
        """Pass groups on, and collect their utterances."""
        for decided in groups:
            found = list(self._utterances(decided))
            for kind, nearest in self._nearest.items():
                own = [one for one in found if one.kind is kind]
                self._nearest[kind] = nsmallest(TRIED, [*nearest, *own], key=_distance)
            yield decided

    def _utterances(self, decided: DecidedGroup) -> Iterator[Utterance]:
        """Utterances of which `segment` stores the sound, in recordings that may be published."""
        spans, seen = non_clip_spans(decided, self._build), Counter[tuple[int, str]]()
        spans = spans.filter(pc.is_in(spans["kind"], value_set=pa.array(EXAMPLE_KINDS, pa.string())))
        for row in spans.to_pylist():
            recording, kind = decided.recordings[row["recording"]], SpanKind(row["kind"])
            seen[row["recording"], kind] += 1
            if seen[row["recording"], kind] <= EXAMPLES and self._may_be_heard(recording):
                yield Utterance(kind=kind, start=row["start"], end=row["end"], recording=recording)

    def _may_be_heard(self, recording: Recording) -> bool:
        rules = self._build.config.licences
        return not reasons_by_licence(recording.licence, rules, ai_generated=recording.ai_generated)

    def sounds(self, most_bytes: int = MOST_BYTES) -> dict[str, list[tuple[Utterance, bytes]]]:
        """Utterances of each kind with the FLAC of their first seconds, MOST of a kind and `most_bytes` in all."""
        chosen: dict[str, list[tuple[Utterance, bytes]]] = {}
        for kind, nearest in self._nearest.items():
            for utterance in nearest:
                flac = read_example(utterance.recording.content_id or "", utterance.start, self._build)
                if flac and len(flac) <= most_bytes and len(chosen.get(kind, [])) < MOST:
                    most_bytes -= len(flac)
                    chosen.setdefault(kind, []).append((utterance, flac))
        return chosen


def _distance(utterance: Utterance) -> tuple[int, str, int]:
    """Sort key: the longest of those that are too short come first, and the shortest of those that are too long."""
    samples = utterance.end - utterance.start
    far = -samples if utterance.kind is SpanKind.TOO_SHORT else samples
    return far, utterance.recording.recording_id, utterance.start
