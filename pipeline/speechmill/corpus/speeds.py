"""Speeds of stages and sizes of what they leave, for estimates: typical ones, or those of a finished corpus."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from speechmill.core.config import RunConfig
from speechmill.core.state import read_run
from speechmill.core.store import Store
from speechmill.stages.flow import STAGES

KEPT_STAGES = tuple(stage.name for stage in STAGES if stage.clips_only)  # stages on selected clips
# Shares of the decoded hours that each stage processes: those of the demo podcast.
DEFAULT_SHARES = (
    {"fetch": 1.0, "passages": 1.0, "passage_scores": 1.0, "segment": 1.0, "score": 0.8}
    | dict.fromkeys(KEPT_STAGES, 0.5)
    | {"passage_texts": 0.9, "passage_cross_check": 0.9}
)
MEASURED_HOURS = 0.5  # of audio, from which the sizes of a corpus say something about others


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a corpus takes on disk: bytes for an hour of audio, and files for a recording."""

    media_bytes: float = 57.6e6
    """Bytes of an hour of media: 128 kbit/s."""
    work_bytes: float = 75e6
    """Bytes of artifacts of an hour: clips as FLAC at 24 kHz, 95 % of them, and landmarks, 1 MB."""
    data_bytes: float = 46e6
    """Bytes of `data/` and tables of an hour."""
    files: float = 13.0
    """Artifacts of a recording, with its media."""
    is_measured: bool = False


def stage_speeds(config: RunConfig, run: Mapping[str, Any] | None) -> tuple[dict[str, float], list[str]]:
    """Speed of one process of each stage, in multiples of real time, and the stages whose speed was measured.

    Args:
        config: Config whose stages are asked for.
        run: Contents of a `run.json`, whose speeds count where its models are those of the config; None: typical ones.
    """
    typical = {stage.name: stage.speed(config) for stage in STAGES if stage.settings(config) is not None}
    speeds = {name: speed for name, speed in typical.items() if speed is not None}
    stages = run["stages"] if run else {}
    done = {stage: stages.get(stage, {}) for stage in speeds if stages.get(stage, {}).get("audio_done_ms")}
    measured = {stage: counts["audio_done_ms"] / max(counts["wall_ms"], 1) for stage, counts in done.items()}
    for stage in _with_other_models(config, run["config"]) if run else ():
        measured.pop(stage, None)
    return speeds | measured, list(measured)


def _with_other_models(config: RunConfig, before: Mapping[str, Any]) -> list[str]:
    """Stages that have another model in a config than in that of an earlier run."""
    asr, now = before["asr"], config.model_dump(mode="json", include={"speakers", "tokenise"})
    by_key = {"model": ("transcribe", "passage_texts"), "cross_check": ("cross_check", "passage_cross_check")}
    others = [stage for key, stages in by_key.items() if asr.get(key) != getattr(config.asr, key) for stage in stages]
    sections = {"embed": "speakers", "tokenise": "tokenise"}
    return others + [stage for stage, section in sections.items() if before.get(section) != now[section]]


def shares_of(store: Store) -> dict[str, float]:
    """Shares of the decoded audio that stages process, as in the published corpus, or else as in the demo podcast."""
    stats = store.read_json("stats.json")
    if not stats or not stats["samples"]["in"]:
        return dict(DEFAULT_SHARES)
    samples = stats["samples"]
    kept = samples.get("kept", 0)
    clips = kept + samples.get("rejected", 0)
    kept_share = kept / samples["in"]
    return DEFAULT_SHARES | {"score": clips / samples["in"], **dict.fromkeys(KEPT_STAGES, kept_share)}


def sizes_of(store: Store) -> Sizes:
    """Sizes of a finished corpus; typical ones if it has too little audio, or none of its media are left."""
    run, stats = read_run(store), store.read_json("stats.json")
    fetched = run["stages"].get("fetch", {}) if run else {}
    recordings = (stats or {}).get("recordings", {}).get("ok", 0)
    hours = stats["samples"]["in"] / run["config"]["audio"]["sample_rate"] / 3600 if stats and run else 0.0
    if not recordings or hours < MEASURED_HOURS or not fetched:
        return Sizes()
    sizes, files = Counter[str](), Counter[str]()
    for entry in store.files():
        area = "media" if entry.name.startswith("work/media/") else entry.name.partition("/")[0]
        area = area if area in ("media", "work") else "data"
        sizes[area] += entry.bytes
        files[area] += 1
    media = sizes["media"] / hours if sizes["media"] else Sizes().media_bytes
    each = {f"{area}_bytes": sizes[area] / hours for area in ("work", "data")}
    count = (files["media"] + files["work"]) / recordings
    return Sizes(media_bytes=media, files=count, is_measured=True, **each)
