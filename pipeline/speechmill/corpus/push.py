"""Pushes a finished corpus to a dataset repository of the Hugging Face Hub.

Only published files go, by the list in `corpus.json`: never `work/`, which has secrets, nor the lists of what people
decided or asked to be removed, nor files of others. Shards of an earlier publication are deleted there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq

from speechmill.core import ownership
from speechmill.core.config_errors import ConfigError
from speechmill.core.removals import Removals
from speechmill.core.state import no_corpus, read_run
from speechmill.core.store import Store
from speechmill.fetch import hub
from speechmill.publish import STATS_FILE, figures
from speechmill.publish.card import CARD_FILE
from speechmill.publish.licences import licence_samples
from speechmill.publish.writers import POOL

# Names of the files in a repository that belong to a publication, as patterns.
REPLACED = (
    "data/train-[0-9]*-[0-9]*.parquet", "data/validation-[0-9]*-[0-9]*.parquet", f"{POOL}/part-[0-9]*.parquet",
)  # fmt: skip
# Limits of the Hub: https://huggingface.co/docs/hub/storage-limits, and of its viewer, which says them in its errors.
MAX_FILES, MAX_FILES_IN_FOLDER, MAX_FILE_BYTES = 100_000, 10_000, 20_000_000_000
MAX_ROW_GROUP_BYTES = 300_000_000
MAX_COLUMNS = 1_000


def push(corpus: str, repository: str, *, private: bool = False, dry_run: bool = False) -> dict[str, Any]:
    """Push a corpus to the Hub; run it again to go on after a break, or to update the repository.

    Args:
        corpus: Local folder of a finished corpus.
        repository: `USER/NAME`, or `NAME` for the owner of the token.
        private: Make the repository private, and refuse one that is public.
        dry_run: Only say what would be uploaded; no connection is opened.

    Returns:
        What was or would be uploaded: files with their bytes, clips, duration, licences, notes, address of the commit.

    Raises:
        ConfigError: The folder is no finished corpus, or the name, token or visibility is wrong.
        HubError: The Hub refused, or cannot be reached.
    """
    hub.check_repository(repository)
    store = Store(corpus)
    files, notes = _publication(store)
    stats = store.read_json(STATS_FILE) or {}
    summary = {
        "repository": repository,
        "dry_run": dry_run,
        "clips": stats["clips"].get("kept", 0),
        "duration": figures.duration(stats["samples"].get("kept", 0), stats["sampling_rate"]),
        "licences": sorted(licence_samples(stats)),
        "bytes": sum(files.values()),
        "bytes_of_files": files,
        "notes": [*notes, *_over_limits(store, files)],
    }
    if dry_run:
        return summary
    names = sorted(files)
    return summary | {"commit": hub.upload(store.path(""), names, repository, private=private, replaced=REPLACED)}


def _publication(store: Store) -> tuple[dict[str, int], list[str]]:
    """Bytes of each file of a publication, by name, and notes about them. Raises ConfigError if it is not whole."""
    if not store.is_local:
        raise ConfigError(f"{store.root}: push takes a local folder; copy the corpus there first")
    mark = ownership.load(store)
    if mark is None:
        raise no_corpus(store.root)
    if read_run(store) is None:
        raise ConfigError(f"{store.root}: not finished yet; finish it with: speechmill run --output {store.root}")
    if not all(request.erased for request in Removals.load(store).all):
        raise ConfigError(f"{store.root}: a removal is not finished; finish it with: speechmill select {store.root}")
    changed = sorted(mark.files.keys() - ownership.published_facts(store, mark.files, mark))
    ownership.refuse_changed(store, [name for name in changed if name != CARD_FILE])
    if CARD_FILE in changed and not store.exists(CARD_FILE):
        raise ConfigError(f"{store.root}/{CARD_FILE}: missing; make it with: speechmill select {store.root}")
    notes = [f"{CARD_FILE} is not as speechmill wrote it, and goes as it is"] if CARD_FILE in changed else []
    return {name: store.size(name) for name in sorted({*mark.files, ownership.MARK_FILE})}, notes


def _over_limits(store: Store, files: Mapping[str, int]) -> Iterator[str]:
    """What is over a limit of the Hub or of its viewer, a line each."""
    folders: dict[str, int] = {}
    for name, size in files.items():
        folder = name.rpartition("/")[0]
        folders[folder] = folders.get(folder, 0) + 1
        if size > MAX_FILE_BYTES:
            yield f"{name} has {size:,} bytes, and the Hub wants {MAX_FILE_BYTES:,} or less: lower publish.shard_bytes"
    if len(files) > MAX_FILES:
        yield f"{len(files):,} files, and the Hub wants {MAX_FILES:,} or less: raise publish.shard_bytes"
    for folder, count in folders.items():
        if count > MAX_FILES_IN_FOLDER:
            yield f"{folder} has {count:,} files, and the Hub wants {MAX_FILES_IN_FOLDER:,}: raise publish.shard_bytes"
    for name in (name for name in files if name.startswith("data/")):
        with store.open(name) as file:
            metadata = pq.read_metadata(file)
        largest = max(metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
        if largest > MAX_ROW_GROUP_BYTES:
            yield f"{name} has a row group of {largest:,} bytes; the Hub's viewer shows {MAX_ROW_GROUP_BYTES:,} at most"
        if metadata.num_columns > MAX_COLUMNS:
            yield f"{name} has {metadata.num_columns:,} columns; the Hub's viewer shows {MAX_COLUMNS:,} at most"
