"""Which folder is a corpus, and which files in it are ours: `corpus.json`, made before anything else.

A run writes into a new folder, an empty one, or one with this mark, which lists what was published there. Only a listed
file is ever replaced or deleted, and only while it is the one that was published; all else at the top of a corpus is
its owner's. Below `work/` the names that artifacts have are ours.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from speechmill.core.config_errors import ConfigError
from speechmill.core.filesystem import errors_of_stores
from speechmill.core.own_names import UNFINISHED
from speechmill.core.paths import OutsideError, check_name
from speechmill.core.store import Store
from speechmill.core.version import __version__

MARK_FILE = "corpus.json"
FORMAT, FORMAT_VERSION = "speechmill corpus", 1
RECORDINGS_FILE = "recordings.parquet"
RUN_FILE = "run.json"
REMOVALS_FILE = "removed.json"
DECISIONS_FILE = "decisions.jsonl"  # of people, see speechmill.core.manual; never written by a run
SAMPLE_BYTES = 16_000_000  # larger files are known by their size where reading them would take long
NAMED = 4  # files in the way that an error names
# What systems leave in folders that people take for empty.
UNHEEDED = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "lost+found"})
# What every publication writes; further shards have numbers.
FIXED = (
    "README.md", "report.html", "stats.json", RUN_FILE, "ledger.parquet", "recordings.parquet",
    "pool.parquet/part-00000.parquet",
)  # fmt: skip
_SHARD = re.compile(r"data/(train|validation)-[0-9]{5}-(of-)?[0-9]{5}\.parquet|pool\.parquet/part-[0-9]{5}\.parquet")
_DIGEST = re.compile(r"[0-9a-f]{64}")

Facts = dict[str, Any]  # of a file: bytes, sha256, and where it is known mtime_ns


@dataclass(frozen=True, slots=True)
class Mark:
    """What `corpus.json` says: the published files, and, while others are put in their place, these."""

    files: dict[str, Facts] = field(default_factory=dict)
    next: dict[str, Facts] = field(default_factory=dict)

    def save(self, store: Store, *, new: bool = False) -> None:
        """Write it whole. Raises FileExistsError where it is to be `new` and is there."""
        about = {"format": FORMAT, "version": FORMAT_VERSION, "speechmill": __version__}
        lists = {"files": self.files} | ({"next": self.next} if self.next else {})
        with store.create(MARK_FILE, new=new) as file:
            file.write((json.dumps(about | lists, indent=2) + "\n").encode())


def claim(store: Store) -> Mark:
    """Make an output ours, by its mark, unless it is already.

    Raises ConfigError as `check` does, and where nothing can be written.
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
    except errors_of_stores() as error:
        fix = "see to the credentials, or choose another with --output"
        raise ConfigError(f"output: cannot write to {store.root} ({error}); {fix}") from None
    return mark


def check(store: Store) -> Mark:
    """The mark that an output has or may be given. Writes nothing.

    Raises ConfigError, which names the files in the way, where a run may not write.
    """
    mark = mark_of(store) or _of_empty(store)
    refuse(store, [name for name in sorted({*mark.files, *FIXED}) if _is_in_the_way(store, name, mark, sample=True)])
    return mark


def is_corpus(store: Store) -> bool:
    """Whether a folder is a corpus, of this version or an older one. Raises ConfigError for one of a newer version."""
    return mark_of(store) is not None


def mark_of(store: Store) -> Mark | None:
    """The mark of a corpus, or the one that a corpus of an older version would be given; None where there is none."""
    return load(store) or _of_older(store)


