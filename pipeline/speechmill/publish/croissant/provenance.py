"""Where files and columns come from, in W3C's PROV-O: the stages are activities, their models agents.

A file of clips is derived from recordings, which are rows of `recordings.parquet`: `recordings.parquet#ID` names one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from speechmill.core.build import Build
from speechmill.core.ownership import RECORDINGS_FILE
from speechmill.core.version import __version__
from speechmill.publish.models import models_of
from speechmill.stages.flow import STAGES

Json = dict[str, Any]

SOFTWARE = {"@id": "software/speechmill"}
RUN = {"@id": "activity/publish"}
MOST_RECORDINGS = 50_000  # named in a file; of a larger corpus recordings.parquet alone says what is derived from what


def activities(build: Build) -> Json:
    """The activity that made the dataset, with those of the stages before it, as a value of `prov:wasGeneratedBy`."""
    running = [stage.name for stage in STAGES if build.profiles.get(stage.name) is not None]
    return {
        "@type": "prov:Activity",
        **RUN,
        "prov:label": "decisions about all clips, and publication",
        "prov:wasAssociatedWith": {
            "@type": "prov:SoftwareAgent",
            **SOFTWARE,
            "prov:label": f"speechmill {__version__}",
            "url": "https://github.com/speechmill/speechmill",
        },
        "prov:wasInformedBy": [_activity(name, build) for name in running],
    }


def _activity(stage: str, build: Build) -> Json:
    used = [{"@type": "prov:Entity", "prov:label": model} for model in models_of(stage, build)]
    label = f"stage {stage}, profile {build.profiles[stage]}"
    return {"@type": "prov:Activity", "@id": f"activity/{stage}", "prov:label": label} | (
        {"prov:used": used} if used else {}
    )


def of_columns(build: Build) -> dict[str, Json]:
    """`prov:wasGeneratedBy` of each column that a stage made, by name of the column."""
    return {
        column.name: {"prov:wasGeneratedBy": {"@id": f"activity/{stage.name}"}}
        for stage in STAGES
        if build.profiles.get(stage.name) is not None
        for column in stage.columns_in(build.config)
    }


def of_files(recordings: Mapping[str, Sequence[str]]) -> dict[str, Json]:
    """What each file of clips was derived from, by name of the file.

    Args:
        recordings: Ids of the recordings of the clips in each file.
    """
    count = sum(map(len, recordings.values()))
    return {
        name: {
            "prov:wasDerivedFrom": [{"@id": f"{RECORDINGS_FILE}#{recording_id}"} for recording_id in ids]
            if count <= MOST_RECORDINGS
            else {"@id": RECORDINGS_FILE},
            "prov:wasGeneratedBy": RUN,
        }
        for name, ids in recordings.items()
    }


def of_rows(name: str, source: Json) -> dict[str, Json]:
    """Annotations of the audio of a RecordSet: the address and the licence of the recording of each row."""
    annotation = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/audio/{column}",
            "name": column,
            "description": text,
            "dataType": "sc:Text",
            "equivalentProperty": meaning,
            "source": source | {"extract": {"column": column}},
        }
        for column, text, meaning in (
            ("source_url", "where the audio came from", "prov:wasDerivedFrom"),
            ("author", "author or publisher of the recording", "prov:wasAttributedTo"),
            ("licence", "SPDX id of the recording's licence", "sc:license"),
        )
    ]
    return {"audio": {"annotation": annotation}}
