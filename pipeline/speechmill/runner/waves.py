"""Divides the recordings of a run into waves, of which one is fetched while another is worked on."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from speechmill.core.build import Build
from speechmill.core.processes import usable_cores
from speechmill.core.records import Status
from speechmill.runner.forecast import expected_s
from speechmill.runner.log import log_listed
from speechmill.sources import Listed
from speechmill.stages.comparison import contents_with
from speechmill.stages.fetch import list_input
from speechmill.stages.identity import Claims, load_registry, placeholder
from speechmill.stages.known import recalled
from speechmill.stages.work import WorkItem, primary, primary_order

LISTED = "listed/"  # prefix, before the number of an input, of the counter of its recordings
FIRST_SHARE = 8  # the first wave is this part of a whole one, so that clips come early; each is twice the one before
LIKELY_HOURS = 0.5  # of a recording, where no recording declares its duration

Wave = list[Listed]


def list_all(build: Build) -> tuple[list[Listed], Counter[str]]:
    """List all recordings of the corpus, each once and under its id, and count those of each input.

    It does in one process what the first steps of the graph do; those of other shards are left out.
    """
    registry, counts = load_registry(build), Counter[str]()
    settled, claims = list[Listed](), list[Claims]()
    for number, source in enumerate(build.config.inputs):
        for listed in list_input(source, build):
            if build.is_stopping():
                return [], counts
            counts[f"{LISTED}{number}"] += listed.recording.status is not Status.FAILED
            one = registry.settle(listed)
            (claims if isinstance(one, Claims) else settled).append(one)  # type: ignore[arg-type]
    by_id = defaultdict[str, list[Listed]](list)
    for listed in itertools.chain(settled, registry.resolve(claims), map(placeholder, recalled(build))):
        by_id[listed.recording.recording_id].append(listed)
    distinct = (listed for same in by_id.values() for listed in registry.distinct(same, build))
    own = [listed for listed in distinct if build.share.has(listed.recording.recording_id)]
    log_listed(len(own), sum(map(expected_s, own)))
    return own, counts


def waves_of(listed: Sequence[Listed], build: Build) -> list[Wave]:
    """Divide recordings into waves of `fetch.wave_hours` a core, the first shorter, in the order of their publication.

    In that order a duplicate comes after its original, so that no wave changes the results of an earlier one. Parts of
    one file are in one wave, so that it is fetched once. What is decoded already takes no time.
    """
    hours, cores = _hours(listed, build), build.config.workers or usable_cores()
    most = cores * (build.config.fetch.wave_hours or float("inf"))
    waves, size, limit = list[Wave]([[]]), 0.0, most / FIRST_SHARE
    for same in _by_media(listed):
        needed = sum(hours[one.recording.recording_id] for one in same)
        if waves[-1] and size + needed > limit and needed:
            waves.append([])
            size, limit = 0.0, min(2 * limit, most)
        waves[-1] += same
        size += needed
    return waves


def _by_media(listed: Iterable[Listed]) -> list[Wave]:
    """Recordings of the same media together, in the order of the first of each."""
    by_media = defaultdict[str, Wave](list)
    for one in sorted(listed, key=lambda one: primary_order(one.recording)):
        by_media[one.media_path or one.recording.media_url].append(one)
    return list(by_media.values())


def _hours(listed: Iterable[Listed], build: Build) -> dict[str, float]:
    """Hours of each recording that are to be decoded, by its id; where none are declared, those of the others' mean."""
    decoded = None if build.is_complete else contents_with("segment", build)
    declared = {one.recording.recording_id: one.recording.declared_duration_s for one in listed}
    known = [seconds / 3600 for seconds in declared.values() if seconds]
    mean = sum(known) / len(known) if known else LIKELY_HOURS
    return {
        one.recording.recording_id: 0.0
        if one.stored and (content_id := one.stored[0].content_id) and (decoded is None or content_id in decoded)
        else (declared[one.recording.recording_id] or mean * 3600) / 3600
        for one in listed
    }


def distinct_works(works: Iterable[WorkItem]) -> Iterator[WorkItem]:
    """Merge items of the same content, as the graph does after fetching."""
    by_content = defaultdict[str, list[WorkItem]](list)
    for work in works:
        by_content[work.content_id].append(work)
    return map(primary, by_content.values())


def drop_media(works: Iterable[WorkItem], build: Build) -> None:
    """Delete the fetched media of contents that are decoded; originals of the user stay."""
    for work in works:
        if not work.is_local and build.is_decoded(work.content_id):
            build.store.remove(f"work/media/{work.sha256 or work.content_id}")
