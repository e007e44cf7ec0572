"""Plans a run without running it: recordings, hours, licences, and an estimate of its time.

It reads feeds and the headers of local files, fetches no media and writes nothing.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from speechmill.audio.duration import duration_s
from speechmill.core import ownership
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import NO_INPUTS, ConfigError
from speechmill.core.footers import FetchFooter
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError, Status, recording_from
from speechmill.core.state import read_run
from speechmill.core.store import Store
from speechmill.core.urls import public_url, web_address
from speechmill.corpus.budget import Cluster, Load, budget, check_cluster, read_prices
from speechmill.corpus.speeds import shares_of, sizes_of, stage_speeds
from speechmill.decide.licences import licence_allowed
from speechmill.fetch import check_logins
from speechmill.publish.advice import came_cut, no_licence, not_published, refused
from speechmill.publish.stats import MOST_NAMED
from speechmill.sources import Listed, listing
from speechmill.stages.fetch import host_of
from speechmill.stages.identity import Claims, place_of, read_registry
from speechmill.stages.known import stamp_of
from speechmill.stages.profiles import build_up_to_scores

PROGRESS_EVERY = 1000  # recordings between progress messages


@dataclass(slots=True)
class _Count:
    """A number of recordings and their total duration."""

    recordings: int = 0
    seconds: float = 0.0
    undeclared: int = 0  # recordings without a declared duration

    def add(self, seconds: float | None) -> None:
        self.recordings += 1
        self.seconds += seconds or 0.0
        self.undeclared += seconds is None

    @property
    def likely_seconds(self) -> float:
        """Duration, if recordings without a declared one are as long as the others on average."""
        declaring = self.recordings - self.undeclared
        return self.seconds * self.recordings / declaring if declaring else 0.0

    def as_dict(self) -> dict[str, Any]:
        return {"recordings": self.recordings, "hours": self.seconds / 3600, "without_a_length": self.undeclared}


@dataclass(slots=True)
class _Plan:
    """Counts of the recordings of all inputs."""

    all: _Count = field(default_factory=_Count)
    to_fetch: _Count = field(default_factory=_Count)
    to_decode: _Count = field(default_factory=_Count)
    fetched: int = 0
    decoded: int = 0
    listed_twice: int = 0
    short: int = 0  # recordings no longer than a clip
    refused: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    left_out_first: list[str] = field(default_factory=list)
    lengthless_first: list[str] = field(default_factory=list)  # names of recordings without a declared duration
    licences: defaultdict[str, _Count] = field(default_factory=lambda: defaultdict(_Count))
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    hosts: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # seconds to fetch from each
    seen: set[int] = field(default_factory=set)  # hashes of the identity of each recording


def plan(
    config: RunConfig, progress: Callable[[str], None] = lambda _: None, *, cluster: Cluster | None = None,
    like: str | None = None, prices: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Count what a run would fetch. Hours are those declared by feeds and by the headers of local files.

    Args:
        config: Config of the run.
        progress: Called with messages during a long listing.
        cluster: Where the run is to be, for its `budget`; None: without one.
        like: A finished corpus whose speeds and sizes count; None: the output itself, if it is one.
        prices: File of prices; None: the one that comes with speechmill.

    Returns:
        Counts as JSON values; an unreadable input has an `error` in its entry of `inputs`.

    Raises:
        ConfigError: An input does not exist, a run may not write to the output, or something has no price.
    """
    if cluster is not None:
        check_cluster(cluster, read_prices(prices))
    known = _known(like or config.output, is_named=like is not None)
    check_logins(config.fetch)
    store = Store(config.output)
    ownership.check(store)
    build = build_up_to_scores(config, store)
    planned = _counted(build, progress)
    result = _as_dict(planned, build.config, store) | {"forecast": _time_estimate(planned, build.config, known)}
    return result if cluster is None else result | {"budget": _budget(planned, cluster, build, known, prices)}


