"""RecordSets of Croissant over the Parquet files of a corpus: a field for each column, nested ones with subfields."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from speechmill.decide.splits import TRAIN, VALIDATION

Json = dict[str, Any]

AUDIO, SPLITS = "audio", "splits"
SPLIT_TERMS = {TRAIN: "cr:TrainingSplit", VALIDATION: "cr:ValidationSplit"}
# Matches a split's own name as well, since mlcroissant applies it again to what it has joined.
SPLIT_PATTERN = rf"^(?:data/)?({TRAIN}|{VALIDATION})(?:-.+\.parquet)?$"
_TYPES = {
    pa.string(): "sc:Text", pa.bool_(): "sc:Boolean", pa.uint8(): "cr:UInt8", pa.uint16(): "cr:UInt16",
    pa.int8(): "cr:Int8", pa.int16(): "cr:Int16", pa.int32(): "cr:Int32", pa.int64(): "cr:Int64",
    pa.float32(): "cr:Float32", pa.float64(): "cr:Float64",
}  # fmt: skip


def record_set(name: str, description: str, schema: pa.Schema, source: Json, **options: Any) -> Json:
    """A RecordSet over a table.

    Args:
        name: Its id.
        description: What a record is.
        schema: Columns of the table, with their descriptions as metadata.
        source: Reference to its FileObject or FileSet.
        options: `key`: names of the columns whose values identify a record; `more`: properties to add to fields, by
            name of the column; `fields`: further fields.

    Returns:
        The RecordSet as JSON-LD.
    """
    more: Mapping[str, Json] = options.get("more", {})
    fields = [_field(f"{name}/{column.name}", column, source) | more.get(column.name, {}) for column in schema]
    key = [{"@id": f"{name}/{column}"} for column in options.get("key", ())]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        **({"key": key} if key else {}),
        "field": [*fields, *options.get("fields", ())],
    }


def splits(names: Iterable[str]) -> Json:
    """The RecordSet that says which split is for what."""
    return {
        "@type": "cr:RecordSet",
        "@id": SPLITS,
        "name": SPLITS,
        "description": "the splits; neither a recording nor a known speaker is in two of them",
        "dataType": "cr:Split",
        "key": {"@id": f"{SPLITS}/name"},
        "field": [
            {"@type": "cr:Field", "@id": f"{SPLITS}/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": f"{SPLITS}/url", "name": "url", "dataType": "sc:URL"},
        ],
        "data": [{f"{SPLITS}/name": name, f"{SPLITS}/url": SPLIT_TERMS[name]} for name in names],
    }


def split_field(name: str, source: Json) -> Json:
    """The field of a RecordSet that says in which split a record is, by the name of its file."""
    return {
        "@type": "cr:Field",
        "@id": f"{name}/split",
        "name": "split",
        "description": "the split, by the name of the file",
        "dataType": "sc:Text",
        "source": source | {"extract": {"fileProperty": "fullpath"}, "transform": {"regex": SPLIT_PATTERN}},
        "references": {"field": {"@id": f"{SPLITS}/name"}},
    }


def _field(identifier: str, column: pa.Field, source: Json) -> Json:
    about = {key.decode(): value.decode() for key, value in (column.metadata or {}).items()}
    unit = f" ({about['unit']})" if "unit" in about else ""
    origin = source | {"extract": {"column": column.name}}
    start = {"@type": "cr:Field", "@id": identifier, "name": column.name, "description": about["description"] + unit}
    if column.name == AUDIO:
        return start | {"dataType": "sc:AudioObject", "source": origin | {"transform": {"jsonPath": "bytes"}}}
    return start | _values(identifier, column.type, origin, ())


def _values(identifier: str, kind: pa.DataType, origin: Json, path: tuple[str, ...]) -> Json:
    """Type and source of a field; `path` leads to it within the structs of a column."""
    depth = 0
    while pa.types.is_list(kind):
        kind, depth = kind.value_type, depth + 1
    array = {"isArray": True, "arrayShape": ",".join(["-1"] * depth)} if depth else {}
    if not pa.types.is_struct(kind):
        transform = {"transform": {"jsonPath": ".".join(path)}} if path else {}
        return array | {"dataType": _TYPES[kind], "source": origin | transform}
    members = [
        {"@type": "cr:Field", "@id": f"{identifier}/{member.name}", "name": member.name}
        | _values(f"{identifier}/{member.name}", member.type, origin, (*path, member.name))
        for member in kind
    ]
    return array | {"subField": members}
