"""From artifacts to a finished corpus: plan, write, commit.

All files are written aside first and renamed into place at the end; `run.json` is removed before the first
rename and written after the last, so that a corpus with a `run.json` is whole.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.build import Build
from pipeline.publish import ledger, shards, voices
from pipeline.publish.shards import Shard
from pipeline.publish.stats import Tally

VERSION = 2  # part of the fingerprint: raise it when the same judgements give other files
RUN_FILE = "run.json"
PLAN_FILE = "work/publish/plan.json"
STAGING = "work/publish/staged"
LEDGER_FILE = "ledger.parquet"
RECORDINGS_FILE = "recordings.parquet"
POOL_FILE = "pool.parquet/part-00000.parquet"
ABOUT = ("README.md", "report.html", "stats.json")
PUBLISHED_FOLDERS = ("data", "pool.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One file to write. `shard` is set for the files of `data/`."""

    name: str  # below the corpus
    staged: str  # where it waits for the commit
    shard: Shard | None = None


def plan(build: Build) -> list[Task]:
    """Judge everything, store the plan, and say what must be written: nothing if it is all there."""
    if build.speakers_profile is not None:
        voices.assign(ledger.judge_all(build), build)
    tally = Tally(build.config.audio.sample_rate)
    planned = shards.plan(_counted(ledger.judge_all(build), tally, build), build)
    fingerprint = _fingerprint(build, tally)
    names = [*planned, POOL_FILE, LEDGER_FILE, RECORDINGS_FILE]
    build.store.write_json(PLAN_FILE, {"fingerprint": fingerprint, "files": names, "stats": tally.stats()})
    if is_published(build, fingerprint):
        return []
    folder = f"{STAGING}/{fingerprint}"
    return [Task(name=name, staged=f"{folder}/{name}", shard=planned.get(name)) for name in names]


def _counted(judgements: Iterator[ledger.Judgement], tally: Tally, build: Build) -> Iterator[ledger.Judgement]:
    for judgement in judgements:
        tally.add(judgement)
        if judgement.kept and build.tokenise_profile is not None:
            kept = {row["clip_id"] for row in judgement.kept}
            table = ledger.read_tokens(judgement.recording.content_id or "", build)
            tally.add_tokens(table.filter([clip_id in kept for clip_id in table["clip_id"].to_pylist()]))
        yield judgement


def _fingerprint(build: Build, tally: Tally) -> str:
    # The settings belong to it even where they change no row: run.json, card and report tell them.
    settings = build.config.model_dump(
        mode="json", include={"thresholds", "licences", "publish", "transcribe", "defects", "tokenise"}
    )
    profiles = [
        build.transcribe_profile,
        build.second_profile,
        build.speakers_profile,
        build.tokenise_profile,
        build.text_profile,
    ]
    layout = [VERSION, settings, build.has_defects, *profiles]
    return hashlib.sha256(json.dumps([layout, tally.digest]).encode()).hexdigest()[:32]


def is_published(build: Build, fingerprint: str) -> bool:
    """Whether the finished corpus is already the one with this fingerprint."""
    run = build.store.read_json(RUN_FILE)
    if run is None or run["fingerprint"] != fingerprint:
        return False
    return all(map(build.store.exists, (*run["files"], *ABOUT)))


def write(task: Task, build: Build) -> None:
    """Write one file of the corpus aside, unless an interrupted run already did."""
    if build.store.exists(task.staged):
        return
    if task.shard is not None:
        shards.write_shard(task.staged, task.shard, build)
    else:
        writer = {
            POOL_FILE: ledger.write_pool, LEDGER_FILE: ledger.write_ledger, RECORDINGS_FILE: ledger.write_recordings
        }[task.name]  # fmt: skip
        writer(task.staged, build)


def commit(build: Build, plan: dict[str, Any], run: dict[str, Any]) -> None:
    """Rename what was written into place, remove what it replaces, and record the run."""
    store, names = build.store, plan["files"]
    folder = f"{STAGING}/{plan['fingerprint']}"
    store.remove(RUN_FILE)
    for name in names:
        if store.exists(f"{folder}/{name}"):
            store.move(f"{folder}/{name}", name)
    for published in PUBLISHED_FOLDERS:
        for leaf in store.names(published):
            if f"{published}/{leaf}" not in names:
                store.remove(f"{published}/{leaf}")
    files = {name: {"bytes": store.size(name), "sha256": _sha256(build, name)} for name in names}
    store.write_json("stats.json", plan["stats"])
    store.write_json(RUN_FILE, run | {"fingerprint": plan["fingerprint"], "files": files})
    store.remove(STAGING)


def _sha256(build: Build, name: str) -> str:
    with build.store.open(name) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
