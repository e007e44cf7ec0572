"""Measures what finds wrong transcripts: decide/hallucinations.yaml, confidence, and a second recogniser.

    python -m tests.benchmarks.doubts --data DIR --second FOLDER [--model tiny.en] [--prompts DIR]

DIR holds manifest.jsonl and its recordings. `--prompts` is where Debian's packages asterisk-core-sounds-en, -es, -fr,
-it and -ru and their -g722 are unpacked: prompts of a phone system in studio quality, with texts. A text is right with
at most 10 % of its words wrong, and wrong with more than 30 %. Where nobody says what is spoken in a clean clip, it is
what both recognisers heard, if they differ in at most 5 % of the words; its damaged copies are judged by that, and it
has no part in the AUC. Each recogniser is judged with the other one for a second opinion.
"""

import argparse
import gzip
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import jiwer
import numpy as np
import soundfile
import soxr
from scipy.signal import fftconvolve
from speechmill.asr import SAMPLE_RATE_HZ, Transcript, load
from speechmill.core.config import Asr
from speechmill.core.thresholds import Thresholds
from speechmill.decide.hallucinations import Hypothesis, failed_checks
from speechmill.decide.opinions import agreement, cross_check_text
from speechmill.decide.pauses import pause_agreement
from speechmill.fetch import model_folder
from speechmill.training.asr.metrics import words

RATE = SAMPLE_RATE_HZ
RIGHT, WRONG, SAME = 0.1, 0.3, 0.05
SHORTEST, LONGEST = 5 * RATE, 20 * RATE
PROMPTS_OF_A_LANGUAGE = 40
SNRS_DB = (-8, -4, 0, 4, 8)
REVERB_S = (0.8, 1.5, 2.5)

Wave = np.ndarray


@dataclass
class Clip:
    """A clip and what is said in it: None where nobody knows, empty where nothing is."""

    name: str
    kind: str  # clean, damaged or nothing
    wave: Wave
    language: str | None
    said: str | None
    is_told: bool = True  # by somebody else than the recognisers


# --- what is heard ---


def read(path: Path) -> Wave:
    """float32[n] at 16 kHz."""
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(wave.mean(axis=1), rate, RATE).astype(np.float32)


def clean(data: Path, rows: list[dict[str, Any]]) -> Iterator[Clip]:
    """Clips of readers."""
    for row in rows:
        if row["group"] == "clean_speech" and "en" in row["labels"] and 5 <= row["duration_s"] <= 20:
            yield Clip(row["id"], "clean", read(data / row["file"]), "en", row.get("transcript"))
    book = read(data / "longform" / "LS19_198.flac")
    for one in json.loads((data / "longform" / "LS19_198.segments.json").read_text()):
        wave = book[int(one["start"] * RATE) : int(one["end"] * RATE)]
        if SHORTEST <= wave.size <= LONGEST:
            yield Clip(f"LS19_198 {one['start']}", "clean", wave, "en", one["text"])


def prompts(root: Path, rng: np.random.Generator) -> Iterator[Clip]:
    """Prompts of one voice, joined to the length of clips."""
    for texts in sorted(root.glob("usr/share/doc/asterisk-core-sounds-*/core-sounds-*.txt.gz")):
        language = texts.name.removeprefix("core-sounds-")[:2]
        told = gzip.decompress(texts.read_bytes()).decode(errors="replace").splitlines()
        lines = [line.partition(":") for line in told if not line.startswith(";")]
        said = {name.strip(): text.strip() for name, _, text in lines if len(text.split()) >= 4}
        plain = {name: text for name, text in said.items() if not set("[(/") & set(text)}
        found = sorted(root.glob(f"usr/share/asterisk/sounds/{language}*/**/*.g722"))
        known = [(prompt(path), plain[path.stem]) for path in found if path.stem in plain]
        order, parts = list(rng.permutation(len(known))), 0
        while order and parts < PROMPTS_OF_A_LANGUAGE:
            length, waves, own = rng.uniform(6, 16) * RATE, [], []
            while order and sum(map(len, waves)) < length:
                wave, text = known[order.pop()]
                waves += [wave, np.zeros(int(rng.uniform(0.15, 0.4) * RATE), np.float32)]
                own.append(text)
            whole = np.concatenate(waves[:-1])
            if SHORTEST <= whole.size <= LONGEST:
                parts += 1
                yield Clip(f"prompts {language} {parts}", "clean", whole, language, " ".join(own))


def prompt(path: Path) -> Wave:
    """A prompt without the silence around it."""
    frames = [frame.to_ndarray().ravel() for frame in av.open(str(path), format="g722").decode(audio=0)]
    wave = np.concatenate(frames).astype(np.float32) / 32_768
    loud = np.flatnonzero(np.abs(wave) > 0.01)
    return wave[max(loud[0] - 800, 0) : loud[-1] + 800]


