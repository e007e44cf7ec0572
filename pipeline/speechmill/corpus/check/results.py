"""Files of a check: `check.json`, which sums up and marks the folder as ours, and the lists of rejected items."""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Any

from speechmill.core import atomic
from speechmill.core.version import __version__
from speechmill.corpus.check import leakage
from speechmill.corpus.check.verdicts import Verdict

RESULT_FILE, REJECTS, REJECTS_TABLE = "check.json", "rejects.jsonl", "rejects.csv"
FORMAT = "speechmill check"
COLUMNS = ("id", "split", "audio_filepath", "reasons", "text_agreement", "detail")

Result = dict[str, Any]


def read(output: str) -> Result | None:
    """The result in a folder, finished or not; None if it is not the folder of a check."""
    try:
        with open(os.path.join(output, RESULT_FILE), encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value.get("format") == FORMAT else None


def begin(output: str, source: str, layout: str) -> None:
    """Mark a folder as that of the check of a corpus, at the path `source`."""
    _save(output, RESULT_FILE, _json({"format": FORMAT, "corpus": source, "layout": layout, "finished": False}))


def summed(path: str, layout: str, judged: Sequence[Verdict]) -> Result:
    """What a check found: content of `check.json`."""
    rejected = [verdict for verdict in judged if verdict.reasons]
    agreements = [verdict.text_agreement for verdict in judged if verdict.text_agreement is not None]
    return {
        "format": FORMAT,
        "corpus": os.path.abspath(path),
        "layout": layout,
        "speechmill": __version__,
        "finished": True,
        "items": len(judged),
        "hours": round(sum(verdict.seconds for verdict in judged) / 3600, 3),
        "splits": _counts(verdict.item.split or "none" for verdict in judged),
        "speakers": len({verdict.item.speaker for verdict in judged} - {None}),
        "rejected": len(rejected),
        "rejected by reason": _counts(str(reason) for verdict in rejected for reason in verdict.reasons),
        "given texts compared": len(agreements),
        "median agreement of given texts": round(median(agreements), 3) if agreements else None,
        "held out, but in train too": {
            "by sound": sum(leakage.SOUND_IN_TRAIN in verdict.reasons for verdict in judged),
            "by text": sum(leakage.TEXT_IN_TRAIN in verdict.reasons for verdict in judged),
        },
        "speakers in several splits": _named(leakage.shared_speakers(judged)),
        "voices in several splits": _named(leakage.shared_voices(judged)),
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    """How often each value occurs, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0])))


def _named(shared: dict[str, list[str]]) -> Result:
    """The number of speakers, and the first of them with their splits."""
    first = dict(list(shared.items())[: leakage.MOST_NAMED])
    return {"count": len(shared)} | ({"first": first} if first else {})


def write(output: str, judged: Sequence[Verdict], result: Result) -> None:
    """Write the lists of rejected items, and the result last."""
    rows = [row for verdict in judged if (row := _row(verdict))]
    _save(output, REJECTS, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
    _save(output, REJECTS_TABLE, "".join(_table(rows)))
    _save(output, RESULT_FILE, _json(result))


def _row(verdict: Verdict) -> Result | None:
    """A rejected item with the keys of NeMo's manifests, and why; None for an item that is not rejected."""
    if not verdict.reasons:
        return None
    item = verdict.item
    return {
        "id": item.id,
        "split": item.split,
        "audio_filepath": item.path,
        "duration": round(verdict.seconds, 3),
        "text": item.text,
        "reasons": [str(reason) for reason in verdict.reasons],
        "text_agreement": verdict.text_agreement,
        "detail": verdict.detail,
    }


def _table(rows: Iterable[Result]) -> Iterator[str]:
    """The rows as lines of CSV, after a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow((row | {"reasons": " ".join(row["reasons"])})[name] for name in COLUMNS)
    yield text.getvalue()


def _json(value: Result) -> str:
    return f"{json.dumps(value, indent=2, ensure_ascii=False)}\n"


def _save(output: str, name: str, text: str) -> None:
    """Write a file that appears when it is complete; what is no Unicode in a name is written as Python escapes it."""
    with atomic.atomic_write(os.path.join(output, name), new=False, private=False) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
