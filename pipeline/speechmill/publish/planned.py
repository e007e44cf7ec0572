"""What a plan says about a group that its own tables do not: duplicates of recordings elsewhere, speakers and splits.

It waits beside the files that are written by it, so that any process decides about a group again to the same end.
"""

from speechmill.core.build import Build
from speechmill.decide.splits import TRAIN, VALIDATION
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


_last: dict[tuple[str, str, Group], Decided] = {}  # one, which has many files


def load(group: Group, fingerprint: str, build: Build) -> Decided:
    """Decide about a group as the plan did, whose fingerprint tells all that this follows from."""
    key = build.store.path(""), fingerprint, group
    decided = _last.get(key)
    if decided is None:
        decided = _load(group, fingerprint, build)
        _last.clear()
        _last[key] = decided
    return decided


def _load(group: Group, fingerprint: str, build: Build) -> Decided:
    table, footer = build.store.load(_name(group, fingerprint))
    duplicates: Duplicates = {int(at): tuple(order) for at, order in footer["duplicates"].items()}
    decided = decide_group(group, duplicates, build)
    if footer["held_out"] is not None:
        decided.speakers = table
        held_out = frozenset(footer["held_out"])
        decided.splits = [VALIDATION if at in held_out else TRAIN for at in range(len(decided.splits))]
    return decided
