"""Advice in one line: why a corpus has no clips, or which profile makes more of them, and the config key for it."""

from collections.abc import Mapping
from typing import Any

from speechmill.core.reasons import Reason
from speechmill.core.records import SpanKind
from speechmill.publish.columns import every_column

LICENCE_KEYS = "licences.allow, or the `licence` of an input,"
WORTH_SAYING = 0.1  # share of the audio that another profile has to gain
MANY_RECORDINGS, MOST = 20, 0.9  # a folder of sentences has so many, and so large a share of them is short
BETTER_MODEL = "asr.model, a larger one,"
MEANINGS: dict[str, str] = {
    **{str(column.test.reason): column.test.meaning for column in every_column() if column.test},
    **{str(reason): reason.meaning for reason in Reason},
}
"""Meaning of each reason, plug-ins included."""
KEYS: dict[str, str] = {
    **{column.test.reason: f"thresholds.{column.test.key}" for column in every_column() if column.test},
    Reason.REVERB: "thresholds.reverb",  # c50_db gives the same reason, and is off by default
    Reason.FORBIDDEN_ADDRESS: "fetch.allow_hosts",
    Reason.TIMED_OUT: "fetch.max_seconds",
    Reason.TOO_BIG: "fetch.max_bytes",
    Reason.DECODER_HUNG: "audio.stall_timeout_s",
    Reason.LICENCE: LICENCE_KEYS,
    Reason.AI_GENERATED: "licences.ai_generated=allow",
    Reason.LANGUAGE: "asr.languages, or thresholds.language_probability,",
    Reason.ASR_FAILED: "asr.model",
    **dict.fromkeys(
        (Reason.EMPTY_TEXT, Reason.REPETITION, Reason.SPEECH_RATE, Reason.STOCK_PHRASE, Reason.MISSING_TEXT,
         Reason.NOT_SPOKEN, Reason.WRONG_SCRIPT), BETTER_MODEL,
    ),
    SpanKind.TOO_SHORT: "segment.profile=recover, or segment.min_length_s,",
    SpanKind.TOO_LONG: "segment.profile=recover",
    SpanKind.SILENCE: "segment.vad=silero",
}  # fmt: skip


def no_clips(stats: Mapping[str, Any]) -> str:
    """Name the reason that rejected most audio of a corpus without clips, and its config key; '' if there is none.

    `stats` are those of `Tally.stats`.
    """
    samples = stats["samples"]
    clips = {reason: counts["samples"] for reason, counts in stats["rejected_by_reason"].items()}
    spans = {kind: count for kind in SpanKind if kind != SpanKind.CLIP and (count := samples.get(kind, 0))}
    largest = clips or spans  # spans that are no clips matter only where there was no candidate clip
    if not largest:
        return ""
    reason = max(sorted(largest), key=lambda name: largest[name])
    share = largest[reason] / samples["in"]
    key = KEYS.get(reason)
    return f"{reason} took most, {share:.0%} of the audio" + (f"; {key} decides about it" if key else "")


def splits(stats: Mapping[str, Any]) -> str:
    """Say where texts could not be kept apart by the splits as far as is wanted; '' where they are."""
    notes = {
        "most": "both splits have some passages, such as credits; recordings that share most of their text are in one",
        "nothing_left": "nothing is held out, since speakers and texts link too many recordings; with"
        " publish.separate_texts=false only speakers would",
    }
    return notes.get(stats.get("texts_kept_apart") or "", "")


def other_profile(stats: Mapping[str, Any], profile: str) -> str:
    """Name the profile of segmentation that would make clips of more of the same audio; '' if that is not much more."""
    samples: Mapping[str, int] = stats.get("candidate_samples_by_profile", {})
    total = stats["samples"]["in"]
    best = max(sorted(samples), key=lambda name: samples[name], default=profile)
    if not total or profile not in samples or samples[best] - samples[profile] < WORTH_SAYING * total:
        return ""
    parts = {kind: stats["samples"].get(kind, 0) for kind in (SpanKind.TOO_LONG, SpanKind.TOO_SHORT)}
    lost = max(parts, key=lambda kind: parts[kind])
    return (
        f"{lost.replace('_', ' ')} {parts[lost] / total:.0%}: segment.profile={best} would make clips of "
        f"{samples[best] / total:.0%} of the audio, {profile} makes them of {samples[profile] / total:.0%}"
    )


def came_cut(recordings: int, short: int, profile: str) -> str:
    """Name the profile for recordings that came cut; '' where a plan has few, or few that are as short as a clip.

    Args:
        recordings: Recordings of known length.
        short: Those that are no longer than a clip.
        profile: The present profile.
    """
    if profile == "as_is" or recordings < MANY_RECORDINGS or short < MOST * recordings:
        return ""
    return (
        f"{short:,} of {recordings:,} recordings are as short as a clip; if they came cut, "
        f"segment.profile=as_is takes each as it is"
    )


def no_licence(licences: Mapping[str, Mapping[str, Any]]) -> str:
    """Explain that no planned recording has a licence that is published; '' where one has.

    `licences` are the counts of a plan by SPDX id, each with `published`.
    """
    if not licences or any(counts["published"] for counts in licences.values()):
        return ""
    names = ", ".join(sorted(licences))
    return f"nothing could be published: the licences are {names}; {LICENCE_KEYS} decides about it"


def not_published(licences: Mapping[str, Mapping[str, Any]]) -> str:
    """Warn of recordings of a plan whose licences are not published; '' where there are none.

    `licences` are the counts of a plan by SPDX id, each with `recordings`, `hours` and `published`.
    """
    out = [f"{counts['recordings']:,} under {name}" for name, counts in licences.items() if not counts["published"]]
    return (
        f"will be fetched but not published: recordings {', '.join(out)}; {LICENCE_KEYS} decides about it"
        if out
        else ""
    )


def refused(reasons: Mapping[str, int]) -> str:
    """Warn of recordings of a plan that will not be fetched; '' where there are none. `reasons` are their counts."""
    parts = [
        f"{count:,} {reason}" + (f" ({KEYS[reason]} decides about it)" if reason in KEYS else "")
        for reason, count in reasons.items()
    ]
    return f"will not be fetched: {', '.join(parts)}" if parts else ""
