"""Stages that run when a corpus is published, since their columns depend on all kept clips."""

from typing import Any

import pyarrow as pa

from speechmill.core.columns import UNIT, Column
from speechmill.core.config import RunConfig
from speechmill.stages.base import Stage


class Speakers(Stage):
    """Speaker of each kept clip, by clustering."""

    name = "speakers"
    is_in_graph = False
    after = ("embed",)
    columns = (
        Column("speaker_id", pa.string(), "who speaks, across recordings; other clips may change it; null if not kept"),
        Column("speaker_purity", pa.float32(), "share of that speaker's clips that are likely of one voice", "", UNIT),
        Column("conditioning_clip_ids", pa.list_(pa.string()),
               "up to 3 kept clips of the speaker, of other passages"),
    )  # fmt: skip
    artifact = pa.schema([pa.field("clip_id", pa.string()), *(column.field for column in columns)])

    def settings(self, config: RunConfig) -> Any:
        """Calibration of the clustering."""
        return None if config.speakers.model is None else (config.speakers.threshold, config.speakers.slope)
