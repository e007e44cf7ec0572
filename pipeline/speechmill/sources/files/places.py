"""Finds the path or pattern of a local input, as people write it, and the real paths of all inputs."""

import glob
import os
from pathlib import Path

from speechmill.core.config import Input
from speechmill.core.filenames import from_readable
from speechmill.sources import kind_of, rest_of

LOCAL_KINDS = ("local", "librilight")


def place_of(address: str) -> str:
    """Path or pattern of an address: as it is if that exists, else with `~` and escaped bytes replaced."""
    place = rest_of(address, "local")
    plain = place.rstrip("/") if place.strip("/") else place
    for candidate in (place, plain, os.path.expanduser(place), from_readable(place)):
        if os.path.lexists(candidate):
            return candidate
    return os.path.expanduser(place)


def is_pattern(place: str) -> bool:
    """Whether a path does not exist and is a glob pattern."""
    return not os.path.lexists(place) and glob.has_magic(place)


def split(pattern: str) -> tuple[str, str]:
    """The longest existing folder at the start of a pattern, in whose name brackets are literal, and the rest."""
    parts = Path(pattern).parts
    for count in range(len(parts) - 1, 0, -1):
        if os.path.isdir(root := os.path.join(*parts[:count])):
            return root, os.path.join(*parts[count:])
    return "", pattern


def matches(pattern: str) -> list[str]:
    """Paths that match a pattern, sorted; if there are none, brackets are tried as literal characters."""
    root, rest = split(pattern)
    for variant in (rest, rest.replace("[", "[[]")):
        if paths := glob.glob(os.path.join(glob.escape(root), variant), recursive=True):
            return sorted(paths)
    return []


def roots(inputs: tuple[Input, ...]) -> tuple[str, ...]:
    """Real paths of the files and folders of local inputs, the only places outside a folder where links may lead."""
    places = [
        place_of(rest_of(source.address, "librilight"))
        for source in inputs
        if (source.kind or kind_of(source.address)) in LOCAL_KINDS
    ]
    return tuple(
        dict.fromkeys(os.path.realpath(split(source)[0] if is_pattern(source) else source) for source in places)
    )


def is_inside(path: str, roots: tuple[str, ...]) -> bool:
    """Whether a path, with all links resolved, is one of some real paths or below."""
    real = os.path.realpath(path)
    return any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in roots)
