"""Messages for wrong configs: one line that names the key and the fix."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

MAX_SHOWN_CHARACTERS = 100  # of a wrong value
RENAMED = {  # keys of version 0.1
    "transcribe": "asr", "transcribe.second": "asr.cross_check", "thresholds.phone": "thresholds.telephone",
    "speakers.even": "speakers.threshold", "audio.max_duration": "audio.max_duration_s",
    "audio.max_bad_packets": "audio.max_bad_packet_ratio", "audio.stall_timeout": "audio.stall_timeout_s",
    "fetch.timeout": "fetch.timeout_s", "fetch.backoff": "fetch.backoff_s", "fetch.delay": "fetch.delay_s",
    "fetch.ask_again": "fetch.ask_again_s", "segment.min_silence": "segment.min_silence_s",
    "segment.min_length": "segment.min_length_s", "segment.max_length": "segment.max_length_s",
    "segment.edge": "segment.edge_s",
}  # fmt: skip
KINDS = {  # messages by pydantic's type of error
    "tuple_type": "must be a list", "model_type": "must be keys and values", "string_type": "must be a text",
    "float_parsing": "must be a number", "int_parsing": "must be a whole number",
}  # fmt: skip
NO_INPUTS = "inputs: there are none; name a file, folder, manifest or feed with --input or in the config"
QUOTES = "'\""
QUOTE = "YAML takes yes, no, on and off for true and false: put a word in quotes, such as 'no'"


class ConfigError(Exception):
    """The config or the command line is wrong. The message names the key and the fix; exit code 2."""


def explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """Message for the first error in a config of type `kind`; unknown keys first, since they explain missing keys."""
    first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"]) or "config"
    if first["type"] == "extra_forbidden":
        if (name := renamed_key(where, first["input"])) is not None:
            return f"{where}: has another name since 0.2; write {name}"
        return unknown_key(where, _sibling_keys(kind, first["loc"]))
    if first["type"] == "invalid_key":
        return f"{first['input']}: a key must be a text; put it in quotes"
    if first["type"] == "missing":
        return f"{where}: is needed, and has no default; give it with --set {where}=… or in the file"
    message = KINDS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    fix = _fix(first["type"], first["input"])
    return f"{where}: {message[0].lower()}{message[1:]} (got {_short(first['input'])}){fix and f'; {fix}'}"


def unknown_key(where: str, known: Iterable[str]) -> str:
    """Message for the unknown key `where`, with the closest of the `known` keys."""
    names = sorted(known)
    close = difflib.get_close_matches(where.rpartition(".")[2], names, n=1)
    section, dot, key = where.partition(".")
    fix = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(names) or 'none'}"
    if dot and section in names and not any("." in name for name in names):  # one key with a dot in it
        fix = f"write {section}: {{{key}: …}}"
    return f"{where}: unknown key; {fix}"


def renamed_key(key: str, value: Any) -> str | None:
    """Today's name, as `section.key`, of a key of version 0.1; None for any other key."""
    inner = next((f"{key}.{part}" for part in value), key) if isinstance(value, Mapping) else key
    section, _, rest = inner.partition(".")
    return RENAMED.get(inner) or (f"{RENAMED[section]}.{rest}".rstrip(".") if section in RENAMED else None)


def _fix(kind: str, given: Any) -> str:
    """How to write a value of the wrong type; "" where the message needs no fix."""
    if isinstance(given, bool) and kind in KINDS:
        return QUOTE
    if kind == "string_type" and isinstance(given, int | float | date):
        return f"put it in quotes: '{given}'"
    if kind in ("float_parsing", "int_parsing"):
        return "write digits and a decimal point, without a unit"
    if kind == "tuple_type":
        return f"write [{_short(given).strip(QUOTES)}]" if isinstance(given, str | int | float) else "write [a, b]"
    return "write keys and values below it, or leave it out" if kind == "model_type" else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


def _sibling_keys(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        model = model if field is None else next(_models_in(field.annotation), model)
    return sorted(model.model_fields)


def _models_in(kind: Any) -> Iterator[type[BaseModel]]:
    """Pydantic models in a type annotation, such as that of a list of sections."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for inner in get_args(kind):
        yield from _models_in(inner)
