"""Previews `select`: counts as published, and as they would be with other settings."""

from typing import Any

from speechmill import publish
from speechmill.core.config import RunConfig
from speechmill.publish import tables
from speechmill.runner.run import build_for_selection


def preview(config: RunConfig) -> dict[str, Any]:
    """Preview the decision with another config, without publishing anything.

    Returns:
        {"kept": {"clips": {"now", "then"}, "hours": {"now", "then"}}, "rejected": {reason: {"now", "then"}}}, where
        rejected counts clips.

    Raises:
        ConfigError: There is no finished corpus, or a setting needs a stage to run.
        BusyError: A run is active on the corpus.
    """
    build = build_for_selection(config)
    with build.store.locked():
        tables.tabulate_all(build)
        then = publish.preview(build)
    now = build.store.read_json(publish.STATS_FILE) or {}
    reasons = sorted({*now.get("rejected_by_reason", {}), *then["rejected_by_reason"]})
    hour = then["sampling_rate"] * 3600
    return {
        "kept": {
            "clips": _pair(now, then, ("clips", "kept")),
            "hours": {key: samples / hour for key, samples in _pair(now, then, ("samples", "kept")).items()},
        },
        "rejected": {reason: _pair(now, then, ("rejected_by_reason", reason, "clips")) for reason in reasons},
    }


def _pair(now: dict[str, Any], then: dict[str, Any], keys: tuple[str, ...]) -> dict[str, int]:
    """A count in both statistics by its keys; 0 if it is absent."""
    return {"now": _count(now, keys), "then": _count(then, keys)}


def _count(stats: Any, keys: tuple[str, ...]) -> int:
    for key in keys:
        stats = stats.get(key, {})
    return stats or 0
