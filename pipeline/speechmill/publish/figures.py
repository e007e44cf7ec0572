"""The numbers of a corpus as people read them: hours of each fate, reasons, limits.

Card and report take them from here, so that the two cannot disagree with each other or with `stats.json`.
"""

from dataclasses import dataclass
from typing import Any

from speechmill.core.build import Build
from speechmill.core.columns import Column
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
    """So much audio of one kind. `share` is in [0, 1], of what the caller says."""

    name: str
    samples: int
    hours: str
    share: float
    clips: int = 0
    note: str = ""


def hours(samples: int, rate: int) -> str:
    """Hours to four places (0.36 s), e.g. `1,234.5678`."""
    return f"{samples / rate / 3600:,.4f}"


def percent(share: float) -> str:
    """A share in [0, 1] as e.g. `45.5 %`."""
    return f"{100 * share:.1f} %"


def amount(stats: dict[str, Any], name: str, samples: int, *, of: int, clips: int = 0, note: str = "") -> Amount:
    """Put a number of samples into words, as a share `of` others."""
    length = hours(samples, stats["sampling_rate"])
    return Amount(name=name, samples=samples, hours=length, share=samples / max(of, 1), clips=clips, note=note)


def by_fate(stats: dict[str, Any]) -> list[Amount]:
    """What became of the audio. The samples add up to `stats["samples"]["in"]`."""
    samples = stats["samples"]
    names = [*FATES, *sorted(samples.keys() - FATES.keys() - {"in"})]
    return [amount(stats, n, samples.get(n, 0), of=samples["in"], note=FATES.get(n, "")) for n in names]


def by_reason(stats: dict[str, Any]) -> list[Amount]:
    """Why clips were rejected, most audio first, as shares of what was rejected. A clip may have several reasons."""
    rejected = stats["samples"].get("rejected", 0)
    found = [
        amount(stats, reason, counts["samples"], of=rejected, clips=counts["clips"], note=MEANINGS.get(reason, ""))
        for reason, counts in stats["rejected_by_reason"].items()
    ]
    return sorted(found, key=lambda one: (-one.samples, one.name))


def kept_by(stats: dict[str, Any], what: str) -> list[Amount]:
    """Kept audio by `licence` or `language`, most first, as shares of all that was kept."""
    kept = stats["samples"].get("kept", 0)
    found = [amount(stats, name, samples, of=kept) for name, samples in stats["kept_samples_by"].get(what, {}).items()]
    return sorted(found, key=lambda one: (-one.samples, one.name))


def limits(build: Build) -> list[tuple[Column, float]]:
    """The columns that were tested, each with its threshold: those not switched off."""
    tested = [column for column in columns_of(build) if column.test]
    found = [(column, column.test.limit(build.config.thresholds)) for column in tested if column.test]
    return [(column, limit) for column, limit in found if limit is not None]


def corpus_name(build: Build) -> str:
    """Name of the corpus: the last part of its address, without what a page could mistake for markup."""
    leaf = build.store.root.rstrip("/").rpartition("/")[2]
    plain = "".join(c if c.isalnum() or c in "-_.+" else " " for c in leaf)
    return " ".join(plain.split()).strip(".-_ ") or "corpus"
