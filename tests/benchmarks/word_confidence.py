"""Fits the weights of decide/word_confidence.py, and measures what finds wrong words without a second ASR model.

    python -m tests.benchmarks.word_confidence --data DIR --prompts DIR --model tiny.en --model BASE --cache DIR

DIR holds manifest.jsonl and its recordings; `--prompts` is where Debian's asterisk-core-sounds-* are unpacked, as for
tests.benchmarks.doubts, whose damage is done to the clips here too. Transcripts are kept in `--cache`; what is there
already is not made again. `--clips` takes the first so many.

Weights are fitted on half of the speakers, and all figures are of the others. Where nobody says what is spoken in a
clean clip, it is what both models wrote if at most 5 % of the words differ. Left out are clips that the hallucination
checks reject, those in a language that the model did not choose, and prompts whose texts have stage directions.
"""

import argparse
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from scipy.optimize import minimize
from speechmill.asr import SAMPLE_RATE_HZ as RATE
from speechmill.asr import Transcript, Word, load
from speechmill.core.config import Asr
from speechmill.decide.opinions import word_agreements
from speechmill.decide.word_confidence import Weights, features, word_confidences
from speechmill.fetch import model_folder

from tests.benchmarks.doubts import (
    RIGHT,
    SAME,
    WRONG,
    Clip,
    Wave,
    area,
    damaged,
    marks,
    nothing,
    prompts,
    read,
    word_errors,
)

MOST_LOST = 0.03  # of right texts
CHUNK = 60  # clips transcribed and stored at a time
MOST = {"clean": 14, "nothing": 12}  # of a kind, in each language but English
NOT_SPOKEN = re.compile(r"\.\.|:|…")  # in the texts of prompts


@dataclass
class Spoken:
    """Clips of one origin: a clean one, and its damaged copies."""

    speaker: str
    clips: list[Clip]


@dataclass
class Case:
    """A clip with a hypothesis and what was said."""

    speaker: str
    clip: Clip
    heard: Transcript

    @property
    def errors(self) -> float:
        """Word error rate."""
        return word_errors(self.clip.said or "", self.heard.text, self.clip.language)

    @property
    def probabilities(self) -> list[float]:
        """Of the words."""
        return [word.probability for word in self.heard.words]

    @property
    def is_wrong(self) -> list[bool]:
        """Whether each word differs from what was said there."""
        found = word_agreements([word.word for word in self.heard.words], self.clip.said or "", self.clip.language)
        return [value is not None and value < 1 for value in found]


def material(data: Path, root: Path) -> list[Spoken]:
    """Clips in a fixed random order, those with a text by people and the others in turn."""
    rng, rows = np.random.default_rng(0), list(map(json.loads, (data / "manifest.jsonl").open()))
    clean = [*_readers(data, rows), *_chapter(data), *((f"prompts {c.language}", c) for c in prompts(root, rng))]
    languages, empty = list(clips_in_languages(data, rows)), list(nothing(data, rows, rng))
    spoken = {clip.name: Spoken(speaker, [clip]) for speaker, clip in (*clean, *languages)}
    for copy in _copies([clip for _, clip in clean], [clip.wave for clip in empty if "hiss" not in clip.name]):
        spoken[copy.name.rpartition(" in ")[0]].clips.append(copy)
    spoken |= {clip.name: Spoken("nobody", [clip]) for clip in empty}
    return _in_turn(_drawn(spoken))


def _copies(clean: list[Clip], backgrounds: list[Wave]) -> Iterator[Clip]:
    """Damaged copies: two of each clip in English, one of others."""
    for seed in (1, 2):
        order = [clean[at] for at in np.random.default_rng(seed).permutation(len(clean))]
        chosen = [clip for clip in order if clip.language == "en" or seed == 1]
        for copy in damaged(chosen, backgrounds, np.random.default_rng(seed + 10)):
            yield replace(copy, name=f"{copy.name} s{seed}")


