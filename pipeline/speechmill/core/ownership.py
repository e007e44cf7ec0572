"""Ownership of a corpus folder: `corpus.json`, the mark that a run writes first, lists the files that speechmill owns.

A run writes into a new or empty folder, or one with a mark. At the top of a corpus only files that the mark lists are
ever replaced or deleted, and only while unchanged since they were published. Below `work/` files with artifact names
are ours (own_names.py).
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from speechmill.core.config_errors import ConfigError
from speechmill.core.filesystem import Entry, object_store_errors
from speechmill.core.inventory import Facts, entries, facts_of, is_written_then, with_versions
from speechmill.core.own_names import UNFINISHED
from speechmill.core.paths import OutsideError, check_name
from speechmill.core.store import Store
from speechmill.core.version import __version__

MARK_FILE = "corpus.json"
FORMAT, FORMAT_VERSION = "speechmill corpus", 1
RECORDINGS_FILE = "recordings.parquet"
RUN_FILE, CROISSANT_FILE = "run.json", "croissant.json"
REMOVALS_FILE = "removed.json"
DECISIONS_FILE = "decisions.jsonl"  # written by people only, see speechmill.core.manual
SAMPLE_BYTES = 16_000_000  # larger files are compared by size alone where reading them would take long
NAMED = 4  # most files that an error names
# Files that operating systems leave in folders that people take for empty.
IGNORED_NAMES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "lost+found"})
# Files that every publication writes; further shards have numbers.
FIXED_NAMES = (
    "README.md", "report.html", "stats.json", CROISSANT_FILE, RUN_FILE, "ledger.parquet", "recordings.parquet",
    "pool.parquet/part-00000.parquet",
)  # fmt: skip
_SHARD = re.compile(r"data/(train|validation)-[0-9]{5}-(of-)?[0-9]{5}\.parquet|pool\.parquet/part-[0-9]{5}\.parquet")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Mark:
    """Contents of `corpus.json`: published `files` by name, and, while `replace` runs, the `next` ones."""

    files: dict[str, Facts] = field(default_factory=dict)
    next: dict[str, Facts] = field(default_factory=dict)

    def save(self, store: Store, *, new: bool = False) -> None:
        """Write `corpus.json`. Raises FileExistsError if it is to be `new` and exists."""
        header = {"format": FORMAT, "version": FORMAT_VERSION, "speechmill": __version__}
        lists = {"files": self.files} | ({"next": self.next} if self.next else {})
        with store.create(MARK_FILE, new=new) as file:
            file.write((json.dumps(header | lists, indent=2) + "\n").encode())


def claim(store: Store) -> Mark:
    """Check an output, and write its mark if it has none.

    Raises ConfigError as `check` does, and for an output that is not writable.
    """
    try:
        mark = check(store)
        if not store.exists(MARK_FILE):
            mark.save(store, new=True)
        elif load(store) is None:
            mark.save(store)
        else:
            store.write_text("work/.writable", "")
            store.remove("work/.writable")
    except OSError as error:
        if isinstance(error, FileExistsError) and error.filename == store.path(MARK_FILE):  # another run was faster
            return claim(store)
        fix = "choose another with --output or make it writable"
        raise ConfigError(f"output: cannot write to {store.root} ({error.strerror or error}); {fix}") from None
    except object_store_errors() as error:
        fix = "see to the credentials, or choose another with --output"
        raise ConfigError(f"output: cannot write to {store.root} ({error}); {fix}") from None
    return mark


def check(store: Store) -> Mark:
    """Mark of an output, or the mark to give it. Writes nothing.

    Raises ConfigError that names the files in the way where a run may not write.
    """
    mark = mark_of(store) or _mark_of_empty(store)
    refuse_changed(store, _in_the_way(store, {*mark.files, *FIXED_NAMES}, mark, sample=True))
    return mark


def is_corpus(store: Store) -> bool:
    """Whether a folder is a corpus of this or an older version. Raises ConfigError for a newer version."""
    return mark_of(store) is not None


def mark_of(store: Store) -> Mark | None:
    """Mark of a corpus, made up for a corpus of an older version without one; None where there is no corpus."""
    return load(store) or _mark_of_older(store)


def load(store: Store) -> Mark | None:
    """Read the mark of a corpus; None if there is none, or if a crash left only its first bytes.

    Raises ConfigError for a `corpus.json` that is not ours.
    """
    if not store.exists(MARK_FILE):
        return None
    with store.open(MARK_FILE) as file:
        raw = file.read()
    try:
        mark = json.loads(raw)
        if mark["format"] == FORMAT and mark["version"] == FORMAT_VERSION:
            return Mark(_checked_files(mark["files"]), _checked_files(mark.get("next", {})))
        is_newer = mark["format"] == FORMAT and mark["version"] > FORMAT_VERSION
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        is_newer = False
        if _is_beginning(raw) and set(_top_level(store)) == {MARK_FILE}:
            return None
    if is_newer:
        raise ConfigError(f"{store.root}/{MARK_FILE}: of a newer speechmill than {__version__}; upgrade it first")
    fix = "if that is no corpus choose another folder, else take the file from a copy"
    raise ConfigError(f"{store.root}/{MARK_FILE}: not a mark that speechmill made; {fix}")


def replace(store: Store, folder: str, new: dict[str, Facts]) -> None:
    """Publish files: move those of `new` from `folder` in `work/`, the last one last, and remove replaced files.

    Raises ConfigError, before any change, if a published file was changed since.
    """
    mark = load(store) or Mark()
    before = published_facts(store, {*mark.files, *mark.next}, mark)
    current = Mark(before, new)
    refuse_changed(store, _in_the_way(store, {*mark.files, *new}, current))
    current.save(store)
    *names, last = new
    store.remove(last)
    for name in names:
        if store.exists(f"{folder}/{name}"):
            store.move(f"{folder}/{name}", name)
    for name in before.keys() - new.keys():
        store.remove(name)
    store.move(f"{folder}/{last}", last)
    Mark(with_versions(store, new)).save(store)


def published_facts(store: Store, names: Collection[str], mark: Mark | None) -> dict[str, Facts]:
    """Facts in a mark of those of some files that are published, and unchanged."""
    present = entries(store, names) if mark else {}
    found = {name: entry and _unchanged_facts(store, name, mark or Mark(), entry) for name, entry in present.items()}
    return {name: facts for name, facts in found.items() if facts}


def foreign_files(store: Store, mark: Mark) -> list[str]:
    """Names of files outside `work/` that are not ours, or were changed since they were published."""
    ours = {MARK_FILE, REMOVALS_FILE, DECISIONS_FILE}
    names = [entry.name for entry in store.files() if not entry.name.startswith("work/") and entry.name not in ours]
    return _in_the_way(store, names, mark)


def _in_the_way(store: Store, names: Collection[str], mark: Mark, *, sample: bool = False) -> list[str]:
    """Those of some names, sorted, at which something is that is not an unchanged published file."""
    present = entries(store, names)
    return [
        name
        for name in sorted(present)
        if (entry := present[name]) is None or _unchanged_facts(store, name, mark, entry, sample=sample) is None
    ]


def _unchanged_facts(store: Store, name: str, mark: Mark, entry: Entry, *, sample: bool = False) -> Facts | None:
    """Facts in a mark that the file still has; None if there are none. `sample`: do not read large files."""
    known = [listed[name] for listed in (mark.files, mark.next) if name in listed]
    if not known:
        return None
    alike = [facts for facts in known if facts["bytes"] == entry.bytes]
    if same := [facts for facts in alike if is_written_then(facts, entry, store)]:
        return same[0]
    if name != RUN_FILE and (not alike or (entry.bytes > SAMPLE_BYTES and (sample or not store.is_local))):
        return alike[0] if alike else None
    current = facts_of(store, name)
    if name == RUN_FILE and _run_record(store):
        return current
    return current if current["sha256"] in [facts["sha256"] for facts in alike] else None


def refuse_changed(store: Store, names: Collection[str]) -> None:
    """Raise ConfigError that names the fix if `names`, of files changed since they were published, is not empty."""
    if names:
        fix = "rename it to keep it, or delete it; then run again"
        raise ConfigError(f"output: {store.root}: not as speechmill wrote it: {shorten(names)}; {fix}")


def _mark_of_empty(store: Store) -> Mark:
    """Mark for an empty folder. Raises ConfigError for any other folder."""
    names = _top_level(store)
    if set(names) <= {REMOVALS_FILE, MARK_FILE} and _is_removals(store):
        return Mark()
    fix = "give a new or an empty folder with --output"
    if "work" in names and _is_begun(store):
        fix = "if this is an unfinished corpus of an older speechmill, move all but work elsewhere and run again; else "
        fix += "give a new folder"
    raise ConfigError(f"output: {store.root} is no corpus and not empty, it has {shorten(names)}; {fix}")


def _top_level(store: Store) -> list[str]:
    """Names at the top of a folder, without IGNORED_NAMES and unfinished marks. Raises ConfigError for a file."""
    try:
        names = [name for name in store.top_level_names() if name not in IGNORED_NAMES]
    except NotADirectoryError:
        raise ConfigError(f"{store.root}: a file is in the way; give a folder") from None
    return [name for name in names if not (name.startswith(f".{MARK_FILE}.") and UNFINISHED.fullmatch(name))]


def _is_beginning(raw: bytes) -> bool:
    """Whether these bytes are the beginning of a mark, as a power failure may leave it."""
    whole = json.dumps({"format": FORMAT}, indent=2).encode()[:-2]
    return whole.startswith(raw) or (raw.startswith(whole) and len(raw) < SAMPLE_BYTES)


def _mark_of_older(store: Store) -> Mark | None:
    """Mark for a corpus of a version that wrote none; None for anything else.

    A finished corpus has a run.json that lists its files, unchanged; an unfinished one has only `work/`.
    """
    if not store.exists(RUN_FILE):
        return Mark() if set(_top_level(store)) <= {"work", REMOVALS_FILE} and _is_begun(store) else None
    try:
        run = _run_record(store)
        if run is None:
            return None
        listed = _checked_files(run["files"])
        tables = [name for name in listed if not name.startswith("data/")]
        is_ours = {"ledger.parquet", "recordings.parquet"} <= listed.keys() and all(
            name in FIXED_NAMES or _SHARD.fullmatch(name) for name in listed
        )
        is_whole = is_ours and len(published_facts(store, tables, Mark(listed))) == len(tables)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OutsideError):
        return None
    return Mark(listed | {name: facts_of(store, name) for name in _pages(store)}) if is_whole else None


def _run_record(store: Store) -> dict[str, Any] | None:
    """Contents of run.json, even if somebody edited values; None for another file."""
    try:
        run = store.read_json(RUN_FILE)
        return run if run is not None and {"config", "profiles", "fingerprint", "files"} <= run.keys() else None
    except (ValueError, AttributeError, RecursionError):
        return None


def _pages(store: Store) -> list[str]:
    """Names of the files that an older run.json does not list, if their content is that of a corpus."""
    signs = {
        "README.md": b"- speechmill\n", "report.html": b"speechmill report", "stats.json": b'"sampling_rate"',
        "croissant.json": b"speechmill remove",
    }  # fmt: skip
    names = [RUN_FILE]
    for name, sign in signs.items():
        if store.exists(name):
            with store.open(name) as file:
                names += [name] if sign in file.read(SAMPLE_BYTES) else []
    return names


def _is_begun(store: Store) -> bool:
    """Whether `work/` has the config of a run."""
    try:
        config = store.read_json("work/config.json")
        return config is not None and {"inputs", "output", "segment", "thresholds"} <= config.keys()
    except (ValueError, AttributeError, RecursionError):
        return False


def _is_removals(store: Store) -> bool:
    """Whether `removed.json` is missing, or a list that speechmill made."""
    try:
        removals = store.read_json(REMOVALS_FILE)
        return removals is None or all({"kind", "value", "when"} <= request.keys() for request in removals["removed"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def _checked_files(files: Any) -> dict[str, Facts]:
    """Facts of files by name, as read. Raises ValueError, TypeError, KeyError or AttributeError for anything else."""
    for name, facts in files.items():
        check_name(name)
        if name.startswith("work/") or name == MARK_FILE or not _DIGEST.fullmatch(facts["sha256"]):
            raise ValueError(f"{name}: cannot be a published file")
        if not isinstance(facts["bytes"], int):
            raise TypeError(f"{name}: bytes are no number")
    return dict(files)


def shorten(names: Collection[str]) -> str:
    """The first NAMED names, and how many more there are."""
    shown = [name if name.isprintable() else repr(name) for name in list(names)[:NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
