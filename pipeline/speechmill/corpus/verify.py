"""Verifies a finished corpus from its published files alone.

The ledger must balance to the sample, the tables must agree row by row, and columns computed again from a clip's audio
must be equal. Tables are read side by side in their common order, so that memory does not grow with the corpus.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from heapq import merge
from operator import itemgetter
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from speechmill.core import ownership, plugins
from speechmill.core.config_errors import ConfigError
from speechmill.core.config_file import load
from speechmill.core.paths import OutsideError
from speechmill.core.records import (
    LEDGER,
    RECORDINGS,
    Status,
    recording_from,
    stable_id,
)
from speechmill.core.removals import Removals
from speechmill.core.state import no_corpus, read_run
from speechmill.core.store import Store
from speechmill.core.version import __version__
from speechmill.corpus.checks import Check, CorpusTables, Row
from speechmill.corpus.ledger_check import by_recording, check_balance
from speechmill.corpus.recompute import RECOMPUTATIONS
from speechmill.corpus.sampling import recompute
from speechmill.decide.decision import KEPT
from speechmill.decide.licences import licence_allowed
from speechmill.decide.splits import TRAIN, VALIDATION, split_of
from speechmill.publish import RECORDINGS_FILE, RUN_FILE
from speechmill.publish.columns import data_schema, pool_schema
from speechmill.publish.writers import LEDGER_FILE

SAMPLE_ROWS = 32  # clips that are computed again: half a minute on two cores
T = TypeVar("T")
READ_AS_OURS = ("data/train-", "data/validation-", "pool.parquet/")  # prefixes of files that readers of a corpus read


def verify(
    corpus: str, *, rows: int | None = SAMPLE_ROWS, progress: Callable[..., None] = lambda *_: None
) -> dict[str, Any]:
    """Verify a corpus: structure, ledger and hashes in full, and columns of clips computed again from their audio.

    Args:
        corpus: Path or URL of the corpus.
        rows: Clips to compute again, evenly spread; None: all of them.
        progress: Called with a text and, in the second part, the number of clips done and of all to do.

    Returns:
        {"ok": bool, "checks": {name: {"ok", "checked", "failed", "problems": the first few}}, "recomputed": lines that
        say what was computed again, and what was not}. A check of a sample has the number of all clips as "of".

    Raises:
        ConfigError: There is no corpus.
    """
    store = Store(corpus)
    if not ownership.is_corpus(store):
        raise no_corpus(corpus)
    try:
        run = read_run(store)
        if run and (gone := plugins.missing(run)):
            raise ConfigError(f"{corpus}: {gone}")
        config = load(base=run["config"]) if run else None
    except ConfigError as error:
        return _not_verifiable(str(error))
    if run is None or config is None:
        return _not_verifiable(f"not published: no {RUN_FILE}; finish it with: speechmill run --output {corpus}")
    subject = CorpusTables(store, run, config, progress)
    checks = {name: Check() for name in STRUCTURE}
    for name, function in STRUCTURE.items():
        progress(f"checking {name}")
        _run(checks[name], partial(function, subject, checks[name]))
    checks |= recompute(subject, RECOMPUTATIONS, rows, progress=progress, run=_run)
    return {
        "ok": not any(check.failed for check in checks.values()),
        "checks": {name: check.result() for name, check in checks.items()},
        "recomputed": [_line(name, checks[name]) for name in RECOMPUTATIONS],
    }


def _line(name: str, check: Check) -> str:
    """What was computed again, and what was not."""
    note = f" ({check.note})" if check.note else ""
    return f"{name.replace('_', ' ')}: {check.checked:,} of {check.of or 0:,} clips{note}"


def _not_verifiable(problem: str) -> dict[str, Any]:
    return {"ok": False, "checks": {"published": Check(checked=1, failed=1, problems=[problem]).result()}}


def _run(check: Check, function: Callable[[], T]) -> T | None:
    """Call a function for a check; a missing or unreadable file is a problem, after which it returns None."""
    try:
        return function()
    except (pa.ArrowException, OSError, ValueError, KeyError, OutsideError) as error:
        check.fail(f"cannot be read: {type(error).__name__}: {error}")
        return None


def _files(corpus: CorpusTables, check: Check) -> None:
    """Check that the files of run.json are unchanged, and that there are no others that a reader would read as well.

    Files of others elsewhere are no problem, and are listed in a note.
    """
    listed = corpus.run["files"]
    for name, facts in listed.items():
        check.checked += 1
        corpus.report(name)
        if not corpus.store.exists(name):
            check.fail(f"{name}: missing")
        elif corpus.store.size(name) != facts["bytes"]:
            check.fail(f"{name}: {corpus.store.size(name)} bytes, not {facts['bytes']}")
        else:
            with corpus.store.open(name) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            check.expect(that=digest == facts["sha256"], problem=f"{name}: not the bytes that were published")
    mark = ownership.mark_of(corpus.store) or ownership.Mark()
    others = [name for name in ownership.foreign_files(corpus.store, mark) if name not in listed]
    for name in sorted(others + [name for name in mark.files if name.startswith(READ_AS_OURS) and name not in listed]):
        if name.startswith(READ_AS_OURS) and corpus.store.exists(name):
            check.fail(f"{name}: not part of the corpus")
    if kept := [name for name in others if not name.startswith(READ_AS_OURS)]:
        check.note = f"not speechmill's, and left alone: {ownership.shorten(kept)}"


def _croissant(corpus: CorpusTables, check: Check) -> None:
    """Check that `croissant.json` describes the files of `run.json`, with their hashes."""
    described = corpus.store.read_json(ownership.CROISSANT_FILE)
    if described is None:
        check.fail(f"{ownership.CROISSANT_FILE}: missing; make it with: speechmill select {corpus.store.root}")
        return
    objects = [part for part in described["distribution"] if "sha256" in part]
    hashes = {part["contentUrl"]: part["sha256"] for part in objects}
    for name, facts in corpus.run["files"].items():
        check.checked += 1
        that = hashes.pop(name, None) == facts["sha256"]
        check.expect(that=that, problem=f"{ownership.CROISSANT_FILE}: another hash than {name} has, or none")
    for name in hashes:
        check.fail(f"{ownership.CROISSANT_FILE}: {name} is not part of the corpus")


def _schema(corpus: CorpusTables, check: Check) -> None:
    """Check the schemas of all tables."""
    schemas = {LEDGER_FILE: LEDGER, RECORDINGS_FILE: RECORDINGS}
    schemas |= {name: pool_schema(corpus.columns) for name in corpus.pool}
    schemas |= {name: data_schema(corpus.columns) for split in (TRAIN, VALIDATION) for name in corpus.shards(split)}
    versions = f"written by speechmill {corpus.run['speechmill']}, this is {__version__}"
    for name, expected in schemas.items():
        check.checked += 1
        with corpus.store.open(name) as file:
            schema = pq.read_schema(file)
        wanted, stored = ({column.name: column.type for column in columns} for columns in (expected, schema))
        odd = sorted(column for column in wanted.keys() | stored.keys() if wanted.get(column) != stored.get(column))
        if odd or schema.names != expected.names:
            check.fail(f"{name}: {', '.join(odd) or 'order of columns'} ({versions})")


def _clips(corpus: CorpusTables, check: Check) -> None:
    """Check that ledger, pool and data have the same clips: each once, in order, in its split, and allowed."""
    _expect_same(_pool(corpus, check), _ledger_clips(corpus), f"{LEDGER_FILE} and pool.parquet", check)
    kept = (row for row in corpus.rows(corpus.pool) if row["decision"] == KEPT)
    columns = [name for name in pool_schema(corpus.columns).names if name in data_schema(corpus.columns).names]
    pool = ((_position(row), json.dumps([row[name] for name in columns])) for row in kept)
    shards = [_shard_rows(corpus, split, columns, check) for split in (TRAIN, VALIDATION)]
    data = ((_position(row), json.dumps([row[name] for name in columns])) for row in merge(*shards, key=_position))
    _expect_same(pool, data, "the kept clips of pool.parquet and data/", check)


def _duplicates(corpus: CorpusTables, check: Check) -> None:
    """Check that each `duplicate_of` is another clip of the pool."""
    columns = ["clip_id", "duplicate_of"]
    named = {row["duplicate_of"]: row["clip_id"] for row in corpus.rows(corpus.pool, columns) if row["duplicate_of"]}
    for row in corpus.rows(corpus.pool, columns):
        check.checked += 1
        check.expect(that=row["clip_id"] != row["duplicate_of"], problem=f"{row['clip_id']} repeats itself")
        named.pop(row["clip_id"], None)
    for missing, clip_id in named.items():
        check.fail(f"{clip_id} repeats {missing}, which is not in pool.parquet")


def _removed(corpus: CorpusTables, check: Check) -> None:
    """Check that nothing with a removal request is published."""
    removed = Removals.load(corpus.store)
    clips = removed.clips
    fix = f"finish it with: speechmill select {corpus.store.root}"
    for row in corpus.rows([RECORDINGS_FILE]):
        check.checked += 1
        is_out = row["status"] == Status.REMOVED or not removed.match(recording_from(row))
        check.expect(that=is_out, problem=f"{row['recording_id']} was removed and is still here; {fix}")
    for row in corpus.rows(corpus.pool, ["clip_id", "decision"]):
        is_out = row["decision"] != KEPT or row["clip_id"] not in clips
        check.expect(that=is_out, problem=f"{row['clip_id']} has the sound of what was removed; {fix}")


def _position(row: Row) -> tuple[str, int]:
    return row["recording_id"], row["start"]


def _pool(corpus: CorpusTables, check: Check) -> Iterator[tuple[tuple[str, int], str]]:
    """Position and decision of the clips of the pool; checks that each id is the digest of content and position."""
    profile = corpus.run["profiles"]["segment"]
    columns = ["recording_id", "clip_id", "start", "end", "decision", "reasons"]
    for recording_id, recording, rows in by_recording(corpus, corpus.pool, check, columns):
        content_id = (recording or {}).get("content_id") or ""
        for row in rows:
            check.checked += 1
            identity = stable_id(content_id, str(row["start"]), str(row["end"]), profile)
            problem = f"pool.parquet: {row['clip_id']} is not the id of its place in {recording_id}"
            check.expect(that=identity == row["clip_id"], problem=problem)
            yield _position(row), _decision_of(row)


def _speakers(corpus: CorpusTables, check: Check) -> None:
    """Check that splits share no speaker or recording, and that conditioning is other clips of speaker and split."""
    if not corpus.has("speakers"):
        check.note = "speakers were not clustered"
        return
    seen: dict[str, str] = {}  # split of each speaker and recording
    for split in (TRAIN, VALIDATION):
        columns = ["clip_id", "recording_id", "speaker_id", "speaker_purity", "conditioning_clip_ids"]
        speakers = {row["clip_id"]: row["speaker_id"] for row in corpus.rows(corpus.shards(split), columns[:3])}
        for row in corpus.rows(corpus.shards(split), columns):
            check.checked += 1
            name, speaker, others = row["clip_id"], row["speaker_id"], row["conditioning_clip_ids"] or []
            for owner in filter(None, (row["recording_id"], speaker)):
                check.expect(that=seen.setdefault(owner, split) == split, problem=f"{name}: {owner} is in both splits")
            own = name not in others and all(speakers.get(other) == speaker for other in others)
            check.expect(that=own, problem=f"{name}: conditioning of another speaker, or of the clip itself")
            purity = row["speaker_purity"]
            is_right = (purity is None) == (speaker is None) and 0 <= (purity or 0) <= 1
            check.expect(that=is_right, problem=f"{name}: a purity of {purity} for {speaker}")


def _ledger_clips(corpus: CorpusTables) -> Iterator[tuple[tuple[str, int], str]]:
    return ((_position(row), _decision_of(row)) for row in corpus.rows([LEDGER_FILE]) if row["clip_id"])


def _decision_of(row: Row) -> str:
    """Columns of a clip that ledger and pool share, as JSON."""
    return json.dumps([row["clip_id"], row["end"], row["decision"], row["reasons"]])


def _shard_rows(corpus: CorpusTables, split: str, columns: list[str], check: Check) -> Iterator[Row]:
    """Rows of a split; checks their order, split and licence."""
    publish = corpus.config.publish
    by_text = publish.separate_texts and publish.validation_share > 0 and corpus.has("assess")
    is_grouped = corpus.has("speakers") or by_text  # and not split by the hash of each recording alone
    last = ("", -1)
    for row in corpus.rows(corpus.shards(split), columns):
        name = row["clip_id"]
        check.expect(that=_position(row) > last, problem=f"data/{split}: {name} is out of order or there twice")
        expected = split if is_grouped else split_of(row["recording_id"], publish.validation_share)
        check.expect(that=expected == split, problem=f"data/{split}: {name} belongs to {expected}")
        allowed = licence_allowed(row["licence"], corpus.config.licences)
        check.expect(
            that=allowed, problem=f"data/{split}: {name} has the licence {row['licence']}, which is not allowed"
        )
        last = _position(row)
        yield row


def _expect_same(
    left: Iterable[tuple[tuple[str, int], str]], right: Iterable[tuple[tuple[str, int], str]], tables: str, check: Check
) -> None:
    """Check that two sorted streams have the same positions, once each, with equal values."""
    tagged = merge(((*item, 0) for item in left), ((*item, 1) for item in right), key=itemgetter(0))
    for (recording_id, start), group in itertools.groupby(tagged, itemgetter(0)):
        entries = [(side, value) for _, value, side in group]
        sides = [side for side, _ in entries]
        problem = f"{tables} differ about the clip at {start} of {recording_id}"
        check.expect(that=sorted(sides) == [0, 1] and entries[0][1] == entries[1][1], problem=problem)


STRUCTURE: dict[str, Callable[[CorpusTables, Check], None]] = {
    "files": _files,
    "croissant": _croissant,
    "schema": _schema,
    "ledger": check_balance,
    "clips": _clips,
    "duplicates": _duplicates,
    "speakers": _speakers,
    "removed": _removed,
}