def _known(corpus: str, *, is_named: bool) -> Store:
    """The corpus whose speeds count. Raises ConfigError for one that is named and not finished."""
    store = Store(corpus)
    if is_named and read_run(store) is None:
        raise ConfigError(f"--like {corpus}: is no finished corpus; name one, or make one with: speechmill demo")
    return store


def _counted(build: Build, progress: Callable[[str], None]) -> _Plan:
    """List all inputs, and count their recordings."""
    if not build.config.inputs:
        raise ConfigError(NO_INPUTS)
    planned, registry = _Plan(), read_registry(build)
    counts, errors = defaultdict[str, _Count](_Count), dict[str, dict[str, Any]]()
    claims = dict[tuple[str, str], tuple[Claims, _Count]]()
    for source in build.config.inputs:
        input_count, errors[source.address] = counts[source.address], {}
        if build.removals.covers_input(web_address(source.address)):
            errors[source.address] = {"error": "removed"}
            continue
        progress(f"{source.address}: reading")
        try:
            for number, listed in enumerate(_listed(source, build.config), 1):
                settled = registry.settle(listed)
                if isinstance(settled, Claims):
                    planned.listed_twice += place_of(listed) in claims
                    claims.setdefault(place_of(listed), (settled, input_count))
                else:
                    _add(settled, planned, input_count, build)
                if number % PROGRESS_EVERY == 0:
                    progress(f"{source.address}: {number} recordings so far")
        except RejectedError as error:
            errors[source.address] = {"error": str(error)}
    for listed in registry.resolve(claim for claim, _ in claims.values()):
        _add(listed, planned, claims[place_of(listed)][1], build)
    planned.inputs = {address: counts[address].as_dict() | note for address, note in errors.items()}
    return planned


def _listed(source: Any, config: RunConfig) -> Iterator[Listed]:
    # Sources cache feeds in their store: this one is temporary, so that the corpus stays unchanged.
    with TemporaryDirectory() as folder:
        yield from listing.list_recordings(source, config, Store(folder))


def _add(listed: Listed, planned: _Plan, input_count: _Count, build: Build) -> None:
    """Count a listed recording in the plan and for its input."""
    recording, identity = listed.recording, hash((listed.recording.recording_id, listed.media_path))
    if identity in planned.seen:
        planned.listed_twice += 1
        return
    planned.seen.add(identity)
    if recording.status is Status.LEFT_OUT:
        planned.left_out[recording.reason or "unknown"] += 1
        if recording.reason is not Reason.HIDDEN and len(planned.left_out_first) < MOST_NAMED:
            planned.left_out_first.append(f"{recording.media_url}: {recording.reason_detail}")
    elif build.removals.match(recording):
        planned.refused[Reason.REMOVED] += 1
    elif recording.status is not Status.OK:
        planned.refused[recording.reason or recording.status] += 1
    else:
        _add_wanted(listed, planned, input_count, build)


def _add_wanted(listed: Listed, planned: _Plan, input_count: _Count, build: Build) -> None:
    """Count a recording that a run would process, by what of it is made already."""
    recording = listed.recording
    seconds = recording.declared_duration_s or _duration_s(listed, build.config)
    if seconds is None and len(planned.lengthless_first) < MOST_NAMED:
        planned.lengthless_first.append(public_url(recording.media_url))
    planned.short += seconds is not None and seconds <= build.config.segment.max_length_s
    content_id = _content_id(listed, build)
    is_decoded = content_id is not None and build.is_decoded(content_id)
    planned.fetched += content_id is not None
    planned.decoded += is_decoded
    counts = [planned.all, input_count, planned.licences[recording.licence]]
    counts += [planned.to_decode] if not is_decoded else []
    if content_id is None and listed.media_path is None:
        counts.append(planned.to_fetch)
        planned.hosts[host_of(listed)] += seconds or 0.0
    for count in counts:
        count.add(seconds)


