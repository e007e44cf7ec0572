"""Lists local recordings: a file, a folder, a glob, a manifest of files and URLs, or the index of a known corpus.

The path below the input is the identity, so that a corpus can move to another disk and still be resumed. Whatever an
input holds is listed: what is no recording with the reason why it is left out.
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
from speechmill.sources._beside import has_media_suffix, shelf_of, start_anew
from speechmill.sources._file import Licence, leads_outside, recording_of
from speechmill.sources._folder import Found, fault_in, fault_of, walk
from speechmill.sources._indexes import Indexes
from speechmill.sources._manifest import Manifest
from speechmill.sources._places import is_pattern, matches, place_of, roots, split
from speechmill.sources._probe import NOTHING


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
    """List the recordings of a local address, sorted, and what lies between them.

    Raises ConfigError if nothing is there, and RejectedError, at the end, if there was no recording.
    """
    check(source)
    start_anew()
    default = (source.licence, "inputs.licence") if source.licence else (config.licences.local, "licences.local")
    place, named = place_of(source.address), roots((*config.inputs, source))
    layout = layout_of(place)
    if layout or (os.path.isfile(place) and is_manifest(place)):
        return _some(Manifest(place, source, config, default, named, layout).listed(), place)
    if is_pattern(place):
        top, found = split(place)[0] or ".", _matching(place, named, config.output)
    elif os.path.isdir(place):
        top, found = place, walk(place, named, config.output)
    else:
        return iter([_alone(place, default, named)])
    return _some(_all(found, top, default, named), place)


def may_be_read(path: str, inputs: tuple[Input, ...]) -> bool:
    """Whether a file beside a recording is no link, or one that leads into its own folder or one of the inputs."""
    return not leads_outside(path, roots(inputs) if os.path.islink(path) else ())


def _all(found: Iterator[Found], top: str, default: Licence, named: tuple[str, ...]) -> Iterator[Listed]:
    """List what was found, with what the indexes of known corpora say of it."""
    known = Indexes(top, named)
    for one in found:
        if one.path != top:
            yield from known.enter(os.path.dirname(one.path) or ".")
        if not known.is_used(one.path):
            yield _listed(one, top, default, named, known.row_of(one.path))
    yield from known.missing()


def _listed(found: Found, top: str, default: Licence, named: tuple[str, ...], stated: tuple[Row, str] | None) -> Listed:
    below = os.path.relpath(found.path, top)
    if found.fault is None:
        row, index = stated or ({}, "")
        return recording_of(found.path, below, found.beside, roots=named, default=default, told=row, where=index)
    return left_out("local", below, reason=found.fault.reason, detail=found.fault.detail, size=_size(found.path))


def _size(path: str) -> int | None:
    try:
        facts = os.lstat(path)
    except OSError:
        return None
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


def _some(listed: Iterator[Listed], place: str) -> Iterator[Listed]:
    """Pass on what is listed; an input without a recording is told as one that cannot be read."""
    counts = {True: 0, False: 0}
    for one in listed:
        counts[one.recording.status is Status.LEFT_OUT] += 1
        yield one
    if not counts[False]:
        others = f"; what is there was left out ({counts[True]} rows)" if counts[True] else ""
        raise RejectedError(Reason.EMPTY, f"no recordings in {plain_text(place)}{others}")


def _matching(pattern: str, named: tuple[str, ...], output: str) -> Iterator[Found]:
    """What a pattern means: files as a folder would have them, and folders with all that is in them."""
    seen: set[str] = set()
    for path in matches(pattern):
        fault = fault_of(path, named)
        inside = walk(path, named, output) if fault is None and os.path.isdir(path) else [_one(path, fault)]
        for found in inside:
            if found.path not in seen:
                seen.add(found.path)
                yield found


def _one(path: str, fault: RejectedError | None) -> Found:
    if fault is None and not (has_media_suffix(path) and os.path.isfile(path)):
        fault = fault_in(path)
    return Found(path, tuple(shelf_of(path).of(os.path.basename(path))), fault)


def _alone(path: str, default: Licence, named: tuple[str, ...]) -> Listed:
    """A file that is named itself: taken, unless it is known to be something else."""
    fault = None if has_media_suffix(path) and os.path.isfile(path) else fault_in(path)
    name = os.path.basename(path)
    if fault is None or fault.reason is Reason.EMPTY or fault.detail == NOTHING:
        return recording_of(path, name, shelf_of(path).of(name), roots=named, default=default)
    return failed("local", name, reason=fault.reason, detail=fault.detail)
