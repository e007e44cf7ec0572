"""Publishes a corpus from its clip tables in three steps: plan, write, commit.

Files are written to a staging folder and renamed into place at the end. `run.json` is removed before the first
rename and restored after the last, so that a corpus with a `run.json` is complete. Only files that `corpus.json` lists
are replaced. Shards with the same content as before are not written again.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from speechmill.core import ownership
from speechmill.core.build import Build
from speechmill.core.inventory import Facts, entries, facts_of
from speechmill.core.reasons import OUT_OF_REACH, Reason
from speechmill.core.records import Status
from speechmill.core.store import Store
from speechmill.publish import planned, shards, writers
from speechmill.publish.decided import DecidedGroup, find_duplicates
from speechmill.publish.groups import (
    Group,
    Versions,
    all_groups,
    artifact_versions,
    content_digest,
    group_inputs,
    has_retries,
    is_current,
)
from speechmill.publish.shards import Shard
from speechmill.publish.splitting import Splitting
from speechmill.publish.stats import SHARED_TEXTS, Tally, token_usage
from speechmill.publish.tables import remove_stale_tables
from speechmill.publish.writers import LEDGER_FILE, pool_part
from speechmill.stages.work import Outcome

VERSION = 8  # part of the fingerprint: raise it when the same clip tables give other files
RUN_FILE = ownership.RUN_FILE
PLAN_FILE = "work/publish/plan.json"
STAGING = "work/publish/staged"
RECORDINGS_FILE = ownership.RECORDINGS_FILE
STATS_FILE = "stats.json"
ABOUT = ("README.md", "report.html", STATS_FILE, ownership.CROISSANT_FILE)

MOST_NAMED = 5  # recordings in an error message
# Clips with these reasons wait for another run.
WAITING = {Reason.NOT_TRANSCRIBED, Reason.NOT_TOKENISED, Reason.NOT_MEASURED, Reason.INTERNAL_ERROR}


class WithheldError(Exception):
    """Raised instead of publishing a corpus that would lose recordings. The message names them and the fixes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A file to write: a shard or the pool file of a group, or, if `group` is None, a table of the whole corpus."""

    name: str  # path relative to the corpus
    fingerprint: str
    group: Group | None = None
    shard: Shard | None = None

    @property
    def staged(self) -> str:
        """Path of the file until the commit."""
        return f"{STAGING}/{self.fingerprint}/{self.name}"


def plan(build: Build) -> list[Task]:
    """Decide about all clips, store the plan and return the files to write: none if the corpus is up to date.

    Returns none either where the plan would lose recordings; `check` raises WithheldError for such a plan.
    """
    groups = all_groups(build)
    fingerprint = _fingerprint(groups, build)
    if is_published(build, fingerprint):
        keep(build)
        return []
    tally, lost, tasks, recordings = Tally(build), list[str](), list[Task](), dict[str, list[str]]()
    published = set() if build.config.publish.drop_unreachable else _published(build)
    duplicates = find_duplicates(groups, build)
    decisions = Splitting(duplicates, build)
    for decided in decisions:
        planned.save(decided, duplicates[decided.group], fingerprint, build)
        tally.add(decided)
        lost += _lost(decided, published)
        task = Task(name=pool_part(decided.group.index), fingerprint=fingerprint, group=decided.group)
        planned_shards = list(shards.plan(decided, build))
        tasks += [task, *(replace(task, name=shard.name, shard=shard) for shard in planned_shards)]
        recordings |= {shard.name: shards.recording_ids(shard, decided) for shard in planned_shards}
    tasks += [Task(name=name, fingerprint=fingerprint) for name in (LEDGER_FILE, RECORDINGS_FILE)]
    stats = tally.stats() | {SHARED_TEXTS: decisions.shared}
    _save_plan(build, fingerprint, [task.name for task in tasks], stats, lost, recordings)
    remove_stale_tables(groups, build)
    return [] if lost else _missing(tasks, build)


def _missing(tasks: list[Task], build: Build) -> list[Task]:
    """Tasks without those of shards that are published already, whose files were not changed since."""
    names = [task.name for task in tasks if task.shard is not None]
    ours = ownership.published_facts(build.store, names, ownership.load(build.store))
    return [
        task
        for task in tasks
        if task.shard is None or task.name not in ours or not shards.is_published(task.shard, build)
    ]


def preview(build: Build) -> dict[str, Any]:
    """Statistics of the corpus that the clip tables, which must be current, would give. Nothing is written."""
    tally = Tally(build)
    decisions = decide_all(build)
    for decided in decisions:
        tally.add(decided)
    return tally.stats() | {SHARED_TEXTS: decisions.shared}


def decide_all(build: Build) -> Splitting:
    """Decide about all groups of a corpus whose clip tables are current. Nothing is written."""
    return Splitting(find_duplicates(all_groups(build), build), build)


def _save_plan(
    build: Build, fingerprint: str, files: list[str], stats: dict[str, Any], lost: list[str],
    recordings: dict[str, list[str]],
) -> None:  # fmt: skip
    """Store a plan; `recordings` are the ids of the recordings in each shard."""
    plan = {"fingerprint": fingerprint, "files": files, "stats": stats, "lost": lost, "recordings": recordings}
    build.store.write_json(PLAN_FILE, plan)


def keep(build: Build) -> None:
    """Store the plan that leaves a corpus, which must be complete, as it is published."""
    run = build.store.read_json(RUN_FILE) or {}
    stats = build.store.read_json(STATS_FILE) or {}
    _save_plan(build, run["fingerprint"], list(run["files"]), stats, [], {})


def _lost(decided: DecidedGroup, published: set[str]) -> Iterator[str]:
    """Names of recordings that are published now and would be lost, since their media are out of reach."""
    for recording in decided.recordings:
        is_out_of_reach = recording.status is Status.FAILED and recording.reason in OUT_OF_REACH
        if is_out_of_reach and recording.recording_id in published:
            detail = f": {recording.reason_detail}" if recording.reason_detail else ""
            yield f"{recording.title or recording.media_url} ({recording.reason}{detail})"


def _published(build: Build) -> set[str]:
    """Ids of the recordings in the published corpus."""
    if not build.store.exists(RECORDINGS_FILE):
        return set()
    rows = build.store.read(RECORDINGS_FILE, ["recording_id", "status"]).to_pylist()
    return {row["recording_id"] for row in rows if row["status"] == Status.OK}


def check(plan: dict[str, Any]) -> None:
    """Raise WithheldError for a plan that would lose published recordings."""
    lost = plan["lost"]
    if lost:
        more = f", and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        raise WithheldError(
            f"the corpus stays as it was: {len(lost)} recordings in it cannot be made anew, since their media are"
            f" out of reach: {', '.join(lost[:MOST_NAMED])}{more}; mount or restore the media and run again, take these"
            " recordings out with `speechmill remove`, or publish without them: --set publish.drop_unreachable=true"
        )


def _fingerprint(groups: list[Group], build: Build) -> str:
    """Digest of everything that determines a published corpus, and of the settings that its pages show."""
    settings = build.config.model_dump(
        mode="json", include={"thresholds", "licences", "publish", "asr", "defects", "speakers", "tokenise"}
    )
    manual = [sorted(map(repr, build.removals.all)), build.by_hand.digest()]
    contents = [content_digest(group, build) for group in groups]
    parts = [VERSION, settings, sorted(build.profiles.items()), manual, contents]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def is_published(build: Build, fingerprint: str) -> bool:
    """Whether the published corpus is complete and has this fingerprint."""
    run = build.store.read_json(RUN_FILE)
    if run is None or run["fingerprint"] != fingerprint:
        return False
    names = {*run["files"], *ABOUT}
    return len(entries(build.store, names)) == len(names)


def is_up_to_date(build: Build) -> bool:
    """Whether the published corpus is made of all artifacts in the store, with the settings of the build."""
    return build.store.exists(RUN_FILE) and _current_groups(artifact_versions(build), build) is not None


def _current_groups(versions: Versions, build: Build) -> list[Group] | None:
    """All groups, where the published corpus is made of all artifacts with the settings of the build; else None."""
    inputs = list(group_inputs(build, versions))
    groups = [one.group for one in inputs]
    is_tabulated = all(is_current(one, build) for one in inputs)
    return groups if is_tabulated and is_published(build, _fingerprint(groups, build)) else None


def is_complete(build: Build) -> bool:
    """Whether the published corpus is up to date, and no clip waits for a stage."""
    stats = build.store.read_json(STATS_FILE) or {}
    waiting = WAITING & stats.get("rejected_by_reason", {}).keys()
    if waiting or not build.store.exists(RUN_FILE):
        return False
    versions = artifact_versions(build)
    groups = _current_groups(versions, build)
    return groups is not None and not has_retries(groups, versions, build)


def write(task: Task, build: Build) -> Outcome:
    """Write a file of the corpus to staging, unless an interrupted run already did."""
    if is_written(task, build):
        return Outcome(state="reused")
    if task.group is None:
        writer = writers.write_ledger if task.name == LEDGER_FILE else writers.write_recordings
        decided_groups = (planned.load(group, task.fingerprint, build) for group in all_groups(build))
        writer(task.staged, decided_groups, build)
        return Outcome(state="done")
    decided = planned.load(task.group, task.fingerprint, build)
    if task.shard is None:
        writers.write_pool(task.staged, decided, build)
    else:
        shards.write_shard(task.staged, task.shard, decided, build)
    return Outcome(state="done")


def is_written(task: Task, build: Build) -> bool:
    """Whether the file of a task is in staging."""
    return build.store.exists(task.staged)


def file_facts(build: Build, plan: dict[str, Any]) -> dict[str, Facts]:
    """Size and SHA-256 of each planned file. New files are read once; of shards that stay `corpus.json` has the facts.

    Raises ConfigError if a published file was changed since.
    """
    return _facts(plan["files"], f"{STAGING}/{plan['fingerprint']}", build.store)


def commit(
    build: Build, plan: dict[str, Any], run: dict[str, Any], *, pages: dict[str, str] | None = None,
    files: dict[str, Facts] | None = None,
) -> None:  # fmt: skip
    """Move the staged files, pages and statistics into place, and record the run.

    Args:
        build: The corpus.
        plan: As `plan` stored it.
        run: Content of `run.json`, without fingerprint and files.
        pages: Text of each page by file name.
        files: As `file_facts` returned them, if it was called before.

    Raises:
        ConfigError: A file of somebody else is in the way; nothing was changed.
    """
    store, folder = build.store, f"{STAGING}/{plan['fingerprint']}"
    files = file_facts(build, plan) if files is None else dict(files)
    listed = {name: {key: facts[key] for key in ("bytes", "sha256")} for name, facts in files.items()}
    for name, text in (pages or {}).items():
        store.write_text(f"{folder}/{name}", text)
    store.write_json(f"{folder}/{STATS_FILE}", plan["stats"])
    store.write_json(f"{folder}/{RUN_FILE}", run | {"fingerprint": plan["fingerprint"], "files": listed})
    files |= _facts([*(pages or {}), STATS_FILE, RUN_FILE], folder, store)
    ownership.replace(store, folder, files)
    store.remove(STAGING)
    store.remove(planned.FOLDER)


def _facts(names: list[str], folder: str, store: Store) -> dict[str, Facts]:
    """Size and digest of files, staged or published before. Raises ConfigError if one was changed since."""
    staged = entries(store, [f"{folder}/{name}" for name in names])
    others = [name for name in names if f"{folder}/{name}" not in staged]
    published = ownership.published_facts(store, others, ownership.load(store)) if others else {}
    ownership.refuse_changed(store, [name for name in others if name not in published])
    return {name: published.get(name) or facts_of(store, f"{folder}/{name}") for name in names}


def planned_groups(build: Build, plan: dict[str, Any]) -> Iterator[DecidedGroup]:
    """The decided groups of a plan that is not committed yet."""
    return (planned.load(group, plan["fingerprint"], build) for group in all_groups(build))


def with_token_usage(plan: dict[str, Any], build: Build) -> dict[str, Any]:
    """The plan with the usage of mel tokens in its statistics, counted in all shards, which must be written."""
    totals = plan["stats"].get("mel_tokens")
    if not totals or "histogram" in totals:
        return plan
    codes, folder = np.zeros(2**16, np.int64), f"{STAGING}/{plan['fingerprint']}"
    for name in (name for name in plan["files"] if name.startswith("data/")):
        staged = f"{folder}/{name}"
        for batch in build.store.batches(staged if build.store.exists(staged) else name, ["mel_tokens"], 10_000):
            codes += np.bincount(batch["mel_tokens"].flatten().to_numpy(), minlength=2**16)
    return plan | {"stats": plan["stats"] | {"mel_tokens": token_usage(codes, totals["clips"], totals["error_nats"])}}
