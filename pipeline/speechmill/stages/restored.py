"""Restored clips: their sound and their scores, which take the place of the original ones for all later stages.

What later stages make of restored sound
is stored under an id of its own, `sound_id`, so that nothing made of the original sound is taken for it, and nothing
is made twice when the stage is switched on or off.
"""

from collections.abc import Collection, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from speechmill.core.build import Build

STAGE = "restore"
MARK = "+"  # between the id of a clip and the profile of its restoration


def sound_id(clip_id: str, build: Build) -> str:
    """Id under which later stages store the row of a restored clip."""
    return f"{clip_id}{MARK}{build.profiles[STAGE]}"


def restored_ids(content_id: str, build: Build) -> set[str]:
    """Ids of the restored clips of a content."""
    return {clip_id for rows in _restored(content_id, build, ["clip_id"]) for clip_id in rows["clip_id"].to_pylist()}


def read_restored(content_id: str, clip_ids: Collection[str], build: Build) -> Iterator[tuple[str, bytes]]:
    """Id and FLAC of those of the clips that were restored, in any order."""
    wanted = pa.array(sorted(clip_ids), pa.string())
    for rows in _restored(content_id, build, ["clip_id", "flac"]):
        for row in rows.filter(pc.is_in(rows["clip_id"], value_set=wanted)).to_pylist():
            yield row["clip_id"], row["flac"]


def with_restored(table: pa.Table, columns: Iterable[str], content_id: str, build: Build) -> pa.Table:
    """Clips of a content with the values of their restored sound.

    Args:
        table: A table with `clip_id`.
        columns: The columns that depend on the sound.
        content_id: The content.
        build: The corpus.
    """
    names = [name for name in columns if name in table.column_names]
    rows = [*_restored(content_id, build, ["clip_id", *names])]
    if not rows:
        return table
    restored = pa.concat_tables(rows)
    at = pc.index_in(table["clip_id"], value_set=restored["clip_id"])
    for name in names:
        values = pc.if_else(at.is_valid(), restored[name].take(at), table[name])
        table = table.set_column(table.column_names.index(name), table.schema.field(name), values)
    return table


def by_clip(rows: pa.Table, content_id: str, build: Build) -> pa.Table:
    """Rows of a later stage by `clip_id`: of a restored clip the row of its restored sound."""
    restored = restored_ids(content_id, build)
    if not restored and not pc.any(pc.match_substring(rows["clip_id"], MARK)).as_py():
        return rows
    clips = {sound_id(clip_id, build): clip_id for clip_id in restored}
    own = [
        clips.get(row_id) or (row_id if MARK not in row_id and row_id not in restored else None)
        for row_id in rows["clip_id"].to_pylist()
    ]
    ids = pa.chunked_array([own], pa.string())
    return rows.set_column(rows.column_names.index("clip_id"), rows.schema.field("clip_id"), ids).filter(ids.is_valid())


def _restored(content_id: str, build: Build, columns: list[str]) -> Iterator[pa.Table]:
    """Columns of the restored clips of a content, some hundred at a time; nothing where none are restored."""
    if not build.runs(STAGE):
        return
    folder = build.parts(STAGE, content_id)
    for name in build.store.names(folder):
        rows = build.store.read(f"{folder}/{name}", list(dict.fromkeys([*columns, "flac_bytes"])))
        rows = rows.filter(rows["flac_bytes"].is_valid())
        if rows.num_rows:
            yield rows
