"""Command-line options of Beam, checked before a run begins."""

import difflib
import io
import logging
from argparse import ArgumentParser
from collections.abc import Mapping
from contextlib import redirect_stderr
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from speechmill.core.config_errors import ConfigError

DEFAULT_RUNNER = "--runner=FnApiRunner"  # in process; the name DirectRunner would try to download another first
WITH_JOB_SERVICE = ("FlinkRunner", "PortableRunner", "PrismRunner", "SparkRunner")
log = logging.getLogger("speechmill")


def read_options(given: tuple[str, ...]) -> PipelineOptions:
    """Parse options; without --runner the in-process runner is used."""
    has_runner = any(option.startswith("--runner") for option in given)
    return PipelineOptions([*given] if has_runner else [DEFAULT_RUNNER, *given])


def check_options(given: tuple[str, ...]) -> None:
    """Raise ConfigError for options that Beam would silently ignore.

    For runners with a job service, which may have further options, log a warning instead.
    """
    options, parsers, usage = read_options(given), list[ArgumentParser](), io.StringIO()
    try:
        with redirect_stderr(usage):
            chosen = options.get_all_options(add_extra_args_fn=parsers.append)
    except SystemExit:  # from argparse, for a value of the wrong type
        cause = usage.getvalue().strip().rpartition("error: ")[2]
        raise ConfigError(f"options for Beam, after --: {' '.join(cause.split())}") from None
    _check_runner(chosen)
    _, unknown = parsers[0].parse_known_args(list(given))
    if not unknown:
        return
    known = [name for action in parsers[0]._actions for name in action.option_strings]
    close = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
    fix = f"did you mean {close[0]}?" if close else "leave it out, or look it up in Beam's documentation"
    message = f"options for Beam, after --: {unknown[0]} is unknown; {fix}"
    if str(chosen["runner"]).endswith(WITH_JOB_SERVICE):
        log.warning("%s (passed on to the job service)", message)
        return
    raise ConfigError(message)


def _check_runner(chosen: Mapping[str, Any]) -> None:
    """Raise ConfigError for values that Beam refuses only later, with a traceback."""
    try:
        beam.runners.create_runner(chosen["runner"] or "DirectRunner")
    except (ValueError, ImportError, AttributeError) as error:
        cause = f"--runner={chosen['runner']}: {str(error).partition('. ')[0]}"
        raise ConfigError(f"options for Beam, after --: {cause}; leave it out, or see Beam's documentation") from None
    if chosen["direct_num_workers"] < 0:
        cause = f"--direct_num_workers={chosen['direct_num_workers']}: must be 1 or more, or 0 for one a core"
        raise ConfigError(f"options for Beam, after --: {cause}")
