"""Exports of a finished corpus in the formats that trainers of speech models read.

A format is a file in `formats/`, with a subclass of `Exporter`; a plug-in adds one by an entry point of the group
`speechmill.exporters`. The engine reads the shards of `data/` once, for all formats together, in parallel.
"""

from speechmill.export.base import Audio, Clip, Exported, Exporter, Limits, Part, Reference
from speechmill.export.sanitise import one_line, without_pipes

__all__ = ["Audio", "Clip", "Exported", "Exporter", "Limits", "Part", "Reference", "one_line", "without_pipes"]
