"""Files in the inputs that are no recordings: one artifact for each input, whose rows go to the tables of a corpus.

They pass through no stage, so that ten thousand album covers cost no more than their listing.
"""

from collections.abc import Iterator
from dataclasses import replace

from speechmill.core.build import Build
from speechmill.core.records import Recording, recording_from, stable_id, to_table

FOLDER = "work/left_out"


def note(input_id: str, rows: list[Recording], build: Build) -> None:
    """Store the files of an input that are no recordings, in place of those of an earlier run."""
    name, table = f"{FOLDER}/{input_id}.parquet", to_table(rows)
    is_known = build.store.exists(name)
    if rows and not (is_known and build.store.read(name).equals(table)):
        build.store.write_table(name, table)
    elif is_known and not rows:
        build.store.remove(name)


def read(build: Build) -> Iterator[Recording]:
    """Rows of all inputs by recording_id. Equal tables of two inputs are from one input that moved."""
    tables = [build.store.read(f"{FOLDER}/{leaf}") for leaf in build.store.names(FOLDER)]
    distinct = [table for at, table in enumerate(tables) if not any(table.equals(other) for other in tables[:at])]
    rows: dict[str, Recording] = {}
    for row in (recording_from(row) for table in distinct for row in table.to_pylist()):
        names = (row.recording_id, *(stable_id(row.recording_id, str(number)) for number in range(len(distinct))))
        name = next(name for name in names if name not in rows)
        rows[name] = replace(row, recording_id=name)
    yield from (rows[name] for name in sorted(rows))
