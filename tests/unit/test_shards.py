"""Which clip goes to which shard is decided by sizes and hashes alone."""

from hypothesis import given
from hypothesis import strategies as st
from speechmill.decide.splits import split_of
from speechmill.publish.shards import _ranges


@given(st.lists(st.integers(1, 900_000), max_size=40))
def test_every_clip_is_in_one_shard_in_order_within_the_limit(sizes: list[int]) -> None:
    limit = 1_000_000
    ranges = list(_ranges(sizes, limit))
    assert [at for first, last in ranges for at in range(first, last)] == list(range(len(sizes)))
    assert all(sum(sizes[first:last]) <= limit for first, last in ranges)
    fuller = [sum(sizes[first:last]) + sizes[last] for first, last in ranges[:-1]]
    assert all(size > limit for size in fuller)


def test_a_recording_stays_in_its_split_as_the_corpus_grows() -> None:
    share = sum(split_of(str(i), 0.1) == "validation" for i in range(5_000)) / 5_000
    assert 0.08 < share < 0.12
    assert all(split_of(str(i), 0.2) == "validation" for i in range(500) if split_of(str(i), 0.1) == "validation")
