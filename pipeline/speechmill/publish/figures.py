"""Figures of a corpus for card and report, formatted from `stats.json`: hours by fate and reason, thresholds.

Card and report share them, so that they cannot disagree.
"""

import re
from dataclasses import dataclass
from typing import Any

from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.version import __version__
from speechmill.publish.advice import MEANINGS
from speechmill.publish.columns import columns_of

FATES = {
    "kept": "published",
    "rejected": "candidate clips that failed a test",
    "silence": "between utterances",
    "too_short": "utterances under the shortest clip",
    "too_long": "utterances over the longest clip",
    "corrupt": "did not decode",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """An amount of audio. `share` is in [0, 1], of a total that depends on the table."""

    name: str
    samples: int
    hours: str
    share: float
    clips: int = 0
    note: str = ""


def hours(samples: int, rate: int) -> str:
    """Samples at `rate` Hz as hours to four decimal places (0.36 s), e.g. `1,234.5678`."""
    return f"{samples / rate / 3600:,.4f}"


def length(samples: int, rate: int) -> str:
    """Samples at `rate` Hz as hours to two decimals, as minutes below an hour, and as seconds below a minute.

    >>> length(24_000 * 4_530, 24_000), length(24_000 * 90, 24_000), length(36_000, 24_000), length(0, 24_000)
    ('1.26 h', '1.5 min', '1.50 s', '0 s')
    """
    seconds = samples / rate
    if seconds >= 3600:
        return f"{seconds / 3600:,.2f} h"
    if seconds >= 60:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.2f} s" if seconds else "0 s"


def duration(samples: int, rate: int) -> str:
    """Samples at `rate` Hz in words, to the minute from an hour on, and to the second from a minute on.

    >>> duration(24_000 * 4_530, 24_000), duration(24_000 * 90, 24_000), duration(36_000, 24_000)
    ('1 h 16 min', '1 min 30 s', '1.5 s')
    """
    seconds = samples / rate
    if round(seconds) < 60:
        return f"{seconds:.1f} s"
    if round(seconds / 60) < 60:
        return f"{round(seconds) // 60} min {round(seconds) % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def percent(share: float) -> str:
    """A share in [0, 1] as e.g. `45.5 %`."""
    return f"{100 * share:.1f} %"


def amount(stats: dict[str, Any], name: str, samples: int, *, of: int, clips: int = 0, note: str = "") -> Amount:
    """Amount of `samples`, as a share `of` a total in samples."""
    length = hours(samples, stats["sampling_rate"])
    return Amount(name=name, samples=samples, hours=length, share=samples / max(of, 1), clips=clips, note=note)


def by_fate(stats: dict[str, Any]) -> list[Amount]:
    """Audio by fate. The samples add up to `stats["samples"]["in"]`."""
    samples = stats["samples"]
    names = [*FATES, *sorted(samples.keys() - FATES.keys() - {"in"})]
    return [amount(stats, n, samples.get(n, 0), of=samples["in"], note=FATES.get(n, "")) for n in names]


def by_reason(stats: dict[str, Any]) -> list[Amount]:
    """Audio by reason of rejection, largest first, as shares of all rejected audio. A clip may have several reasons."""
    rejected = stats["samples"].get("rejected", 0)
    amounts = [
        amount(stats, reason, counts["samples"], of=rejected, clips=counts["clips"], note=MEANINGS.get(reason, ""))
        for reason, counts in stats["rejected_by_reason"].items()
    ]
    return sorted(amounts, key=lambda row: (-row.samples, row.name))


def by_profile(stats: dict[str, Any]) -> list[Amount]:
    """Audio that each profile of segmentation would make clips of, most first; profiles that make none are left out."""
    samples = stats.get("candidate_samples_by_profile", {})
    rows = [amount(stats, name, count, of=stats["samples"]["in"]) for name, count in samples.items() if count]
    return sorted(rows, key=lambda row: (-row.samples, row.name))


def kept_by(stats: dict[str, Any], column: str) -> list[Amount]:
    """Kept audio by a column, `licence` or `language`, largest first, as shares of all kept audio."""
    kept = stats["samples"].get("kept", 0)
    counts = stats["kept_samples_by"].get(column, {})
    amounts = [amount(stats, name, samples, of=kept) for name, samples in counts.items()]
    return sorted(amounts, key=lambda row: (-row.samples, row.name))


def limits(build: Build) -> list[tuple[Column, float]]:
    """Columns with a threshold that is not switched off, each with its threshold."""
    thresholds = build.config.thresholds
    tested = [(column, column.test.limit(thresholds)) for column in columns_of(build) if column.test]
    return [(column, limit) for column, limit in tested if limit is not None]


def languages(stats: dict[str, Any]) -> list[str]:
    """Codes of the languages of the kept clips, without those that are unknown, sorted."""
    return sorted(stats["kept_samples_by"].get("language", {}).keys() - {"unknown"})


def citation(build: Build) -> str:
    """BibTeX entry of the corpus. It has no year, so that equal corpora have equal cards."""
    name, publish = corpus_name(build), build.config.publish
    key = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "corpus"
    fields = {"title": f"{{{name}}}", "author": publish.creator, "url": publish.url}
    lines = [f"  {field} = {{{value}}}," for field, value in fields.items() if value]
    return "\n".join([f"@misc{{{key},", *lines, f"  note = {{Made with speechmill {__version__}}}", "}"])


def corpus_name(build: Build) -> str:
    """Name of the corpus: the last part of its path, without characters that could be markup."""
    leaf = build.store.root.rstrip("/").rpartition("/")[2]
    plain = "".join(c if c.isalnum() or c in "-_.+" else " " for c in leaf)
    return " ".join(plain.split()).strip(".-_ ") or "corpus"
