"""Joins the parts of an export into its files, adds lists and card, and verifies the result."""

import heapq
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import IO

from speechmill.core.store import Store
from speechmill.export import folder, tars
from speechmill.export.base import Exporter, Readable
from speechmill.export.reading import AUDIO_FOLDER, Job
from speechmill.export.writing import (
    CARD_FILE,
    GENERAL,
    LEFT_OUT_FILE,
    LICENCE_COLUMNS,
    LICENCES_FILE,
    Record,
    csv_line,
    root_of,
    staged,
    sum_of_ids,
)

MERGED = 200  # sorted files that are merged at a time, and so are open
HEADERS = {LICENCES_FILE: csv_line(LICENCE_COLUMNS), LEFT_OUT_FILE: csv_line(("clip_id", "format", "reason"))}


class ExportError(Exception):
    """A written export is not what it should be. The message has the format and what is wrong."""


class WrittenFormat:
    """The files of one format; see `Exported`."""

    def __init__(self, output: Store, exporter: Exporter, names: list[str]) -> None:
        self._output, self._exporter, self._names = output, exporter, names
        self.root = root_of(output)
        self.sums: list[str] = []

    def names(self, prefix: str = "") -> list[str]:
        """See `Exported`."""
        return sorted(name for name in self._names if name.startswith(prefix))

    def walk(self, folder: str) -> Iterator[str]:
        """See `Exported`."""
        return (entry.name for entry in self._output.files(folder))

    def lines(self, file: str) -> Iterator[str]:
        """See `Exported`."""
        with self._output.open(file) as opened:
            yield from (line.rstrip("\n") for line in io.TextIOWrapper(opened, "utf-8", newline="\n"))

    def members(self, tar: str) -> Iterator[tuple[str, Readable]]:
        """See `Exported`."""
        with self._output.open(tar) as opened:
            yield from tars.members(opened)

    def create(self, file: str) -> AbstractContextManager[IO[bytes]]:
        """See `Exported`."""
        return self._create(file)

    @contextmanager
    def _create(self, file: str) -> Iterator[IO[bytes]]:
        with self._output.create(file) as opened:
            yield opened
        self._names.append(file)
        self.sums.append(f"{folder.digest(self._output, file)}  {file}")


def finish(job: Job, records: list[Record], card: str) -> dict[str, WrittenFormat]:
    """Join the lines of all parts into files, and add card and sums; returns the files of each format."""
    sums: list[str] = []
    written = {}
    for exporter in job.exporters:
        files = sorted({file for record in records for writer, file in record["files"] if writer == exporter.name})
        tars = {tar for record in records for name, tar in record["tars"] if name == exporter.name}
        sums += [_join(job, records, exporter, file) for file in files]
        written[exporter.name] = WrittenFormat(job.output, exporter, sorted({*files, *tars}))
        exporter.finish(written[exporter.name])
        sums += written[exporter.name].sums
    for file, header in HEADERS.items():
        sums.append(_write(job.output, file, [header], _staged_files(records, GENERAL, file)))
    sums.append(_write(job.output, CARD_FILE, card.rstrip("\n").split("\n"), []))
    _write(job.output, folder.SUMS_FILE, sums, _staged_files(records, GENERAL, folder.SUMS_FILE))
    return written


def _staged_files(records: list[Record], writer: str, file: str) -> list[str]:
    """Names of the staged lines for a file, in the order of the parts."""
    return [staged(part, writer, file) for part, record in enumerate(records) if [writer, file] in record["files"]]


def _join(job: Job, records: list[Record], exporter: Exporter, file: str) -> str:
    """Write a file of a format; returns its line in the sums."""
    names = _staged_files(records, exporter.name, file)
    header = exporter.header(file)
    first = [] if header is None else [header]
    if exporter.sorted_files and file.endswith(exporter.sorted_files):
        return _write_merged(job.output, file, first, names)
    return _write(job.output, file, first, names)


def _write(output: Store, file: str, first: list[str], names: list[str]) -> str:
    """Write lines, and after them the contents of staged files."""
    with folder.hashed(output, file) as target:
        for line in first:
            target.write(f"{line}\n".encode())
        for name in names:
            with output.open(name) as source:
                while block := source.read(1 << 20):
                    target.write(block)
    return target.sums_line(file)


def _write_merged(output: Store, file: str, first: list[str], names: list[str]) -> str:
    """Write lines, and after them the sorted lines of sorted staged files."""
    level = 0
    while len(names) > MERGED:
        groups = [names[at : at + MERGED] for at in range(0, len(names), MERGED)]
        names = [staged(at, f"merged-{level}", file) for at in range(len(groups))]
        for name, group in zip(names, groups, strict=True):
            _write_merged(output, name, [], group)
        level += 1
    with ExitStack() as stack, folder.hashed(output, file) as target:
        sources = [stack.enter_context(output.open(name)) for name in names]
        for line in first:
            target.write(f"{line}\n".encode())
        for content in heapq.merge(*sources):
            target.write(content)
    return target.sums_line(file)


def verify(job: Job, records: list[Record], written: dict[str, WrittenFormat]) -> None:
    """Compare an export with what was to be written. Raises ExportError where a reader would miss a clip."""
    for exporter in job.exporters:
        clips = sum(record["formats"][exporter.name]["clips"] for record in records)
        expected = sum(record["formats"][exporter.name]["ids"] for record in records) % 2**64
        if (clip_ids := exporter.read_back(written[exporter.name])) is None:
            continue
        try:
            count = total = 0
            for clip_id in clip_ids:
                count, total = count + 1, sum_of_ids(total, clip_id)
        except ValueError as error:
            raise ExportError(f"{exporter.name}: cannot be read back: {error}") from None
        if (count, total) != (clips, expected):
            raise ExportError(f"{exporter.name}: {count} clips can be read back, {clips} were written")
    files = sum(1 for _ in job.output.files(AUDIO_FOLDER))
    expected_files = sum(record["audio_files"] for record in records)
    if files != expected_files:
        raise ExportError(f"{AUDIO_FOLDER}/ has {files} files, {expected_files} were written")


def remove_staging(output: Store) -> None:
    """Delete what was needed until the export was finished."""
    every = output.files() if output.is_local else output.files(folder.STAGING)
    names = [entry.name for entry in every if folder.STAGED.fullmatch(entry.name)]
    for name in names:
        output.remove(name)
    folder.remove_folders(output, {name.rpartition("/")[0] for name in names})
