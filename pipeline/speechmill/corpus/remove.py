"""Takes recordings out of a corpus for good, on request of those who speak or publish.

A tombstone is written first, so that whatever happens next, no run brings them back; then every file that was made of
them is deleted; then the corpus is published without them.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from speechmill.core import ownership
from speechmill.core.build import Build
from speechmill.core.config_errors import ConfigError
from speechmill.core.purge import erase, present
from speechmill.core.records import Recording
from speechmill.core.removals import Kind, Tombstone, Tombstones, named
from speechmill.core.state import read_run
from speechmill.core.store import Store
from speechmill.publish.writers import POOL
from speechmill.runner.run import run
from speechmill.stages.profiles import stored_build

SAME_SOUND = 0.5  # share of the clips of either recording that the other repeats, from which on they are the same


def remove(corpus: str, names: Collection[tuple[Kind, str]], reason: str, *, dry_run: bool = False) -> dict[str, Any]:
    """Remove recordings by id, by source or by person, and publish without them.

    With them go others of the same bytes, others that are for the greater part the same sound, and of the rest the
    clips in which their sound is heard.

    Returns what went. Raises ConfigError for a recording that the corpus does not have, and where a published file is
    not as it was published, BusyError while a run is active.
    """
    if not names:
        raise ConfigError("remove: nothing is named; give --recording ID, --source URL or --person NAME")
    build = stored_build(corpus)
    if dry_run:
        ownership.check(build.store)
    else:
        ownership.claim(build.store)
    with build.store.locked():
        build = replace(build, removed=Tombstones.load(build.store))  # as it is now that nobody else writes it
        if not dry_run:
            erase(build)  # what a killed one left
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        found = _found(build, [Tombstone(kind=k, value=named(k, v), reason=reason, when=now) for k, v in names])
        stones = _with_contents(build, found)
        said = _in_words(build, stones) | {"dry run": dry_run}
        if dry_run:
            return said
        Tombstones((*build.removed.all, *stones)).save(build.store)
        erase(replace(build, removed=Tombstones.load(build.store)))
    return said | {"published": _published_again(build)}


def _found(build: Build, added: list[Tombstone]) -> dict[Tombstone, list[Recording]]:
    """Recordings of the corpus by the tombstone that names them."""
    found: dict[Tombstone, list[Recording]] = {stone: [] for stone in added}
    for recording in present(build):
        if stone := Tombstones(tuple(added)).against(recording):
            found[stone].append(recording)
    if missing := [
        stone.value
        for stone, named_ in found.items()
        if stone.kind == "recording" and not named_ and stone.value not in build.known_recordings()
    ]:
        raise ConfigError(f"remove: no recording {missing[0]} here; recordings.parquet lists the ids")
    if missing := [s.value for s, named_ in found.items() if s.kind == "source" and not (named_ or "//" in s.value)]:
        raise ConfigError(f"remove: no recording is from {missing[0]}; give the URL of a feed, page or file")
    same = _same_sound(build.store)
    for recordings in found.values():
        alike = _closed({one.recording_id for one in recordings}, same) - {one.recording_id for one in recordings}
        recordings += [one for one in present(build) if one.recording_id in alike] if alike else []
    return found


def _same_sound(store: Store) -> dict[str, set[str]]:
    """For each recording those with which it has most of both in common, by their sound, as far as is published."""
    same: dict[str, set[str]] = defaultdict(set)
    clips = Counter(row["recording_id"] for row in _pool(store))
    recording_of = _origins(store)
    shared: Counter[tuple[str, str]] = Counter()  # in clips, of which some are repeated in part
    for row in _pool(store):
        if other := recording_of.get(row.get("duplicate_of")):
            shared[row["recording_id"], other] += row["repeated_ratio"]
    for (one, other), count in shared.items():
        if one != other and count >= SAME_SOUND * max(clips[one], clips[other]):
            same[one].add(other)
            same[other].add(one)
    return same


def _origins(store: Store) -> dict[str | None, str]:
    """The recording of each clip that another repeats."""
    named_ = {row["duplicate_of"] for row in _pool(store) if row.get("duplicate_of")}
    return {row["clip_id"]: row["recording_id"] for row in _pool(store) if row["clip_id"] in named_}


def _closed(recordings: set[str], same: dict[str, set[str]]) -> set[str]:
    """Recordings, those of the same sound, those of the same sound as these, and so on."""
    found, waiting = set(recordings), list(recordings)
    while waiting:
        new = same[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _elsewhere(gone: set[str], store: Store) -> tuple[str, ...]:
    """Clips of other recordings in which clips of these are heard too, or which these repeat."""
    recording_of = _origins(store)
    found: set[str] = set()
    for row in _pool(store):
        origin = row.get("duplicate_of")
        first = recording_of.get(origin)
        if first and (row["recording_id"] in gone) != (first in gone):
            found.add(str(origin if row["recording_id"] in gone else row["clip_id"]))
    return tuple(sorted(found))


def _pool(store: Store) -> Iterator[dict[str, Any]]:
    for leaf in store.names(POOL):
        for batch in store.batches(f"{POOL}/{leaf}", None, 1_000):
            yield from batch.to_pylist()


def _with_contents(build: Build, found: dict[Tombstone, list[Recording]]) -> list[Tombstone]:
    """The tombstones, which now also know the bytes of what they are about, and where else it is heard."""
    stones = []
    for stone, named_ in found.items():
        contents = {one.content_id for one in named_ if one.content_id}
        gone = {one.recording_id for one in present(build) if one.content_id in contents} | {
            one.recording_id for one in named_
        }
        clips = _elsewhere(gone, build.store) if gone else ()
        stones.append(replace(stone, contents=tuple(sorted(contents)), clips=clips))
    return stones


def _in_words(build: Build, stones: list[Tombstone]) -> dict[str, Any]:
    gone = [recording for recording in present(build) if Tombstones(tuple(stones)).against(recording)]
    return {
        "recordings": len(gone),
        "contents": len({recording.content_id for recording in gone} - {None}),
        "removed": {recording.recording_id: recording.title or recording.media_url for recording in gone},
    }


def _published_again(build: Build) -> dict[str, Any] | str:
    if read_run(build.store) is None:
        return f"not yet: finish with speechmill run --output {build.store.root}"
    here = build.config.model_copy(update={"output": build.store.root})  # wherever it was made
    summary = run(here, only_publish=True, quiet=True)
    if summary.stats is None:
        return f"not yet: finish with speechmill run --output {build.store.root}"
    return {"clips": summary.stats["clips"].get("kept", 0), "files": len(summary.files)}
