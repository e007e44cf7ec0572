"""How many clips a model gets at a time: a CPU so many clips, a GPU so much audio; each clip once, in order."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speechmill.core.build import Build
from speechmill.stages.base import Clips, ClipStage, Row

from tests.media import RATE, a_build


class Counting(ClipStage):
    """Says which clips came together."""

    name = "counting"
    artifact = pa.schema([pa.field("clip_id", pa.string())])
    clips_at_a_time = 3
    seconds_at_a_time = 20.0

    def rows(self, clips: Clips, build: Build) -> list[Row]:
        return [{"clip_id": clip_id} for clip_id in clips]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return a_build(tmp_path_factory.mktemp("corpus"), audio={"sample_rate": RATE})


def parts(seconds: list[int], build: Build) -> Iterator[list[int]]:
    """Lengths of the clips that came together."""
    clips = {str(at): np.zeros(length * RATE, np.int16) for at, length in enumerate(seconds)}
    for rows in Counting().in_parts(clips, build):
        yield [seconds[int(row["clip_id"])] for row in rows]


@given(st.lists(st.integers(1, 30), max_size=30))
def test_a_gpu_gets_audio_and_a_cpu_gets_clips(build: Build, seconds: list[int]) -> None:
    on_cpu, on_gpu = (list(parts(seconds, replace(build, device=device))) for device in ("cpu", "cuda"))
    for found in (on_cpu, on_gpu):
        assert [length for part in found for length in part] == seconds
    assert all(len(part) == 3 for part in on_cpu[:-1])
    assert all(sum(part) <= 20 or len(part) == 1 for part in on_gpu)
    fuller = pairwise(on_gpu)
    assert all(sum(part) + following[0] > 20 for part, following in fuller), "what still fits is taken"
