"""Runs the graph on Apache Beam, which no other folder imports."""

import logging
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils import interactive_utils

from speechmill import publish
from speechmill.core.build import Build
from speechmill.publish import tables
from speechmill.publish.groups import group_inputs, is_current
from speechmill.runner.beam.functions import FATAL, LISTED, NAMESPACE, CorpusFn, Listing
from speechmill.runner.beam.graph import Identify, RecordingStages
from speechmill.runner.beam.options import check_options, is_on_other_machines, read_options
from speechmill.sources import Listed
from speechmill.stages.known import write_index

__all__ = ["LISTED", "check_options", "make_graph", "run"]


def _as_raised(error: BaseException) -> BaseException:
    """The fatal error that a stage raised, from the error of a runner, which wraps it or adds to its message."""
    for kind in FATAL:
        name = f"{kind.__name__}: "
        if isinstance(error, kind) or name in str(error):
            message = str(error).rpartition(name)[2].partition(" [while running")[0].strip()
            return kind(message)
    return error


def _groups(_: int, build: Build) -> Iterable[Any]:
    """Groups whose clip tables are to be there, once all recordings are through."""
    return () if build.is_stopping() else group_inputs(build)


def _files(_: int, build: Build) -> Iterable[Any]:
    """Files to be published, once all clip tables are there."""
    return () if build.is_stopping() else publish.plan(build)


def _is_never_in_ipython() -> bool:
    """Keep Beam, in a notebook, from labels with the number of the cell.

    For them it imports its interactive runner, which it cannot beside pandas 3.
    """
    return False


def make_graph(build: Build, options: PipelineOptions | None = None, *, only_publish: bool = False) -> beam.Pipeline:
    """The whole graph, for the runner of the options; see `run`."""
    options = read_options(()) if options is None else options
    if is_on_other_machines(options):
        build = build.by_reference()
    interactive_utils.is_in_ipython = _is_never_in_ipython
    pipeline = beam.Pipeline(options=options)
    inputs = () if only_publish else build.config.inputs
    recordings = (
        pipeline
        | "inputs" >> beam.Create(list(enumerate(inputs)))
        | "list" >> beam.ParDo(Listing(build)).with_output_types(Listed)
        | "identify" >> Identify(build, recall=not only_publish)
        | "stages" >> RecordingStages(build, options, is_complete=not only_publish and publish.is_complete(build))
    )
    if not build.share.is_whole:
        return pipeline
    (
        recordings
        | "all milled" >> beam.combiners.Count.Globally()
        | "groups" >> beam.FlatMap(_groups, build)
        | "spread groups" >> beam.Reshuffle()
        | "tabulate" >> beam.ParDo(CorpusFn("tabulate", tables.tabulate, build, is_current))
        | "all tabulated" >> beam.combiners.Count.Globally()
        | "plan" >> beam.FlatMap(_files, build)
        | "spread files" >> beam.Reshuffle()
        | "publish" >> beam.ParDo(CorpusFn("publish", publish.write, build, publish.is_written))
    )
    return pipeline


def run(build: Build, beam_options: tuple[str, ...] = (), *, only_publish: bool = False) -> dict[str, int]:
    """Run the whole graph.

    Args:
        build: The build.
        beam_options: Command-line options of Beam.
        only_publish: Leave out inputs and stages; decide and publish only.

    Returns:
        Counters by name, `stage/key`. They count attempts: an element that a runner repeats is counted twice.
    """
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # its errors are raised too, and reported by us
    if not only_publish:
        write_index(build, tables.fetched_recordings(build))
    pipeline = make_graph(build, read_options(beam_options), only_publish=only_publish)
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except (RuntimeError, *FATAL) as error:
        raise _as_raised(error) from None
    counters = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    return {counter.key.metric.name: counter.committed for counter in counters}
