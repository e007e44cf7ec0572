"""Reads the stored FLAC of clips, row group by row group."""

from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from speechmill.core import arrow_files
from speechmill.core.build import Build
from speechmill.stages.restored import read_restored, restored_ids

Rows = npt.NDArray[np.int64]


def read_flac(content_id: str, clip_ids: Collection[str], build: Build) -> Iterator[pa.RecordBatch]:
    """Columns `clip_id` and `flac` of clips of a content, in order of position, in batches.

    The sound is the restored one where a clip has it. Row groups without any of the clips are not read: the audio of a
    long recording is a gigabyte.
    """
    wanted = pa.array(list(clip_ids), pa.string())
    restored = restored_ids(content_id, build)
    with build.store.open(build.segments(content_id)) as file, arrow_files.for_reading(file) as source:
        parquet = pq.ParquetFile(source, pre_buffer=False)
        for number in range(parquet.num_row_groups):
            ids = parquet.read_row_group(number, ["clip_id"], use_threads=False)["clip_id"].combine_chunks()
            rows = np.flatnonzero(pc.is_in(ids, value_set=wanted))
            if not rows.size:
                continue
            flac = parquet.read_row_group(number, ["flac"], use_threads=False)["flac"].combine_chunks()
            for part, sounds in _runs(flac, rows):
                own = ids.take(pa.array(part))
                if at_hand := restored.intersection(own.to_pylist()):
                    sounds = _in_place(sounds, own, dict(read_restored(content_id, at_hand, build)))
                yield pa.record_batch({"clip_id": own, "flac": sounds})


def read_example(content_id: str, start: int, build: Build) -> bytes | None:
    """FLAC of an utterance of a content that became no clip and begins at a sample; None if it was not stored.

    See `stages.segment.EXAMPLES` for which ones are.
    """
    with build.store.open(build.segments(content_id)) as file, arrow_files.for_reading(file) as source:
        parquet = pq.ParquetFile(source, pre_buffer=False)
        for number in range(parquet.num_row_groups):
            starts = parquet.read_row_group(number, ["start"])["start"].to_pylist()
            if start in starts:
                flac: bytes | None = parquet.read_row_group(number, ["flac"])["flac"][starts.index(start)].as_py()
                return flac
    return None


def _in_place(sounds: pa.BinaryArray, clip_ids: pa.StringArray, restored: dict[str, bytes]) -> pa.BinaryArray:
    """`sounds` of clips, with the restored one of each clip that has it."""
    pairs = zip(clip_ids.to_pylist(), sounds, strict=True)
    return pa.array([restored.get(clip_id) or sound.as_py() for clip_id, sound in pairs], pa.binary())


def _runs(values: pa.BinaryArray, rows: Rows) -> Iterator[tuple[Rows, pa.BinaryArray]]:
    """`values.take(rows)` without a copy, in parts, each with its rows: their bytes follow each other."""
    _, offsets, data = values.buffers()
    bounds = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    begins, ends = bounds[rows], bounds[rows + 1]
    for part in np.split(np.arange(rows.size), np.flatnonzero(begins[1:] != ends[:-1]) + 1):
        own = pa.py_buffer(np.append(begins[part], ends[part[-1]]).astype(np.int32))
        yield rows[part], pa.BinaryArray.from_buffers(pa.binary(), part.size, [None, own, data])
