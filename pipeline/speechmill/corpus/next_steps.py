"""What to do next with a corpus: a line for each step, with the command that takes it, the most useful first."""

from collections.abc import Iterator, Mapping
from typing import Any

from speechmill.core import ownership
from speechmill.core.build import Build
from speechmill.core.reasons import OUT_OF_REACH
from speechmill.core.state import read_run

WAITING = "waiting"  # fetched, not decoded yet
WORTH_PRUNING_BYTES = 100_000_000


def next_steps(status: Mapping[str, Any], build: Build) -> list[str]:
    """Steps in words.

    Args:
        status: Result of `status`, without them.
        build: The build of the corpus.
    """
    if status["run_active"]:
        return ["wait: a run is at work on it"]
    return [*_unfinished(status, build), *_finished(status, build)] or [f"speechmill verify {build.store.root}"]


def _unfinished(status: Mapping[str, Any], build: Build) -> Iterator[str]:
    """The step that makes what is missing."""
    root, waiting = build.store.root, status["recordings"].get(WAITING, 0)
    contents = status["contents"]
    scored = contents.get("score", 0)
    behind = [f"{name} {scored - count}" for name, count in contents.items() if count < scored and name != "fetched"]
    if status["published"] is None:
        yield f"speechmill run --output {root}  (it was never finished: {waiting:,} recordings wait to be decoded)"
    elif waiting or behind:
        what = ", ".join([*([f"segment {waiting}"] if waiting else []), *behind])
        yield f"speechmill run --output {root}  (recordings that wait: {what})"
    failed = status["recordings"]["failed_by_reason"]
    if again := sum(count for reason, count in failed.items() if reason in OUT_OF_REACH):
        yield f"speechmill run --output {root}  ({again:,} recordings failed for causes that may have passed)"


def _finished(status: Mapping[str, Any], build: Build) -> Iterator[str]:
    """Steps for a published corpus."""
    root, run = build.store.root, read_run(build.store)
    if status["published"] is None or run is None:
        return
    if run.get("decisions_sha256") != (build.by_hand.digest() if build.by_hand.clip_ids else None):
        yield f"speechmill select {root}  ({ownership.DECISIONS_FILE} has changed since it was published)"
    if status["published"]["advice"]:
        yield f"consider: {status['published']['advice']}"
    if not status["published"]["clips_kept"]:
        yield f"open {root}/report.html, which says why no clips were kept"
    else:
        yield f"speechmill verify {root}, or open {root}/report.html"
    if (media := status["bytes"].get("work/media", 0)) > WORTH_PRUNING_BYTES:
        yield f"speechmill prune {root} --dry-run  (media that are decoded take up to {media / 1e9:.1f} GB)"
