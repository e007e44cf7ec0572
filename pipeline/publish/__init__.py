"""From artifacts to a finished corpus: plan, write, commit.

All files are written aside first and renamed into place at the end; `run.json` is removed before the first
rename and put there after the last, so that a corpus with a `run.json` is whole. What they replace is what
`corpus.json` lists as ours, and nothing else.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline import ownership
from pipeline.build import Build
from pipeline.publish import ledger, shards, voices
from pipeline.publish.shards import Shard
from pipeline.publish.stats import Tally

VERSION = 2  # part of the fingerprint: raise it when the same judgements give other files
RUN_FILE = ownership.RUN_FILE
PLAN_FILE = "work/publish/plan.json"
STAGING = "work/publish/staged"
LEDGER_FILE = "ledger.parquet"
RECORDINGS_FILE = "recordings.parquet"
POOL_FILE = "pool.parquet/part-00000.parquet"
STATS_FILE = "stats.json"
ABOUT = ("README.md", "report.html", STATS_FILE)


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


def commit(build: Build, plan: dict[str, Any], run: dict[str, Any], *, pages: dict[str, str] | None = None) -> None:
    """Put what was written, the counts and the `pages` (name to text) in place, and record the run.

    Raises ConfigError if something in the way is not ours; then nothing was changed.
    """
    store, folder = build.store, f"{STAGING}/{plan['fingerprint']}"
    files = {name: _facts(name, folder, build) for name in plan["files"]}
    plain = {name: {key: facts[key] for key in ("bytes", "sha256")} for name, facts in files.items()}
    for name, text in (pages or {}).items():
        store.write_text(f"{folder}/{name}", text)
    store.write_json(f"{folder}/{STATS_FILE}", plan["stats"])
    store.write_json(f"{folder}/{RUN_FILE}", run | {"fingerprint": plan["fingerprint"], "files": plain})
    files |= {name: _facts(name, folder, build) for name in (*(pages or {}), STATS_FILE, RUN_FILE)}
    ownership.replace(store, folder, files)
    store.remove(STAGING)


def _facts(name: str, folder: str, build: Build) -> dict[str, Any]:
    """Of a file that waits, or that an interrupted publication put in place."""
    staged = f"{folder}/{name}"
    return ownership.facts_of(build.store, staged if build.store.exists(staged) else name)
