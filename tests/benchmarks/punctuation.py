"""Measures punctuation and case of an ASR model on read speech whose texts have both.

    python -m tests.benchmarks.punctuation --data DIR --prompts DIR --model BASE --cache DIR

DIR holds manifest.jsonl and its recordings, of which those with punctuated texts by people are taken; `--prompts` is
where Debian's asterisk-core-sounds-* are unpacked, of which whole sentences are taken. A mark counts as right behind a
word that both texts have. `--cache` keeps transcripts.
"""

import argparse
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from speechmill.training.asr.metrics import Written, compare

from tests.benchmarks.doubts import RATE, Clip, prompt, read
from tests.benchmarks.word_confidence import transcripts

SENTENCES = {"en": 120}  # prompts; of other languages OTHERS
OTHERS = 30
LOST_LETTER = re.compile(r"[?] ?[a-z]")  # in texts that were converted badly: "non pu? essere", "? vuota"
SENTENCE = re.compile(r"[^\W\d_][^\[\](){}/:]*[^.…][.?!]")
FIGURES = ("f1_full_stop", "f1_comma", "f1_question_mark", "f1_case", "wer")


def punctuated(data: Path) -> Iterator[Clip]:
    """Recordings of people other than those of the prompts."""
    for row in map(json.loads, (data / "manifest.jsonl").open()):
        said, is_told = row.get("transcript") or "", row.get("text_source") != "ASR output, unchecked"
        is_english = (row.get("language") or "en") == "en" and "en" in (row.get("labels") or ["en"])
        is_cased = said != said.upper() and said != said.lower() and "|" not in said
        if is_english and is_told and is_cased and said.strip()[-1] in ".?!" and row["duration_s"] < 28:
            yield Clip(row["file"], "clean", read(data / row["file"]), "en", said)


def sentences(root: Path) -> Iterator[Clip]:
    """Prompts that are sentences: all questions, which are few, and others in a fixed random order."""
    for texts in sorted(root.glob("usr/share/doc/asterisk-core-sounds-*/core-sounds-*.txt.gz")):
        language = texts.name.removeprefix("core-sounds-")[:2]
        lines = (
            line.partition(":") for line in gzip.decompress(texts.read_bytes()).decode(errors="replace").splitlines()
        )
        said = {name.strip(): text.strip() for name, _, text in lines if not name.startswith(";")}
        found = sorted(root.glob(f"usr/share/asterisk/sounds/{language}*/**/*.g722"))
        known = [path for path in found if is_sentence(said.get(path.stem, ""))]
        drawn = [known[at] for at in np.random.default_rng(0).permutation(len(known))]
        asked = [path for path in drawn if "?" in said[path.stem]]
        stated = [path for path in drawn if "?" not in said[path.stem]]
        for path in (*asked, *stated[: SENTENCES.get(language, OTHERS)]):
            if (wave := prompt(path)).size > RATE:
                yield Clip(f"{language} {path.stem}", "clean", wave, language, said[path.stem])


def is_sentence(text: str) -> bool:
    """Whether a prompt is one or more whole sentences, all of whose letters are there."""
    return bool(SENTENCE.fullmatch(text)) and not LOST_LETTER.search(text)


def main() -> None:
    """Transcribe, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.punctuation", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, default=Path("/"))
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--languages", default="en,es,fr,it,ru")
    parser.add_argument("--cache", type=Path, required=True)
    options = parser.parse_args()
    chosen = options.languages.split(",")
    clips = [clip for clip in (*punctuated(options.data), *sentences(options.prompts)) if clip.language in chosen]
    heard = transcripts(options.model, clips, options.cache)
    counts: dict[str, Counter[Any]] = {}
    for clip in clips:
        kind = f"{clip.language}, {'prompts' if clip.name.startswith(f'{clip.language} ') else 'others'}"
        count = counts.setdefault(kind, Counter())
        count["clips"] += 1
        found = compare(clip.said or "", heard[clip.name].text, str(clip.language), Written(case=True, marks=True))
        for figure, values in found.counts.items():
            count.update({(figure, "over"): values[0], (figure, "under"): values[1]})
    print("| clips |", " | ".join(FIGURES), "|\n|---|" + "---|" * len(FIGURES))
    for kind, count in counts.items():
        shares = [f"{count[f, 'over'] / count[f, 'under']:.2f}" if count[f, "under"] else "–" for f in FIGURES]
        print(f"| {kind}: {count['clips']} |", " | ".join(shares), "|")


if __name__ == "__main__":
    main()
