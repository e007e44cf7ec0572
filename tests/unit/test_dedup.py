"""What contents have in common travels to the later one, whatever order they come in."""

import numpy as np
import pyarrow as pa
import pytest
from speechmill.core.records import FINGERPRINT_ARTIFACT
from speechmill.stages.dedup import BUCKETS, CLIP_BITS, LANDMARK, BucketLandmarks, BucketSpreader, Matches, find_matches
from speechmill.stages.work import WorkItem


def sound(name: str, landmarks: list[tuple[int, int, int]], published: str = "2024") -> BucketLandmarks:
    rows = [(value, 0, clip, frame) for value, clip, frame in landmarks]
    return BucketLandmarks(contents=((("0", published, name, name), name),), landmarks=np.array(rows, LANDMARK))


def told(votes: list[tuple[str, Matches]]) -> list[tuple]:
    return [(later, one.content_id, one.votes.tolist()) for later, one in votes]


def test_a_vote_goes_to_the_later_content_and_names_clips_within_both() -> None:
    first = sound("first", [(7, 3, 100), (8, 3, 120)])
    again = sound("again", [(8, 5, 20), (9, 5, 40), (7, 5, 0)], published="2025")
    for order in ([first, again], [again, first]):
        ((later, earlier, votes),) = told(list(find_matches(order)))
        assert (later, earlier) == ("again", "first")
        assert sorted(votes) == [(5, 3, 0, 100), (5, 3, 20, 100)]


def test_a_content_may_repeat_itself() -> None:
    ((later, earlier, votes),) = told(list(find_matches([sound("one", [(7, 0, 10), (7, 4, 15)])])))
    assert (later, earlier, votes) == ("one", "one", [(4, 0, 15, -5)])


def test_clips_of_many_contents_are_told_apart() -> None:
    """More contents than a number of 32 bits could hold beside the number of a clip."""
    count = (1 << (32 - CLIP_BITS)) + 5
    sounds = [sound(f"{number:05}", [(number // 2, (1 << CLIP_BITS) - 1, 1)]) for number in range(count)]
    found = told(list(find_matches(sounds)))
    assert len(found) == count // 2
    assert all(int(later) == int(earlier) + 1 for later, earlier, _ in found)
    assert {votes[0][0] for _, _, votes in found} == {(1 << CLIP_BITS) - 1}


def test_nothing_in_common_is_no_vote() -> None:
    assert list(find_matches([sound("a", [(1, 0, 0)]), sound("b", [(2, 0, 0)])])) == []
    assert list(find_matches([sound("a", [(1, 0, 0), (1, 0, 9)])])) == [], "a clip does not repeat itself"


class _Stored:
    """The artifact of one content."""

    def __init__(self, table: pa.Table) -> None:
        self.store, self._table = self, table

    def artifact(self, stage: str, content_id: str) -> str:
        return content_id

    def read(self, name: str) -> pa.Table:
        return self._table


@pytest.mark.parametrize("count", [0, 1, 10_000])
def test_every_landmark_goes_to_the_bucket_of_its_hash(count: int) -> None:
    hashes = np.random.default_rng(1).integers(0, 2**61, count, np.uint64)
    table = pa.table([hashes, np.arange(count, dtype=np.int32), np.zeros(count, np.int32)], schema=FINGERPRINT_ARTIFACT)
    spreader = BucketSpreader()
    for name, allowed in (("one", True), ("two", False)):
        work = WorkItem(
            recording_id="r", content_id=name, media="", is_local=True, allowed=allowed, order=("a", "b", "c")
        )
        spreader.add(work, _Stored(table))  # type: ignore[arg-type]
    found = dict(spreader.spread())
    assert sum(one.landmarks.size for one in found.values()) == 2 * count
    for bucket, one in found.items():
        assert set(one.landmarks["hash"] % BUCKETS) == {bucket}
        assert one.contents == ((("0", "a", "b", "c"), "one"), (("1", "a", "b", "c"), "two"))
    clips = [clip for one in found.values() for clip in one.landmarks["clip"].tolist()]
    assert sorted(clips) == sorted([*range(count)] * 2)
    assert not dict(spreader.spread()), "spread twice"
