"""Checks a corpus of somebody else: lists it, scores it by a run, compares its splits, and says what to leave out."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from speechmill.core import config_file
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.ownership import IGNORED_NAMES, shorten
from speechmill.corpus.check import layouts, leakage, results
from speechmill.corpus.check.results import Result
from speechmill.corpus.check.unpack import ITEMS_FILE, MANIFEST_FILE, read_items, unpack
from speechmill.corpus.check.verdicts import Verdict, verdicts
from speechmill.corpus.reader import Corpus
from speechmill.runner.run import EXIT_DONE, EXIT_TOO_MANY_FAILED, run
from speechmill.runner.statusline import StatusLine
from speechmill.runner.summary import Summary
from speechmill.stages.profiles import stored_build

CORPUS = "corpus"  # folder of the run, below the output
# Every item is a clip if it can be: lengths that a trainer does not take are for its export to leave out.
BASE = {
    "segment": {"profile": "as_is", "min_length_s": 0.5, "max_length_s": 29.0},
    "tokenise": {"checkpoint": None},
    "publish": {"validation_share": 0.0},
    "max_failed_ratio": 1.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How a check ended."""

    exit_code: int
    """That of the run; EXIT_TOO_MANY_FAILED where more was rejected than allowed."""
    result: Result
    """Content of `check.json`; empty where the run did not finish."""
    summary: Summary
    """How the run ended."""


def check(
    path: str, output: str, *, layout: str | None = None, settings: Iterable[str] = (), max_rejected: float = 1.0,
    quiet: bool = False, may_exit: bool = False,
) -> Checked:  # fmt: skip
    """Score a corpus, and write into `output` what to leave out of it, and why.

    Args:
        path: The corpus: a folder, or a manifest, index or archive. Nothing in it is changed.
        output: Folder to write: new, empty, or of an earlier check of the same corpus, which goes on.
        layout: Name of its layout; None: seen from its files.
        settings: Lines `key=value` that change the config of the run.
        max_rejected: Share of items that may be rejected, 0 to 1.
        quiet: Whether to show no progress.
        may_exit: Whether a stop that takes too long may end this process.

    Raises:
        ConfigError: Nothing can be checked, or `output` is in use; before anything is scored.

    >>> from speechmill.corpus.check.engine import check
    >>> check("nowhere", "checked")
    Traceback (most recent call last):
    speechmill.core.config_errors.ConfigError: nowhere: no such file or folder; give a local corpus
    """
    name = layouts.layout_of(path, layout)
    config = _config(output, settings)
    _claim(path, output, name)
    with StatusLine(quiet=quiet) as line:
        unpack(layouts.items(path, name), output, line)
    if not os.path.getsize(os.path.join(output, MANIFEST_FILE)):
        raise ConfigError(f"{path}: read as {name}, has no item with a sound; see {output}/{ITEMS_FILE}")
    summary = run(config, quiet=quiet, may_exit=may_exit)
    if summary.stats is None:
        return Checked(exit_code=summary.exit_code, result={}, summary=summary)
    judged = _judged(output)
    result = results.summed(path, name, judged)
    results.write(output, judged, result)
    is_over = result["rejected"] > max_rejected * result["items"]
    code = EXIT_TOO_MANY_FAILED if is_over and summary.exit_code == EXIT_DONE else summary.exit_code
    return Checked(exit_code=code, result=result, summary=summary)


def _config(output: str, settings: Iterable[str]) -> RunConfig:
    inputs = (os.path.join(output, MANIFEST_FILE),)
    return config_file.load(None, settings, BASE, inputs=inputs, output=os.path.join(output, CORPUS))


def _claim(path: str, output: str, layout: str) -> None:
    """Mark a folder as that of the check of a corpus. Raises ConfigError if it is anything else's."""
    source = os.path.abspath(path)
    if f"{os.path.abspath(output)}/".startswith(f"{source}/"):
        raise ConfigError(f"--output {output}: lies within the corpus; choose a folder outside of it")
    if (stored := results.read(output)) is not None:
        if (stored.get("corpus"), stored.get("layout")) != (source, layout):
            raise ConfigError(f"--output {output}: has the check of another corpus; give another folder")
        return
    names = sorted({*os.listdir(output)} - {*IGNORED_NAMES}) if os.path.isdir(output) else []
    if names:
        raise ConfigError(f"--output {output}: not empty, it has {shorten(names)}; give a new or an empty folder")
    os.makedirs(output, exist_ok=True)
    results.begin(output, source, layout)


def _judged(output: str) -> list[Verdict]:
    """Verdicts on all items, leakage included."""
    corpus = os.path.join(output, CORPUS)
    wants_text = any(item.text for item in read_items(output))
    judged = list(verdicts(read_items(output), Corpus(corpus), stored_build(corpus), wants_text=wants_text))
    leakage.add_leaks(judged)
    return judged
