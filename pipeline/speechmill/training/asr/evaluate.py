"""Evaluates an ASR model on clips with reference texts: error rates, their distribution, and speed.

A reference often has no case or punctuation. What it lacks is left out, not counted against the model.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from speechmill.asr import SAMPLE_RATE_HZ, Transcriber, Transcript
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.training import pages
from speechmill.training.asr.metrics import FIGURES, Compared, Written, compare, conventions, figures, spellings
from speechmill.training.asr.references import References
from speechmill.training.clip_sound import Float32, sound
from speechmill.training.inputs import Clip

FIGURES_FILE, PAGE_FILE = "asr.json", "asr.html"
HERE = Path(__file__).parent
WORST = 50
CONFUSIONS = 30
BLOCK = 64  # clips read, sorted by length and transcribed together
PACKAGES = ("ctranslate2", "faster-whisper", "transformers", "jiwer", "whisper-normalizer")

Plain = dict[str, Any]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A transcribed clip and its scores."""

    clip: Clip
    seconds: float
    hypothesis: Transcript
    written: Written
    compared: Compared

    @property
    def errors(self) -> tuple[float, int]:
        """Word error rate, and number of word errors; for sorting by worst."""
        wrong, words, _ = self.compared.counts["wer"]
        return wrong / max(words, 1), wrong


def evaluate(
    references: References, model: Transcriber, output: Path, *, about: Plain, language: str | None = None,
    progress: Progress = lambda _: None,
) -> Plain:  # fmt: skip
    """Transcribe all clips, write FIGURES_FILE and PAGE_FILE, and return the content of the former.

    Args:
        references: The clips.
        model: The ASR model.
        output: Folder to write to.
        about: Description of the model.
        language: Language of clips without one.
        progress: Called with messages.

    Raises:
        ValueError: No clip can be transcribed.
    """
    judged, left_out, wall_s = _transcribe_all(references.clips, model, language, progress)
    if not judged:
        first = f"{left_out[0]['file']}: {left_out[0]['why']}"
        raise ValueError(f"none of {len(left_out)} clips can be transcribed, e.g. {first}")
    unit, groups = _groups(judged)
    worst = sorted((item for item in judged if item.errors[1]), key=lambda item: item.errors, reverse=True)[:WORST]
    seconds = sum(item.seconds for item in judged)
    report: Plain = {
        "references": references.name, "kind": references.kind, "asr_model": about, "packages": _versions(),
        "clips": len(judged), "hours": seconds / 3600, "speakers": len({item.clip.speaker for item in judged} - {""}),
        "x_real_time": seconds / max(wall_s, 1e-9), "without_text": references.without_text,
        "drawn": unit, "groups": len({*groups}), "one_spelling": bool(spellings()),
        "figures": figures([item.compared.counts for item in judged], groups),
        "shown": _shown(judged), "sources": _sources(judged, groups), "confusions": _confusions(judged),
        "worst": [_row(item) for item in worst], "left_out": left_out,
    }  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    (output / FIGURES_FILE).write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (output / PAGE_FILE).write_text(page(report, [sound(item.clip) for item in worst]), encoding="utf-8")
    return report


# --- transcribing ---


def _transcribe_all(
    clips: Sequence[Clip], model: Transcriber, language: str | None, progress: Progress
) -> tuple[list[Judged], list[Plain], float]:
    """Transcribe and score the clips, in order; returns scores, rows of failed clips, and the model's seconds."""
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
    """Audio by index of the clip; clips that cannot be read are added to `left_out`."""
    for at, clip in enumerate(clips, start=first):
        try:
            yield at, sound(clip)
        except RejectedError as rejected:
            left_out.append(_refused(clip, rejected))


def _refused(clip: Clip, rejected: RejectedError) -> Plain:
    return {"file": clip.file, "source": clip.source, "reason": rejected.reason, "why": rejected.detail}


def _transcribe(waves: dict[int, Float32], model: Transcriber) -> dict[int, Transcript]:
    """Transcribe, longest first, so that the clips of a batch have similar lengths."""
    order = sorted(waves, key=lambda at: (-waves[at].size, at))
    return dict(zip(order, model.transcribe([waves[at] for at in order]), strict=True))


def _judge(clip: Clip, seconds: float, hypothesis: Transcript, written: Written, language: str | None) -> Judged:
    compared = compare(clip.text, hypothesis.text, clip.language or language or hypothesis.language or "en", written)
    return Judged(clip=clip, seconds=seconds, hypothesis=hypothesis, written=written, compared=compared)


# --- figures ---


def _groups(judged: Sequence[Judged]) -> tuple[str, list[str]]:
    """Unit of resampling for confidence intervals, and the group of each clip: speakers, else sources, else clips."""
    if len({item.clip.speaker for item in judged} - {""}) > 1:
        return "speakers", [item.clip.speaker or f"of {item.clip.source}" for item in judged]
    if len({item.clip.source for item in judged}) > 1:
        return "sources", [item.clip.source for item in judged]
    return "clips", [str(at) for at in range(len(judged))]


def _shown(judged: Sequence[Judged]) -> Plain:
    """Number of clips whose reference has case, punctuation, or both."""
    return {
        "case": sum(item.written.case for item in judged), "punctuation": sum(item.written.marks for item in judged),
        "both": sum(item.written.raw for item in judged),
    }  # fmt: skip


def _sources(judged: Sequence[Judged], groups: Sequence[str]) -> dict[str, Plain]:
    """Figures by source, the largest first."""
    indices: dict[str, list[int]] = {}
    for at, item in enumerate(judged):
        indices.setdefault(item.clip.source, []).append(at)
    by_source = {}
    for source, rows in sorted(indices.items(), key=lambda item: (-len(item[1]), item[0])):
        members = [judged[at] for at in rows]
        source_figures = figures([item.compared.counts for item in members], [groups[at] for at in rows])
        hours = sum(item.seconds for item in members) / 3600
        by_source[source] = {"clips": len(rows), "hours": hours, "shown": _shown(members), "figures": source_figures}
    return by_source


def _confusions(judged: Sequence[Judged]) -> list[Plain]:
    """The most frequent word substitutions."""
    counts: Counter[tuple[str, str]] = Counter()
    for item in judged:
        for kind, reference, hypothesis_words in item.compared.diff:
            if kind == "substitute":
                counts.update(zip(reference.split(" "), hypothesis_words.split(" "), strict=True))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]
    return [{"word": word, "hypothesis": hypothesis, "times": times} for (word, hypothesis), times in ordered]


def _row(item: Judged) -> Plain:
    share, wrong = item.errors
    return {
        "file": item.clip.file, "source": item.clip.source, "speaker": item.clip.speaker, "seconds": item.seconds,
        "wer": share, "wrong": wrong, "words": item.compared.counts["wer"][1],
        "reference": item.clip.text, "hypothesis": item.hypothesis.text, "confidence": item.hypothesis.asr_confidence,
        "diff": [list(part) for part in item.compared.diff],
    }  # fmt: skip


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


# --- the page ---


def page(report: Plain, sounds: Sequence[Float32]) -> str:
    """Render the figures as one page, with audio and spectrograms of the worst clips."""
    return pages.render(
        HERE / "page.html", found=report, titles=FIGURES,
        pictures=[pages.picture(wave) for wave in sounds], sounds=[pages.mp3(wave) for wave in sounds],
    )  # fmt: skip
