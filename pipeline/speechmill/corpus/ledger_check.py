"""Checks that the ledger balances: every sample of every recording has one fate."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import merge
from operator import itemgetter

from speechmill.core.reasons import Reason
from speechmill.core.records import SpanKind, Status
from speechmill.corpus.checks import Check, CorpusTables, Row
from speechmill.decide.decision import KEPT, REJECTED
from speechmill.publish import RECORDINGS_FILE
from speechmill.publish.writers import LEDGER_FILE

RECORDING, ROW = 0, 1  # a recording comes before its rows


def check_balance(corpus: CorpusTables, check: Check) -> None:
    """Check that spans cover each decoded recording without gap or overlap, and add up to the sums in stats.json."""
    samples: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for recording_id, recording, spans in by_recording(corpus, [LEDGER_FILE], check):
        check.checked += 1
        if recording is None:
            check.fail(f"{recording_id}: in the ledger, not in {RECORDINGS_FILE}")
            continue
        statuses[recording["status"]] += 1
        if recording["status"] == Status.OK and recording["decoded_samples"] is not None:
            samples += _balance(recording, spans, check)
        else:
            _failed_row(recording, list(spans), check)
    stats = corpus.store.read_json("stats.json") or {}
    balance = {"in": samples.total(), **samples}
    check.expect(
        that=stats.get("samples") == balance, problem=f"stats.json: samples {stats.get('samples')}, not {balance}"
    )
    counted = stats.get("recordings")
    check.expect(that=counted == statuses, problem=f"stats.json: recordings {counted}, not {dict(statuses)}")


def _balance(recording: Row, spans: Iterable[Row], check: Check) -> Counter[str]:
    """Count samples by fate of a recording; check that its spans follow each other from 0 to its end."""
    place, samples = 0, Counter[str]()
    name = recording["recording_id"]
    for span in spans:
        start, end, kind = span["start"], span["end"], span["kind"]
        check.expect(that=start == place, problem=f"{name}: a span ends at {place}, the next starts at {start}")
        check.expect(that=end > start, problem=f"{name}: the span at {start} is empty")
        is_clip = kind == SpanKind.CLIP
        rejecting = [reason for reason in span["reasons"] if span["decision"] != KEPT or reason != Reason.MANUAL]
        fate = (span["decision"] == KEPT, bool(rejecting))
        known = fate in ((True, False), (False, True)) if is_clip else kind in set(SpanKind) and fate == (False, False)
        check.expect(
            that=known and is_clip == bool(span["clip_id"]), problem=f"{name}: the span at {start} has no clear fate"
        )
        samples[span["decision"] if is_clip else str(kind)] += end - start
        place = end
    length = recording["decoded_samples"]
    check.expect(that=place == length, problem=f"{name}: spans end at {place}, the recording at {length}")
    return samples


def _failed_row(recording: Row, spans: list[Row], check: Check) -> None:
    """Check that a recording that was not decoded has one row with its reason."""
    why = [recording["reason"]] if recording["reason"] else []
    rows = [(row["start"], row["end"], row["kind"], row["decision"], row["reasons"]) for row in spans]
    name = recording["recording_id"]
    check.expect(that=rows == [(0, 0, None, REJECTED, why)], problem=f"{name}: not one row saying why it has no audio")
    is_explained = recording["status"] == Status.OK or bool(why)
    check.expect(that=is_explained, problem=f"{name}: {recording['status']} without a reason")


def by_recording(
    corpus: CorpusTables, files: list[str], check: Check, columns: list[str] | None = None
) -> Iterator[tuple[str, Row | None, Iterable[Row]]]:
    """For each recording_id in recordings.parquet or `files`: its recording, if there is one, and its rows there.

    `columns`: those of the rows; None: all.
    """
    recordings = corpus.rows([RECORDINGS_FILE], ["recording_id", "content_id", "status", "reason", "decoded_samples"])
    tagged = merge(
        ((row["recording_id"], RECORDING, row) for row in recordings),
        ((row["recording_id"], ROW, row) for row in corpus.rows(files, columns)),
        key=itemgetter(0, 1),
    )
    tables, last = ", ".join([*files[:1], RECORDINGS_FILE]), ""
    for recording_id, group in itertools.groupby(tagged, itemgetter(0)):
        check.expect(
            that=recording_id > last,
            problem=f"{tables}: {recording_id} is out of order",
        )
        last = recording_id
        first = next(group)
        is_known = first[1] == RECORDING
        rows = itertools.chain([first][is_known:], group)  # noqa: B031 - the group is iterated only once
        yield recording_id, first[2] if is_known else None, map(itemgetter(2), rows)
