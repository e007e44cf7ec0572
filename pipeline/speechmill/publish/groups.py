"""Groups: recordings whose ids begin alike, about a thousand, which are tabulated, decided and published together.

What the tables of a group are made of is known from a listing of folders, so that a corpus to which nothing was added
costs no look into its files.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from speechmill.core.build import FETCHED, Build
from speechmill.core.records import Status
from speechmill.stages import ASSESS, DEDUP, SCORE, SEGMENT, ClipStage, Stage, left_out
from speechmill.stages.flow import STAGES

VERSION = 1  # raise it when the same artifacts give other tables
FOLDER = "work/tables"
GROUP_RECORDINGS = 1_000
DIGITS = "0123456789abcdef"
CLIPS, SPANS, RECORDS = "clips", "spans", "recordings"  # tables of a group


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Recordings whose ids begin alike."""

    index: int
    of: int

    def table(self, kind: str) -> str:
        """Name of a table of the group: CLIPS, SPANS or RECORDS."""
        return f"{FOLDER}/{self.index:05}-of-{self.of:05}/{kind}.parquet"

    def has(self, recording_id: str) -> bool:
        """Whether a recording belongs to it."""
        return _index(recording_id, self.of) == self.index


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """A group with what its tables are made of."""

    group: Group
    fetched: Mapping[str, str]  # version of the artifact of fetching, by recording_id, in its order
    inputs: str  # digest of all artifacts that are there

    @property
    def name(self) -> str:
        """What the log calls it."""
        return self.group.table(CLIPS)


def all_groups(build: Build) -> list[Group]:
    """All groups of a corpus: as many as it takes for GROUP_RECORDINGS in each, on average at least half of them."""
    of = 1 << ((max(len(build.known_recordings()), 1) - 1) // GROUP_RECORDINGS).bit_length()
    return [Group(index=index, of=of) for index in range(of)]


def members(build: Build) -> Iterator[Members]:
    """All groups, each with what lies in the store of it now: folders are listed, hardly any file is read."""
    fetched = {_key(entry.name): entry.version for entry in build.store.finished(f"work/fetch/{FETCHED}")}
    contents, made = _contents(fetched, build), _made(build)
    others = sorted(entry.version for entry in build.store.finished(left_out.FOLDER))
    shared = [VERSION, others, sorted(build.profiles.items()), build.config.audio.sample_rate]
    every = all_groups(build)
    own_ids: dict[int, list[str]] = defaultdict(list)
    for recording_id in sorted(fetched):
        own_ids[_index(recording_id, len(every))].append(recording_id)
    for group in every:
        own = {recording_id: fetched[recording_id] for recording_id in own_ids[group.index]}
        inputs = [shared, [(one, version, made.get(contents[one] or "", [])) for one, version in own.items()]]
        digest = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
        yield Members(group=group, fetched=own, inputs=digest)


def _index(recording_id: str, of: int) -> int:
    """Group of a recording, by its first eight hexadecimal digits: groups are in the order of ids."""
    first = recording_id[:8].ljust(8, DIGITS[0])
    if any(character not in DIGITS for character in first):  # of a source that makes other ids
        first = _between(first)
    return int(first, 16) * of >> 32


def _between(first: str) -> str:
    """Eight digits beside which a word of other characters is in order."""
    at = next(at for at, character in enumerate(first) if character not in DIGITS)
    below = sum(digit < first[at] for digit in DIGITS)
    filled = DIGITS[below - 1] + DIGITS[-1] * (7 - at) if below else DIGITS[0] * (8 - at)
    return first[:at] + filled


def _key(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".parquet")


def _contents(fetched: Mapping[str, str], build: Build) -> dict[str, str | None]:
    """Content of each recording: from the tables that are there, where nothing was fetched since, else from its own."""
    contents: dict[str, str | None] = {}
    columns = ["recording_id", "content_id", "fetched"]
    for leaf in build.store.names(FOLDER):
        name = f"{FOLDER}/{leaf}/{RECORDS}.parquet"
        for row in build.store.read(name, columns).to_pylist() if build.store.exists(name) else ():
            if row["fetched"] is not None and row["fetched"] == fetched.get(row["recording_id"]):
                contents[row["recording_id"]] = row["content_id"]
    for recording_id in fetched.keys() - contents.keys():
        row = build.store.read(build.fetched(recording_id), ["content_id"]).to_pylist()[0]
        contents[recording_id] = row["content_id"]
    return contents


def _made(build: Build) -> dict[str, list[str]]:
    """Versions of all artifacts of each content, in the order of the stages."""
    made: dict[str, list[str]] = defaultdict(list)
    for stage in (SEGMENT, *tabulated_stages(build)):
        folder = f"work/{stage.name}/{build.profiles[stage.name]}"
        for entry in build.store.finished(folder):
            content_id = entry.name.removeprefix(f"{folder}/").partition("/")[0].removesuffix(".parquet")
            made[content_id].append(f"{stage.name} {entry.version}")
    return made


def tabulated_stages(build: Build) -> list[Stage]:
    """Stages that the table of clips tells of."""
    in_graph = [one for one in STAGES if one.is_in_graph and build.runs(one.name)]
    return [one for one in in_graph if one.columns or isinstance(one, ClipStage)]


def is_current(members: Members, build: Build) -> bool:
    """Whether the tables of a group are made of the artifacts that are there now."""
    name = members.group.table(RECORDS)
    return build.store.exists(name) and build.store.footer(name).get("inputs") == members.inputs


def content_of(group: Group, build: Build) -> str:
    """Digest of what the tables of a group say: equal for equal tables."""
    return str(build.store.footer(group.table(RECORDS))["content"])


def any_to_retry(groups: list[Group], build: Build) -> bool:
    """Whether a recording waits for a stage, or failed for a cause that may pass. The tables must be current."""
    needed = {stage.name for stage in (SCORE, DEDUP, ASSESS) if build.runs(stage.name)}
    made = _made(build)
    for group in groups:
        for row in build.store.read(group.table(RECORDS), ["content_id", "facts"]).to_pylist():
            facts = json.loads(row["facts"]) if row["facts"] else None
            if row["content_id"] and (facts is None or facts.get("retry")):
                return True
            if facts and facts["status"] == Status.OK and not needed <= {*_names(made[row["content_id"]])}:
                return True
    return False


def _names(made: list[str]) -> Iterator[str]:
    """Stages of artifacts, as `_made` has them."""
    return (one.partition(" ")[0] for one in made)
