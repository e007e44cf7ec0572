"""Groups of about a thousand recordings, by prefix of their ids, that are tabulated, decided and published together.

The inputs of a group's tables are known from folder listings, so that an unchanged corpus is recognised without
reading its files.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from speechmill.core.build import FETCHED, Build
from speechmill.core.footers import DecodeFooter, TableFooter
from speechmill.core.records import Status
from speechmill.stages import ASSESS, DEDUP, SCORE, ClipStage, Stage, left_out
from speechmill.stages.flow import STAGES

VERSION = 2  # raise it when the same artifacts give other tables
FOLDER = "work/tables"
GROUP_RECORDINGS = 1_000
DIGITS = "0123456789abcdef"
CLIPS, SPANS, RECORDS = "clips", "spans", "recordings"  # tables of a group

Versions = Mapping[str, list[str]]  # stage and version of each artifact (`"score 4f2a"`), by content id


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Recordings with a common range of id prefixes: number `index` of `of` groups."""

    index: int
    of: int

    def table(self, kind: str) -> str:
        """Name of a table of the group: CLIPS, SPANS or RECORDS."""
        return f"{FOLDER}/{self.index:05}-of-{self.of:05}/{kind}.parquet"

    def has(self, recording_id: str) -> bool:
        """Whether a recording belongs to the group."""
        return _index(recording_id, self.of) == self.index


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInputs:
    """A group and the artifacts that its tables are made of."""

    group: Group
    fetched: Mapping[str, str]  # version of each artifact of the fetch stage, by recording_id, in order
    digest: str  # of the versions of all artifacts of the group

    @property
    def name(self) -> str:
        """Name for log messages."""
        return self.group.table(CLIPS)


def all_groups(build: Build) -> list[Group]:
    """All groups of a corpus: a power of two, with GROUP_RECORDINGS / 2 to GROUP_RECORDINGS in each on average."""
    return _groups_of(len(build.known_recordings()))


