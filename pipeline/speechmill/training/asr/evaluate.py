"""Measures an ASR model on clips whose words are known: how wrong it is, where, and how fast.

A reference often has no case or punctuation. What it does not show is left out, not counted against the model.
"""

import base64
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from speechmill.asr import SAMPLE_RATE_HZ, Transcriber, Transcript
from speechmill.audio.spectrogram import draw
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.training.asr.clip_sound import Float32, sound
from speechmill.training.asr.metrics import FIGURES, Compared, Written, compare, conventions, figures, spellings
from speechmill.training.asr.references import References
from speechmill.training.inputs import Clip

FIGURES_FILE, PAGE_FILE = "asr.json", "asr.html"
HERE = Path(__file__).parent
WORST = 50
CONFUSIONS = 30
BLOCK = 64  # clips that are read, sorted by length and transcribed together
PACKAGES = ("ctranslate2", "faster-whisper", "transformers", "jiwer", "whisper-normalizer")

Plain = dict[str, Any]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A clip that was transcribed, and how well."""

    clip: Clip
    seconds: float
    hypothesis: Transcript
    written: Written
    compared: Compared

    @property
    def errors(self) -> tuple[float, int]:
        """Share of words that are wrong, and their number; the worst is the highest."""
        wrong, words, _ = self.compared.counts["wer"]
        return wrong / max(words, 1), wrong


def evaluate(
    references: References, model: Transcriber, output: Path, *, about: Plain, language: str | None = None,
    progress: Progress = lambda _: None,
) -> Plain:  # fmt: skip
    """Transcribe all clips, save FIGURES_FILE and PAGE_FILE in a folder, and return what the former holds.

    `about` says what the model is; `language` is that of clips of which nothing else is known. Raises
    ValueError where none can be transcribed.
    """
    judged, left_out, wall_s = _transcribe_all(references.clips, model, language, progress)
    if not judged:
        first = f"{left_out[0]['file']}: {left_out[0]['why']}"
        raise ValueError(f"none of {len(left_out)} clips can be transcribed, e.g. {first}")
    unit, groups = _groups(judged)
    worst = sorted((one for one in judged if one.errors[1]), key=lambda one: one.errors, reverse=True)[:WORST]
    seconds = sum(one.seconds for one in judged)
    found: Plain = {
        "references": references.name, "kind": references.kind, "asr_model": about, "packages": _versions(),
        "clips": len(judged), "hours": seconds / 3600, "speakers": len({one.clip.speaker for one in judged} - {""}),
        "x_real_time": seconds / max(wall_s, 1e-9), "without_text": references.without_text,
        "drawn": unit, "groups": len({*groups}), "one_spelling": bool(spellings()),
        "figures": figures([one.compared.counts for one in judged], groups),
        "shown": _shown(judged), "sources": _sources(judged, groups), "confusions": _confusions(judged),
        "worst": [_row(one) for one in worst], "left_out": left_out,
    }  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    (output / FIGURES_FILE).write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (output / PAGE_FILE).write_text(page(found, [sound(one.clip) for one in worst]), encoding="utf-8")
    return found


# --- transcribing ---


def _transcribe_all(
    clips: Sequence[Clip], model: Transcriber, language: str | None, progress: Progress
) -> tuple[list[Judged], list[Plain], float]:
    """Judge the clips, in order; rows of those that cannot be; and the seconds that the model took."""
    written = conventions([clip.text for clip in clips], [clip.source for clip in clips])
    judged: list[Judged] = []
    left_out: list[Plain] = []
    wall_s = 0.0
    for start in range(0, len(clips), BLOCK):
        waves = dict(_waves(clips[start : start + BLOCK], start, left_out))
        began = time.perf_counter()
        hypotheses = _transcribe(waves, model)
        wall_s += time.perf_counter() - began
        for at, wave in waves.items():
            if hypotheses[at].error is not None:
                left_out.append(_refused(clips[at], RejectedError(Reason.ASR_FAILED, hypotheses[at].error or "")))
            else:
                judged.append(_judge(clips[at], len(wave) / SAMPLE_RATE_HZ, hypotheses[at], written[at], language))
        progress(f"{min(start + BLOCK, len(clips))} of {len(clips)} clips")
    return judged, left_out, wall_s


def _waves(clips: Sequence[Clip], first: int, left_out: list[Plain]) -> Iterator[tuple[int, Float32]]:
    """Sound by the clip's place; what cannot be read is noted."""
    for at, clip in enumerate(clips, start=first):
        try:
            yield at, sound(clip)
        except RejectedError as rejected:
            left_out.append(_refused(clip, rejected))


