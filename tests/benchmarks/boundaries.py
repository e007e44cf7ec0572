"""Counts the clip edges that cut a word, and tries the mark of clips that do; segment.py and measure.py rest on it.

    pip install -c constraints.txt -e '.[demo,bench]'
    python -m tests.benchmarks.boundaries --data DIR      DIR holds manifest.jsonl and its recordings

Words are aligned by pocketsphinx, whose times know nothing of Whisper's: a chapter of LibriSpeech with its text, and
clips of other readers, as Whisper tiny.en hears them, between stretches of their own room tone. An edge cuts a word if
it lies inside one, by 20 ms, and outside any 100 ms of rest: the aligner stretches words over pauses. A rest is quiet
above 2 kHz too: the level of a last "s" may be under that of a hum. Recordings are cut as they are and in real noise;
where their words are is always told from what they were before. So that there are enough edges, clips may be a second
long. Readers are halved by the checksum of their names: the constants were chosen on `first`.
"""

import argparse
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soxr
from pocketsphinx import Decoder
from scipy.signal import butter, sosfilt
from speechmill.asr import load
from speechmill.audio import to_int16
from speechmill.audio.cutting import FRAMES_PER_S, gate, spans
from speechmill.audio.measures import measure
from speechmill.audio.vad import DETECTORS, Listener
from speechmill.core.config import Asr, Segment
from speechmill.core.records import Span, SpanKind
from speechmill.core.thresholds import Thresholds
from speechmill.fetch import model_folder

from tests.benchmarks.vad import decode

RATE = 24_000
TOLERANCE_S = 0.02
TONE_S = 0.8
REST, AROUND = 10, 50  # frames
REST_DB = 3.0
SNRS_DB = (None, 25, 15)  # above the default limit of snr_db, and at it
RULES = {
    "tortoise": Segment(min_length_s=1.0),
    "recover": Segment(profile="recover", min_length_s=1.0, max_length_s=6.0),
}
# Phones of letters, for words that the dictionary does not have: rough, but an aligner only has to place them.
LETTERS = {
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K",
    "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V",
    "w": "W", "x": "K", "y": "Y", "z": "Z",
}  # fmt: skip

Wave = np.ndarray
Word = tuple[float, float]


@dataclass
class Read:
    """A recording, its words in seconds, and which part of the speakers it is of."""

    name: str
    part: str
    wave: Wave  # float32[n] at 24 kHz
    words: list[Word]

    def __post_init__(self) -> None:
        high = sosfilt(butter(2, 2_000, "highpass", fs=RATE, output="sos"), self.wave).astype(np.float32)
        self.bands = np.stack([listen(wave, "webrtc")[1] for wave in (self.wave, high)])  # float32[2, frames] in dBFS


# --- where words are ---


class Aligner:
    """pocketsphinx with its American model."""

    def __init__(self) -> None:
        self._decoder = Decoder(samprate=16_000, bestpath=False, lm=None, loglevel="FATAL")

    def align(self, wave: Wave, text: str) -> list[Word]:
        """Start and end in seconds of each word; nothing where the text does not fit."""
        words = re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower().replace("’", "'"))
        for word in words:
            if self._decoder.lookup_word(word) is None:
                self._decoder.add_word(word, " ".join(LETTERS[c] for c in word if c in LETTERS), True)
        heard = soxr.resample(wave, RATE, 16_000)
        self._decoder.set_align_text(" ".join(words))
        self._hear(heard)
        if self._decoder.hyp() is None:
            return []
        self._decoder.set_alignment()
        self._hear(heard)
        found = [one for one in self._decoder.get_alignment() if one.name[0] not in "<["]
        return [(one.start / 100, (one.start + one.duration) / 100) for one in found]

    def _hear(self, wave: Wave) -> None:
        self._decoder.start_utt()
        self._decoder.process_raw(to_int16(wave).tobytes(), full_utt=True)
        self._decoder.end_utt()


