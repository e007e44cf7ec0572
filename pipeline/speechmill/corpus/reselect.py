"""`select`: decides again from stored scores, publishes, and says what changed."""

from typing import Any

from speechmill import publish
from speechmill.core.config import RunConfig
from speechmill.core.store import Store
from speechmill.corpus.preview import accumulated, compare
from speechmill.runner.run import build_for_selection, run
from speechmill.runner.summary import Summary


def reselect(config: RunConfig, *, quiet: bool, may_exit: bool = False) -> tuple[Summary, dict[str, Any]]:
    """Decide again, and publish what changed. Raises what `runner.run.run` raises.

    Returns:
        The summary of the run, and the changes, with the keys of `preview.preview`.
    """
    now = Store(config.output).read_json(publish.STATS_FILE) or {}
    summary = run(config, only_publish=True, quiet=quiet, may_exit=may_exit)
    then = summary.stats or now
    build = build_for_selection(config)
    return summary, compare(now, then or _nothing(config)) | accumulated(build)


def _nothing(config: RunConfig) -> dict[str, Any]:
    return {"sampling_rate": config.audio.sample_rate, "rejected_by_reason": {}}