def nothing(data: Path, rows: list[dict[str, Any]], rng: np.random.Generator) -> Iterator[Clip]:
    """Noise and music."""
    for row in rows:
        if row["group"] in {"noise", "music"} and row.get("duration_s"):
            wave = read(data / row["file"])
            for at in range(0, min(wave.size, 48 * RATE), 12 * RATE):
                part = wave[at : at + int(rng.uniform(6, 12) * RATE)]
                if part.size >= SHORTEST:
                    yield Clip(f"{row['id']} {at // RATE}", "nothing", part, None, "")
    for level in (0, 1e-4, 1e-3, 1e-2, 0.1):
        for seconds in (6, 12, 18):
            hiss = (level * rng.standard_normal(seconds * RATE)).astype(np.float32)
            yield Clip(f"hiss {level} {seconds}", "nothing", hiss, None, "")


def damaged(clips: list[Clip], backgrounds: list[Wave], rng: np.random.Generator) -> Iterator[Clip]:
    """Copies under noise and music, under another voice, in a hall."""
    for at, clip in enumerate(clips):
        how = ("background", "voice", "hall")[at % 3]
        if how == "hall":
            seconds = np.arange(2 * RATE) / RATE
            room = 0.05 * rng.standard_normal(2 * RATE) * np.exp(-6.9 * seconds / rng.choice(REVERB_S))
            room[0] = 1.0
            wave = fftconvolve(clip.wave, room)[: clip.wave.size]
        else:
            others = backgrounds if how == "background" else [other.wave for other in clips if other is not clip]
            over = np.resize(others[rng.integers(len(others))], clip.wave.size)
            snr_db = rng.choice(SNRS_DB if how == "background" else (0, 4, 8))
            wave = clip.wave + over * _rms(clip.wave) / _rms(over) * 10 ** (-snr_db / 20)
        wave = (wave / max(1.0, np.abs(wave).max())).astype(np.float32)
        yield Clip(f"{clip.name} in {how}", "damaged", wave, clip.language, clip.said)


def _rms(wave: Wave) -> float:
    return float(np.sqrt(np.mean(wave**2))) + 1e-6


# --- how wrong it is, and what says so ---


def word_errors(said: str, heard: str, language: str | None) -> float:
    """Word error rate, without accents: recognisers of few languages know them."""
    due, found = (" ".join(words(_plain(text), language or "en")) for text in (said, heard))
    return jiwer.wer(due, found) if due else float(bool(found))


