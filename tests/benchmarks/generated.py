"""Generated corpora: the artifacts that a run would have made of many recordings, most of them without sound."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from speechmill.audio import encode_flac
from speechmill.core import ownership, processes
from speechmill.core.build import FETCHED, Build
from speechmill.core.config import RunConfig
from speechmill.core.footers import DecodeFooter, FetchFooter, TableFooter
from speechmill.core.inventory import with_versions
from speechmill.core.records import (
    SEGMENT_ARTIFACT,
    TRANSCRIPT_ARTIFACT,
    Recording,
    SpanKind,
    stable_id,
    to_table,
)
from speechmill.core.store import Store, add_footer
from speechmill.fetch import model_folder
from speechmill.publish import tables
from speechmill.publish.groups import RECORDS, all_groups, group_inputs
from speechmill.stages import ASSESS, DEDUP, FINGERPRINT, SCORE
from speechmill.stages.assess import text_columns
from speechmill.stages.consent import MARKS_VERSION
from speechmill.stages.profiles import plan_build
from speechmill.stages.segment import GROUP_SPANS

CLIPS_A_RECORDING = 100
RATE = 24_000
CLIP_SAMPLES, PAUSE_SAMPLES = 8 * RATE, RATE
TEXT = "The whole of the village came out to see the balloon rise over the river, and nobody went to bed before ten."
SCALES = {
    "snr_db": (5.0, 60.0), "c50_db": (0.0, 60.0), "bandwidth_hz": (4_000.0, 12_000.0), "loudness_lufs": (-40.0, -15.0),
    "peak_dbfs": (-10.0, 0.0), "clipped_ratio": (0.0, 0.001),
}  # fmt: skip
DEFECT_SPAN = {"start_s": 1.0, "end_s": 1.4, "kind": "noise"}


def build_of(corpus: Path | str) -> Build:
    """The build of a generated corpus, or of a copy at an address."""
    off = {"model": None}  # whatever is installed, so that figures can be compared
    config = RunConfig.model_validate(
        {
            "output": str(corpus), "asr": {"model": "tiny.en"}, "tokenise": {"checkpoint": None},
            "turns": off, "speakers": off,
        }
    )  # fmt: skip
    return plan_build(config, Store(str(corpus)), find_model=model_folder)


def tabulate(build: Build) -> None:
    """Make the clip tables of a generated corpus, in worker processes."""
    workers = processes.pool(None)
    for future in [workers.submit(tables.tabulate, one, build) for one in group_inputs(build)]:
        future.result()


def prepared(corpus: Path, clips: int) -> Build:
    """The build of a generated corpus whose clip tables are made."""
    build = build_of(generate(corpus, clips))
    tabulate(build)
    return build


def stamp(build: Build) -> None:
    """Tell the clip tables and the mark of a copy the versions that its files have, as if it had been made there."""
    files = build.store.finished_files(f"work/fetch/{FETCHED}")
    versions = {entry.name.rpartition("/")[2].removesuffix(".parquet"): entry.version for entry in files}
    for group in all_groups(build):
        table, footer = build.store.load(group.table(RECORDS), TableFooter)
        fetched = pa.array(map(versions.get, table["recording_id"].to_pylist()), pa.string())
        at = table.column_names.index("fetched")
        build.store.write_table(group.table(RECORDS), table.set_column(at, table.field(at), fetched), footer)
    for inputs in group_inputs(build):
        table, footer = build.store.load(inputs.group.table(RECORDS), TableFooter)
        build.store.write_table(inputs.group.table(RECORDS), table, replace(footer, inputs=inputs.digest))
    if mark := ownership.load(build.store):
        ownership.Mark(with_versions(build.store, mark.files)).save(build.store)


def generate(
    corpus: Path, clips: int, *, each: int = CLIPS_A_RECORDING, sound: bool = False, from_feeds: bool = False
) -> Path:
    """Make the artifacts of a corpus of so many clips, of files or from feeds, unless they are there.

    Args:
        corpus: Its folder.
        clips: How many it has.
        each: How many of them a recording has.
        sound: Whether the clips have sound, and pass all tests.
        from_feeds: Whether the recordings are from feeds, not files of this machine.
    """
    done = corpus / "work" / f"generated-{clips}-{each}"
    if done.exists():
        return corpus
    shutil.rmtree(corpus, ignore_errors=True)
    ownership.claim(Store(str(corpus)))
    build = build_of(corpus)
    workers = processes.pool(None)
    for future in [workers.submit(_recording, at, build, each, sound, from_feeds) for at in range(clips // each)]:
        future.result()
    done.touch()
    return corpus


def _recording(at: int, build: Build, each: int, sound: bool, from_feeds: bool) -> None:
    """Make what a run would have made of a recording with `each` clips."""
    rng, content_id = np.random.default_rng(at), stable_id("content", str(at)) * 2
    recording = Recording(
        recording_id=stable_id("recording", str(at)), source="rss" if from_feeds else "local",
        media_url=f"https://example.org/{at}.mp3" if from_feeds else f"{at}.flac", title=f"Chapter {at}",
        author="Ann Author", licence="CC-BY-4.0", content_id=content_id, sha256=content_id,
    )  # fmt: skip
    media = f"work/media/{content_id}" if from_feeds else f"/nowhere/{at}.flac"
    footer = FetchFooter(is_local=not from_feeds, media=media, documents_retry=False, marks=MARKS_VERSION)
    build.store.write_table(build.fetched(recording.recording_id), to_table([recording]), footer)
    spans = list(_spans(content_id, rng, each, sound=sound))
    with build.store.parquet(build.segments(content_id), SEGMENT_ARTIFACT) as writer:
        for first in range(0, len(spans), GROUP_SPANS):  # as the stage does it
            writer.write_table(pa.Table.from_pylist(spans[first : first + GROUP_SPANS], schema=SEGMENT_ARTIFACT))
        add_footer(writer, DecodeFooter(decoded_samples=spans[-1]["end"]))
    clips = [span for span in spans if span["kind"] is SpanKind.CLIP]
    ids = pa.array([clip["clip_id"] for clip in clips])
    schema = SCORE.schema_in(build.config)
    scores = {field.name: _scores(field, rng, each, good=sound) for field in schema if field.name != "clip_id"}
    table = pa.table({"clip_id": ids} | scores, schema=schema)
    build.store.write_table(build.artifact(SCORE.name, content_id), table)
    for stage in (FINGERPRINT, DEDUP):  # nothing repeats anything
        table = stage.schema_in(build.config).empty_table()
        build.store.write_table(build.artifact(stage.name, content_id), table)
    texts = [_text(clip, 0.9 if sound else float(rng.random()), build) for clip in clips]
    for name, schema in (
        (f"{build.parts('transcribe', content_id)}/{content_id[:16]}.parquet", TRANSCRIPT_ARTIFACT),
        (build.artifact(ASSESS.name, content_id), ASSESS.artifact),
    ):  # fmt: skip
        build.store.write_table(name, pa.Table.from_pylist(texts, schema=schema))


def _spans(content_id: str, rng: np.random.Generator, clips: int, *, sound: bool) -> Iterator[dict[str, Any]]:
    at = 0
    for number in range(clips):
        end = at + CLIP_SAMPLES
        noise = (3_000 * rng.standard_normal(CLIP_SAMPLES)).astype(np.int16) if sound else None
        flac = None if noise is None else encode_flac(noise, RATE)
        size = 200_000 if flac is None else len(flac)
        clip_id = stable_id(content_id, str(number))
        yield {"start": at, "end": end, "kind": SpanKind.CLIP, "clip_id": clip_id, "flac_bytes": size, "flac": flac}
        yield {"start": end, "end": end + PAUSE_SAMPLES, "kind": SpanKind.SILENCE}
        at = end + PAUSE_SAMPLES


def _scores(field: pa.Field, rng: np.random.Generator, clips: int, *, good: bool) -> Any:
    """Values of a column of scores: all of them good, or any, of which two clips in three fail by one or another."""
    if pa.types.is_list(field.type):
        return pa.array([[] if good or at % 3 else [DEFECT_SPAN] for at in range(clips)], field.type)
    spread = np.full(clips, 0.5, np.float32) if good else rng.random(clips, np.float32)
    low, high = SCALES.get(field.name, (0.0, 0.1 if good else 1.0))
    return pa.array(np.float32(low) + spread * np.float32(high - low))


def _text(clip: dict[str, Any], confidence: float, build: Build) -> dict[str, Any]:
    words = [
        {"word": word, "start_s": at / 3, "end_s": at / 3 + 0.3, "probability": 0.9}
        for at, word in enumerate(TEXT.split())
    ]
    row = {
        "clip_id": clip["clip_id"], "text": TEXT, "words": words, "language": "en", "language_probability": 0.99,
        "asr_confidence": confidence, "avg_logprob": -0.2, "no_speech_probability": 0.01, "text_source": "asr",
        "pause_agreement": 0.7, "hallucinations": [], "start": clip["start"], "end": clip["end"],
    }  # fmt: skip
    global _DERIVED
    _DERIVED = _DERIVED or text_columns(row, build.config)
    return row | _DERIVED


_DERIVED: dict[str, Any] = {}