def _drawn(spoken: dict[str, Spoken]) -> list[Spoken]:
    """All in random order, but at most MOST of a kind and language where there are many alike."""
    names, counts, drawn = list(spoken), Counter[tuple[str, str | None]](), []
    Random(0).shuffle(names)
    for name in names:
        kind = (first := spoken[name].clips[0]).kind, first.language
        counts[kind] += 1
        if counts[kind] <= MOST.get(kind[0] if first.language != "en" else "", len(names)):
            drawn.append(spoken[name])
    return drawn


def _in_turn(spoken: list[Spoken]) -> list[Spoken]:
    """Those whose text is known, and clean clips whose text is not, in turn."""
    is_told = [bool(one.clips[0].said) or one.clips[0].kind != "clean" for one in spoken]
    told, others = ([one for one, own in zip(spoken, is_told, strict=True) if own == which] for which in (True, False))
    pairs = [one for pair in zip(told, others, strict=False) for one in pair]
    return [*pairs, *told[len(others) :], *others[len(told) :]]


def _readers(data: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[str, Clip]]:
    for row in rows:
        is_english = "en" in (row.get("labels") or ()) or row["file"].startswith("real2")
        is_english = is_english and (row.get("language") or "en") == "en"
        if row["group"] == "clean_speech" and is_english and 2 <= row["duration_s"] <= 22:
            clip = Clip(row["file"], "clean", read(data / row["file"]), "en", row.get("transcript"))
            yield row.get("speaker") or row["file"], clip


def _chapter(data: Path) -> Iterator[tuple[str, Clip]]:
    book = read(data / "longform" / "LS19_198.flac")
    for one in json.loads((data / "longform" / "LS19_198.segments.json").read_text()):
        wave = book[int(one["start"] * RATE) : int(one["end"] * RATE)]
        if 2 <= wave.size / RATE <= 22:
            yield "LS19", Clip(f"LS19 {one['start']}", "clean", wave, "en", one["text"])


