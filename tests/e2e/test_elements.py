"""What passes between steps of the graph is small, on any runner: Dataflow takes elements of a megabyte or so."""

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from speechmill.core.config_file import load
from speechmill.core.records import FINGERPRINT_ARTIFACT
from speechmill.core.state import stored_config
from speechmill.core.store import Store
from speechmill.fetch import model_folder
from speechmill.runner.beam import graph, make_graph
from speechmill.stages.dedup import BucketSpreader, find_matches
from speechmill.stages.known import write_index
from speechmill.stages.profiles import plan_build
from speechmill.stages.work import WorkItem

MAX_BYTES = 1_000_000
DAY_LANDMARKS = 24 * 3600 * 28  # of the longest recording
SIZES: dict[str, int] = {}  # largest element, by step


class _Outputs(PipelineVisitor):
    """The outputs of all steps but groupings, whose values are read one by one."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Any]] = []

    def visit_transform(self, node: AppliedPTransform) -> None:
        if not isinstance(node.transform, beam.GroupByKey):
            self.found += [(node.full_label, output) for output in node.outputs.values()]


def note(element: Any, name: str) -> None:
    SIZES[name] = max(SIZES.get(name, 0), len(pickle.dumps(element)))


def artifacts(corpus: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (corpus / "work/dedup").rglob("*.parquet")}


@pytest.fixture
def copy(corpus: Path, tmp_path: Path) -> Path:
    """A corpus whose duplicates are to be found again."""
    shutil.copytree(corpus, tmp_path / "corpus")
    (tmp_path / "corpus/run.json").unlink()
    return tmp_path / "corpus"


def test_elements_are_small_and_shuffles_find_the_same(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph of a cluster, with a step beside each that measures what comes out of it."""
    monkeypatch.setattr(graph, "is_on_other_machines", lambda _: True)
    before = artifacts(copy)
    shutil.rmtree(copy / "work/dedup")
    build = plan_build(load(base=stored_config(str(copy), required=True)), Store(str(copy)), find_model=model_folder)
    write_index(build)
    pipeline, outputs = make_graph(build), _Outputs()
    pipeline.visit(outputs)
    for number, (name, output) in enumerate(outputs.found):
        output | f"size {number}" >> beam.Map(note, name)
    pipeline.run().wait_until_finish()
    seen = {name.rpartition("/")[2] for name in SIZES}
    expected = ("list", "distinct", "fetch", "primary", "segment", "buckets", "store", "tokenise", "publish")
    assert seen.issuperset(expected)
    assert {name: size for name, size in SIZES.items() if size > MAX_BYTES} == {}
    assert artifacts(copy) == before


class _Day:
    """A day of landmarks, as of the longest recording, for each of two contents."""

    store = property(lambda self: self)

    def artifact(self, stage: str, content_id: str) -> str:
        return content_id

    def read(self, name: str) -> pa.Table:
        hashes = np.random.default_rng(1).integers(0, 2**61, DAY_LANDMARKS, np.uint64)
        clips = np.arange(DAY_LANDMARKS, dtype=np.int32) // 300
        return pa.table([hashes, clips, np.zeros(DAY_LANDMARKS, np.int32)], schema=FINGERPRINT_ARTIFACT)


def spread() -> Iterator[tuple[int, Any]]:
    spreader = BucketSpreader()
    for name in ("one", "two"):
        work = WorkItem(recording_id=name, content_id=name, media="", is_local=True, allowed=True, order=(name,))
        spreader.add(work, _Day())  # type: ignore[arg-type]
    return spreader.spread()


def test_elements_of_the_longest_recordings_are_small() -> None:
    buckets = dict(spread())
    assert max(len(pickle.dumps(one)) for one in buckets.items()) < MAX_BYTES
    matches = [match for bucket in list(buckets.values())[:8] for match in find_matches([bucket])]
    assert 0 < max(len(pickle.dumps(one)) for one in matches) < MAX_BYTES