def _groups_of(recordings: int) -> list[Group]:
    of = 1 << ((max(recordings, 1) - 1) // GROUP_RECORDINGS).bit_length()
    return [Group(index=index, of=of) for index in range(of)]


def group_inputs(build: Build, versions: Versions | None = None) -> Iterator[GroupInputs]:
    """The inputs of all groups as they are in the store now, from folder listings; hardly any file is read.

    `versions`: as `artifact_versions` listed them just before.
    """
    fetched, excluded = _listed(build)
    contents, versions = _contents(fetched, build), artifact_versions(build) if versions is None else versions
    shared = [VERSION, excluded, sorted(build.profiles.items()), build.config.audio.sample_rate]
    groups = _groups_of(len(fetched))
    ids_by_group: dict[int, list[str]] = defaultdict(list)
    for recording_id in sorted(fetched):
        ids_by_group[_index(recording_id, len(groups))].append(recording_id)
    for group in groups:
        own = {recording_id: fetched[recording_id] for recording_id in ids_by_group[group.index]}
        artifacts = [
            (recording_id, version, versions.get(contents[recording_id] or "", []))
            for recording_id, version in own.items()
        ]
        digest = hashlib.sha256(json.dumps([shared, artifacts]).encode()).hexdigest()
        yield GroupInputs(group=group, fetched=own, digest=digest)


def _listed(build: Build) -> tuple[dict[str, str], list[str]]:
    """Version of each artifact of the stage fetch by recording_id, and those of the files that were left out."""
    fetched = {_key(entry.name): entry.version for entry in build.store.finished_files(f"work/fetch/{FETCHED}")}
    return fetched, sorted(entry.version for entry in build.store.finished_files(left_out.FOLDER))


def listing_digest(build: Build) -> str:
    """Digest of the versions of all that listing and fetching stored; later stages change none of it."""
    return hashlib.sha256(json.dumps(_listed(build), sort_keys=True).encode()).hexdigest()


def _index(recording_id: str, of: int) -> int:
    """Index of the group of a recording, by the first eight hexadecimal digits of its id: groups sort like ids."""
    prefix = recording_id[:8].ljust(8, DIGITS[0])
    if any(character not in DIGITS for character in prefix):  # a plug-in source may make other ids
        prefix = _as_digits(prefix)
    return int(prefix, 16) * of >> 32


def _as_digits(prefix: str) -> str:
    """The eight hexadecimal digits next below a prefix with other characters in sort order."""
    at = next(at for at, character in enumerate(prefix) if character not in DIGITS)
    below = sum(digit < prefix[at] for digit in DIGITS)
    filled = DIGITS[below - 1] + DIGITS[-1] * (7 - at) if below else DIGITS[0] * (8 - at)
    return prefix[:at] + filled


def _key(name: str) -> str:
    """Recording id of an artifact, from its path."""
    return name.rpartition("/")[2].removesuffix(".parquet")


def _contents(fetched: Mapping[str, str], build: Build) -> dict[str, str | None]:
    """Content id of each recording: from the tables unless fetched again since, else from its artifact."""
    contents: dict[str, str | None] = {}
    columns = ["recording_id", "content_id", "fetched"]
    for leaf in build.store.names(FOLDER):
        for row in _rows(f"{FOLDER}/{leaf}/{RECORDS}.parquet", columns, build):
            if row["fetched"] is not None and row["fetched"] == fetched.get(row["recording_id"]):
                contents[row["recording_id"]] = row["content_id"]
    for recording_id in fetched.keys() - contents.keys():
        row = build.store.read(build.fetched(recording_id), ["content_id"]).to_pylist()[0]
        contents[recording_id] = row["content_id"]
    return contents


def _rows(table: str, columns: list[str], build: Build) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = build.store.read(table, columns).to_pylist()
    except FileNotFoundError:
        return []
    return rows


def artifact_versions(build: Build) -> Versions:
    """Stage and version (`"score 4f2a"`) of all artifacts by content id, in the order of the stages."""
    versions: dict[str, list[str]] = defaultdict(list)
    for stage in tabulated_stages(build):
        folder = f"work/{stage.name}/{build.profiles[stage.name]}"
        for entry in build.store.finished_files(folder):
            content_id = entry.name.removeprefix(f"{folder}/").partition("/")[0].removesuffix(".parquet")
            versions[content_id].append(f"{stage.name} {entry.version}")
    return versions


def tabulated_stages(build: Build) -> list[Stage]:
    """Stages with columns in the clip table."""
    in_graph = [stage for stage in STAGES if stage.is_in_graph and build.runs(stage.name)]
    return [stage for stage in in_graph if stage.columns or isinstance(stage, ClipStage)]


def is_current(inputs: GroupInputs, build: Build) -> bool:
    """Whether the tables of a group are made of its present artifacts."""
    try:
        return build.store.footer(inputs.group.table(RECORDS), TableFooter).inputs == inputs.digest
    except FileNotFoundError:
        return False


def content_digest(group: Group, build: Build) -> str:
    """Digest of the content of a group's tables."""
    return build.store.footer(group.table(RECORDS), TableFooter).content


def has_retries(groups: list[Group], versions: Versions, build: Build) -> bool:
    """Whether a recording waits for a stage or failed for a temporary cause. The tables must be current."""
    needed = {stage.name for stage in (SCORE, DEDUP, ASSESS) if build.runs(stage.name)}
    for group in groups:
        for row in build.store.read(group.table(RECORDS), ["content_id", "decoded"]).to_pylist():
            decoded = DecodeFooter.from_json(row["decoded"]) if row["decoded"] else None
            if row["content_id"] and (decoded is None or decoded.retry):
                return True
            made = {*stage_names(versions.get(row["content_id"], []))}
            if decoded and decoded.status is Status.OK and not needed <= made:
                return True
    return False


def stage_names(versions: list[str]) -> Iterator[str]:
    """Stage of each artifact in a list of `artifact_versions`."""
    return (version.partition(" ")[0] for version in versions)
