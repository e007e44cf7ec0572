"""Measures what is won, and what wrong words stay, where `recover` cuts off words that the cross-check disputes.

    python -m tests.benchmarks.trimming --data DIR --second BASE [--clips 60] [--cache DIR]

DIR holds manifest.jsonl and its recordings. Clips of clean readers, each of another one, get a burst of noise, music or
another voice over their first or last third, or none. Both models transcribe them as passages, which are cut with and
without the agreement of their words, and clips with less than the default `thresholds.asr_agreement` are rejected. What
is said is what both models write of the clean clip, if at most 5 % of the words differ. Passages of a chapter, whose
text is known, get noise over their first or last third. A word is wrong if what is
said has less than all of its letters in its place, and a clip is right if at most 10 % of its words are wrong.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from speechmill.asr import SAMPLE_RATE_HZ as RATE
from speechmill.asr import Transcript
from speechmill.audio.cutting import FRAMES_PER_S, gate, spans
from speechmill.audio.sentences import MIN_AGREEMENT, TimedText, TimedWord
from speechmill.audio.vad import Listener
from speechmill.core.config import Segment
from speechmill.core.records import SpanKind
from speechmill.decide.opinions import agreement, word_agreements

from tests.benchmarks.doubts import RIGHT, SAME, Clip, Wave, read, word_errors
from tests.benchmarks.word_confidence import transcripts

FRAME = RATE // FRAMES_PER_S
BURSTS_DB = (-5, -10, -15)
LONGEST_S = 27  # of a passage
KINDS = ("noise", "music", "clean_speech")


@dataclass
class Counts:
    """Of the published clips of one kind, in words and seconds."""

    clips: int = 0
    right_s: float = 0.0
    wrong_s: float = 0.0
    words: int = 0
    wrong: int = 0


def material(data: Path, most: int) -> Iterator[tuple[Clip, Clip]]:
    """Clean clips, each with a copy that has a burst over its first or last third."""
    rows = [json.loads(line) for line in (data / "manifest.jsonl").open()]
    known = {row["speaker"]: row for row in rows if row["group"] == "clean_speech" and 9 <= row["duration_s"] <= 25
             and row.get("speaker") and (row.get("language") or "en") == "en"}  # fmt: skip
    rng, readers = np.random.default_rng(5), list(known.values())[-most:]
    others = [[row for row in rows if row["group"] == kind and row["duration_s"] > 4] for kind in KINDS]
    for number, (row, kind) in enumerate(zip(readers, cycle(range(len(KINDS))))):
        clean = read(data / row["file"])
        other = others[kind][rng.integers(len(others[kind]))]
        snr_db, third = BURSTS_DB[rng.integers(len(BURSTS_DB))], clean.size // 3
        burst = np.resize(read(data / other["file"]), third)
        first = 0 if number % 2 else clean.size - third
        yield (
            Clip(row["file"], "clean", clean, "en", None),
            Clip(
                f"{row['file']} {KINDS[kind]} {snr_db}",
                KINDS[kind],
                with_burst(clean, burst, first, snr_db),
                "en",
                None,
            ),
        )


def chapter(data: Path) -> Iterator[Clip]:
    """Passages of a chapter, of whole utterances, each with a burst of noise over its first or last third."""
    book = read(data / "longform" / "LS19_198.flac")
    utterances = json.loads((data / "longform" / "LS19_198.segments.json").read_text())
    noises = [row for row in map(json.loads, (data / "manifest.jsonl").open()) if row["group"] == "noise"]
    rng, groups = np.random.default_rng(6), [[utterances[0]]]
    for utterance in utterances[1:]:
        if utterance["end"] - groups[-1][0]["start"] > LONGEST_S:
            groups.append([])
        groups[-1].append(utterance)
    for number, group in enumerate(groups):
        wave = book[int(group[0]["start"] * RATE) : int(group[-1]["end"] * RATE)]
        third, snr_db = wave.size // 3, BURSTS_DB[rng.integers(len(BURSTS_DB))]
        burst = np.resize(read(data / noises[rng.integers(len(noises))]["file"]), third)
        damaged = with_burst(wave, burst, 0 if number % 2 else wave.size - third, snr_db)
        yield Clip(f"chapter {number} {snr_db}", "chapter", damaged, "en", " ".join(one["text"] for one in group))


def with_burst(wave: Wave, burst: Wave, first: int, snr_db: float) -> Wave:
    """Add a sound from sample `first` on, by the power of speech over the whole clip."""
    gain = np.sqrt(np.mean(wave**2) / max(float(np.mean(burst**2)), 1e-12)) * 10 ** (-snr_db / 20)
    mixed = wave.copy()
    mixed[first : first + burst.size] += np.float32(gain) * burst
    return mixed / np.float32(max(1.0, np.abs(mixed).max()))


def published(
    clip: Clip, own: Transcript, other: Transcript, *, by_agreement: bool
) -> Iterator[tuple[float, list[str]]]:
    """Seconds and words of each clip that is cut from a passage and not rejected for disagreement."""
    frames = clip.wave.size // FRAME
    middles = [50 * (word.start_s + word.end_s) for word in own.words]
    known = (
        word_agreements([word.word for word in own.words], other.text, "en") if by_agreement else [None] * len(middles)
    )
    words = tuple(map(TimedWord, middles, (word.word for word in own.words), known))
    listener = Listener("webrtc", RATE)
    for at in range(0, clip.wave.size, RATE):
        listener.hear(clip.wave[at : at + RATE])
    marks, levels = listener.finish()
    found = spans(
        gate(marks, levels), levels, samples=clip.wave.size, rate=RATE, rules=Segment(profile="recover"),
        texts=[TimedText(0, frames + 1, words)],
    )  # fmt: skip
    for span in (span for span in found if span.kind is SpanKind.CLIP):
        inside = [
            [w.word for w in transcript.words if span.start <= RATE * (w.start_s + w.end_s) / 2 < span.end]
            for transcript in (own, other)
        ]
        if agreement(*map(" ".join, inside), "en") >= MIN_AGREEMENT:
            yield span.samples / RATE, inside[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.trimming", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--second", required=True)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--cache", type=Path, required=True)
    options = parser.parse_args()
    pairs = list(material(options.data, options.clips))
    passages = list(chapter(options.data))
    clips = [*(clip for pair in pairs for clip in pair), *passages]
    own, other = (transcripts(model, clips, options.cache) for model in (options.model, options.second))
    counts: dict[tuple[str, bool], Counts] = {}
    known = [(clip, clip.said or "") for clip in passages]
    for pair in pairs:
        said = own[pair[0].name].text
        if word_errors(other[pair[0].name].text, said, "en") <= SAME:
            known += [(clip, said) for clip in pair]
    for clip, said in known:
        for by_agreement in (False, True):
            count = counts.setdefault((clip.kind, by_agreement), Counts())
            for seconds, words in published(clip, own[clip.name], other[clip.name], by_agreement=by_agreement):
                add(count, seconds, words, said)
    print("| passages | cut by agreement | clips | right s | other s | words | wrong words |")
    print("|---|---|---|---|---|---|---|")
    for (kind, by_agreement), count in sorted(counts.items()):
        row = (count.clips, f"{count.right_s:.0f}", f"{count.wrong_s:.0f}", count.words, count.wrong)
        print(f"| {kind} | {by_agreement} |", " | ".join(map(str, row)), "|")


def add(count: Counts, seconds: float, words: list[str], said: str) -> None:
    """Count a published clip."""
    wrong = sum(value is not None and value < 1 for value in word_agreements_in(words, said))
    count.clips += 1
    count.words += len(words)
    count.wrong += wrong
    if wrong <= RIGHT * len(words):
        count.right_s += seconds
    else:
        count.wrong_s += seconds


def word_agreements_in(words: list[str], said: str) -> list[float | None]:
    """Agreement of words with the part of a text that is most like them."""
    parts, size = said.split(), len(words)
    starts = range(max(len(parts) - size, 0) + 1)
    text = " ".join(words)
    best = max(starts, key=lambda at: agreement(text, " ".join(parts[at : at + size]), "en"))
    return word_agreements(words, " ".join(parts[max(best - 2, 0) : best + size + 2]), "en")


if __name__ == "__main__":
    main()
