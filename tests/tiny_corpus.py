"""A corpus of eight seconds, published from real artifacts in no time: what card and report are tested on.

It holds what a foreign feed may say: markup in titles, addresses that would run, licences that are none.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from speechmill import publish
from speechmill.audio import encode_flac
from speechmill.core import ownership
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.core.footers import DecodeFooter, FetchFooter
from speechmill.core.reasons import Reason
from speechmill.core.records import (
    SEGMENT_ARTIFACT,
    TOKEN_ARTIFACT,
    TRANSCRIPT_ARTIFACT,
    Recording,
    SpanKind,
    Status,
    stable_id,
    to_table,
)
from speechmill.core.store import Store
from speechmill.publish import tables
from speechmill.runner.record import run_record
from speechmill.stages import ASSESS, SCORE
from speechmill.stages.profiles import plan_build
from speechmill.stages.work import WorkItem

RATE = 24_000
EVIL_TITLE = "</script><script>alert(1)</script>"
EVIL_TEXT = "<q onclick=x>"  # short, as the clips are
MEASURES = {
    "snr_db": 30.0,
    "bandwidth_hz": 11_000.0,
    "loudness_lufs": -23.0,
    "peak_dbfs": -6.0,
    "clipped_ratio": 0.0,
    "edge_ratio": 0.1,
}

RECORDINGS = (
    Recording(recording_id="r1", source="rss", media_url="javascript:alert(3)", title=EVIL_TITLE,
              author="A <b>bold</b> author", licence="CC0-1.0", content_id="c1", published="2024-01-01T00:00:00Z"),
    Recording(recording_id="r2", source="rss", media_url="https://example.org/2.mp3?a=1&b=2", title="Plain",
              licence="CC-BY-4.0", content_id="c2"),
    Recording(recording_id="r3", source="rss", media_url="https://example.org/3.mp3", title="<i>Broken</i>",
              status=Status.FAILED, reason=Reason.NOT_AUDIO, reason_detail="begins with <!doctype html>"),
    Recording(recording_id="r4", source="rss", media_url="https://example.org/4.mp3", licence="unknown",
              content_id="c4"),
)  # fmt: skip
# Measures of each clip of a content that are not as in MEASURES; a clip is followed by a silence.
CLIPS: dict[str, list[dict[str, float]]] = {
    "c1": [{}, {}, {"snr_db": 14.5}, {"snr_db": 3.0, "bandwidth_hz": 3_000.0}, {"snr_db": 9.0}],
    "c2": [{}, {"clipped_ratio": 0.02}],
    "c4": [{}],
}


def publish_tiny(
    root: Path,
    *,
    recordings: tuple[Recording, ...] = RECORDINGS,
    transcribed: bool = True,
    defects: bool = False,
    **settings: Any,
) -> tuple[Build, dict[str, Any]]:
    """Store artifacts for `recordings`, publish them, and return the build and its counts."""
    model = root / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    chosen = {
        "asr": {"model": "tiny.en" if transcribed else None},
        "defects": {"weights": "shipped" if defects else None},
        "turns": {"model": None},
    }
    config = RunConfig.model_validate({"speakers": {"model": None}} | settings | chosen)
    profiles = {"segment": "5e9", "score": "5c0", "transcribe": "7e8" if transcribed else None}
    profiles |= {"tokenise": "70c", "assess": "a55" if transcribed else None}
    ownership.claim(store := Store(str(root / "tiny")))
    planned = plan_build(config, store, find_model=lambda *_: model)
    build = replace(planned, profiles=planned.profiles | profiles)
    for recording in recordings:
        build.store.write_table(build.fetched(recording.recording_id), to_table([recording]), FetchFooter())
        if recording.content_id and not build.store.exists(build.segments(recording.content_id)):
            _store_artifacts(recording.content_id, build)
    tables.tabulate_all(build)
    for task in publish.plan(build):
        publish.write(task, build)
    plan = build.store.read_json(publish.PLAN_FILE)
    assert plan is not None
    plan = publish.with_token_usage(plan, build)
    publish.commit(build, plan, run_record(build, {}))
    return build, plan["stats"]


def _store_artifacts(content_id: str, build: Build) -> None:
    clips, spans = CLIPS[content_id], []
    for at in range(len(clips)):
        start = at * RATE
        middle = start + RATE * 3 // 4
        flac = encode_flac(_tone(100 * (at + 2), middle - start), RATE)
        clip_id = stable_id(content_id, str(at))
        spans += [
            {"start": start, "end": middle, "kind": SpanKind.CLIP, "clip_id": clip_id, "flac": flac,
             "flac_bytes": len(flac)},
            {"start": middle, "end": start + RATE, "kind": SpanKind.SILENCE},
        ]  # fmt: skip
    ids = [span["clip_id"] for span in spans if span["kind"] is SpanKind.CLIP]
    footer = DecodeFooter(decoded_samples=spans[-1]["end"])
    build.store.write_table(build.segments(content_id), pa.Table.from_pylist(spans, schema=SEGMENT_ARTIFACT), footer)
    scores = [MEASURES | odd | {"clip_id": clip_id} for clip_id, odd in zip(ids, clips, strict=True)]
    schema = SCORE.schema_in(build.config)
    build.store.write_table(build.artifact("score", content_id), pa.Table.from_pylist(scores, schema=schema))
    if build.runs("tokenise"):
        tokens = [_tokens(clip_id) for clip_id, odd in zip(ids, clips, strict=True) if not odd]
        table = pa.Table.from_pylist(tokens, schema=TOKEN_ARTIFACT)
        build.store.write_table(f"{build.parts('tokenise', content_id)}/part.parquet", table)
    if build.runs("transcribe"):
        texts = [_transcript(clip_id) for clip_id, odd in zip(ids, clips, strict=True) if not odd]
        table = pa.Table.from_pylist(texts, schema=TRANSCRIPT_ARTIFACT)
        build.store.write_table(f"{build.parts('transcribe', content_id)}/part.parquet", table)
        work = WorkItem(recording_id="", content_id=content_id, media="", is_local=True, allowed=True, order=())
        ASSESS.process(work, build)


def _tone(frequency_hz: float, samples: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    return (8_000 * np.sin(2 * np.pi * frequency_hz * np.arange(samples) / RATE)).astype(np.int16)


def _tokens(clip_id: str) -> dict[str, Any]:
    codes = [at % 7 for at in range(RATE * 3 // 4 * 22_050 // RATE // 1_024 + 1)]
    return {"clip_id": clip_id, "mel_tokens": codes, "mel_profile": "3e1", "error_nats": 0.75}


def _transcript(clip_id: str) -> dict[str, Any]:
    return {
        "clip_id": clip_id, "text": EVIL_TEXT, "words": [], "language": "en", "language_probability": 0.99,
        "asr_confidence": 0.9, "no_speech_probability": 0.01,
    }  # fmt: skip
