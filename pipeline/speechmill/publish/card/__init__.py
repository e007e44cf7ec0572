"""Renders the dataset card, `README.md`: what is in the corpus, how to load it, how it was made, and its limits.

It follows the template of the Hub, which with `datasets` reads its front matter. Every number comes from the
statistics of the publication. Of the metadata of feeds and manifests, which may hold markup, only licence ids are
shown.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from speechmill.core.build import Build
from speechmill.core.inventory import Facts
from speechmill.core.version import __version__
from speechmill.publish import figures, limits
from speechmill.publish.card.front import front_matter
from speechmill.publish.card.loading import loading
from speechmill.publish.columns import columns_of, data_schema
from speechmill.publish.licences import licence_samples
from speechmill.publish.models import describe_models

CARD_FILE = "README.md"
ARROW_NAMES = {"float": "float32", "double": "float64"}
NUMERIC = {"duration", "share", "clips", "recordings"}  # columns of tables, set to the right

Rows = list[tuple[Any, ...]]


def render(build: Build, stats: dict[str, Any], files: Mapping[str, Facts] | None = None) -> str:
    """Render the card of a corpus, as Markdown.

    Args:
        build: The corpus.
        stats: Statistics of the publication.
        files: Size and SHA-256 of its files by name.
    """
    sections = (
        _summary(build, stats),
        _details(build, stats),
        _uses(),
        loading(build, stats),
        _structure(stats),
        _creation(build, stats),
        _reasons(stats),
        _licences(stats),
        _list("Personal data and consent", limits.personal_data(build)),
        _list("Limits", limits.limits(build, stats)),
        _list("Biases", limits.biases(build, stats)),
        _citation(build),
        _columns(build),
    )
    body = "\n\n".join(text for text in sections if text)
    return f"---\n{front_matter(build, stats, files or {})}\n---\n\n{body}\n"


def _table(head: tuple[str, ...], rows: Rows) -> str:
    lines = [head, tuple("---:" if name in NUMERIC else "---" for name in head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _list(title: str, notes: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {note}" for note in notes)


def _duration(stats: dict[str, Any], samples: int) -> str:
    return figures.duration(samples, stats["sampling_rate"])


def _summary(build: Build, stats: dict[str, Any]) -> str:
    samples = stats["samples"]
    text = "transcribed by a machine and checked by nobody" if build.runs("transcribe") else "without transcripts"
    return (
        f"# {figures.corpus_name(build)}\n\n"
        f"Clips of speech to train text-to-speech models on, {text}: "
        f"**{_duration(stats, samples.get('kept', 0))} in {stats['clips'].get('kept', 0):,} clips**, "
        f"mono FLAC at {stats['sampling_rate']:,} Hz, kept out of {_duration(stats, samples['in'])} of recordings. "
        f"Made by speechmill {__version__}. `report.html` lets you hear it, `stats.json` holds the numbers, and "
        "`croissant.json` says the same to machines."
    )


def _details(build: Build, stats: dict[str, Any]) -> str:
    publish, speakers = build.config.publish, stats.get("speakers")
    ids = [f"`{name}`" for name in sorted(licence_samples(stats))]
    rows: Rows = [
        ("published by", publish.creator or "not stated"),
        ("page", publish.url or "not stated"),
        ("contact, also for whoever wants to be taken out", publish.contact or "not stated"),
        ("languages", ", ".join(figures.languages(stats)) or "not known"),
        ("speakers", f"{speakers['speakers']:,} clusters of voices" if speakers else "not known"),
        ("licences", ", ".join(ids) or "none"),
    ]
    return f"## Details\n\n{_table(('about', 'value'), rows)}"


def _uses() -> str:
    return (
        "## Uses\n\nMeant for:\n\n"
        + "\n".join(f"- {use}" for use in limits.USES)
        + "\n\nNot meant for:\n\n"
        + "\n".join(f"- {use}" for use in limits.MISUSES)
    )


def _structure(stats: dict[str, Any]) -> str:
    """The splits, and where every hour went."""
    rows: Rows = [
        (f"`{fate.name}`", _duration(stats, fate.samples), figures.percent(fate.share), fate.note)
        for fate in figures.by_fate(stats)
    ]
    total = stats["samples"]["in"]
    rows.append(("**all**", _duration(stats, total), figures.percent(float(total > 0)), "decoded"))
    splits: Rows = [
        (f"`{split}`", f"{counts['clips']:,}", _duration(stats, counts["samples"]))
        for split, counts in sorted(stats["splits"].items())
    ]
    shares = f"{_splitting(stats)}\n\n{_table(('split', 'clips', 'duration'), splits)}" if splits else ""
    return (
        f"## Structure\n\nA row is a clip; the [columns](#columns) are at the end. {shares or 'No clip was kept.'}\n\n"
        "Every sample of every decoded recording has one fate, listed in `ledger.parquet`:\n\n"
        f"{_table(('fate', 'duration', 'share', 'meaning'), rows)}"
    )


def _splitting(stats: dict[str, Any]) -> str:
    speaker_stats = stats.get("speakers")
    if speaker_stats is None:
        return "A recording is in one split only, chosen by its hash."
    share = figures.percent(speaker_stats["samples_of_largest"] / stats["samples"]["kept"])
    return (
        "Neither a recording nor a speaker is in two splits. Speakers were clustered by the embeddings of their clips, "
        f"{speaker_stats['speakers']:,} in all; the largest has {share} of the kept audio."
    )


def _reasons(stats: dict[str, Any]) -> str:
    reasons = figures.by_reason(stats)
    if not reasons:
        return ""
    rows: Rows = [
        (f"`{row.name}`", row.note, f"{row.clips:,}", _duration(stats, row.samples), figures.percent(row.share))
        for row in reasons
    ]
    return (
        "## Why clips were rejected\n\nA clip may have several reasons, so shares may add up to more than the "
        f"{stats['clips'].get('rejected', 0):,} rejected clips. All candidates, with scores and reasons, are in "
        f"`pool.parquet`.\n\n{_table(('reason', 'meaning', 'clips', 'duration', 'share'), rows)}"
    )


def _recordings(stats: dict[str, Any]) -> str:
    rows: Rows = [(f"`{status}`", f"{count:,}") for status, count in sorted(stats["recordings"].items())]
    text = f"All recordings that were seen are in `recordings.parquet`.\n\n{_table(('status', 'recordings'), rows)}"
    if failed := stats["failed_by_reason"]:
        why: Rows = [(f"`{reason}`", f"{count:,}") for reason, count in sorted(failed.items())]
        text += f"\n\n{_table(('not used because', 'recordings'), why)}"
    return text


def _licences(stats: dict[str, Any]) -> str:
    kept = stats["samples"].get("kept", 0)
    rows: Rows = [
        (f"`{name}`", _duration(stats, samples), figures.percent(samples / max(kept, 1)))
        for name, samples in sorted(licence_samples(stats).items())
    ]
    note = (
        "## Licences\n\nThe recordings keep their own licences: each row names its own in `licence` and `licence_url`, "
        "and its source in `source_url`, `title` and `author`. They are what the sources state, and nobody verified "
        "them. This corpus grants nothing beyond them; where they ask for attribution, give it."
    )
    return f"{note}\n\n{_table(('licence', 'duration', 'share'), rows)}" if rows else note


def _citation(build: Build) -> str:
    return (
        "## Citation\n\nCite the recordings as their licences ask, by `title`, `author` and `source_url`, and the "
        f"corpus:\n\n```bibtex\n{figures.citation(build)}\n```"
    )


def _columns(build: Build) -> str:
    rows: Rows = []
    for column in data_schema(columns_of(build)):
        about = {key.decode(): value.decode() for key, value in (column.metadata or {}).items()}
        rows.append((f"`{column.name}`", f"`{_type(column.type)}`", about.get("unit", ""), about["description"]))
    return f"## Columns\n\n{_table(('column', 'type', 'unit', 'meaning'), rows)}"


def _type(kind: pa.DataType) -> str:
    """Name of an Arrow type as `datasets` writes it."""
    if pa.types.is_list(kind):
        return f"list<{_type(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{member.name}: {_type(member.type)}' for member in kind)}>"
    return ARROW_NAMES.get(str(kind), str(kind))


def _creation(build: Build, stats: dict[str, Any]) -> str:
    """Source data, how they were processed, and by which models."""
    cut = build.config.segment
    made_by = describe_models(build)
    rows: Rows = [
        ("segments", f"profile `{cut.profile}`, speech found by `{cut.vad}`, profile id `{build.profiles['segment']}`"),
        (
            "lengths",
            f"{cut.min_length_s:g} s to {cut.max_length_s:g} s, cut at silences of {cut.min_silence_s:g} s or more",
        ),
        *made_by.items(),
    ]
    rows += [
        (f"`{column.name}`", f"at {'most' if column.test.at_most else 'least'} {limit:g}")
        for column, limit in figures.limits(build)
        if column.test
    ]
    return (
        f"## How it was made\n\n{_recordings(stats)}\n\nAll annotations are made by models, none by people"
        f"{_by_hand(stats)}. All settings and versions are in `run.json`.\n\n{_table(('what', 'setting'), rows)}"
    )


def _by_hand(stats: dict[str, Any]) -> str:
    count = stats.get("decided_by_hand", 0)
    return f", who decided about {count:,} clips" if count else ""
