"""From clip tables to a finished corpus: plan, write, commit.

All files are written aside first and renamed into place at the end; `run.json` is removed before the first
rename and put there after the last, so that a corpus with a `run.json` is whole. What they replace is what
`corpus.json` lists as ours, and nothing else. Shards that hold the same clips as before stay where they are.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from speechmill.core import ownership
from speechmill.core.build import Build
from speechmill.core.reasons import OUT_OF_REACH, Reason
from speechmill.core.records import Status
from speechmill.core.store import Store
from speechmill.publish import planned, shards, speakers, writers
from speechmill.publish.decided import Decided, Duplicates, decide_group, duplicates
from speechmill.publish.groups import Group, all_groups, any_to_retry, content_of, is_current, members
from speechmill.publish.shards import Shard
from speechmill.publish.stats import Tally, about_codes
from speechmill.publish.tables import forget_others
from speechmill.publish.writers import LEDGER_FILE, pool_part
from speechmill.stages.work import Outcome

VERSION = 3  # part of the fingerprint: raise it when the same clip tables give other files
RUN_FILE = ownership.RUN_FILE
PLAN_FILE = "work/publish/plan.json"
STAGING = "work/publish/staged"
RECORDINGS_FILE = ownership.RECORDINGS_FILE
STATS_FILE = "stats.json"
ABOUT = ("README.md", "report.html", STATS_FILE)


MOST_NAMED = 5  # recordings in an error
WAITING = {Reason.NOT_TRANSCRIBED, Reason.NOT_TOKENISED, Reason.NOT_MEASURED, Reason.INTERNAL_ERROR}  # of clips


class WithheldError(Exception):
    """Nothing is published, so that what is published now does not shrink. The message names recordings and fixes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One file to write: a shard of a group, its part of the pool, or, without a group, a table of the whole corpus."""

    name: str  # below the corpus
    fingerprint: str
    group: Group | None = None
    shard: Shard | None = None

    @property
    def staged(self) -> str:
        """Where it waits for the commit."""
        return f"{STAGING}/{self.fingerprint}/{self.name}"


def plan(build: Build) -> list[Task]:
    """Decide about everything, store the plan, and say what must be written: nothing if it is all there."""
    every = all_groups(build)
    fingerprint = _fingerprint(every, build)
    if is_published(build, fingerprint):
        _save_plan(build, fingerprint, _files(build), build.store.read_json(STATS_FILE) or {}, [])
        return []
    tally, lost, tasks = Tally(build), list[str](), list[Task]()
    published = set() if build.config.publish.drop_unreachable else _published(build)
    doubles = duplicates(every, build)
    for decided in _decide(doubles, build):
        planned.save(decided, doubles[decided.group], fingerprint, build)
        tally.add(decided)
        lost += _lost(decided, published)
        task = Task(name=pool_part(decided.group.index), fingerprint=fingerprint, group=decided.group)
        tasks += [task, *(replace(task, name=one.name, shard=one) for one in shards.plan(decided, build))]
    tasks += [Task(name=name, fingerprint=fingerprint) for name in (LEDGER_FILE, RECORDINGS_FILE)]
    _save_plan(build, fingerprint, [task.name for task in tasks], tally.stats(), lost)
    forget_others(every, build)
    return [] if lost else _missing(tasks, build)


def _missing(tasks: list[Task], build: Build) -> list[Task]:
    """Tasks but those of shards that are published as they are to be."""
    mark = ownership.load(build.store)
    return [task for task in tasks if task.shard is None or not shards.is_there(task.shard, mark, build)]


def preview(build: Build) -> dict[str, Any]:
    """The counts that a corpus would have, from its clip tables, which must be current. Nothing is written."""
    tally = Tally(build)
    for decided in decide_all(build):
        tally.add(decided)
    return tally.stats()


def decide_all(build: Build) -> Iterator[Decided]:
    """Decide about all groups of a corpus whose clip tables are current. Nothing is written."""
    return _decide(duplicates(all_groups(build), build), build)


def _decide(doubles: Mapping[Group, Duplicates], build: Build) -> Iterator[Decided]:
    """Decide about groups, given the duplicates in each; speakers are clusters of what is kept in all of them."""
    if not build.runs("speakers"):
        yield from (decide_group(group, own, build) for group, own in doubles.items())
        return
    assigned = speakers.assign((decide_group(group, own, build) for group, own in doubles.items()), build)
    for group, own in doubles.items():
        decided = decide_group(group, own, build)
        assigned.add_to(decided)
        yield decided


def _save_plan(build: Build, fingerprint: str, files: list[str], stats: dict[str, Any], lost: list[str]) -> None:
    found = {"fingerprint": fingerprint, "files": files, "stats": stats, "lost": lost}
    build.store.write_json(PLAN_FILE, found)


def _files(build: Build) -> list[str]:
    """Files of the published corpus but its pages and counts."""
    return list((build.store.read_json(RUN_FILE) or {}).get("files", ()))


def _lost(decided: Decided, published: set[str]) -> Iterator[str]:
    """What is published now and cannot be made, since its media are out of reach."""
    for recording in decided.recordings:
        is_out_of_reach = recording.status is Status.FAILED and recording.reason in OUT_OF_REACH
        if is_out_of_reach and recording.recording_id in published:
            detail = f": {recording.reason_detail}" if recording.reason_detail else ""
            yield f"{recording.title or recording.media_url} ({recording.reason}{detail})"


def _published(build: Build) -> set[str]:
    """Recordings with which the corpus is published now."""
    if not build.store.exists(RECORDINGS_FILE):
        return set()
    rows = build.store.read(RECORDINGS_FILE, ["recording_id", "status"]).to_pylist()
    return {row["recording_id"] for row in rows if row["status"] == Status.OK}


def check(plan: dict[str, Any]) -> None:
    """Raise WithheldError for a plan that would drop what is published now."""
    lost = plan["lost"]
    if lost:
        more = f", and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        raise WithheldError(
            f"the corpus stays as it was: {len(lost)} recordings in it cannot be made anew, since their media are"
            f" out of reach: {', '.join(lost[:MOST_NAMED])}{more}; mount or restore the media and run again, take these"
            " recordings out with `speechmill remove`, or publish without them: --set publish.drop_unreachable=true"
        )


def _fingerprint(every: list[Group], build: Build) -> str:
    """Digest of all that a published corpus follows from, and of the settings that its pages show."""
    settings = build.config.model_dump(
        mode="json", include={"thresholds", "licences", "publish", "asr", "defects", "speakers", "tokenise"}
    )
    decided = [sorted(map(repr, build.removed.all)), build.by_hand.digest()]
    contents = [content_of(group, build) for group in every]
    parts = [VERSION, settings, sorted(build.profiles.items()), decided, contents]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def is_published(build: Build, fingerprint: str) -> bool:
    """Whether the finished corpus is already the one with this fingerprint."""
    run = build.store.read_json(RUN_FILE)
    if run is None or run["fingerprint"] != fingerprint:
        return False
    return all(map(build.store.exists, (*run["files"], *ABOUT)))


def is_complete(build: Build) -> bool:
    """Whether the published corpus is made of all that is in the store now, and waits for no stage."""
    if build.store.read_json(RUN_FILE) is None or not all(is_current(one, build) for one in members(build)):
        return False
    stats = build.store.read_json(STATS_FILE) or {}
    waiting = WAITING & stats.get("rejected_by_reason", {}).keys()
    every = all_groups(build)
    return not waiting and not any_to_retry(every, build) and is_published(build, _fingerprint(every, build))


def write(task: Task, build: Build) -> Outcome:
    """Write one file of the corpus aside, unless an interrupted run already did."""
    if is_written(task, build):
        return Outcome(state="reused")
    if task.group is None:
        writer = writers.write_ledger if task.name == LEDGER_FILE else writers.write_recordings
        every = (planned.load(group, task.fingerprint, build) for group in all_groups(build))
        writer(task.staged, every, build)
        return Outcome(state="done")
    decided = planned.load(task.group, task.fingerprint, build)
    if task.shard is None:
        writers.write_pool(task.staged, decided, build)
    else:
        shards.write_shard(task.staged, task.shard, decided, build)
    return Outcome(state="done")


def is_written(task: Task, build: Build) -> bool:
    """Whether a file waits for the commit."""
    return build.store.exists(task.staged)


def commit(build: Build, plan: dict[str, Any], run: dict[str, Any], *, pages: dict[str, str] | None = None) -> None:
    """Put what was written, the counts and the `pages` (name to text) in place, and record the run.

    Raises ConfigError if something in the way is not ours; then nothing was changed.
    """
    store, folder = build.store, f"{STAGING}/{plan['fingerprint']}"
    mark = ownership.load(store)
    files = {name: _facts(name, folder, mark, store) for name in plan["files"]}
    plain = {name: {key: facts[key] for key in ("bytes", "sha256")} for name, facts in files.items()}
    for name, text in (pages or {}).items():
        store.write_text(f"{folder}/{name}", text)
    store.write_json(f"{folder}/{STATS_FILE}", plan["stats"])
    store.write_json(f"{folder}/{RUN_FILE}", run | {"fingerprint": plan["fingerprint"], "files": plain})
    files |= {name: _facts(name, folder, mark, store) for name in (*(pages or {}), STATS_FILE, RUN_FILE)}
    ownership.replace(store, folder, files)
    store.remove(STAGING)
    store.remove(planned.FOLDER)


def _facts(name: str, folder: str, mark: ownership.Mark | None, store: Store) -> dict[str, Any]:
    """Of a file that waits, or that was put in place before. Raises ConfigError for one that is not as it was then."""
    staged = f"{folder}/{name}"
    if store.exists(staged):
        return ownership.facts_of(store, staged)
    facts = ownership.published_facts(store, name, mark)
    ownership.refuse(store, [] if facts else [name])
    return facts or {}


def planned_groups(build: Build, plan: dict[str, Any]) -> Iterator[Decided]:
    """What was decided about each group of a plan that is not committed yet."""
    return (planned.load(group, plan["fingerprint"], build) for group in all_groups(build))


def with_codes(plan: dict[str, Any], build: Build) -> dict[str, Any]:
    """A plan whose counts tell how the mel tokens of all shards, written by now, are used."""
    about = plan["stats"].get("mel_tokens")
    if not about or "histogram" in about:
        return plan
    codes, folder = np.zeros(2**16, np.int64), f"{STAGING}/{plan['fingerprint']}"
    for name in (one for one in plan["files"] if one.startswith("data/")):
        staged = f"{folder}/{name}"
        for batch in build.store.batches(staged if build.store.exists(staged) else name, ["mel_tokens"], 10_000):
            codes += np.bincount(batch["mel_tokens"].flatten().to_numpy(), minlength=2**16)
    return plan | {"stats": plan["stats"] | {"mel_tokens": about_codes(codes, about["clips"], about["error_nats"])}}
