"""All keys of a config with default, unit, limits and meaning, for `speechmill config` and the documentation."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from speechmill.core.config import RunConfig

UNITS = {
    "s": "s", "seconds": "s", "db": "dB", "hz": "Hz", "rate": "Hz", "lufs": "LUFS", "bytes": "bytes", "ratio": "share",
    "share": "share",
}  # fmt: skip
"""Unit by the last word of a key."""
_LIMITS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigKey:
    """A key of the config."""

    name: str
    """With its section, such as `thresholds.snr_db`."""
    default: Any
    """As a JSON value; None: null, or required."""
    is_required: bool
    unit: str
    """Unit of its value; empty for words, counts and probabilities."""
    takes: str
    """Words that it may be, or limits of a number, or else the type."""
    meaning: str


def config_keys() -> Iterator[ConfigKey]:
    """All keys in the order of the config, those outside sections first.

    >>> next(key for key in config_keys() if key.name == "thresholds.snr_db").unit
    'dB'
    """
    sections = {name: section_of(field.annotation) for name, field in RunConfig.model_fields.items()}
    yield from (key_of(name, RunConfig.model_fields[name]) for name, section in sections.items() if section is None)
    for name, section in sections.items():
        if section is not None:
            yield from (key_of(f"{name}.{leaf}", field) for leaf, field in section.model_fields.items())


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a key holds, or a list of which it holds; None for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((section for part in get_args(annotation) if (section := section_of(part))), None)


def key_of(name: str, field: FieldInfo) -> ConfigKey:
    """Facts about a key from its field."""
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return ConfigKey(
        name=name,
        default=default.model_dump(mode="json") if isinstance(default, BaseModel) else json.loads(json.dumps(default)),
        is_required=field.is_required(),
        unit=UNITS.get(re.split(r"[._]", name)[-1], ""),
        takes=_takes(field),
        meaning=" ".join((field.description or "").split()),
    )


def _takes(field: FieldInfo) -> str:
    schema = TypeAdapter(field.rebuild_annotation()).json_schema()
    schema = next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema)
    choices = " | ".join(json.dumps(value).strip('"') for value in schema.get("enum", ()))
    limits = ", ".join(f"{sign} {schema[key]:,g}" for key, sign in _LIMITS if key in schema)
    return choices or limits or str(schema.get("type", ""))
