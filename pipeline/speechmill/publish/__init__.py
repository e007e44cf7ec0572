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

from speechmill.core import ownership
from speechmill.core.build import Build
from speechmill.core.reasons import OUT_OF_REACH
from speechmill.core.records import Status
from speechmill.publish import ledger, shards, voices
from speechmill.publish.columns import columns_of
from speechmill.publish.shards import Shard
from speechmill.publish.stats import Tally
from speechmill.stages import TOKENISE

VERSION = 2  # part of the fingerprint: raise it when the same judgements give other files
RUN_FILE = ownership.RUN_FILE
PLAN_FILE = "work/publish/plan.json"
STAGING = "work/publish/staged"
LEDGER_FILE = "ledger.parquet"
RECORDINGS_FILE = ownership.RECORDINGS_FILE
POOL_FILE = "pool.parquet/part-00000.parquet"
STATS_FILE = "stats.json"
ABOUT = ("README.md", "report.html", STATS_FILE)


MOST_NAMED = 5  # recordings in an error


class WithheldError(Exception):
    """Nothing is published, so that what is published now does not shrink. The message names recordings and fixes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One file to write. `shard` is set for the files of `data/`."""

    name: str  # below the corpus
    staged: str  # where it waits for the commit
    shard: Shard | None = None


def plan(build: Build) -> list[Task]:
    """Judge everything, store the plan, and say what must be written: nothing if it is all there."""
    if build.runs("speakers"):
        voices.assign(ledger.judge_all(build), build)
    tally = Tally(build.config.audio.sample_rate, columns_of(build))
    lost: list[str] = []
    judged = _watched(ledger.judge_all(build), lost, build)
    planned = shards.plan(_counted(judged, tally, build), build)
    fingerprint = _fingerprint(build, tally)
    names = [*planned, POOL_FILE, LEDGER_FILE, RECORDINGS_FILE]
    found = {"fingerprint": fingerprint, "files": names, "stats": tally.stats(), "lost": lost}
    build.store.write_json(PLAN_FILE, found)
    if lost or is_published(build, fingerprint):
        return []
    folder = f"{STAGING}/{fingerprint}"
    return [Task(name=name, staged=f"{folder}/{name}", shard=planned.get(name)) for name in names]


def _watched(judgements: Iterator[ledger.Judgement], lost: list[str], build: Build) -> Iterator[ledger.Judgement]:
    """Note what is published now and cannot be made, since its media are out of reach."""
    published = set() if build.config.publish.drop_unreachable else _published(build)
    for judgement in judgements:
        recording = judgement.recording
        is_out_of_reach = recording.status is Status.FAILED and recording.reason in OUT_OF_REACH
        if is_out_of_reach and recording.recording_id in published:
            detail = f": {recording.reason_detail}" if recording.reason_detail else ""
            lost.append(f"{recording.title or recording.media_url} ({recording.reason}{detail})")
        yield judgement


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


def _counted(judgements: Iterator[ledger.Judgement], tally: Tally, build: Build) -> Iterator[ledger.Judgement]:
    for judgement in judgements:
        tally.add(judgement)
        if judgement.kept and build.runs("tokenise"):
            kept = {row["clip_id"] for row in judgement.kept}
            table = TOKENISE.read(judgement.recording.content_id or "", build)
            tally.add_tokens(table.filter([clip_id in kept for clip_id in table["clip_id"].to_pylist()]))
        yield judgement


def _fingerprint(build: Build, tally: Tally) -> str:
    # The settings belong to it even where they change no row: run.json, card and report tell them.
    settings = build.config.model_dump(
        mode="json", include={"thresholds", "licences", "publish", "asr", "defects", "tokenise"}
    )
    layout = [VERSION, settings, sorted(build.profiles.items())]
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
