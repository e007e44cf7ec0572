"""Stores the part of a plan that depends on other groups: duplicates, speakers and splits of each group.

With it, any process can repeat the decision about a single group with the same result.
"""

from speechmill.core.build import Build
from speechmill.core.footers import DecidedFooter
from speechmill.decide.splits import TRAIN, VALIDATION
from speechmill.publish.decided import DecidedGroup, Duplicates, decide_group
from speechmill.publish.groups import Group
from speechmill.publish.speakers import COLUMNS

FOLDER = "work/publish/planned"


def _name(group: Group, fingerprint: str) -> str:
    return f"{FOLDER}/{fingerprint}/{group.index:05}.parquet"


def save(decided: DecidedGroup, duplicates: Duplicates, fingerprint: str, build: Build) -> None:
    """Store duplicates, speakers and splits of a group of a plan."""
    held_out = tuple(at for at, split in enumerate(decided.splits) if split == VALIDATION)
    has_speakers = decided.speakers is not None
    footer = DecidedFooter(duplicates=dict(duplicates), held_out=held_out, has_speakers=has_speakers)
    table = COLUMNS.empty_table() if decided.speakers is None else decided.speakers
    build.store.write_table(_name(decided.group, fingerprint), table, footer)


_last: dict[tuple[str, str, Group], DecidedGroup] = {}  # the group loaded last, since a group has many files


def load(group: Group, fingerprint: str, build: Build) -> DecidedGroup:
    """Repeat the decision of a plan about a group; the plan's fingerprint covers all inputs of the decision."""
    key = build.store.path(""), fingerprint, group
    decided = _last.get(key)
    if decided is None:
        decided = _load(group, fingerprint, build)
        _last.clear()
        _last[key] = decided
    return decided


def _load(group: Group, fingerprint: str, build: Build) -> DecidedGroup:
    table, footer = build.store.load(_name(group, fingerprint), DecidedFooter)
    decided = decide_group(group, footer.duplicates, build)
    if footer.has_speakers:
        decided.speakers = table
    held_out = frozenset(footer.held_out)
    decided.splits = [VALIDATION if at in held_out else TRAIN for at in range(len(decided.splits))]
    return decided
