"""Removes files from a finished corpus that no later command needs.

The index of recordings and the artifacts of the settings that the corpus was finished with stay, so that a second run
has nothing to do and `select` can decide again. Files with names that speechmill does not give stay as well, and so
does everything behind a link.
"""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from speechmill.core.build import CONFIG_FILE, Build
from speechmill.core.config_errors import ConfigError
from speechmill.core.config_file import load
from speechmill.core.footers import FetchFooter
from speechmill.core.own_names import OWN_FILE, UNFINISHED
from speechmill.core.ownership import MARK_FILE, REMOVALS_FILE
from speechmill.core.state import read_run
from speechmill.core.store import Store
from speechmill.stages import FETCH
from speechmill.stages.flow import STAGES
from speechmill.stages.profiles import stored_build

CONTENT = re.compile(r"([0-9a-f]{64})(\.parquet)?")
PROFILE = re.compile(r"[0-9a-f]{12}(-([0-9a-f]{12}|None))*")
PART = re.compile(r"work/media/\.parts/[0-9a-f]{32}\.part(\.json(\.tmp)?)?")
OLD_PART_S = 24 * 3600.0  # a more recent partial download may still be resumed
SCRATCH = ("work/tmp", "work/publish")


def prune(corpus: str, *, dry_run: bool, progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Remove decoded media, artifacts of other settings and remains of interrupted runs; or only count them.

    `progress` is called with what is done. Returns the bytes of each area. Local originals are outside the corpus and
    never touched.

    Raises BusyError if a run is active, ConfigError if the corpus is not finished.
    """
    build = stored_build(corpus)
    with build.store.locked():
        _require_finished(build)
        progress("looking for what is not needed")
        freed: Counter[str] = Counter()
        removable = {name: (area, size) for area, name, size in _removable(build)}
        for number, (name, (area, size)) in enumerate(removable.items(), 1):
            freed[area] += size
            progress(f"removing: {number:,} of {len(removable):,}")
            if not dry_run:
                build.store.remove(name)
    return {"dry_run": dry_run, "bytes": dict(freed), "total_bytes": freed.total()}


def _require_finished(build: Build) -> None:
    """Raise ConfigError after an interrupted run, whose artifacts would be taken for those of other settings."""
    store = build.store
    fix = f"finish it with: speechmill run --output {store.root}"
    if read_run(store) is None:
        raise ConfigError(f"{store.root}: not finished yet; {fix}")
    begun = store.read_json(CONFIG_FILE)
    if begun is not None and load(base=begun).stage_settings() != build.config.stage_settings():
        raise ConfigError(
            f"{store.root}: a run with other settings is not finished; {fix}, with or without its settings"
        )


def _removable(build: Build) -> Iterator[tuple[str, str, int]]:
    """Area, name and bytes of each file or folder to remove."""
    yield from _decoded_media(build)
    yield from _other_artifacts(build)
    yield from _unlisted(build)
    for name in SCRATCH:
        if size := _size(build.store, name):
            yield name, name, size
    yield from _remains(build.store)


def _decoded_media(build: Build) -> Iterator[tuple[str, str, int]]:
    """Media whose contents are all decoded."""
    store = build.store
    decoded_to: dict[str, set[str]] = defaultdict(set)  # contents by SHA-256 of their media
    for recording_id in build.known_recordings():
        row = store.read(build.fetched(recording_id), ["content_id", "sha256"]).to_pylist()[0]
        if row["content_id"]:
            decoded_to[row["sha256"]].add(row["content_id"])
    for leaf in store.names("work/media"):
        is_media = CONTENT.fullmatch(leaf) and not leaf.endswith(".parquet")
        if is_media and all(build.is_decoded(content) for content in decoded_to.get(leaf, {leaf})):
            yield "work/media", f"work/media/{leaf}", store.size(f"work/media/{leaf}")


def _profiles(build: Build) -> dict[str, str]:
    """Profile of each stage, the name of its folder, with the settings that the corpus was finished with."""
    return {stage.name: str(build.profiles[stage.name]) for stage in STAGES if stage is not FETCH}


def _other_artifacts(build: Build) -> Iterator[tuple[str, str, int]]:
    """Artifacts of other settings."""
    for stage, profile in _profiles(build).items():
        for leaf in build.store.names(f"work/{stage}"):
            if leaf != profile and PROFILE.fullmatch(leaf):
                name = f"work/{stage}/{leaf}"
                if size := _size(build.store, name):
                    yield f"work/{stage}", name, size


def _unlisted(build: Build) -> Iterator[tuple[str, str, int]]:
    """Media, documents and artifacts of contents that no recording has any more, after an opt-out or a changed file."""
    store, listed = build.store, set()
    for recording_id in build.known_recordings():
        name = build.fetched(recording_id)
        listed.update(store.read(name, ["content_id", "sha256"]).to_pylist()[0].values())
        listed.update(leaf.rpartition("/")[2] for leaf in store.footer(name, FetchFooter).documents)
    stages = [f"work/{stage}/{profile}" for stage, profile in _profiles(build).items()]
    for folder in ("work/media", "work/documents", *stages):
        for leaf in store.names(folder):
            if (match := CONTENT.fullmatch(leaf)) and match[1] not in listed:
                yield "of no recording", f"{folder}/{leaf}", _size(store, f"{folder}/{leaf}")


def _remains(store: Store) -> Iterator[tuple[str, str, int]]:
    """Unfinished files of killed processes, and old partial downloads."""
    if not store.is_local:  # object stores have no unfinished files
        return
    for leaf in store.top_level_names():
        if leaf.startswith((f".{MARK_FILE}.", f".{REMOVALS_FILE}.")) and UNFINISHED.fullmatch(leaf):
            yield "unfinished files", leaf, store.size(leaf)
    for entry in store.files("work"):
        old_part = PART.fullmatch(entry.name) and time.time() - entry.mtime > OLD_PART_S
        if old_part or UNFINISHED.fullmatch(entry.name.rpartition("/")[2]):
            yield "unfinished files", entry.name, entry.bytes


def _size(store: Store, name: str) -> int:
    if OWN_FILE.fullmatch(name) and store.is_file(name):
        return store.size(name)
    return sum(entry.bytes for entry in store.artifact_files(name))
