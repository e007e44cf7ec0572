"""What deciding and publishing cost for a large corpus: `python -m tests.benchmarks.scale [--clips N] [--json FILE]`.

A corpus of 10,000 recordings is generated whose artifacts have no sound, and a smaller one with sound, for `data/`.
Each step is done by a process of its own, whose memory counts. Growth is that from a tenth of the clips.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from speechmill import publish
from speechmill.audio import encode_flac
from speechmill.core import ownership, processes
from speechmill.core.build import CONFIG_FILE, Build
from speechmill.core.config import RunConfig
from speechmill.core.footers import DecodeFooter, FetchFooter
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
from speechmill.publish.groups import group_inputs
from speechmill.stages import ASSESS, DEDUP, FINGERPRINT, SCORE
from speechmill.stages.assess import text_columns
from speechmill.stages.consent import MARKS_VERSION
from speechmill.stages.profiles import plan_build
from speechmill.stages.segment import GROUP_SPANS

from tests.benchmarks.timing import HEADING, Figure, show, write_json

CLIPS, CLIPS_A_RECORDING = 1_000_000, 100
SOUND_CLIPS = 4_000  # half a gigabyte
RATE = 24_000
CLIP_SAMPLES, PAUSE_SAMPLES = 8 * RATE, RATE
TEXT = "The whole of the village came out to see the balloon rise over the river, and nobody went to bed before ten."
SCALES = {
    "snr_db": (5.0, 60.0), "c50_db": (0.0, 60.0), "bandwidth_hz": (4_000.0, 12_000.0), "loudness_lufs": (-40.0, -15.0),
    "peak_dbfs": (-10.0, 0.0), "clipped_ratio": (0.0, 0.001),
}  # fmt: skip
MOST_S = {"decide": 10.0, "pool and ledger": 60.0, "nothing to do": 30.0}  # of wall time, for CLIPS
MOST_MB, LEAST_OF_COPY, MOST_GROWTH = 2_000, 0.7, 11.0
# Of a step the wall time, the CPU time and the peak of memory. It begins with the peak of whoever starts it.
MEASURED = """
import json, resource, subprocess, sys, time
begin = time.monotonic()
subprocess.run([sys.executable, "-m", "tests.benchmarks.scale", *sys.argv[1:]], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([time.monotonic() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def main() -> None:
    """Generate, measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--clips", type=int, default=CLIPS, help="of the large corpus")
    parser.add_argument("--folder", type=Path, help="where the corpora are made and kept; by default nowhere")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        STEPS[options.step](_build(options.folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = options.folder or Path(folder)
        print(HEADING)
        figures = list(measure(root, options.clips))
    if options.json:
        write_json(options.json, figures, {"cores": os.cpu_count(), "clips": options.clips})


def measure(root: Path, clips: int) -> Iterator[Figure]:
    """All figures; each is shown as soon as it is there."""
    walls = {}
    for name, count in (("a tenth", clips // 10), ("whole", clips)):
        corpus = generate(root / name, count)
        for step in STEPS:
            wall, cpu, megabytes = _run(corpus, step)
            walls[name, step] = wall
            limit = MOST_S.get(step) if count == CLIPS else None
            yield _shown(Figure(f"{count:,} clips", step, cpu, wall, "s", None))
            if limit:
                yield _shown(Figure(f"{count:,} clips", f"{step}, wall", wall, None, "s", limit, at_most=True))
            if step == "decide":
                yield _shown(Figure(f"{count:,} clips", "decide, memory", megabytes, None, "MB", MOST_MB, at_most=True))
    growth = walls["whole", "decide"] / walls["a tenth", "decide"]
    yield _shown(Figure("growth", "decide, ten times the clips", growth, None, "×", MOST_GROWTH, at_most=True))
    yield _shown(_against_copy(generate(root / "with sound", SOUND_CLIPS, sound=True)))


def _shown(figure: Figure) -> Figure:
    show([figure])
    return figure


def _run(corpus: Path, step: str) -> tuple[float, float, float]:
    arguments = [sys.executable, "-c", MEASURED, "--folder", str(corpus), "--step", step]
    wall, cpu, megabytes = json.loads(subprocess.run(arguments, check=True, stdout=subprocess.PIPE).stdout)
    return wall, cpu, megabytes


# --- steps, each in a process of its own ---


def _tabulate(build: Build) -> None:
    workers = processes.pool(None)
    for future in [workers.submit(tables.tabulate, one, build) for one in group_inputs(build)]:
        future.result()


def _decide(build: Build) -> None:
    publish.preview(build)


def _pool_and_ledger(build: Build) -> None:
    tasks = [task for task in publish.plan(build) if task.shard is None]
    workers = processes.pool(None)
    for future in [workers.submit(publish.write, task, build) for task in tasks]:
        future.result()


def _publish(build: Build) -> None:
    """Write what is not written, and put all in place: rows of `data/` have no sound."""
    from speechmill.publish import card, croissant, report  # here, since Beam, which others do not need, takes seconds
    from speechmill.runner.record import run_record

    for task in publish.plan(build):
        publish.write(task, build)
    plan = build.store.read_json(publish.PLAN_FILE) or {}
    files = publish.file_facts(build, plan)
    described = croissant.render(build, plan, files, date=croissant.publication_day())
    pages = {
        card.CARD_FILE: "- speechmill\n",
        report.REPORT_FILE: "speechmill report",
        croissant.CROISSANT_FILE: described,
    }
    build.store.write_json(CONFIG_FILE, json.loads(build.config.model_dump_json()))
    publish.commit(build, plan, run_record(build, {}), pages=pages, files=files)


def _nothing_to_do(build: Build) -> None:
    """The command itself, on a corpus to which nothing was added."""
    command = [sys.executable, "-m", "speechmill", "run", "--output", build.store.root, "--quiet"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    if "nothing to do" not in done.stdout:
        raise ValueError(f"there was something to do:\n{done.stdout}")


def _data(build: Build) -> None:
    workers = processes.pool(None)
    for future in [workers.submit(publish.write, task, build) for task in publish.plan(build) if task.shard]:
        future.result()


STEPS = {
    "tabulate": _tabulate,
    "decide": _decide,
    "pool and ledger": _pool_and_ledger,
    "publish": _publish,
    "nothing to do": _nothing_to_do,
}


def _against_copy(corpus: Path) -> Figure:
    """Speed at which `data/` is written, as a share of that at which it is copied, in turns."""
    build = _build(corpus)
    _tabulate(build)
    shares = []
    for _ in range(3):
        build.store.remove(publish.STAGING)
        begin = time.monotonic()
        _data(build)
        written = time.monotonic()
        shutil.copytree(corpus / publish.STAGING, corpus / "copy")
        os.sync()
        shares.append((time.monotonic() - written) / (written - begin))
        shutil.rmtree(corpus / "copy")
    return Figure("with sound", "data/ against a copy of it", sorted(shares)[1], None, "×", LEAST_OF_COPY)


# --- the corpora ---


def _build(corpus: Path) -> Build:
    """The build of a generated corpus."""
    off = {"model": None}  # whatever is installed, so that figures can be compared
    config = RunConfig.model_validate(
        {
            "output": str(corpus), "asr": {"model": "tiny.en"}, "tokenise": {"checkpoint": None},
            "turns": off, "speakers": off,
        }
    )  # fmt: skip
    return plan_build(config, Store(str(corpus)), find_model=model_folder)


def prepared(corpus: Path, clips: int) -> Build:
    """The build of a generated corpus whose clip tables are made."""
    build = _build(generate(corpus, clips))
    _tabulate(build)
    return build


def generate(corpus: Path, clips: int, *, sound: bool = False, from_feeds: bool = False) -> Path:
    """Make the artifacts of a corpus of so many clips, of files or from feeds, unless they are there."""
    done = corpus / "work" / f"generated-{clips}"
    if done.exists():
        return corpus
    shutil.rmtree(corpus, ignore_errors=True)
    ownership.claim(Store(str(corpus)))
    build = _build(corpus)
    workers = processes.pool(None)
    count = clips // CLIPS_A_RECORDING
    for future in [workers.submit(_recording, at, build, sound, from_feeds) for at in range(count)]:
        future.result()
    done.touch()
    return corpus


def _recording(at: int, build: Build, sound: bool = False, from_feeds: bool = False) -> None:
    """Make what a run would have made of a recording."""
    rng, content_id = np.random.default_rng(at), stable_id("content", str(at)) * 2
    recording = Recording(
        recording_id=stable_id("recording", str(at)), source="rss" if from_feeds else "local",
        media_url=f"https://example.org/{at}.mp3" if from_feeds else f"{at}.flac", title=f"Chapter {at}",
        author="Ann Author", licence="CC-BY-4.0", content_id=content_id, sha256=content_id,
    )  # fmt: skip
    media = f"work/media/{content_id}" if from_feeds else f"/nowhere/{at}.flac"
    footer = FetchFooter(is_local=not from_feeds, media=media, documents_retry=False, marks=MARKS_VERSION)
    build.store.write_table(build.fetched(recording.recording_id), to_table([recording]), footer)
    spans = list(_spans(content_id, rng, sound=sound))
    with build.store.parquet(build.segments(content_id), SEGMENT_ARTIFACT, compression={"flac": "none"}) as writer:
        for first in range(0, len(spans), GROUP_SPANS):  # as the stage does it
            writer.write_table(pa.Table.from_pylist(spans[first : first + GROUP_SPANS], schema=SEGMENT_ARTIFACT))
        add_footer(writer, DecodeFooter(decoded_samples=spans[-1]["end"]))
    clips = [span for span in spans if span["kind"] is SpanKind.CLIP]
    ids = pa.array([clip["clip_id"] for clip in clips])
    schema = SCORE.schema_in(build.config)
    scores = {name: _scores(name, rng, good=sound) for name in schema.names if name != "clip_id"}
    table = pa.table({"clip_id": ids} | scores, schema=schema)
    build.store.write_table(build.artifact(SCORE.name, content_id), table)
    for stage in (FINGERPRINT, DEDUP):  # nothing repeats anything
        table = stage.schema_in(build.config).empty_table()
        build.store.write_table(build.artifact(stage.name, content_id), table)
    texts = [_text(clip, rng, build) for clip in clips]
    for name, schema in (
        (f"{build.parts('transcribe', content_id)}/{content_id[:16]}.parquet", TRANSCRIPT_ARTIFACT),
        (build.artifact(ASSESS.name, content_id), ASSESS.artifact),
    ):  # fmt: skip
        build.store.write_table(name, pa.Table.from_pylist(texts, schema=schema))


def _spans(content_id: str, rng: np.random.Generator, *, sound: bool) -> Iterator[dict[str, Any]]:
    at = 0
    for number in range(CLIPS_A_RECORDING):
        end = at + CLIP_SAMPLES
        noise = (3_000 * rng.standard_normal(CLIP_SAMPLES)).astype(np.int16) if sound else None
        flac = None if noise is None else encode_flac(noise, RATE)
        size = 200_000 if flac is None else len(flac)
        clip_id = stable_id(content_id, str(number))
        yield {"start": at, "end": end, "kind": SpanKind.CLIP, "clip_id": clip_id, "flac_bytes": size, "flac": flac}
        yield {"start": end, "end": end + PAUSE_SAMPLES, "kind": SpanKind.SILENCE}
        at = end + PAUSE_SAMPLES


def _scores(name: str, rng: np.random.Generator, *, good: bool) -> Any:
    """Values of a column of scores: all of them good, or any, of which two clips in three fail by one or another."""
    spread = np.full(CLIPS_A_RECORDING, 0.5, np.float32) if good else rng.random(CLIPS_A_RECORDING, np.float32)
    low, high = SCALES.get(name, (0.0, 0.1 if good else 1.0))
    return pa.array(np.float32(low) + spread * np.float32(high - low))


def _text(clip: dict[str, Any], rng: np.random.Generator, build: Build) -> dict[str, Any]:
    words = [
        {"word": word, "start_s": at / 3, "end_s": at / 3 + 0.3, "probability": 0.9}
        for at, word in enumerate(TEXT.split())
    ]
    row = {
        "clip_id": clip["clip_id"], "text": TEXT, "words": words, "language": "en", "language_probability": 0.99,
        "asr_confidence": float(rng.random()), "avg_logprob": -0.2, "no_speech_probability": 0.01, "text_source": "asr",
        "pause_agreement": 0.7, "hallucinations": [], "start": clip["start"], "end": clip["end"],
    }  # fmt: skip
    global _DERIVED
    _DERIVED = _DERIVED or text_columns(row, build.config)
    return row | _DERIVED


_DERIVED: dict[str, Any] = {}


if __name__ == "__main__":
    main()
