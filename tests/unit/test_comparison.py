"""Comparing contents in one process, in parts and in steps, finds what comparing all in memory finds."""

import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from speechmill.core.build import STOP_FILE, Build
from speechmill.core.records import FINGERPRINT_ARTIFACT, stable_id
from speechmill.stages import DEDUP, comparison
from speechmill.stages.comparison import compare, is_current
from speechmill.stages.dedup import BucketSpreader, Matches, find_matches
from speechmill.stages.work import WorkItem

from tests.media import a_build

CONTENTS, LANDMARKS, HASHES = 12, 60, 150  # hashes are few, so that many contents share some


def content(number: int, build: Build, *, allowed: bool = True) -> WorkItem:
    """An item whose landmarks are stored; every third comes long before the others of its time."""
    content_id = stable_id("content", str(number)) * 2
    rng = np.random.default_rng(number)
    clips = np.sort(rng.integers(0, 4, LANDMARKS)).astype(np.int32)
    columns = [rng.integers(0, HASHES, LANDMARKS, np.uint64), clips, rng.integers(0, 900, LANDMARKS).astype(np.int32)]
    build.store.write_table(build.artifact("fingerprint", content_id), pa.table(columns, schema=FINGERPRINT_ARTIFACT))
    year = 2000 + number - (90 if number % 3 == 0 else 0)
    order = (str(year), "000000001", str(number), str(number))
    return WorkItem(
        recording_id=str(number), content_id=content_id, media="", is_local=True, allowed=allowed, order=order
    )


def as_lists(matches: tuple[Matches, ...]) -> list[tuple]:
    return sorted((one.order, one.content_id, sorted(one.votes.tolist())) for one in matches if one.votes.size)


def in_memory(works: list[WorkItem], build: Build) -> dict[str, list[tuple]]:
    """Matches by content, as the shuffles of a cluster find them."""
    spreader, buckets, found = BucketSpreader(), defaultdict(list), defaultdict[str, dict](dict)
    for work in works:
        spreader.add(work, build)
    for number, part in spreader.spread():
        buckets[number].append(part)
    for bucket in buckets.values():
        for later, match in find_matches(bucket):
            found[later].setdefault((match.order, match.content_id), []).extend(match.votes.tolist())
    return {
        work.content_id: sorted((*key, sorted(votes)) for key, votes in found[work.content_id].items())
        for work in works
    }


class Stored:
    """What a corpus holds of matches: those of the last comparison of each content."""

    def __init__(self, build: Build) -> None:
        self.build, self.matches = build, dict[str, list[tuple]]()

    def step(self, works: list[WorkItem], *, is_whole: bool) -> int:
        """Compare; returns how many contents were compared."""
        compared, seen = 0, list[str]()
        for item in compare(works, self.build, is_whole=is_whole):
            seen.append(item.work.content_id)
            if item.matches is not None:
                compared += 1
                self.matches[item.work.content_id] = as_lists(item.matches)
                name = self.build.artifact("dedup", item.work.content_id)
                self.build.store.write_table(name, DEDUP.artifact.empty_table())
        assert sorted(seen) == sorted(work.content_id for work in works), "every item comes out once"
        return compared


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    monkeypatch.setattr(comparison, "PART_BYTES", 3_000)  # several files
    yield a_build(tmp_path)
    assert not list(tmp_path.glob("**/tmp?*/*")), "nothing is left on the disk"


def test_in_parts_is_as_in_memory(build: Build) -> None:
    works = [content(number, build, allowed=number != 5) for number in range(CONTENTS)]
    stored = Stored(build)
    assert comparison._part_count(build) > 3
    assert stored.step(works, is_whole=True) == CONTENTS
    assert stored.matches == in_memory(works, build)
    assert sum(map(len, stored.matches.values())) > CONTENTS, "there is something to find"


def test_nothing_is_compared_where_nothing_is_new(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    works = [content(number, build) for number in range(CONTENTS)]
    stored = Stored(build)
    assert not is_current(works, build)
    stored.step(works, is_whole=True)
    assert is_current(works, build)
    monkeypatch.setattr(comparison, "_landmarks", None)
    assert stored.step(works, is_whole=True) == 0


@pytest.mark.parametrize("seed", range(6))
def test_in_steps_is_as_at_once(build: Build, seed: int) -> None:
    """Contents that come in any order, as whole corpora or as waves of one that a last comparison completes."""
    works = [content(number, build) for number in range(CONTENTS)]
    random.Random(seed).shuffle(works)
    stored, is_whole = Stored(build), seed % 2 == 0
    for begin in range(0, CONTENTS, 3):
        stored.step(works[: begin + 3] if is_whole else works[begin : begin + 3], is_whole=is_whole)
    assert stored.step(works, is_whole=True) < CONTENTS or is_whole
    assert stored.matches == in_memory(works, build)


def test_newer_contents_are_compared_alone(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    works = sorted((content(number, build) for number in range(CONTENTS)), key=lambda work: work.order)
    stored = Stored(build)
    stored.step(works[:-2], is_whole=True)
    assert stored.step(works, is_whole=True) == 2
    assert stored.matches == in_memory(works, build)


def test_hashes_that_are_too_many_to_be_kept_change_nothing(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "MOST_HASHES", 10)
    works = [content(number, build) for number in range(CONTENTS)]
    stored = Stored(build)
    for count in (4, 7, CONTENTS):
        stored.step(works[:count], is_whole=True)
        assert stored.matches == in_memory(works[:count], build)


def test_what_is_gone_or_moved_makes_all_be_compared(build: Build) -> None:
    works = [content(number, build) for number in range(CONTENTS)]
    stored = Stored(build)
    stored.step(works, is_whole=True)
    assert stored.step(works[1:], is_whole=True) == CONTENTS - 1
    expected = in_memory(works[1:], build)
    assert {key: value for key, value in stored.matches.items() if key in expected} == expected
    moved = [content(1, build, allowed=False), *works[2:]]
    assert stored.step(moved, is_whole=True) == CONTENTS - 1
    assert {key: stored.matches[key] for key in expected} == in_memory(moved, build)


def test_a_lost_or_damaged_note_costs_only_time(build: Build) -> None:
    works = [content(number, build) for number in range(CONTENTS)]
    stored = Stored(build)
    stored.step(works, is_whole=True)
    build.store.write_text(comparison._name(build), "no table")
    assert stored.step(works, is_whole=True) == CONTENTS
    build.store.remove(build.artifact("dedup", works[3].content_id))
    assert stored.step(works, is_whole=True) == 1


def test_a_comparison_that_stops_is_done_again(build: Build) -> None:
    works = [content(number, build) for number in range(CONTENTS)]
    build.store.write_text(STOP_FILE, "")
    assert list(compare(works, build, is_whole=True)) == []
    build.store.remove(STOP_FILE)
    assert Stored(build).step(works, is_whole=True) == CONTENTS
