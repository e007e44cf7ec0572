"""Reads the stored FLAC of clips, row group by row group."""

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from speechmill.core.build import Build


def read_flac(content_id: str, clip_ids: Collection[str], build: Build) -> Iterator[pa.RecordBatch]:
    """Columns `clip_id` and `flac` of clips of a content, in order of position, a batch for each row group.

    Row groups without any of the clips are not read: the audio of a long recording is a gigabyte.
    """
    wanted = pa.array(list(clip_ids), pa.string())
    with build.store.open(build.segments(content_id)) as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)
        for number in range(parquet.num_row_groups):
            ids = parquet.read_row_group(number, ["clip_id"])["clip_id"].combine_chunks()
            is_wanted = pc.is_in(ids, value_set=wanted)
            if pc.any(is_wanted).as_py():
                flac = parquet.read_row_group(number, ["flac"])["flac"].combine_chunks()
                yield pa.record_batch({"clip_id": ids.filter(is_wanted), "flac": flac.filter(is_wanted)})