def _content_id(listed: Listed, build: Build) -> str | None:
    """Content id of a recording that was fetched before; None if it was not, or its file has changed since."""
    name = build.fetched(listed.recording.recording_id)
    if not build.store.exists(name):
        return None
    rows, footer = build.store.load(name, FetchFooter)
    known, path = recording_from(rows.to_pylist()[0]), listed.media_path
    if path is not None and (listed.sha256 is None or listed.sha256 != known.sha256):
        is_same = footer.stamp is not None and stamp_of(path) == footer.stamp
        return known.content_id if is_same else None
    return known.content_id


def _duration_s(listed: Listed, config: RunConfig) -> float | None:
    """Declared duration of a local file in seconds; None if there is none or the file cannot be read."""
    return duration_s(listed.media_path, config) if listed.media_path else None


def _as_dict(planned: _Plan, config: RunConfig, store: Store) -> dict[str, Any]:
    """The plan as JSON values."""
    licences = {
        licence: count.as_dict() | {"published": licence_allowed(licence, config.licences)}
        for licence, count in sorted(planned.licences.items())
    }
    return {
        "output": store.root,
        **planned.all.as_dict(),
        "already_fetched": planned.fetched,
        "already_decoded": planned.decoded,
        "listed_twice": planned.listed_twice,
        "refused": dict(planned.refused),
        "left_out": dict(planned.left_out),
        "left_out_first": planned.left_out_first,
        "without_a_length_first": planned.lengthless_first,
        "licences": licences,
        **({"remarks": remarks} if (remarks := list(filter(None, _remarks(planned, licences, config)))) else {}),
        "inputs": planned.inputs,
    }


def _remarks(planned: _Plan, licences: dict[str, Any], config: RunConfig) -> Iterator[str]:
    """Advice on what would come of the plan; empty strings where there is none."""
    yield no_licence(licences) or not_published(licences)
    yield refused(planned.refused)
    yield came_cut(planned.all.recordings - planned.all.undeclared, planned.short, config.segment.profile)


def _time_estimate(planned: _Plan, config: RunConfig, known: Store) -> dict[str, Any]:
    """Estimated seconds of each stage on this machine, with the speeds of a `known` corpus."""
    run = read_run(known)
    speeds, measured = stage_speeds(config, run)
    shares = shares_of(known)
    shares = dict.fromkeys(speeds, shares["score"]) | shares  # a plug-in may process all clips
    cores = config.workers or os.cpu_count() or 1
    workers = {"segment": cores, "passages": cores, "score": cores if run is None or not run["defect_models"] else 1}
    left = dict.fromkeys(speeds, planned.to_decode.likely_seconds) | {"fetch": planned.to_fetch.likely_seconds}
    seconds = {stage: left[stage] * shares[stage] / speeds[stage] / workers.get(stage, 1) for stage in speeds}
    return {
        "seconds": {**seconds, "total": sum(seconds.values())},
        "speeds": f"as the last run for {', '.join(measured)}" if measured else "typical of a CPU; a GPU is faster",
    }


def _budget(planned: _Plan, cluster: Cluster, build: Build, known: Store, prices: str | None) -> dict[str, Any]:
    """Time and cost on a cluster, with the speeds and sizes of a `known` corpus."""
    run, fetch = read_run(known), planned.to_fetch
    unknown = fetch.likely_seconds / fetch.seconds if fetch.seconds else 1.0
    load = Load(
        recordings=planned.to_decode.recordings,
        fetch_hours=fetch.likely_seconds / 3600,
        decode_hours=planned.to_decode.likely_seconds / 3600,
        host_hours={host: seconds * unknown / 3600 for host, seconds in planned.hosts.items()},
    )
    speeds, _ = stage_speeds(build.config, run)
    return budget(
        load, cluster, build, speeds=speeds, shares=shares_of(known), sizes=sizes_of(known),
        prices=read_prices(prices), on_measured_gpu=run is not None and run["device"] == "cuda",
    )  # fmt: skip
