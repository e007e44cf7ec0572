"""Runs the graph on Apache Beam, which no other folder imports."""

import logging

import apache_beam as beam
from apache_beam.metrics import MetricsFilter

from speechmill import publish
from speechmill.core.build import Build
from speechmill.publish import tables
from speechmill.publish.groups import group_inputs, is_current
from speechmill.runner.beam.functions import FATAL, LISTED, NAMESPACE, CorpusFn, Listing
from speechmill.runner.beam.graph import Identify, RecordingStages
from speechmill.runner.beam.options import check_options, read_options
from speechmill.sources import Listed
from speechmill.stages.known import write_index

__all__ = ["LISTED", "check_options", "run"]


def _as_raised(error: BaseException) -> BaseException:
    """The fatal error that a stage raised, from the error of a runner, which wraps it or adds to its message."""
    for kind in FATAL:
        name = f"{kind.__name__}: "
        if isinstance(error, kind) or name in str(error):
            message = str(error).rpartition(name)[2].partition(" [while running")[0].strip()
            return kind(message)
    return error


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
    pipeline = beam.Pipeline(options=read_options(beam_options))
    inputs = () if only_publish else build.config.inputs
    recordings = (
        pipeline
        | "inputs" >> beam.Create(list(enumerate(inputs)))
        | "list" >> beam.ParDo(Listing(build)).with_output_types(Listed)
        | "identify" >> Identify(build, [] if only_publish else write_index(build, tables.fetched_recordings(build)))
        | "stages" >> RecordingStages(build, is_complete=not only_publish and publish.is_complete(build))
    )
    (
        recordings
        | "all milled" >> beam.combiners.Count.Globally()
        | "groups" >> beam.FlatMap(lambda _, build: () if build.is_stopping() else group_inputs(build), build)
        | "spread groups" >> beam.Reshuffle()
        | "tabulate" >> beam.ParDo(CorpusFn("tabulate", tables.tabulate, build, is_current))
        | "all tabulated" >> beam.combiners.Count.Globally()
        | "plan" >> beam.FlatMap(lambda _, build: () if build.is_stopping() else publish.plan(build), build)
        | "spread files" >> beam.Reshuffle()
        | "publish" >> beam.ParDo(CorpusFn("publish", publish.write, build, publish.is_written))
    )
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except (RuntimeError, *FATAL) as error:
        raise _as_raised(error) from None
    counters = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    return {counter.key.metric.name: counter.committed for counter in counters}
