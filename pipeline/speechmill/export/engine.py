"""Exports a corpus: plans from its columns, writes its shards in parallel, joins the parts, and verifies them.

An export is a function of the corpus, the options and the version: made again, interrupted or not, and by any number of
processes, it has the same bytes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from tempfile import TemporaryDirectory
from typing import Any

from speechmill.core import ownership, paths
from speechmill.core.config_errors import ConfigError
from speechmill.core.manual import ManualDecisions
from speechmill.core.ownership import DECISIONS_FILE
from speechmill.core.state import no_corpus, read_run
from speechmill.core.store import Store
from speechmill.core.version import __version__
from speechmill.export import card, finishing, folder
from speechmill.export.base import Exporter
from speechmill.export.options import Options, audio_of
from speechmill.export.planning import Plan, empty_plan, lengths_part, plan_part, with_hours
from speechmill.export.reading import Job
from speechmill.export.references import TakenClips
from speechmill.export.registry import find
from speechmill.export.workers import Report, Workers
from speechmill.export.writing import Record, root_of, staged, write_part

Result = dict[str, Any]
STATES = {"finished": "was there already", "replaced": "in place of the export that was there"}


def export(
    corpus: str, output: str, formats: Sequence[str], options: Options | None = None, *, dry_run: bool = False,
    workers: int | None = None, report: Report = lambda _: None,
) -> Result:  # fmt: skip
    """Write a finished corpus in formats that trainers read.

    Args:
        corpus: Folder or fsspec URL of a finished corpus.
        output: Folder or URL to write: new, empty, or an export of ours.
        formats: Names of formats; those that share audio share one folder `wavs/`.
        options: Which clips, and how.
        dry_run: Whether only to plan; nothing is written.
        workers: Processes; None: one per core.
        report: Takes lines of progress.

    Returns:
        Counts: clips and hours, for each format too, and what is left out by reason.

    Raises:
        ConfigError: For what cannot be done, before anything is written where that is possible.
        ExportError: The export does not verify.

    >>> from speechmill.export.engine import export
    >>> planned = export("corpus", "new-export", ["ljspeech"], dry_run=True)
    >>> planned["clips"] == planned["formats"]["ljspeech"]["clips"]
    True
    """
    exporters = find(tuple(formats))
    job, run = _job(corpus, output, exporters, options or Options())
    request = _request(job, run)
    state = folder.check(job.output, request)
    team = Workers(workers, report)
    with TemporaryDirectory() as scratch:
        if any(exporter.references for exporter in exporters) and not dry_run:
            job = replace(job, taken=f"{scratch}/clips.sqlite")
        job, plans = _planned(job, team)
        result = _result(job, plans)
        if not dry_run and state != "finished":
            result = _carry_out(job, plans, result, request, state, team)
        return result | ({"state": STATES[state]} if state in STATES else {})


def _carry_out(job: Job, plans: list[Plan], result: Result, request: str, state: folder.State, team: Workers) -> Result:
    """Write an export that was planned. Raises ConfigError if it has no clip."""
    _refuse_empty(result)
    output, options = job.output, {"options": _shown(job)}
    with output.locked(folder.LOCK_FILE):
        if state == "replaced":
            folder.remove_old(output)
        if state != "unfinished":
            folder.save(output, request, options, finished=False)
        result |= _write(job, plans, result, team)
        if _request(job, read_run(job.corpus) or {}) != request:
            raise ConfigError(f"{job.corpus.root}: changed while it was exported; run the same command again")
        folder.save(output, request, options | result, finished=True)
        finishing.remove_staging(output)
    if output.is_local:
        output.remove(folder.LOCK_FILE)
        paths.remove_empty(output.path(folder.STAGING))
    return result


def _job(corpus: str, output: str, exporters: Sequence[Exporter], options: Options) -> tuple[Job, dict[str, Any]]:
    """The job, and the run record of the corpus. Raises ConfigError where there is no finished corpus."""
    store, target = Store(corpus), Store(output)
    for exporter in exporters:
        exporter.check(root_of(target))
    if not ownership.is_corpus(store):
        raise no_corpus(corpus)
    run = read_run(store)
    if run is None:
        raise ConfigError(f"{corpus}: not published; finish it with: speechmill run --output {corpus}")
    if f"{root_of(target)}/".startswith(f"{root_of(store)}/"):
        raise ConfigError(f"--output {output}: lies within the corpus; choose a folder outside of it")
    decided = ManualDecisions.load(store)
    if (decided.digest() if decided.clip_ids else None) != run.get("decisions_sha256"):
        raise ConfigError(
            f"{corpus}/{DECISIONS_FILE}: changed since the corpus was published; run: speechmill select {corpus}"
        )
    shards = sorted(name for name in run["files"] if name.startswith("data/"))
    if options.splits:
        known = {name.removeprefix("data/").partition("-")[0] for name in shards}
        if unknown := set(options.splits) - known:
            raise ConfigError(f"--split {min(unknown)}: the corpus has {' and '.join(sorted(known)) or 'no clips'}")
    rate = run["config"]["audio"]["sample_rate"]
    return Job(
        corpus=store, output=target, options=options, shards=tuple(shards), audio=audio_of(exporters, options, rate)
    ), run


def _request(job: Job, run: dict[str, Any]) -> str:
    """Digest of all that decides what an export holds."""
    shards = {name: run["files"][name]["sha256"] for name in job.shards if name in run.get("files", {})}
    formats = {exporter.name: exporter.version for exporter in job.exporters}
    facts = {"speechmill": __version__, "shards": shards, "options": asdict(job.options), "formats": formats}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _shown(job: Job) -> dict[str, Any]:
    """Options that are not the default, for the mark."""
    chosen, default = asdict(job.options), asdict(Options())
    return {"formats": sorted(job.audio)} | {name: chosen[name] for name in chosen if chosen[name] != default[name]}


def _planned(job: Job, team: Workers) -> tuple[Job, list[Plan]]:
    """The job, limited to `--hours`, and the plan of each part."""
    every: dict[int, tuple[Any, ...]] = dict.fromkeys(range(len(job.shards)), ())
    if job.options.hours is not None:
        lengths = dict(team.map("measuring", lengths_part, job, every))
        job = with_hours(job, (lengths[part] for part in every))
    taken = TakenClips(job.taken) if job.taken else None
    if taken:
        taken.create()
    plans: dict[int, Plan] = {}
    for part, plan in team.map("planning", plan_part, job, every):
        if taken:
            taken.add(plan.taken)
            plan.taken = []
        plans[part] = plan
    return job, [plans[part] for part in every]


def _result(job: Job, plans: list[Plan]) -> Result:
    """What an export will hold."""
    total = empty_plan(job)
    for plan in plans:
        total.add(plan)
    formats: dict[str, Any] = {
        name: {
            "clips": counts.clips,
            "hours": counts.seconds / 3600,
            "audio_bytes": round(counts.audio_bytes),
            "texts_changed": counts.changed,
            "left_out": dict(sorted(counts.left_out.items())),
        }
        for name, counts in total.formats.items()
    }
    alone = sum(total.formats[exporter.name].audio_bytes for exporter in job.exporters if not exporter.shares_audio)
    return {
        "clips_of_the_corpus": total.corpus_clips,
        "clips": total.clips,
        "hours": total.seconds / 3600,
        "audio_bytes": round(total.shared_bytes + alone),
        "not_selected": dict(sorted(total.not_selected.items())),
        "formats": formats,
        "notes": _notes(total),
    }


def _notes(total: Plan) -> list[str]:
    """What a user should know of the audio."""
    notes = []
    if total.narrow:
        notes.append(
            f"{total.narrow} clips have a measured bandwidth of less than half of what the sample rate carries"
        )
    return notes


def _refuse_empty(result: Result) -> None:
    """Raise ConfigError if no clip is left to export."""
    if result["clips"]:
        return
    reasons: Counter[str] = Counter(result["not_selected"])
    for counts in result["formats"].values():
        reasons.update(counts["left_out"])
    why = ", ".join(f"{reason} {clips}" for reason, clips in reasons.most_common()) or "the corpus has none"
    raise ConfigError(f"no clip to export: {why}")


def _write(job: Job, plans: list[Plan], result: Result, team: Workers) -> Result:
    """Write what is missing of an export; returns further facts."""
    numbers = first_numbers(job, plans)
    records: dict[int, Record] = {}
    for part in range(len(plans)):
        if (record := job.output.read_json(staged(part))) is not None:
            records[part] = record
    missing = {part: (plans[part], numbers[part]) for part in range(len(plans)) if part not in records}
    records |= team.map("writing", write_part, job, missing)
    ordered = [records[part] for part in range(len(plans))]
    licences = _licences(ordered)
    written = finishing.finish(job, ordered, card.render(job, result, licences))
    finishing.verify(job, ordered, written)
    return {"bytes": sum(record["bytes"] for record in ordered)}


def first_numbers(job: Job, plans: list[Plan]) -> list[dict[str, int]]:
    """By part and format, number within its split of the first file that holds several clips."""
    next_numbers: Counter[tuple[str, str]] = Counter()
    numbers = []
    for part, plan in enumerate(plans):
        split, own = job.split(part), {}
        for exporter in job.exporters:
            own[exporter.name] = next_numbers[exporter.name, split]
            if exporter.clips_per_file:
                next_numbers[exporter.name, split] += -(-plan.formats[exporter.name].clips // exporter.clips_per_file)
        numbers.append(own)
    return numbers


def _licences(records: list[Record]) -> dict[str, tuple[int, float]]:
    """Clips and seconds by licence."""
    total: dict[str, tuple[int, float]] = {}
    for record in records:
        for name, (clips, seconds) in record["licences"].items():
            before = total.get(name, (0, 0.0))
            total[name] = before[0] + clips, before[1] + seconds
    return total
