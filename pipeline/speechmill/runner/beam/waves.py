"""Runs a build in waves in this process: the next one is fetched while the stages work on this one."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from speechmill import publish
from speechmill.core.build import Build
from speechmill.publish.groups import listing_digest
from speechmill.runner.beam.functions import WaitingFn
from speechmill.runner.waves import Wave, distinct_works, drop_media, list_all, waves_of
from speechmill.stages import FETCH
from speechmill.stages.comparison import is_current
from speechmill.stages.fetch import host_of
from speechmill.stages.work import WorkItem

Graph = Callable[..., dict[str, int]]  # runs the graph of some items: see `speechmill.runner.beam.run`


class _FetchFn(WaitingFn):
    """Fetches outside a graph, where Beam keeps no counters."""

    def __init__(self, build: Build) -> None:
        super().__init__(FETCH.name, FETCH.process, build)
        self.counts = Counter[str]()

    def _add(self, counter: str, value: int) -> None:
        self.counts[counter] += value


def run_in_waves(build: Build, run_graph: Graph) -> dict[str, int]:
    """List, fetch and process all recordings wave by wave, then complete and publish the corpus.

    Args:
        build: The build.
        run_graph: `run_graph(works, is_whole=, publishes=)` passes items through the stages after fetching and returns
            counters; `is_whole` says whether they are the whole corpus, and `publishes` whether that is published.
    """
    before = listing_digest(build)
    build = replace(build, is_complete=publish.is_complete(build))
    listed, counts = list_all(build)
    waves, works = waves_of(listed, build), dict[str, WorkItem]()
    with _thread(build) as beside:
        fetched = beside.submit(_fetch, waves[0], build)
        for following in [*waves[1:], None]:
            found, fetch_counts = fetched.result()
            counts.update(fetch_counts)
            new = [work for work in distinct_works(found) if work.content_id not in works]
            works = {work.content_id: work for work in distinct_works([*works.values(), *found])}
            if following is not None:
                fetched = beside.submit(_fetch, following, build)
            needed = [work for work in new if not (build.is_complete and work.is_as_before)]
            if needed and len(waves) > 1:
                counts.update(run_graph(needed, is_whole=False, publishes=False))
                _drop_media(new, build)
    items = list(works.values())
    is_as_before = build.is_complete and all(work.is_as_before for work in items) and listing_digest(build) == before
    if not is_as_before:
        is_left = len(waves) == 1 or not is_current(items, build)
        left = items if is_left else []
        counts.update(run_graph(left, is_whole=True, publishes=build.share.is_whole))
    elif build.share.is_whole:
        publish.keep(build)
    _drop_media(items, build)
    return dict(counts)


@contextmanager
def _thread(build: Build) -> Iterator[ThreadPoolExecutor]:
    """A thread to fetch in; an error beside it asks it to stop, since it may have an hour to go."""
    with ThreadPoolExecutor(1) as beside:
        try:
            yield beside
        except BaseException:
            with suppress(OSError):  # the disk may be full
                build.store.write_text(build.stop_file, "")  # the run removes it when it ends
            raise


def _drop_media(works: list[WorkItem], build: Build) -> None:
    if not build.config.fetch.keep_media:
        drop_media(works, build)


def _fetch(wave: Wave, build: Build) -> tuple[list[WorkItem], Counter[str]]:
    """Fetch a wave, within the limits of its hosts."""
    function, by_host = _FetchFn(build), dict[str, Wave]()
    for listed in wave:
        by_host.setdefault(host_of(listed), []).append(listed)
    function.setup()
    function.start_bundle()
    works: list[Any] = [work for item in by_host.items() for work in function.process(item)]
    works += [value.value for value in function.finish_bundle()]
    return works, function.counts