def _refused(clip: Clip, rejected: RejectedError) -> Plain:
    return {"file": clip.file, "source": clip.source, "reason": rejected.reason, "why": rejected.detail}


def _transcribe(waves: dict[int, Float32], model: Transcriber) -> dict[int, Transcript]:
    """The longest first, so that a batch is of about one length."""
    order = sorted(waves, key=lambda at: (-waves[at].size, at))
    return dict(zip(order, model.transcribe([waves[at] for at in order]), strict=True))


def _judge(clip: Clip, seconds: float, hypothesis: Transcript, written: Written, language: str | None) -> Judged:
    compared = compare(clip.text, hypothesis.text, clip.language or language or hypothesis.language or "en", written)
    return Judged(clip=clip, seconds=seconds, hypothesis=hypothesis, written=written, compared=compared)


# --- figures ---


def _groups(judged: Sequence[Judged]) -> tuple[str, list[str]]:
    """What is drawn for confidence intervals: speakers where they are known, else sources, else clips."""
    if len({one.clip.speaker for one in judged} - {""}) > 1:
        return "speakers", [one.clip.speaker or f"of {one.clip.source}" for one in judged]
    if len({one.clip.source for one in judged}) > 1:
        return "sources", [one.clip.source for one in judged]
    return "clips", [str(at) for at in range(len(judged))]


def _shown(judged: Sequence[Judged]) -> Plain:
    """In how many clips the reference has what a figure needs."""
    return {
        "case": sum(one.written.case for one in judged), "punctuation": sum(one.written.marks for one in judged),
        "both": sum(one.written.raw for one in judged),
    }  # fmt: skip


def _sources(judged: Sequence[Judged], groups: Sequence[str]) -> dict[str, Plain]:
    """Figures by source, the largest first."""
    places: dict[str, list[int]] = {}
    for at, one in enumerate(judged):
        places.setdefault(one.clip.source, []).append(at)
    found = {}
    for source, rows in sorted(places.items(), key=lambda item: (-len(item[1]), item[0])):
        of_it = [judged[at] for at in rows]
        told = figures([one.compared.counts for one in of_it], [groups[at] for at in rows])
        hours = sum(one.seconds for one in of_it) / 3600
        found[source] = {"clips": len(rows), "hours": hours, "shown": _shown(of_it), "figures": told}
    return found


def _confusions(judged: Sequence[Judged]) -> list[Plain]:
    """Words that were most often taken for others."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in judged:
        for kind, wanted, got in one.compared.diff:
            if kind == "substitute":
                counts.update(zip(wanted.split(" "), got.split(" "), strict=True))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
    return [{"word": word, "hypothesis": hypothesis, "times": times} for (word, hypothesis), times in ordered]


def _row(one: Judged) -> Plain:
    share, wrong = one.errors
    return {
        "file": one.clip.file, "source": one.clip.source, "speaker": one.clip.speaker, "seconds": one.seconds,
        "wer": share, "wrong": wrong, "words": one.compared.counts["wer"][1],
        "reference": one.clip.text, "hypothesis": one.hypothesis.text, "confidence": one.hypothesis.asr_confidence,
        "diff": [list(part) for part in one.compared.diff],
    }  # fmt: skip


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


# --- the page ---


def page(found: Plain, sounds: Sequence[Float32]) -> str:
    """The figures as one page, with the sound and the spectrogram of the worst clips, in their order."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    pages = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters |= {"percent": lambda share: f"{100 * share:.1f} %", "count": _count}
    return pages.get_template("page.html").render(
        found=found, titles=FIGURES, pictures=[_picture(wave) for wave in sounds], sounds=[_mp3(w) for w in sounds]
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _picture(wave: Float32) -> str:
    return base64.b64encode(draw(np.round(wave * 32_767).astype(np.int16))).decode()


def _mp3(wave: Float32) -> str:
    """To be listened to: WORST clips of half a minute as FLAC would be 30 MB."""
    file = io.BytesIO()
    soundfile.write(file, wave, SAMPLE_RATE_HZ, format="MP3", subtype="MPEG_LAYER_III")
    return base64.b64encode(file.getvalue()).decode()
