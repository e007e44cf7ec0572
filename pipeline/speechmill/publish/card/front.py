"""The front matter of the card: metadata for the Hub and `datasets`, as YAML.

Keys: https://github.com/huggingface/hub-docs/blob/main/datasetcard.md.
"""

from collections.abc import Mapping
from typing import Any

from speechmill.core.build import Build
from speechmill.core.columns import AUDIO, feature_of
from speechmill.core.inventory import Facts
from speechmill.publish import figures, licences
from speechmill.publish.columns import columns_of, data_schema

SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
GATE: dict[str, Any] = {
    "extra_gated_prompt": "These are voices of real people. By asking for access you accept the licences of the "
    "recordings.",
    "extra_gated_fields": {
        "I will not try to find out who the speakers are": "checkbox",
        "I will not imitate the voice of a speaker without the speaker's consent": "checkbox",
    },
}


def front_matter(build: Build, stats: dict[str, Any], files: Mapping[str, Facts]) -> str:
    """Metadata of a corpus; `files` are size and SHA-256 of its files by name."""
    from huggingface_hub import DatasetCardData

    licence, licence_name = licences.hub_licence(stats)
    clips, languages = stats["clips"].get("kept", 0), figures.languages(stats)
    data = [{"split": split, "path": f"data/{split}-*"} for split in sorted(stats["splits"])]
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
        tags=["speech", "tts", "audio", "croissant", "speechmill"],
        dataset_info=_dataset_info(build, stats, files) if data else None,
        configs=[{"config_name": "default", "data_files": data}] if data else None,
        **(GATE if build.config.publish.gated else {}),
    )
    return str(card.to_yaml()).strip()


def _dataset_info(build: Build, stats: dict[str, Any], files: Mapping[str, Facts]) -> dict[str, Any] | None:
    """Features, splits and sizes; bytes are those of the files, nearly all of which are sound that is not unpacked."""
    sizes = {split: _bytes(files, f"data/{split}-") for split in sorted(stats["splits"])}
    splits = [
        {"name": split, "num_bytes": size, "num_examples": stats["splits"][split]["clips"]}
        for split, size in sizes.items()
    ]
    total = sum(sizes.values())
    return {"features": _features(build), "splits": splits, "download_size": total, "dataset_size": total}


def _bytes(files: Mapping[str, Facts], prefix: str) -> int:
    return sum(facts["bytes"] for name, facts in files.items() if name.startswith(prefix))


def _features(build: Build) -> list[dict[str, Any]]:
    """The columns as `datasets` writes them into front matter."""
    rate = build.config.audio.sample_rate
    return [
        {"name": column.name}
        | (
            {"dtype": {"audio": {"sampling_rate": rate}}}
            if column.name == AUDIO.name
            else _yaml(feature_of(column.type))
        )
        for column in data_schema(columns_of(build))
    ]


def _yaml(feature: dict[str, Any]) -> dict[str, Any]:
    """A feature in JSON, as `feature_of` makes it, in the form of front matter.

    >>> _yaml({"feature": {"dtype": "int16", "_type": "Value"}, "_type": "List"})
    {'list': 'int16'}
    """
    if feature.get("_type") == "Value":
        return {"dtype": feature["dtype"]}
    if feature.get("_type") == "List":
        inner = _yaml(feature["feature"])
        return {"list": inner.get("dtype") or inner["struct"]}
    return {"struct": [{"name": name} | _yaml(member) for name, member in feature.items()]}
