"""Takes recordings out of a corpus for good, on request of those who speak or publish.

A tombstone is written first, so that whatever happens next, no run brings them back; then every file that was made of
them is deleted; then the corpus is published without them.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from pipeline.build import Build
from pipeline.config import ConfigError
from pipeline.erase import erase, present
from pipeline.inspect import read_run, stored_build
from pipeline.publish import POOL_FILE
from pipeline.records import Recording
from pipeline.run import run
from pipeline.store import Store
from pipeline.tombstones import Kind, Tombstone, Tombstones, named

SAME_SOUND = 0.5  # share of the clips of one recording that another repeats, from which on it is the same


def remove(corpus: str, names: Collection[tuple[Kind, str]], reason: str, *, dry_run: bool = False) -> dict[str, Any]:
    """Remove recordings by id, by source or by person, and publish without them.

    With them go others of the same bytes, and such as are by their sound, for the greater part, the same.

    Returns what went. Raises ConfigError for a recording that the corpus does not have, Busy while a run is active.
    """
    if not names:
        raise ConfigError("remove: nothing is named; give --recording ID, --source URL or --person NAME")
    build = stored_build(corpus)
    with build.store.locked():
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        found = _found(build, [Tombstone(kind=k, value=named(k, v), reason=reason, when=now) for k, v in names])
        said = _in_words(build, found) | {"dry run": dry_run}
        if dry_run:
            return said
        Tombstones((*build.removed.all, *_with_contents(found))).save(build.store)
        erase(replace(build, removed=Tombstones.load(build.store)))
    return said | {"published": _published_again(build)}


def _found(build: Build, added: list[Tombstone]) -> dict[Tombstone, list[Recording]]:
    """Recordings of the corpus by the tombstone that names them."""
    found: dict[Tombstone, list[Recording]] = {stone: [] for stone in added}
    for recording in present(build):
        if stone := Tombstones(tuple(added)).against(recording):
            found[stone].append(recording)
    if missing := [stone.value for stone, named_ in found.items() if stone.kind == "recording" and not named_]:
        raise ConfigError(f"remove: no recording {missing[0]} here; recordings.parquet lists the ids")
    same = _same_sound(build.store)
    for recordings in found.values():
        alike = set().union(*(same[one.recording_id] for one in recordings))
        alike -= {one.recording_id for one in recordings}
        recordings += [one for one in present(build) if one.recording_id in alike] if alike else []
    return found


def _same_sound(store: Store) -> dict[str, set[str]]:
    """For each recording those with which it has half of its clips, or of theirs, in common, as far as is published."""
    same: dict[str, set[str]] = defaultdict(set)
    clips = Counter(row["recording_id"] for row in _pool(store))
    repeats = [(row["recording_id"], row["duplicate_of"]) for row in _pool(store) if row["duplicate_of"]]
    origins = {clip_id for _, clip_id in repeats}
    recording_of = {row["clip_id"]: row["recording_id"] for row in _pool(store) if row["clip_id"] in origins}
    shared = Counter((one, recording_of.get(clip_id, one)) for one, clip_id in repeats)
    for (one, other), count in shared.items():
        if count >= SAME_SOUND * min(clips[one], clips[other]) and one != other:
            same[one].add(other)
            same[other].add(one)
    return same


def _pool(store: Store) -> Iterator[dict[str, Any]]:
    if store.exists(POOL_FILE):
        for batch in store.batches(POOL_FILE, ["clip_id", "recording_id", "duplicate_of"], 10_000):
            yield from batch.to_pylist()


def _with_contents(found: dict[Tombstone, list[Recording]]) -> list[Tombstone]:
    """The tombstones, which now also know the bytes of what they are about."""
    return [
        replace(stone, contents=tuple(sorted({one.content_id for one in named_ if one.content_id})))
        for stone, named_ in found.items()
    ]


def _in_words(build: Build, found: dict[Tombstone, list[Recording]]) -> dict[str, Any]:
    stones = Tombstones(tuple(_with_contents(found)))
    gone = [recording for recording in present(build) if stones.against(recording)]
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
    assert summary.stats is not None
    return {"clips": summary.stats["clips"].get("kept", 0), "files": len(summary.files)}
