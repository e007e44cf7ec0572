"""Removes recordings from a corpus permanently, on request of speakers or publishers.

The removal request is stored first, so that no later run brings the recordings back, even after a crash; then all files
made from them are deleted; then the corpus is published without them.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from speechmill.core import ownership
from speechmill.core.build import Build
from speechmill.core.config_errors import ConfigError
from speechmill.core.purge import present_recordings, purge
from speechmill.core.records import Recording
from speechmill.core.removals import Kind, RemovalRequest, Removals, stored_value
from speechmill.core.state import read_run
from speechmill.core.store import Store
from speechmill.publish.writers import POOL
from speechmill.runner.run import run
from speechmill.stages.profiles import stored_build

SAME_AUDIO = 0.5  # share of clips in common from which on two recordings count as the same


def remove(corpus: str, names: Collection[tuple[Kind, str]], reason: str, *, dry_run: bool = False) -> dict[str, Any]:
    """Remove recordings by id, by source or by person, and publish the corpus without them.

    Also removed are recordings with the same bytes, recordings with mostly the same audio, and single clips of other
    recordings that contain audio of the removed ones.

    Args:
        corpus: Folder or URL.
        names: Kind and value of each removal request.
        reason: Stored with the requests.
        dry_run: Whether to only report what would be removed.

    Returns:
        Counts and titles of the removed recordings, and the counts of the new publication.

    Raises:
        ConfigError: A recording is not in the corpus, or a published file was changed.
        BusyError: A run is active.
    """
    if not names:
        raise ConfigError("remove: nothing is named; give --recording ID, --source URL or --person NAME")
    build = stored_build(corpus)
    if dry_run:
        ownership.check(build.store)
    else:
        ownership.claim(build.store)
    with build.store.locked():
        build = replace(build, removals=Removals.load(build.store))  # read again under the lock
        if not dry_run:
            purge(build)  # remains of a killed removal
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        new = [RemovalRequest(kind=kind, value=stored_value(kind, v), reason=reason, when=now) for kind, v in names]
        requests = _with_contents(build, _recordings_by_request(build, new))
        summary = _as_dict(build, requests) | {"dry_run": dry_run}
        if dry_run:
            return summary
        Removals((*build.removals.all, *requests)).save(build.store)
        purge(replace(build, removals=Removals.load(build.store)))
    return summary | {"published": _publish_again(build)}


def _recordings_by_request(build: Build, new: list[RemovalRequest]) -> dict[RemovalRequest, list[Recording]]:
    """The recordings that each new request removes. Raises ConfigError if one names nothing in the corpus."""
    by_request: dict[RemovalRequest, list[Recording]] = {request: [] for request in new}
    for recording in present_recordings(build):
        if request := Removals(tuple(new)).match(recording):
            by_request[request].append(recording)
    if missing := [
        request.value
        for request, recordings in by_request.items()
        if request.kind == "recording" and not recordings and request.value not in build.known_recordings()
    ]:
        raise ConfigError(f"remove: no recording {missing[0]} here; recordings.parquet lists the ids")
    sources = {request.value: recordings for request, recordings in by_request.items() if request.kind == "source"}
    if missing := [value for value, recordings in sources.items() if not (recordings or "//" in value)]:
        raise ConfigError(f"remove: no recording is from {missing[0]}; give the URL of a feed, page or file")
    same = _same_audio(build.store)
    for recordings in by_request.values():
        ids = {recording.recording_id for recording in recordings}
        others = _connected(ids, same) - ids
        recordings += [other for other in present_recordings(build) if other.recording_id in others] if others else []
    return by_request


def _same_audio(store: Store) -> dict[str, set[str]]:
    """For each recording the others that share most clips with it, by `duplicate_of` in the published pool."""
    same: dict[str, set[str]] = defaultdict(set)
    clips = Counter(row["recording_id"] for row in _pool(store))
    recording_of = _origins(store)
    shared: Counter[tuple[str, str]] = Counter()  # in clips; a partial duplicate counts in part
    for row in _pool(store):
        if other := recording_of.get(row.get("duplicate_of")):
            shared[row["recording_id"], other] += row["repeated_ratio"]
    for (first, second), count in shared.items():
        if first != second and count >= SAME_AUDIO * max(clips[first], clips[second]):
            same[first].add(second)
            same[second].add(first)
    return same


def _origins(store: Store) -> dict[str | None, str]:
    """Recording of each clip that has a duplicate, by clip_id."""
    originals = {row["duplicate_of"] for row in _pool(store) if row.get("duplicate_of")}
    return {row["clip_id"]: row["recording_id"] for row in _pool(store) if row["clip_id"] in originals}


def _connected(recordings: set[str], same: dict[str, set[str]]) -> set[str]:
    """Recordings, those with the same audio, those with the same audio as these, and so on."""
    connected, waiting = set(recordings), list(recordings)
    while waiting:
        new = same[waiting.pop()] - connected
        connected |= new
        waiting += new
    return connected


def _clips_with_same_audio(gone: set[str], store: Store) -> tuple[str, ...]:
    """Ids of clips of other recordings that share audio with clips of the recordings `gone`."""
    recording_of = _origins(store)
    clip_ids: set[str] = set()
    for row in _pool(store):
        origin = row.get("duplicate_of")
        first = recording_of.get(origin)
        if first and (row["recording_id"] in gone) != (first in gone):
            clip_ids.add(str(origin if row["recording_id"] in gone else row["clip_id"]))
    return tuple(sorted(clip_ids))


def _pool(store: Store) -> Iterator[dict[str, Any]]:
    """Rows of the published pool."""
    for leaf in store.names(POOL):
        for batch in store.batches(f"{POOL}/{leaf}", None, 1_000):
            yield from batch.to_pylist()


def _with_contents(build: Build, by_request: dict[RemovalRequest, list[Recording]]) -> list[RemovalRequest]:
    """Add to each request the contents of its recordings, and the clips of other recordings with their audio."""
    requests = []
    for request, recordings in by_request.items():
        contents = {recording.content_id for recording in recordings if recording.content_id}
        gone = {recording.recording_id for recording in present_recordings(build) if recording.content_id in contents}
        gone |= {recording.recording_id for recording in recordings}
        clips = _clips_with_same_audio(gone, build.store) if gone else ()
        requests.append(replace(request, contents=tuple(sorted(contents)), clips=clips))
    return requests


def _as_dict(build: Build, requests: list[RemovalRequest]) -> dict[str, Any]:
    gone = [recording for recording in present_recordings(build) if Removals(tuple(requests)).match(recording)]
    return {
        "recordings": len(gone),
        "contents": len({recording.content_id for recording in gone} - {None}),
        "removed": {recording.recording_id: recording.title or recording.media_url for recording in gone},
    }


def _publish_again(build: Build) -> dict[str, Any] | str:
    """Publish the corpus again; counts, or a message if it cannot be published yet."""
    if read_run(build.store) is None:
        return f"not yet: finish with speechmill run --output {build.store.root}"
    config = build.config.model_copy(update={"output": build.store.root})  # the corpus may have been moved
    summary = run(config, only_publish=True, quiet=True)
    if summary.stats is None:
        return f"not yet: finish with speechmill run --output {build.store.root}"
    return {"clips": summary.stats["clips"].get("kept", 0), "files": len(summary.files)}