def load(store: Store) -> Mark | None:
    """The mark of a corpus; None where there is none yet, or where only the beginning of one was written.

    Raises ConfigError for a `corpus.json` that is not ours.
    """
    if not store.exists(MARK_FILE):
        return None
    with store.open(MARK_FILE) as file:
        raw = file.read()
    try:
        told = json.loads(raw)
        if told["format"] == FORMAT and told["version"] == FORMAT_VERSION:
            return Mark(_listed(told["files"]), _listed(told.get("next", {})))
        is_newer = told["format"] == FORMAT and told["version"] > FORMAT_VERSION
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        is_newer = False
        if _is_beginning(raw) and set(_others(store)) == {MARK_FILE}:
            return None
    if is_newer:
        raise ConfigError(f"{store.root}/{MARK_FILE}: of a newer speechmill than {__version__}; upgrade it first")
    fix = "if that is no corpus choose another folder, else take the file from a copy"
    raise ConfigError(f"{store.root}/{MARK_FILE}: not a mark that speechmill made; {fix}")


def replace(store: Store, folder: str, new: dict[str, Facts]) -> None:
    """Put files that wait in a folder of `work/` to their places, the last of `new` last, and remove what they replace.

    Raises ConfigError, before anything is changed, if a file in the way is not the one that was published.
    """
    mark = load(store) or Mark()
    before = {name: facts for name in {*mark.files, *mark.next} if (facts := _as_it_is(store, name, mark))}
    here = Mark(before, new)
    refuse(store, [name for name in sorted({*mark.files, *new}) if _is_in_the_way(store, name, here)])
    here.save(store)
    *names, last = new
    store.remove(last)
    for name in names:
        if store.exists(f"{folder}/{name}"):
            store.move(f"{folder}/{name}", name)
    for name in before.keys() - new.keys():
        store.remove(name)
    store.move(f"{folder}/{last}", last)
    Mark(new).save(store)


def facts_of(store: Store, name: str) -> Facts:
    """What a file is known by: its bytes, their SHA-256 and, on a local disk, when it was written."""
    with store.open(name) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    times = {"mtime_ns": os.stat(store.path(name)).st_mtime_ns} if store.is_local else {}
    return {"bytes": store.size(name), "sha256": digest, **times}


def published_facts(store: Store, name: str, mark: Mark | None) -> Facts | None:
    """What a mark says of a file that is there as it was published; None for any other."""
    return None if mark is None else _as_it_is(store, name, mark)


def foreign(store: Store, mark: Mark) -> list[str]:
    """Files outside `work/` that are not ours, or not any more as they were published."""
    ours = {MARK_FILE, REMOVALS_FILE, DECISIONS_FILE}
    names = [entry.name for entry in store.files() if not entry.name.startswith("work/") and entry.name not in ours]
    return [name for name in names if _is_in_the_way(store, name, mark)]


def _is_in_the_way(store: Store, name: str, mark: Mark, *, sample: bool = False) -> bool:
    """Whether there is something of that name that was not published by us as it is."""
    return bool(store.exists(name)) and _as_it_is(store, name, mark, sample=sample) is None


def _as_it_is(store: Store, name: str, mark: Mark, *, sample: bool = False) -> Facts | None:
    """Those facts of a file in a mark that still hold; None if there are none."""
    known = [listed[name] for listed in (mark.files, mark.next) if name in listed]
    if not known or not store.is_file(name):
        return None
    size = store.size(name)
    alike = [facts for facts in known if facts["bytes"] == size]
    if store.is_local:
        written = os.stat(store.path(name)).st_mtime_ns
        if same := [facts for facts in alike if facts.get("mtime_ns") == written]:
            return same[0]
    if name != RUN_FILE and (not alike or (size > SAMPLE_BYTES and (sample or not store.is_local))):
        return alike[0] if alike else None
    found = facts_of(store, name)
    if name == RUN_FILE and _run_record(store):
        return found
    return found if found["sha256"] in [facts["sha256"] for facts in alike] else None


def refuse(store: Store, names: Collection[str]) -> None:
    """Raise ConfigError, which names the fix, if there are files that are not as they were published."""
    if names:
        fix = "rename it to keep it, or delete it; then run again"
        raise ConfigError(f"output: {store.root}: not as speechmill wrote it: {shortened(names)}; {fix}")


