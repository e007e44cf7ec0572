"""Runs the graph on Apache Beam, which no other folder imports."""

import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from speechmill.runner.beam import library  # noqa: F401 - before Beam is imported in any other way

# isort: split

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils import interactive_utils

from speechmill import publish
from speechmill.core.build import Build
from speechmill.core.last_acts import before_exit
from speechmill.publish import tables
from speechmill.publish.groups import group_inputs, is_current
from speechmill.runner.beam.functions import FATAL, NAMESPACE, CorpusFn, Listing
from speechmill.runner.beam.graph import Fetching, Identify, RecordingStages
from speechmill.runner.beam.options import check_options, is_on_other_machines, read_options
from speechmill.runner.beam.waves import run_in_waves
from speechmill.runner.waves import LISTED
from speechmill.sources import Listed
from speechmill.stages.comparison import forget
from speechmill.stages.known import write_index
from speechmill.stages.work import WorkItem

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


def make_graph(
    build: Build, options: PipelineOptions | None = None, *, only_publish: bool = False,
    works: Sequence[WorkItem] | None = None, is_whole: bool = True, publishes: bool = True,
) -> beam.Pipeline:  # fmt: skip
    """The graph for the runner of the options.

    Args:
        build: The build.
        options: Options of Beam; None: those of a run in this process.
        only_publish: Leave out inputs and stages.
        works: Fetched items to begin with, in place of the inputs.
        is_whole: Whether `works` are all of the corpus.
        publishes: Whether the corpus is published at the end.
    """
    options = read_options(()) if options is None else options
    if is_on_other_machines(options):
        build = _for_other_machines(build)
    interactive_utils.is_in_ipython = _is_never_in_ipython
    pipeline = beam.Pipeline(options=options)
    if works is None and not only_publish:
        build = replace(build, is_complete=publish.is_complete(build))
    begin = _listed(pipeline, build, only_publish=only_publish) if works is None else pipeline | beam.Create(works)
    recordings = begin | "stages" >> RecordingStages(build, options, is_whole=is_whole)
    return _published(pipeline, recordings, build) if publishes and build.share.is_whole else pipeline


def _for_other_machines(build: Build) -> Build:
    """The build with models by name, and with as many workers at a host as that may have requests."""
    fetch = build.config.fetch.model_copy(update={"host_workers": build.config.fetch.per_host})
    return replace(build.by_reference(), config=build.config.model_copy(update={"fetch": fetch}))


def _listed(pipeline: beam.Pipeline, build: Build, *, only_publish: bool) -> beam.PCollection[WorkItem]:
    """Items of the recordings of all inputs, and of those that the corpus has already."""
    inputs = () if only_publish else build.config.inputs
    return (
        pipeline
        | "inputs" >> beam.Create(list(enumerate(inputs)))
        | "list" >> beam.ParDo(Listing(build)).with_output_types(Listed)
        | "identify" >> Identify(build, recall=not only_publish)
        | "fetching" >> Fetching(build)
    )


def _published(pipeline: beam.Pipeline, recordings: beam.PCollection[WorkItem], build: Build) -> beam.Pipeline:
    """Add the publication of the corpus, once all items are through the stages."""
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
    options = read_options(beam_options)
    is_elsewhere = is_on_other_machines(options)
    if not only_publish:
        write_index(build, partial(tables.fetched_recordings, build))
        if is_elsewhere:
            forget(build)  # the graph compares by shuffles, which note nothing
        elif build.config.fetch.wave_hours is not None:
            return run_in_waves(build, partial(_run_works, build, options))
    return _run_pipeline(make_graph(build, options, only_publish=only_publish))


def _run_works(
    build: Build, options: PipelineOptions, works: Sequence[WorkItem], *, is_whole: bool, publishes: bool
) -> dict[str, int]:
    return _run_pipeline(make_graph(build, options, works=works, is_whole=is_whole, publishes=publishes))


def _run_pipeline(pipeline: beam.Pipeline) -> dict[str, int]:
    """Run a graph; returns its counters."""
    remove_folder = partial(shutil.rmtree, pipeline.local_tempdir, ignore_errors=True)  # else Beam's, left in /tmp
    try:
        with before_exit(remove_folder):
            result = pipeline.run()
            result.wait_until_finish()
    except (RuntimeError, *FATAL) as error:
        raise _as_raised(error) from None
    counters = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    return {counter.key.metric.name: counter.committed for counter in counters}
