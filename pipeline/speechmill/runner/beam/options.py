"""Command-line options of Beam, checked before a run begins."""

import difflib
import io
import logging
from argparse import ArgumentParser
from collections.abc import Mapping
from contextlib import redirect_stderr
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from speechmill.core.build import Build
from speechmill.core.config_errors import ConfigError
from speechmill.stages.base import InProcess, Stage

DEFAULT_RUNNER = "--runner=FnApiRunner"  # in process; the name DirectRunner would try to download another first
DATAFLOW = "DataflowRunner"
WITH_JOB_SERVICE = ("FlinkRunner", "PortableRunner", "PrismRunner", "SparkRunner")
log = logging.getLogger("speechmill")


class Machines(PipelineOptions):  # type: ignore[misc]
    """What is asked of a service that chooses machines for each stage."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--stage_accelerator",
            default="type:nvidia-l4;count:1;install-nvidia-driver",
            help="Accelerator of the stages that run on a GPU with device=cuda, as a resource hint of Beam.",
        )


def is_on_other_machines(options: PipelineOptions) -> bool:
    """Whether workers may be on other machines than this process."""
    return str(options.view_as(StandardOptions).runner).endswith((*WITH_JOB_SERVICE, DATAFLOW))


def hints_for(stage: Stage, build: Build, options: PipelineOptions) -> dict[str, str]:
    """Resource hints of a stage; none where the runner has no use for them.

    A stage with hints has an environment of its own, which costs other runners another worker process.
    """
    execution = stage.execution_in(build)
    if not str(options.view_as(StandardOptions).runner).endswith(DATAFLOW) or not isinstance(execution, InProcess):
        return {}
    ram = {"min_ram": f"{execution.min_ram_gb}GB"} if execution.min_ram_gb else {}
    on_gpu = execution.on_gpu and build.device == "cuda"
    return ram | ({"accelerator": options.view_as(Machines).stage_accelerator} if on_gpu else {})


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
