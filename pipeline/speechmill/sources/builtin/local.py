"""Lists local recordings: a file, a folder, a glob, a manifest of files and URLs, or the index of a known corpus.

The path below the input is the identity, so that a corpus can move to another disk and still be resumed. Files that
are no recordings are listed too, with the reason why they are left out.
"""

import glob
import os
import stat
from collections.abc import Iterator

from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.known_corpora import Row, layout_of
from speechmill.core.manifest import is_manifest
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError, Status
from speechmill.core.store import Store
from speechmill.sources import Listed, failed, left_out, plain_text, rest_of
from speechmill.sources.files.beside import has_media_suffix, shelf_of, start_anew
from speechmill.sources.files.folder import Found, fault_in, fault_of, walk
from speechmill.sources.files.indexes import Indexes
from speechmill.sources.files.manifest import Manifest
from speechmill.sources.files.places import is_pattern, matches, place_of, roots, split
from speechmill.sources.files.probe import NOTHING
from speechmill.sources.files.recording import Licence, leads_outside, recording_of


def check(source: Input) -> None:
    """Raise ConfigError if nothing is at a local address."""
    place = place_of(source.address)
    if os.path.lexists(place):
        return
    shown = plain_text(rest_of(source.address, "local"))
    if not glob.has_magic(place):
        fix = "give a file, a folder, a glob, a JSONL manifest or a feed's URL"
        raise ConfigError(f"inputs: no such file or folder: {shown}; {fix}")
    if not matches(place):
        raise ConfigError(f"inputs: no file matches {shown}; give another pattern or a folder")


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:  # noqa: ARG001
    """List the recordings of a local address, sorted, and the files that are left out.

    Raises ConfigError if nothing is there, and RejectedError, at the end, if there was no recording.
    """
    check(source)
    start_anew()
    default = (source.licence, "inputs.licence") if source.licence else (config.licences.local, "licences.local")
    place, input_roots = place_of(source.address), roots((*config.inputs, source))
    layout = layout_of(place)
    if layout or (os.path.isfile(place) and is_manifest(place)):
        return _some(Manifest(place, source, config, default, input_roots, layout).listed(), place)
    if is_pattern(place):
        top, entries = split(place)[0] or ".", _matching(place, input_roots, config.output)
    elif os.path.isdir(place):
        top, entries = place, walk(place, input_roots, config.output)
    else:
        return iter([_alone(place, default, input_roots)])
    return _some(_all(entries, top, default, input_roots), place)


def may_be_read(path: str, inputs: tuple[Input, ...]) -> bool:
    """Whether a file beside a recording is no link, or a link into its own folder or one of the inputs."""
    return not leads_outside(path, roots(inputs) if os.path.islink(path) else ())


def _all(entries: Iterator[Found], top: str, default: Licence, input_roots: tuple[str, ...]) -> Iterator[Listed]:
    """List the files of a folder or pattern, with the fields from indexes of known corpora."""
    corpus_indexes = Indexes(top, input_roots)
    for entry in entries:
        if entry.path != top:
            yield from corpus_indexes.enter(os.path.dirname(entry.path) or ".")
        if not corpus_indexes.is_used(entry.path):
            yield _listed(entry, top, default, input_roots, corpus_indexes.row_of(entry.path))
    yield from corpus_indexes.missing()


def _listed(
    entry: Found, top: str, default: Licence, input_roots: tuple[str, ...], stated: tuple[Row, str] | None
) -> Listed:
    below = os.path.relpath(entry.path, top)
    if entry.fault is None:
        row, index = stated or ({}, "")
        return recording_of(entry.path, below, entry.beside, roots=input_roots, default=default, line=row, where=index)
    return left_out("local", below, reason=entry.fault.reason, detail=entry.fault.detail, size=_size(entry.path))


def _size(path: str) -> int | None:
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


def _some(listed: Iterator[Listed], place: str) -> Iterator[Listed]:
    """Pass on the rows. Raises RejectedError at the end if none was a recording."""
    counts = {True: 0, False: 0}
    for row in listed:
        counts[row.recording.status is Status.LEFT_OUT] += 1
        yield row
    if not counts[False]:
        others = f"; what is there was left out ({counts[True]} rows)" if counts[True] else ""
        raise RejectedError(Reason.EMPTY, f"no recordings in {plain_text(place)}{others}")


def _matching(pattern: str, input_roots: tuple[str, ...], output: str) -> Iterator[Found]:
    """Expand a pattern: files with those beside them, and folders with all their files."""
    listed_paths: set[str] = set()
    for path in matches(pattern):
        fault = fault_of(path, input_roots)
        entries = (
            walk(path, input_roots, output) if fault is None and os.path.isdir(path) else [_single_file(path, fault)]
        )
        for entry in entries:
            if entry.path not in listed_paths:
                listed_paths.add(entry.path)
                yield entry


def _single_file(path: str, fault: RejectedError | None) -> Found:
    if fault is None and not (has_media_suffix(path) and os.path.isfile(path)):
        fault = fault_in(path)
    return Found(path, tuple(shelf_of(path).of(os.path.basename(path))), fault)


def _alone(path: str, default: Licence, input_roots: tuple[str, ...]) -> Listed:
    """List a file that is named itself: as a recording, unless it is known to be something else."""
    fault = None if has_media_suffix(path) and os.path.isfile(path) else fault_in(path)
    name = os.path.basename(path)
    if fault is None or fault.reason is Reason.EMPTY or fault.detail == NOTHING:
        return recording_of(path, name, shelf_of(path).of(name), roots=input_roots, default=default)
    return failed("local", name, reason=fault.reason, detail=fault.detail)
