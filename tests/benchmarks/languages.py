"""Measures whether speech in languages that an ASR model does not know is rejected, on real recordings.

    python -m tests.benchmarks.languages --data DIR --model tiny.en --cache DIR

DIR holds manifest.jsonl and its recordings, of which those of the group `language` are taken, in pieces of 12 s at
most; `--cache` keeps transcripts. A model for English only writes nothing of them that is right. Nothing is said of
what a clip's language is, as where a feed declares none or a wrong one.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from speechmill.core.thresholds import Thresholds
from speechmill.decide.word_confidence import word_confidences

from tests.benchmarks.doubts import marks
from tests.benchmarks.word_confidence import clips_in_languages, transcripts


def main() -> None:
    """Transcribe, count, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.languages", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--cache", type=Path, required=True)
    options = parser.parse_args()
    rows = list(map(json.loads, (options.data / "manifest.jsonl").open()))
    clips = [clip for _, clip in clips_in_languages(options.data, rows)]
    heard, limits = transcripts(options.model, clips, options.cache), Thresholds()
    counts: dict[str, Counter[str]] = {}
    for clip in clips:
        found, count = heard[clip.name], counts.setdefault(str(clip.language), Counter())
        confidence = np.mean(word_confidences([word.probability for word in found.words]) or [0.0])
        by_rule = bool(marks(clip, found)) or not found.text
        by_mean = by_rule or (found.asr_confidence or 0) < (limits.asr_confidence or 0)
        by_words = by_mean or confidence < (limits.text_confidence or 0)
        count.update({"clips": 1, "rules": int(by_rule), "mean": int(by_mean), "words": int(by_words)})
        if not by_words:
            print(f"passes: {clip.name}: {confidence:.2f} {found.language} {found.text}")
    print("| language | clips | rejected by the rules | … or `asr_confidence` | … or `text_confidence` |")
    print("|---|---|---|---|---|")
    for language, count in (*sorted(counts.items()), ("all", sum(counts.values(), Counter()))):
        print(f"| {language} |", " | ".join(str(count[key]) for key in ("clips", "rules", "mean", "words")), "|")


if __name__ == "__main__":
    main()
