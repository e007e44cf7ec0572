"""Where on this machine an input lies, as people write it, and which folders the inputs name."""

import glob
import os
from pathlib import Path

from speechmill.core.config import Input
from speechmill.core.filenames import restored
from speechmill.sources import kind_of, rest_of

LOCAL_KINDS = ("local", "librilight")


def place_of(address: str) -> str:
    """Path or pattern that an address means: as it is where that exists, else with `~` and escaped bytes replaced."""
    place = rest_of(address, "local")
    plain = place.rstrip("/") if place.strip("/") else place
    for found in (place, plain, os.path.expanduser(place), restored(place)):
        if os.path.lexists(found):
            return found
    return os.path.expanduser(place)


def is_pattern(place: str) -> bool:
    """Whether this is no path that exists, but a pattern of some."""
    return not os.path.lexists(place) and glob.has_magic(place)


def split(pattern: str) -> tuple[str, str]:
    """The folder that a pattern is below, and the rest of it: brackets in the name of a folder are no pattern."""
    parts = Path(pattern).parts
    for count in range(len(parts) - 1, 0, -1):
        if os.path.isdir(root := os.path.join(*parts[:count])):
            return root, os.path.join(*parts[count:])
    return "", pattern


def matches(pattern: str) -> list[str]:
    """Paths that a pattern means, sorted; where there are none, brackets below a wildcard are names as well."""
    root, rest = split(pattern)
    for tried in (rest, rest.replace("[", "[[]")):
        if found := glob.glob(os.path.join(glob.escape(root), tried), recursive=True):
            return sorted(found)
    return []


def roots(inputs: tuple[Input, ...]) -> tuple[str, ...]:
    """Real paths of the files and folders that local inputs name: links may lead there and nowhere else."""
    places = [
        place_of(rest_of(one.address, "librilight"))
        for one in inputs
        if (one.kind or kind_of(one.address)) in LOCAL_KINDS
    ]
    return tuple(dict.fromkeys(os.path.realpath(split(one)[0] if is_pattern(one) else one) for one in places))


def is_inside(path: str, roots: tuple[str, ...]) -> bool:
    """Whether a path leads, through all of its links, to one of some real paths or below."""
    real = os.path.realpath(path)
    return any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in roots)
