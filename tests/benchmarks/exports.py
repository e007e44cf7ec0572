"""Exports against the least work that they could be: `python -m tests.benchmarks.exports [--minutes M] [--json FILE]`.

* FLAC in tar files against copying the shards, and against copying them with a SHA-256 of what is copied.
* WAV files against a loop that decodes FLAC and writes WAV.
* All formats in one go against one of them, on 82 clips.
* Peak memory of an export of M minutes and of four times as many, in one process.

The clips are pink noise in bursts, whose FLAC is about as large as that of speech. Rivals take turns; all work in one
process.
"""

import argparse
import hashlib
import multiprocessing
import os
import resource
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from speechmill.audio import decode_flac, encode_flac
from speechmill.export.encoding import wav
from speechmill.export.engine import export
from speechmill.export.options import Options
from speechmill.export.registry import exporters

from tests.benchmarks.timing import HEADING, Figure, ratio, show, take_turns, write_json
from tests.exportable import clip, make_corpus
from tests.tiny_corpus import RATE

SECONDS = 10.0
SHARD_CLIPS = 200
ROUNDS = 3
SOUNDS = 20  # different ones: making them takes longer than exporting them
BLOCK = 1 << 20


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.exports", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="of clips")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    print(HEADING)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        place, clips = Path(folder), round(options.minutes * 60 / SECONDS)
        corpus = make(place / "corpus", clips)
        for measure in (
            lambda: speeds(corpus, place), lambda: together(place), lambda: memory(place, corpus, clips),
        ):  # fmt: skip
            found = measure()
            show(found)
            figures += found
    if options.json:
        write_json(options.json, figures, {"minutes": options.minutes})


def speeds(corpus: Path, folder: Path) -> list[Figure]:
    """Speed of copying FLAC into tar files, and of writing WAV files."""
    out = folder / "out"
    costs = take_turns(
        ROUNDS,
        lambda: empty_disk(out),
        copy=lambda: copy(corpus, out),
        copy_and_hash=lambda: copy(corpus, out, hashlib.sha256()),
        decode=lambda: decode(corpus, out),
        flac=lambda: export(str(corpus), str(out), ["webdataset"], workers=1),
        wav=lambda: export(str(corpus), str(out), ["voxcpm"], workers=1),
    )
    return [
        ratio("export", "FLAC, speed over that of copying", costs["copy"], costs["flac"], limit=0.7),
        ratio("export", "FLAC, speed over that of copying and hashing", costs["copy_and_hash"], costs["flac"]),
        ratio("export", "copying and hashing, speed over copying", costs["copy"], costs["copy_and_hash"]),
        ratio("export", "WAV, speed over that of decoding", costs["decode"], costs["wav"], limit=0.7),
    ]


def together(folder: Path) -> list[Figure]:
    """Cost of all formats in one go over that of one alone, 82 clips."""
    corpus, names, options = make(folder / "small", 82), list(exporters()), Options(sample_rate=22_050)
    out = folder / "out"

    def writing(*formats: str) -> Callable[[], object]:
        return lambda: export(str(corpus), str(out), formats, options, workers=1)

    costs = take_turns(
        ROUNDS, lambda: empty_disk(out), every=writing(*names), ljspeech=writing("ljspeech"),
        webdataset=writing("webdataset"),
    )  # fmt: skip
    return [
        ratio(
            "export", f"82 clips, {len(names)} formats at once over {name}", costs["every"], costs[name], limit=3,
            at_most=True,
        )
        for name in ("ljspeech", "webdataset")
    ]  # fmt: skip


def memory(folder: Path, corpus: Path, clips: int) -> list[Figure]:
    """Peak memory of a process that exports, by the size of the corpus."""
    larger = make(folder / "larger", 4 * clips)
    return [
        Figure("export", f"peak memory, {name}", peak_mb(path, folder / "out"), None, "MB")
        for name, path in (("this corpus", corpus), ("four times as large", larger))
    ]


def peak_mb(corpus: Path, out: Path) -> float:
    """Peak memory of a fresh process that exports a corpus in several formats."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_export, args=(queue, str(corpus), str(out)))
    process.start()
    peak: float = queue.get()
    process.join()
    shutil.rmtree(out)
    return peak


def _export(queue: Any, corpus: str, out: str) -> None:
    export(corpus, out, ["coqui", "ljspeech", "piper", "webdataset"], workers=1)
    queue.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def empty_disk(out: Path) -> None:
    """Remove what the rival before has written, and wait until the disk has nothing to write."""
    shutil.rmtree(out, ignore_errors=True)
    os.sync()


def copy(corpus: Path, out: Path, digest: Any = None) -> None:
    """Read the shards and write them, to the disk; `digest` is updated with what is written, if it is given."""
    out.mkdir()
    for path in sorted(corpus.glob("data/*")):
        with path.open("rb") as source, (out / path.name).open("wb") as target:
            while block := source.read(BLOCK):
                target.write(block)
                if digest is not None:
                    digest.update(block)
            os.fsync(target.fileno())


def decode(corpus: Path, out: Path) -> None:
    """Decode all clips and write WAV files."""
    out.mkdir()
    for path in sorted(corpus.glob("data/*")):
        for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(50, columns=["clip_id", "audio.bytes"]):
            flacs = batch.column("audio").field("bytes")
            for clip_id, flac in zip(batch.column("clip_id"), flacs, strict=True):
                (out / f"{clip_id}.wav").write_bytes(wav(decode_flac(flac.as_py()), RATE))
    os.sync()


def make(root: Path, clips: int) -> Path:
    """A corpus of noise in bursts."""
    rng = np.random.default_rng(0)
    sounds = [encode_flac(noise(rng), RATE) for _ in range(SOUNDS)]
    rows = [clip(at, SECONDS, audio={"bytes": sounds[at % SOUNDS], "path": ""}) for at in range(clips)]
    starts = range(0, clips, SHARD_CLIPS)
    shards = {f"train-{at // SHARD_CLIPS:05}-00000": rows[at : at + SHARD_CLIPS] for at in starts}
    return make_corpus(root, shards, group_rows=50)


def noise(rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int16]]:
    """SECONDS of pink noise in bursts."""
    samples = round(SECONDS * RATE)
    spectrum = np.fft.rfft(rng.normal(size=samples))
    pink = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), samples)
    bursts = np.clip(np.sin(2 * np.pi * 1.5 * np.arange(samples) / RATE), 0.003, 1)
    return (6_000 * pink / pink.std() * bursts).clip(-32_768, 32_767).astype(np.int16)


if __name__ == "__main__":
    main()
