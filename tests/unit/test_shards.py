"""Which clip goes to which shard is decided by sizes and hashes alone."""

from hypothesis import given
from hypothesis import strategies as st
from speechmill.core.config import Publish, RunConfig
from speechmill.core.records import Recording
from speechmill.decide.splits import split_of
from speechmill.publish.ledger import Judgement
from speechmill.publish.shards import plan


class _Build:
    """Of a build the plan looks at the config only."""

    def __init__(self, publish: Publish) -> None:
        self.config = RunConfig(publish=publish)


def judgements(sizes: list[list[int]]) -> list[Judgement]:
    return [
        Judgement(
            Recording(recording_id=f"{i:03}", source="local", media_url=str(i)),
            [{"decision": "kept", "flac_bytes": size} for size in of_one],
            [],
            split_of(f"{i:03}", 0.3),
        )
        for i, of_one in enumerate(sizes)
    ]


@given(st.lists(st.lists(st.integers(1, 900_000), max_size=8), max_size=8))
def test_every_clip_is_in_one_shard_in_order_within_the_limit(sizes: list[list[int]]) -> None:
    limit = 1_000_000
    shards = plan(judgements(sizes), _Build(Publish(shard_bytes=limit, validation_share=0.3)))  # type: ignore[arg-type]
    placed: list[tuple[str, int]] = []
    for name, shard in shards.items():
        clips = [(recording, at) for recording, first, last in shard.parts for at in range(first, last)]
        assert clips == sorted(clips)
        assert shard.bytes == sum(sizes[int(recording)][at] for recording, at in clips) <= limit
        assert all(name.startswith(f"data/{split_of(recording, 0.3)}-") for recording, _ in clips)
        placed += clips
    assert sorted(placed) == [(f"{i:03}", at) for i, of_one in enumerate(sizes) for at in range(len(of_one))]
    assert len(placed) == len(set(placed))


def test_a_recording_stays_in_its_split_as_the_corpus_grows() -> None:
    share = sum(split_of(str(i), 0.1) == "validation" for i in range(5_000)) / 5_000
    assert 0.08 < share < 0.12
    assert all(split_of(str(i), 0.2) == "validation" for i in range(500) if split_of(str(i), 0.1) == "validation")