def clips_in_languages(data: Path, rows: list[dict[str, Any]]) -> Iterator[tuple[str, Clip]]:
    """Real speech in many languages, in pieces of at most 12 s."""
    for row in rows:
        if row["group"] == "language":
            wave, is_told = read(data / row["file"]), row.get("text_source") in ("repository", "file name")
            said = row.get("transcript") if is_told and wave.size < 22 * RATE else None
            for at in range(max(wave.size // (12 * RATE), 1)):
                if (piece := wave[at * 12 * RATE : (at + 1) * 12 * RATE]).size >= 1.5 * RATE:
                    yield row["file"], Clip(f"{row['file']} {at}", "language", piece, row.get("language"), said)


# --- transcripts ---


def transcripts(model: str, clips: list[Clip], cache: Path) -> dict[str, Transcript]:
    """Transcripts by name of clip; those that the cache lacks are made and added to it."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{Path(model).name}.jsonl"
    known = {row.pop("name"): _transcript(row) for row in map(json.loads, path.open())} if path.exists() else {}
    missing = [clip for clip in clips if clip.name not in known]
    if missing:
        whisper = load(str(model_folder(model)), Asr(), "cpu", "int8")
    for at in range(0, len(missing), CHUNK):
        part = missing[at : at + CHUNK]
        made = whisper.transcribe([clip.wave for clip in part])
        known |= {clip.name: transcript for clip, transcript in zip(part, made, strict=True)}
        with path.open("a") as file:
            rows = ({"name": clip.name, **asdict(known[clip.name])} for clip in part)
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return known


def _transcript(row: dict[str, Any]) -> Transcript:
    return Transcript(**row | {"words": tuple(Word(**word) for word in row["words"])})


def cases(spoken: list[Spoken], heard: dict[str, Transcript], other: dict[str, Transcript]) -> list[Case]:
    """Clips with a known text whose hypotheses no other check rejects."""
    found = []
    for one in spoken:
        first = one.clips[0]
        if (said := first.said) is None and first.name in heard and first.name in other:
            same = word_errors(other[first.name].text, heard[first.name].text, first.language) <= SAME
            said = other[first.name].text if same else None
        if said is None or NOT_SPOKEN.search(said):
            continue
        known = [clip for clip in one.clips if clip.name in heard and heard[clip.name].language == clip.language]
        candidates = [Case(one.speaker, replace(clip, said=said), heard[clip.name]) for clip in known]
        found += [case for case in candidates if case.heard.words and not marks(case.clip, case.heard)]
    return found


# --- fit and figures ---


def is_tuning(case: Case) -> bool:
    """Whether a speaker is one of those that weights and limit are fitted on."""
    return zlib.crc32(case.speaker.encode()) % 2 == 1


def fit(tuning: list[Case]) -> Weights:
    """Weights of a logistic regression over the words of some clips."""
    rows = np.concatenate([features(case.probabilities) for case in tuning])
    is_right = ~np.concatenate([case.is_wrong for case in tuning])
    signed, inputs = np.where(is_right, -1, 1), np.column_stack([np.ones(len(rows)), rows])
    best = minimize(lambda w: np.logaddexp(0, signed * (inputs @ w)).mean(), np.array([0.0, 1.0, 0.0, 0.0])).x
    return Weights(**dict(zip(("bias", "own", "near", "clip"), best.round(2).tolist(), strict=True)))


def report(name: str, tested: list[Case], weights: Weights, limit: float) -> None:
    """Print figures of clips and of words."""
    errors = np.array([case.errors for case in tested])
    right, wrong = errors <= RIGHT, errors > WRONG
    words = [word_confidences(case.probabilities, weights) for case in tested]
    speakers = len({case.speaker for case in tested})
    print(f"\n{name}: {len(tested)} clips of {speakers} speakers, {right.sum()} right, {wrong.sum()} wrong")
    for kind, numbers in (
        ("mean probability", [case.heard.asr_confidence for case in tested]),
        ("text_confidence", [np.mean(values) for values in words]),
    ):
        value = np.array(numbers)
        auc, any_wrong = area(value[right], value[wrong]), area(value[errors == 0], value[errors > 0])
        lost, found = np.mean(value[right] < limit), np.mean(value[wrong] < limit)
        print(f"| {kind} | {auc:.3f} | {any_wrong:.3f} | {lost:.1%} | {found:.1%} |")
    is_wrong = np.concatenate([case.is_wrong for case in tested])
    for kind, numbers in (
        ("probability", [value for case in tested for value in case.probabilities]),
        ("confidence", [value for values in words for value in values]),
    ):
        value = np.array(numbers)
        print(f"words, {kind}: AUC {area(value[~is_wrong], value[is_wrong]):.3f}; mean {value.mean():.3f},"
              f" right are {1 - is_wrong.mean():.3f}")  # fmt: skip


def main() -> None:
    """Transcribe, fit, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.word_confidence", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, default=Path("/"))
    parser.add_argument("--model", action="append", required=True, help="twice: a name or folder")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--clips", type=int)
    options = parser.parse_args()
    spoken = material(options.data, options.prompts)
    clips = [clip for one in spoken for clip in one.clips][: options.clips]
    one, other = (transcripts(model, clips, options.cache) for model in options.model)
    found = [cases(spoken, one, other), cases(spoken, other, one)]
    tuning = [case for own in found for case in own if is_tuning(case)]
    weights = fit(tuning)
    right = [np.mean(word_confidences(case.probabilities, weights)) for case in tuning if case.errors <= RIGHT]
    limit = round(float(np.quantile(right, MOST_LOST)), 2)
    print(f"{weights}, fitted on {len(tuning)} clips; {MOST_LOST:.0%} of their right texts are under {limit}")
    print("| by | AUC right, wrong | AUC no word wrong, any | right lost | wrong found |")
    for name, own in zip(options.model, found, strict=True):
        report(Path(name).name, [case for case in own if not is_tuning(case)], weights, limit)


if __name__ == "__main__":
    main()
