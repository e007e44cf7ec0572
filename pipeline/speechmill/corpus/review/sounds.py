"""The stored sound of a clip, and what of its surroundings in the recording is stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from speechmill.audio import Int16, decode_flac, encode_flac
from speechmill.core import arrow_files
from speechmill.core.build import Build
from speechmill.publish.sounds import read_flac

BEFORE_AFTER_S = 5.0
SPAN_COLUMNS = ["start", "end", "kind", "clip_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """A part of a recording around a clip: samples [start, end) at the corpus rate."""

    start: int
    end: int
    spans: list[dict[str, Any]]
    """`start`, `end`, `kind`, and the `clip_id` of clips, of each span in it, in order."""


def clip_flac(clip_id: str, content_id: str, build: Build) -> bytes | None:
    """FLAC bytes of a clip, as it is or would be published; None if its content has no such clip."""
    for batch in read_flac(content_id, [clip_id], build):
        flac: bytes = batch["flac"][0].as_py()
        return flac
    return None


def surroundings(start: int, end: int, content_id: str, build: Build) -> Surroundings:
    """What lies around samples [start, end) of a recording: BEFORE_AFTER_S more at each end."""
    more = round(BEFORE_AFTER_S * build.config.audio.sample_rate)
    first, last = max(0, start - more), end + more
    spans = build.store.read(build.segments(content_id), SPAN_COLUMNS)
    inside = spans.filter(pc.and_(pc.greater(spans["end"], first), pc.less(spans["start"], last))).to_pylist()
    last = min(last, max((span["end"] for span in inside), default=end))
    return Surroundings(start=first, end=last, spans=inside)


def surroundings_flac(place: Surroundings, content_id: str, build: Build) -> bytes:
    """FLAC bytes of a part of a recording. What is stored nowhere, such as pauses between clips, is digital silence."""
    sound = np.zeros(place.end - place.start, np.int16)
    for name in _stored_in(content_id, build):
        for first, samples in _stretches(name, place, build):
            into, skipped = max(first - place.start, 0), max(place.start - first, 0)
            part = samples[skipped : skipped + sound.size - into]
            sound[into : into + part.size] = part
    return encode_flac(sound, build.config.audio.sample_rate)


def _stored_in(content_id: str, build: Build) -> Iterator[str]:
    """Artifacts with sound of a content: its passages, which hold more, where there are any, and its clips."""
    if build.runs("passages"):
        passages = build.artifact("passages", content_id)
        if build.store.exists(passages):
            yield passages
    yield build.segments(content_id)


def _stretches(name: str, place: Surroundings, build: Build) -> Iterator[tuple[int, Int16]]:
    """First sample and int16[n] samples of each stored stretch that overlaps a part of the recording."""
    with build.store.open(name) as file, arrow_files.for_reading(file) as source:
        parquet = pq.ParquetFile(source, pre_buffer=False)
        for number in range(parquet.num_row_groups):
            spans = parquet.read_row_group(number, ["start", "end"])
            overlaps = pc.and_(pc.greater(spans["end"], place.start), pc.less(spans["start"], place.end))
            rows = np.flatnonzero(overlaps.to_numpy())
            if rows.size:
                flac = parquet.read_row_group(number, ["flac"])["flac"]
                for at in rows.tolist():
                    if flac[at].is_valid:
                        yield spans["start"][at].as_py(), decode_flac(flac[at].as_py())
