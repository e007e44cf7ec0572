"""Writes `croissant.json`: the corpus in MLCommons' Croissant 1.1 with RAI 1.0, for tools that read data sets.

It has FileObjects with their SHA-256, RecordSets over the Parquet files, splits, provenance in PROV-O, and conditions
of use in ODRL and DUO. Hashes are those of the commit, which hashes each file once, when it is written. Like the card
it repeats nothing of feeds and manifests but SPDX ids. Apart from `datePublished` equal corpora give equal bytes.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from speechmill.core.build import Build
from speechmill.core.inventory import Facts
from speechmill.core.ownership import CROISSANT_FILE, RECORDINGS_FILE
from speechmill.core.records import LEDGER, RECORDINGS
from speechmill.core.version import __version__
from speechmill.publish import figures, licences
from speechmill.publish.columns import columns_of, data_schema, pool_schema
from speechmill.publish.croissant import provenance, records
from speechmill.publish.croissant.responsible import responsible_ai
from speechmill.publish.writers import LEDGER_FILE, POOL

__all__ = ["CROISSANT_FILE", "publication_day", "render"]

Json = dict[str, Any]

PARQUET = "application/x-parquet"
DATA_FILES, POOL_FILES = "data-files", "pool-files"
VERSION_HEX_DIGITS = 12  # of the fingerprint of all inputs of the publication, as build metadata of Semantic Versioning
CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
OWN_TERMS = (  # of Croissant, as its specification puts them into the context
    "annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract", "field",
    "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
    "sdVersion", "separator", "source", "subField", "transform", "unArchive",
)  # fmt: skip
CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "cc": "http://creativecommons.org/ns#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in OWN_TERMS},
}


def render(build: Build, plan: Mapping[str, Any], files: Mapping[str, Facts], *, date: str) -> str:
    """Render `croissant.json`.

    Args:
        build: The corpus.
        plan: The plan of the publication, as `publish.plan` stored it.
        files: Size and SHA-256 of each of its files.
        date: Day of the publication, ISO 8601.

    Returns:
        JSON-LD with a line break at the end.
    """
    stats = plan["stats"]
    dataset = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        **_about(build, stats, date),
        "version": f"1.0.0+{plan['fingerprint'][:VERSION_HEX_DIGITS]}",
        **responsible_ai(build, stats),
        "prov:wasGeneratedBy": provenance.activities(build),
        "prov:wasDerivedFrom": {"@id": RECORDINGS_FILE},
        "usageInfo": licences.usage_info(sorted(licences.licence_samples(stats)), _clips_under),
        "distribution": _distribution(files, plan.get("recordings", {})),
        "recordSet": _record_sets(build, stats),
    }  # fmt: skip
    return json.dumps({key: value for key, value in dataset.items() if value}, indent=1, ensure_ascii=False) + "\n"


def publication_day() -> str:
    """Today in UTC, ISO 8601; the day of SOURCE_DATE_EPOCH (https://reproducible-builds.org) if that is set."""
    now = os.environ.get("SOURCE_DATE_EPOCH", "")
    return time.strftime("%Y-%m-%d", time.gmtime(int(now) if now.isdecimal() else None))


def _about(build: Build, stats: dict[str, Any], date: str) -> Json:
    names, publish = sorted(licences.licence_samples(stats)), build.config.publish
    kept = figures.duration(stats["samples"].get("kept", 0), stats["sampling_rate"])
    languages = figures.languages(stats)
    return {
        "name": figures.corpus_name(build),
        "description": f"{kept} of speech in {stats['clips'].get('kept', 0):,} clips, to train text-to-speech models "
        "on: sound, text, word times, measures, licence and source of each, and all candidates that were rejected.",
        "conformsTo": CONFORMS_TO,
        "license": [licences.licence_address(name) for name in names] or ["no clip was kept, so there is no licence"],
        "url": publish.url or "README.md",
        "creator": {"@type": "sc:Organization", "name": publish.creator or "not stated"},
        "datePublished": date,
        "keywords": ["speech", "text-to-speech", "audio", "corpus"],
        "inLanguage": languages,
        "citeAs": figures.citation(build),
        "isLiveDataset": False,
        "sdVersion": __version__,
    }


def _clips_under(licence: str) -> Json:
    """The clips with a licence, as an `odrl:AssetCollection` that a constraint on the column selects."""
    constraint = {
        "@type": "odrl:Constraint",
        "odrl:leftOperand": {"@id": "clips/licence"},
        "odrl:operator": {"@id": "odrl:eq"},
        "odrl:rightOperand": licence,
    }
    return {"@type": "odrl:AssetCollection", "odrl:source": {"@id": DATA_FILES}, "odrl:refinement": constraint}


def _distribution(files: Mapping[str, Facts], recordings: Mapping[str, Sequence[str]]) -> list[Json]:
    """FileSets of clips and of the pool, and a FileObject for each file."""
    sources = provenance.of_files(recordings)
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "contentSize": f"{facts['bytes']} B",
            "encodingFormat": PARQUET,
            "sha256": facts["sha256"],
        }
        | sources.get(name, {"prov:wasGeneratedBy": provenance.RUN})
        for name, facts in sorted(files.items())
    ]
    sets = {
        DATA_FILES: ("data/", "the kept clips, with sound"),
        POOL_FILES: (f"{POOL}/", "all candidate clips, without sound"),
    }
    return [
        {
            "@type": "cr:FileSet",
            "@id": name,
            "name": name,
            "description": description,
            "encodingFormat": PARQUET,
            "includes": f"{folder}*.parquet",
        }
        for name, (folder, description) in sets.items()
        if any(file.startswith(folder) for file in files)
    ] + objects


def _record_sets(build: Build, stats: dict[str, Any]) -> list[Json]:
    columns = columns_of(build)
    data, pool = {"fileSet": {"@id": DATA_FILES}}, {"fileSet": {"@id": POOL_FILES}}
    made_by = provenance.of_columns(build)
    names = sorted(stats["splits"])
    kept = [
        records.splits(names),
        records.record_set(
            "clips", "a kept clip of speech", data_schema(columns), data, key=["clip_id"],
            more=made_by | provenance.of_rows("clips", data), fields=[records.split_field("clips", data)],
        ),
    ] if names else []  # fmt: skip
    return [
        *kept,
        records.record_set(
            "pool", "a candidate clip, kept or rejected", pool_schema(columns), pool, key=["clip_id"], more=made_by
        ),
        records.record_set(
            "ledger", "a span of a recording and what became of it", LEDGER, _file(LEDGER_FILE),
            key=["recording_id", "start"],
        ),
        records.record_set(
            "recordings", "a recording that was seen", RECORDINGS, _file(RECORDINGS_FILE), key=["recording_id"]
        ),
    ]  # fmt: skip


def _file(name: str) -> Json:
    return {"fileObject": {"@id": name}}