def chapter(data: Path, aligner: Aligner) -> Iterator[Read]:
    """The long recording, aligned utterance by utterance."""
    wave, words = decode(data / "longform" / "LS19_198.flac"), []
    for one in json.loads((data / "longform" / "LS19_198.segments.json").read_text()):
        own = aligner.align(wave[int(one["start"] * RATE) : int(one["end"] * RATE)], one["text"])
        words += [(one["start"] + start, one["start"] + end) for start, end in own]
    yield Read("LS19_198", "chapter", wave, words)


def readers(data: Path, aligner: Aligner) -> Iterator[Read]:
    """Clips between their own room tone."""
    recogniser = load(str(model_folder("tiny.en")), Asr(), "cpu", "int8")
    for row in map(json.loads, (data / "manifest.jsonl").open()):
        if row["group"] != "clean_speech" or "en" not in row["labels"] or row["duration_s"] < 3:
            continue
        wave = decode(data / row["file"])
        heard = row.get("transcript") or recogniser.transcribe([soxr.resample(wave, RATE, 16_000)])[0].text
        words = [] if re.search(r"\d", heard) else aligner.align(wave, heard)
        tone = room_tone(wave, words, np.random.default_rng(zlib.crc32(row["id"].encode())))
        if tone is not None:
            part = "second" if zlib.crc32(row["speaker"].encode()) % 2 else "first"
            padded = np.concatenate([tone, wave, tone[::-1]]).astype(np.float32)
            yield Read(row["id"], part, padded, [(start + TONE_S, end + TONE_S) for start, end in words])


