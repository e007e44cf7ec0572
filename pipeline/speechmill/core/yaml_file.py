"""Reads YAML for configs: refuses repeated keys, and values that aliases blow up."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

OCTAL = re.compile("[-+]?0[0-9_]+")
MAX_VALUES = 100_000  # nested aliases could make any number of values from a few lines


class _Loader(yaml.SafeLoader):
    """Loads YAML's safe types; refuses repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - as its base
        """Raise ValueError for a repeated key; the base class would keep the last."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ValueError(f"'{key.value}' stands twice, in lines {seen[key.value]} and {line}; keep one of them")
            seen[key.value] = line
        return super().construct_mapping(node, deep)


def _number(loader: _Loader, node: yaml.ScalarNode) -> int | float | str:
    """Number of a scalar; text for what YAML 1.1 reads in another base: `12:30` as 750, and `010` as 8."""
    if ":" in node.value or OCTAL.fullmatch(node.value):
        return str(node.value)
    is_whole = node.tag.endswith(":int")
    return loader.construct_yaml_int(node) if is_whole else loader.construct_yaml_float(node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _number)


def parse(text: str) -> Any:
    """Value of a YAML document. Raises ValueError with a message of one line."""
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError("not YAML that can be used: nested too deeply") from None
    _check_size(value)
    return value


def _check_size(value: Any) -> None:
    waiting, count = [value], 0
    while waiting:
        part = waiting.pop()
        count += 1
        if count > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values; its aliases (*name) may repeat themselves")
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple | set):
            waiting += part