def _of_empty(store: Store) -> Mark:
    """The mark of a folder in which nothing is. Raises ConfigError for any other."""
    others = _others(store)
    if set(others) <= {REMOVALS_FILE, MARK_FILE} and _is_removals(store):
        return Mark()
    fix = "give a new or an empty folder with --output"
    if "work" in others and _is_begun(store):
        fix = "if this is an unfinished corpus of an older speechmill, move all but work elsewhere and run again; else "
        fix += "give a new folder"
    raise ConfigError(f"output: {store.root} is no corpus and not empty, it has {shortened(others)}; {fix}")


def _others(store: Store) -> list[str]:
    """What is at the top of a folder, but for what systems leave there and for a mark whose making was cut short."""
    names = (name for name in store.entries() if name not in UNHEEDED)
    return [name for name in names if not (name.startswith(f".{MARK_FILE}.") and UNFINISHED.fullmatch(name))]


def _is_beginning(raw: bytes) -> bool:
    """Whether this is the beginning of a mark, as a disk may keep of it when the power goes."""
    whole = json.dumps({"format": FORMAT}, indent=2).encode()[:-2]
    return whole.startswith(raw) or (raw.startswith(whole) and len(raw) < SAMPLE_BYTES)


def _of_older(store: Store) -> Mark | None:
    """The mark for a corpus of a version that made none; None for anything else.

    A finished one is known by its run.json, whose files are there as it says; one that was begun has only `work/`.
    """
    if not store.exists(RUN_FILE):
        return Mark() if set(_others(store)) <= {"work", REMOVALS_FILE} and _is_begun(store) else None
    try:
        run = _run_record(store)
        if run is None:
            return None
        listed = _listed(run["files"])
        tables = [name for name in listed if not name.startswith("data/")]
        is_ours = {"ledger.parquet", "recordings.parquet"} <= listed.keys() and all(
            name in FIXED or _SHARD.fullmatch(name) for name in listed
        )
        whole = is_ours and all(_as_it_is(store, name, Mark(listed), sample=True) for name in tables)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OutsideError):
        return None
    return Mark(listed | {name: facts_of(store, name) for name in _pages(store)}) if whole else None


def _run_record(store: Store) -> dict[str, Any] | None:
    """The record of a run in run.json, also where somebody changed a value of it; None for anything else."""
    try:
        run = store.read_json(RUN_FILE)
        return run if run is not None and {"config", "profiles", "fingerprint", "files"} <= run.keys() else None
    except (ValueError, AttributeError, RecursionError):
        return None


def _pages(store: Store) -> list[str]:
    """Files that an older run.json does not list, as far as they say that they are a corpus's."""
    signs = {"README.md": b"- speechmill\n", "report.html": b"speechmill report", "stats.json": b'"sampling_rate"'}
    found = [RUN_FILE]
    for name, sign in signs.items():
        if store.exists(name):
            with store.open(name) as file:
                found += [name] if sign in file.read(SAMPLE_BYTES) else []
    return found


def _is_begun(store: Store) -> bool:
    """Whether `work/` is that of a run: its config is there."""
    try:
        config = store.read_json("work/config.json")
        return config is not None and {"inputs", "output", "segment", "thresholds"} <= config.keys()
    except (ValueError, AttributeError, RecursionError):
        return False


def _is_removals(store: Store) -> bool:
    """Whether `removed.json` is not there, or a list that speechmill made."""
    try:
        told = store.read_json(REMOVALS_FILE)
        return told is None or all({"kind", "value", "when"} <= one.keys() for one in told["removed"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def _listed(told: Any) -> dict[str, Facts]:
    """Names and facts of files. Raises ValueError, or others of its kind, for anything else."""
    for name, facts in told.items():
        check_name(name)
        if name.startswith("work/") or name == MARK_FILE or not _DIGEST.fullmatch(facts["sha256"]):
            raise ValueError(f"{name}: cannot be a published file")
        if not isinstance(facts["bytes"], int):
            raise TypeError(f"{name}: bytes are no number")
    return dict(told)


def shortened(names: Collection[str]) -> str:
    """The first of some names, for a line, and how many more there are."""
    shown = [name if name.isprintable() else repr(name) for name in list(names)[:NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
