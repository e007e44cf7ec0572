"""What a plan says about a group that its own tables do not: duplicates of recordings elsewhere, speakers and splits.

It waits beside the files that are written by it, so that any process decides about a group again to the same end.
"""

from collections.abc import Mapping
from functools import lru_cache

from speechmill.core.build import Build
from speechmill.decide.splits import VALIDATION
from speechmill.publish.decided import Decided, Duplicates, decide_group
from speechmill.publish.groups import Group
from speechmill.publish.speakers import COLUMNS

FOLDER = "work/publish/planned"


def _name(group: Group, fingerprint: str) -> str:
    return f"{FOLDER}/{fingerprint}/{group.index:05}.parquet"


def save(decided: Decided, duplicates: Duplicates, fingerprint: str, build: Build) -> None:
    """Note what belongs to a group of a plan."""
    held_out = [at for at, split in enumerate(decided.splits) if split == VALIDATION]
    footer = {
        "duplicates": {str(at): order for at, order in duplicates.items()},
        "held_out": held_out if decided.speakers is not None else None,
    }
    table = COLUMNS.empty_table() if decided.speakers is None else decided.speakers
    build.store.write_table(_name(decided.group, fingerprint), table, footer)


def load(group: Group, fingerprint: str, build: Build) -> Decided:
    """Decide about a group as the plan did. The last one is kept in memory: it has many shards."""
    return _loaded(group, fingerprint, _Held(build))


class _Held:
    """A build as an argument of a cache: all that a plan follows from is in the plan's fingerprint."""

    def __init__(self, build: Build) -> None:
        self.build = build

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and self.build.store.path("") == other.build.store.path("")

    def __hash__(self) -> int:
        return hash(self.build.store.path(""))


@lru_cache(maxsize=1)
def _loaded(group: Group, fingerprint: str, held: _Held) -> Decided:
    build = held.build
    table, footer = build.store.load(_name(group, fingerprint))
    duplicates: Mapping[int, tuple[str, ...]] = {int(at): tuple(order) for at, order in footer["duplicates"].items()}
    decided = decide_group(group, duplicates, build)
    if footer["held_out"] is not None:
        decided.speakers = table
        for at in footer["held_out"]:
            decided.splits[at] = VALIDATION
    return decided