def _plain(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")


def marks(clip: Clip, heard: Transcript) -> set[str]:
    """Names of the rules that hold."""
    words_heard = [{"word": w.word, "start_s": w.start_s, "end_s": w.end_s} for w in heard.words]
    return {rule.name for rule in failed_checks(
        Hypothesis(text=heard.text, duration_s=clip.wave.size / RATE, words=words_heard, language=heard.language,
              no_speech_probability=heard.no_speech_probability, avg_logprob=heard.avg_logprob)
    )}  # fmt: skip


def area(right: list[float], wrong: list[float]) -> float:
    """Share of pairs in which the right text has the higher value (AUC); half of those that tie."""
    ahead = np.subtract.outer(np.array(right), np.array(wrong))
    return float(np.mean((ahead > 0) + 0.5 * (ahead == 0)))


def main() -> None:
    """Hear, judge, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.doubts", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, default=Path("/"))
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--second", required=True)
    parser.add_argument("--limit", type=int, help="clips of a kind")
    options = parser.parse_args()
    rng, rows = np.random.default_rng(0), list(map(json.loads, (options.data / "manifest.jsonl").open()))
    speech = [*clean(options.data, rows), *prompts(options.prompts, rng)]
    empty = list(nothing(options.data, rows, rng))
    speech, empty = (list(rng.permutation(np.array(found, object)))[: options.limit] for found in (speech, empty))
    english = [clip for clip in speech if clip.language == "en"]
    copies = list(damaged(english, [clip.wave for clip in empty if "hiss" not in clip.name], rng))
    clips = [*speech, *copies, *empty]
    heard, other = (_hear(name, clips) for name in (options.model, options.second))
    _fill(clips, heard, other)
    for name, one, two in ((options.model, heard, other), (options.second, other, heard)):
        print(f"\n{Path(name).name}")
        _report(clips, one, two)
        _shapes(clips, one)


def _hear(name: str, clips: list[Clip]) -> list[Transcript]:
    recogniser = load(str(model_folder(name)), Asr(), "cpu", "int8")
    return recogniser.transcribe([clip.wave for clip in clips])


def _fill(clips: list[Clip], heard: list[Transcript], other: list[Transcript]) -> None:
    agreed = {}
    for clip, one, two in zip(clips, heard, other, strict=True):
        if clip.kind == "clean" and clip.said is None and word_errors(two.text, one.text, clip.language) <= SAME:
            agreed[clip.name] = clip.said = two.text
            clip.is_told = False
    for clip in clips:
        if clip.kind == "damaged" and clip.said is None:
            clip.said = agreed.get(clip.name.rpartition(" in ")[0])


def _report(clips: list[Clip], heard: list[Transcript], other: list[Transcript]) -> None:
    lowest = Thresholds()
    counts: dict[str, Counter[str]] = {}
    values: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for clip, one, two in zip(clips, heard, other, strict=True):
        if clip.said is None:
            continue
        rate = word_errors(clip.said, one.text, clip.language)
        is_foreign = one.language != clip.language and clip.kind == "clean"
        kind = "foreign" if is_foreign else clip.kind
        cell = f"{kind}, {'right' if rate <= RIGHT else 'wrong' if rate > WRONG else 'between'}"
        second = cross_check_text(asdict(two), one.language)
        agreed = None if second is None else agreement(one.text, second, one.language)
        found = marks(clip, one) | ({"no text"} if not any(map(str.isalnum, one.text)) else set())
        by_rule = bool(found)
        found |= {"confidence"} if (one.asr_confidence or 0.0) < (lowest.asr_confidence or 0.0) else set()
        by_confidence = bool(found)
        found |= {"agreement"} if agreed is not None and agreed < (lowest.asr_agreement or 0.0) else set()
        steps = {"clips": True, "  rules": by_rule, "  and confidence": by_confidence, "  and agreement": bool(found)}
        for name in [*(name for name, holds in steps.items() if holds), *(f"rule {name}" for name in sorted(found))]:
            counts.setdefault(name, Counter())[cell] += 1
        if clip.is_told and agreed is not None and kind in {"clean", "damaged"} and (rate <= RIGHT or rate > WRONG):
            values.setdefault((kind, rate <= RIGHT), []).append((agreed, one.asr_confidence or 0.0))
    cells = sorted({cell for row in counts.values() for cell in row})
    print("| rejected by |", " | ".join(cells), "|\n|---|" + "---|" * len(cells))
    for name in sorted(counts, key=lambda name: (name.startswith("rule"), -counts[name].total())):
        print(f"| {name} |", " | ".join(str(counts[name][cell]) for cell in cells), "|")
    right, wrong = ([pair for kind in ("clean", "damaged") for pair in values.get((kind, is_right), [])]
                    for is_right in (True, False))  # fmt: skip
    for at, name in enumerate(("agreement", "confidence")):
        found_area = area([pair[at] for pair in right], [pair[at] for pair in wrong])
        print(f"AUC of {name}, {len(right)} right and {len(wrong)} wrong: {found_area:.3f}")


def _shapes(clips: list[Clip], heard: list[Transcript]) -> None:
    """What right texts of clean clips are like: the numbers of the rules rest on it."""
    rng, rates, gaps, ends, agreed, scattered = np.random.default_rng(0), [], [], [], [], []
    for clip, one in zip(clips, heard, strict=True):
        if clip.kind != "clean" or not clip.said or word_errors(clip.said, one.text, clip.language) > RIGHT:
            continue
        seconds, words_heard = clip.wave.size / RATE, [asdict(word) for word in one.words]
        rates.append(len(one.text) / seconds)
        gaps.append(max((after.start_s - word.end_s for word, after in pairwise(one.words)), default=0.0))
        ends.append(max(one.words[0].start_s, seconds - one.words[-1].end_s))
        agreed.append(pause_agreement(words_heard, one.text))
        scattered.append(pause_agreement(words_heard, moved(one.text, rng)))
    for name, values in (("characters a second", rates), ("s between words", gaps), ("s before or after them", ends)):
        shown = " / ".join(f"{value:.2f}" for value in np.percentile(values, [0, 1, 99, 100]))
        print(f"{name}, least / 1 % / 99 % / most: {shown}")
    known = [pair for pair in zip(agreed, scattered, strict=True) if None not in pair]
    own, other = zip(*known, strict=True)
    means = f"mean {np.mean(own):.2f}, where the same marks are at other words {np.mean(other):.2f}"
    print(f"pause_agreement of {len(known)}: {means}; AUC {area(list(own), list(other)):.3f}")


def moved(text: str, rng: np.random.Generator) -> str:
    """The same words with the same marks behind others of them; the last one stays."""
    parts = [re.fullmatch(r"(.*?)([.,;:!?]*)", word) for word in text.split()]
    bodies, marks_behind = zip(*(part.groups() for part in parts if part), strict=True)
    order = [*rng.permutation(len(bodies) - 1), len(bodies) - 1]
    return " ".join(body + marks_behind[at] for body, at in zip(bodies, order, strict=True))


if __name__ == "__main__":
    main()