def room_tone(wave: Wave, words: list[Word], rng: np.random.Generator) -> Wave | None:
    """TONE_S of the clip's quiet pauses, faded into each other; None where it has none."""
    ends = [(end + 0.08, start - 0.08) for (_, end), (start, _) in pairwise(words)]
    pauses = [wave[int(start * RATE) : int(end * RATE)] for start, end in ends if end - start > 0.09]
    levels = [np.sqrt(np.mean(pause**2)) for pause in pauses]
    quiet = [pause for pause, level in zip(pauses, levels, strict=True) if level <= 2 * min(levels)]  # no breaths
    if not quiet:
        return None
    fade = np.linspace(0, 1, RATE // 100, dtype=np.float32)
    tone = quiet[0]
    while tone.size < TONE_S * RATE:
        pause = quiet[rng.integers(len(quiet))]
        seam = tone[-fade.size :] * np.sqrt(1 - fade) + pause[: fade.size] * np.sqrt(fade)
        tone = np.concatenate([tone[: -fade.size], seam, pause[fade.size :]])
    return tone[: int(TONE_S * RATE)]


# --- what is cut ---


def listen(wave: Wave, vad: str) -> tuple[Wave, Wave]:
    """Marks and levels of a recording every 10 ms."""
    listener = Listener(vad, RATE)
    for at in range(0, wave.size, RATE):
        listener.hear(wave[at : at + RATE])
    marks, levels = listener.finish()
    return gate(marks, levels) if listener.detector.gated else marks, levels


def cut(wave: Wave, vad: str, rules: Segment) -> list[Span]:
    """Clips of a recording."""
    marks, levels = listen(wave, vad)
    found = spans(marks, levels, samples=wave.size, rate=RATE, rules=rules)
    return [span for span in found if span.kind is SpanKind.CLIP]


def in_noise(read: Read, snr_db: float | None, noises: list[Wave]) -> Wave:
    """The recording in one of the noises, its level below that of the frames with speech."""
    if snr_db is None:
        return read.wave
    levels = read.bands[0]
    speech = np.mean(10 ** (levels[levels > np.percentile(levels, 95) - 25] / 10))
    noise = np.resize(noises[zlib.crc32(read.name.encode()) % len(noises)], read.wave.size)
    return (read.wave + noise * np.sqrt(speech / 10 ** (snr_db / 10) / np.mean(noise**2))).astype(np.float32)


def is_inside(edge_s: float, words: list[Word]) -> bool:
    """Whether an edge is inside a word."""
    return any(start + TOLERANCE_S < edge_s < end - TOLERANCE_S for start, end in words)


def is_rest(edge_s: float, bands: Wave) -> bool:
    """Whether an edge lies in 100 ms in which each band is as quiet as it ever is in the second around."""
    at = min(round(edge_s * FRAMES_PER_S), bands.shape[1] - 1)
    middle = min(at, AROUND)
    near = [np.convolve(band[at - middle : at + AROUND], np.full(3, 1 / 3), mode="same") for band in bands]
    quiet = np.all([band <= np.percentile(band, 20) + REST_DB for band in near], axis=0)
    ahead, behind = (int(np.argmin([*side, False])) for side in (quiet[middle:], quiet[:middle][::-1]))
    return ahead + behind >= REST


def count(reads: list[Read], vad: str, profile: str, heard: list[Wave]) -> str:
    """Columns of the table: what is cut out of the recordings as they are heard."""
    clips = inside = cut_edges = cut_clips = kept = 0
    for one, wave in zip(reads, heard, strict=True):
        for span in cut(wave, vad, RULES[profile]):
            inner = [edge / RATE for edge in (span.start, span.end) if is_inside(edge / RATE, one.words)]
            bad = sum(not is_rest(edge, one.bands) for edge in inner)
            clips, inside, kept = clips + 1, inside + len(inner), kept + span.samples
            cut_edges, cut_clips = cut_edges + bad, cut_clips + bool(bad)
    total = sum(wave.size for wave in heard)
    return (
        f"{vad} | {profile} | {clips} | {kept / total:.1%} | {inside} | "
        f"{cut_edges} = {cut_edges / (2 * clips):.2%} | {cut_clips} = {cut_clips / clips:.2%} |"
    )


def mark(reads: list[Read]) -> str:
    """How many clips that are cut in the middle of a word on purpose the mark finds, and how many others it takes."""
    limit, rng = Thresholds().edge_ratio or 1.0, np.random.default_rng(0)
    whole, broken = [], []
    for one in reads:
        for span in cut(one.wave, "webrtc", RULES["tortoise"]):
            clip = to_int16(one.wave[span.start : span.end])
            whole.append(clip)
            middles = [int((start + end) / 2 * RATE) - span.start for start, end in one.words if end - start > 0.15]
            for at in rng.permutation([at for at in middles if RATE < at < clip.size - RATE])[:2]:
                broken += [clip[:at], clip[at:]]
    lost, found = (float(np.mean(measure(clips, RATE)["edge_ratio"] > limit)) for clips in (whole, broken))
    return f"{len(whole)} | {lost:.2%} | {len(broken)} | {found:.1%} |"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.boundaries", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data, aligner = parser.parse_args().data, Aligner()
    rows = [json.loads(line) for line in (data / "manifest.jsonl").open()]
    noises = [decode(data / row["file"]) for row in rows if row["group"] == "noise" and row["duration_s"] > 3]
    reads = [*chapter(data, aligner), *readers(data, aligner)]
    parts = {part: [one for one in reads if one.part == part] for part in ("chapter", "first", "second")}
    print("| speakers | SNR, dB | VAD | profile | clips | kept | edges inside a word | of them cut it | clips |")
    print("|" + "---|" * 9)
    for part, own in parts.items():
        for snr_db in SNRS_DB:
            heard = [in_noise(one, snr_db, noises) for one in own]
            for vad in DETECTORS:
                for profile in RULES:
                    print(f"| {part} | {snr_db or '–'} | {count(own, vad, profile, heard)}", flush=True)
    print("\n| speakers | clips | taken by edge_ratio | cut on purpose | found |\n|" + "---|" * 5)
    for part, own in parts.items():
        print(f"| {part} | {mark(own)}")


if __name__ == "__main__":
    main()
