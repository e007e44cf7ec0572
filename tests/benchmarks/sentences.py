"""Counts the clips that begin or end inside a sentence, with the words and without them.

    python -m tests.benchmarks.sentences FILE [FILE …] [--model tiny.en] [--judge FOLDER]

Every recording is cut as `tortoise`, as `recover` by pauses, and as `recover` with the words of `--model`. Where
sentences end is what `--judge`, a larger Whisper, writes of the same passages.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from speechmill.asr import SAMPLE_RATE_HZ, Transcriber, load
from speechmill.audio import resample, to_int16
from speechmill.audio.cutting import FRAMES_PER_S, NO_FRAMES, gate, passages, spans
from speechmill.audio.sentences import Boundary, TimedText, TimedWord, boundaries
from speechmill.audio.vad import Listener
from speechmill.core.config import Asr, Segment
from speechmill.core.records import Span, SpanKind
from speechmill.fetch import model_folder

from tests.benchmarks.vad import decode

RATE = 24_000
FRAME = RATE // FRAMES_PER_S
WAYS = {"tortoise": "tortoise", "recover, by pauses": "recover", "recover, by sentences": "recover"}

Frames = npt.NDArray[np.int64]


@dataclass
class Counts:
    """Counts over recordings."""

    clips: int = 0
    seconds: float = 0.0
    speech_s: float = 0.0
    inside: int = 0  # boundaries of clips in mid-sentence
    clause: int = 0  # … at the end of a clause
    judged: int = 0

    def add(self, found: Sequence[Span], truth: Sequence[TimedText]) -> None:
        """Count the clips of a recording; `truth` has the words of the judge."""
        clips = [span for span in found if span.kind is SpanKind.CLIP]
        self.clips += len(clips)
        self.seconds += sum(span.samples for span in clips) / RATE
        self.speech_s += sum(span.samples for span in found if span.kind is not SpanKind.SILENCE) / RATE
        places = np.array([(span.start // FRAME, span.end // FRAME) for span in found if span.kind != "silence"])
        is_clip = [span.kind is SpanKind.CLIP for span in found if span.kind is not SpanKind.SILENCE]
        for kind, *beside in zip(boundaries(places, truth), is_clip[:-1], is_clip[1:], strict=True):
            self.judged += sum(beside)
            self.inside += sum(beside) * (kind is Boundary.INSIDE)
            self.clause += sum(beside) * (kind is Boundary.CLAUSE)


def transcribed(model: Transcriber, wave: np.ndarray, places: Frames) -> list[TimedText]:
    """Texts of passages, int64[n, 2] frames, of float32[n] at RATE."""
    sound = [resample(to_int16(wave[FRAME * first : FRAME * last]), RATE, SAMPLE_RATE_HZ) for first, last in places]
    return [
        TimedText(first, last, tuple(TimedWord(first + 50 * (w.start_s + w.end_s), w.word) for w in transcript.words))
        for (first, last), transcript in zip(places.tolist(), model.transcribe(sound), strict=True)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sentences", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--judge", default="tiny.en")
    chosen = parser.parse_args()
    model, judge = (load(str(model_folder(name)), Asr(), "cpu", "int8") for name in (chosen.model, chosen.judge))
    counts = {way: Counts() for way in WAYS}
    for path in chosen.files:
        wave = decode(path)
        listener = Listener("webrtc", RATE)
        for at in range(0, wave.size, RATE):
            listener.hear(wave[at : at + RATE])
        marks, levels = listener.finish()
        speech = gate(marks, levels)
        places = passages(speech, NO_FRAMES)
        texts, truth = transcribed(model, wave, places), transcribed(judge, wave, places)
        for way, profile in WAYS.items():
            known = texts if way.endswith("sentences") else ()
            rules = Segment(profile=profile)
            counts[way].add(spans(speech, levels, samples=wave.size, rate=RATE, rules=rules, texts=known), truth)
    print(f"{'profile':22} clips  speech in clips  boundaries  in mid-sentence  at a clause")
    for way, count in counts.items():
        shares = (count.seconds / count.speech_s, count.inside / count.judged, count.clause / count.judged)
        print(f"{way:22} {count.clips:5}  {shares[0]:15.1%}  {count.judged:10}  {shares[1]:15.1%}  {shares[2]:11.1%}")


if __name__ == "__main__":
    main()
