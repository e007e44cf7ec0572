"""Writes one part of an export: the clips of one shard, in all formats, reading and encoding their audio once.

Audio and tar files appear at their places; lines wait in the staging folder until all parts are there. A part is
written when its record is: until then it is written again, to the same bytes.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from speechmill.core.config_errors import ConfigError
from speechmill.core.store import Store
from speechmill.export import folder
from speechmill.export.base import Audio, Clip, Content, Exporter, Reference
from speechmill.export.encoding import Sound
from speechmill.export.planning import FormatPlan, Plan, count, empty_plan
from speechmill.export.reading import (
    AUDIO_COLUMN,
    AUDIO_FOLDER,
    Job,
    Verdict,
    audio_file,
    open_shard,
    read_group,
    verdicts,
)
from speechmill.export.references import COLUMN, TakenClips
from speechmill.export.sanitise import one_line
from speechmill.export.tars import TarWriter, tar_file

GENERAL = "export"  # in place of a format: lists of the export itself
LICENCES_FILE, LEFT_OUT_FILE = "LICENCES.csv", "LEFT_OUT.csv"
LICENCE_COLUMNS = ("clip_id", "recording_id", "licence", "licence_url", "title", "author", "source_url")
CARD_FILE = "README.md"
RESERVED = (folder.MARK_FILE, folder.SUMS_FILE, folder.STAGING, LICENCES_FILE, LEFT_OUT_FILE, CARD_FILE, AUDIO_FOLDER)

Record = dict[str, Any]


def staged(part: int, writer: str = "", file: str = "") -> str:
    """Name, in the staging folder, of the record of a part, or of its lines for a file of a format."""
    return f"{folder.STAGING}/{part:05}/{writer}/{file}" if writer else f"{folder.STAGING}/{part:05}.json"


def write_part(job: Job, part: int, planned: Plan, first_numbers: dict[str, int]) -> Record:
    """Write the clips of a shard; returns, and stores, the record of the part.

    Args:
        job: The export.
        part: Number of the shard.
        planned: Counts that it must have.
        first_numbers: By format, number within the split of its first file of the part.

    Raises:
        ConfigError: The shard is damaged, or it gives other clips than planned.
    """
    plan = empty_plan(job)
    with ExitStack() as stack:
        writer = PartWriter(job, part, stack, first_numbers)
        if planned.clips or any(counts.left_out for counts in planned.formats.values()):
            with job.corpus.open(job.shards[part]) as raw:
                file = open_shard(raw, job.shards[part])
                for number, group in verdicts(job, part, file):
                    flacs = _flacs(file, number) if any(verdict.clips for verdict in group) else None
                    for verdict in group:
                        count(plan, verdict, job)
                        writer.write(verdict, flacs)
            _compare(plan, planned, job)
    record = writer.finish(plan)
    if job.output.is_local and writer.has_small_files:
        os.sync()  # before the record says that all is written; of all disks, so that it costs what others write too
    job.output.write_json(staged(part), record)
    return record


def _flacs(file: Any, number: int) -> Any:
    """FLAC of each clip of a row group, as an Arrow array."""
    column = read_group(file, number, [f"{AUDIO_COLUMN}.bytes"])[AUDIO_COLUMN]
    chunk = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies
    return chunk.field("bytes")


def _compare(plan: Plan, planned: Plan, job: Job) -> None:
    """Raise ConfigError if the second reading of a shard gave other clips than the first."""
    stored, expected = ([(name, p.formats[name].clips) for name in p.formats] for p in (plan, planned))
    if stored != expected:
        cause = "its condition depends on chance, or the corpus has changed meanwhile"
        raise ConfigError(f"{job.corpus.root}: --where selects other clips each time: {cause}; run again without it")


class PartWriter:
    """Writes the clips of one part, and is the `Part` that exporters see through `_View`."""

    def __init__(self, job: Job, part: int, stack: ExitStack, first_numbers: dict[str, int]) -> None:
        self._job, self.number, self._exporters = job, part, job.exporters
        self._views = {e.name: _View(self, e, job, first_numbers.get(e.name, 0), stack) for e in self._exporters}
        self.lines: dict[tuple[str, str], list[str]] = {}
        self._taken = TakenClips(job.taken) if job.taken else None
        self.bytes = self.audio_files = 0
        self.has_small_files = False
        self.licences: dict[str, tuple[int, float]] = {}
        self._owners: dict[str, str] = {}

    def write(self, verdict: Verdict, flacs: Any) -> None:
        """Write a clip in all formats that take it."""
        for name, reason in verdict.reasons.items():
            self.line(GENERAL, LEFT_OUT_FILE, csv_line((verdict.row["clip_id"], name, reason)))
        if not verdict.clips:
            return
        row = verdict.row
        sound = Sound(memoryview(flacs[verdict.number].as_buffer() or b""), row["sampling_rate"])
        self.line(GENERAL, LICENCES_FILE, csv_line(row.get(name) for name in LICENCE_COLUMNS))
        licence = one_line(row.get("licence") or "unknown")
        clips, seconds = self.licences.get(licence, (0, 0.0))
        self.licences[licence] = clips + 1, seconds + verdict.seconds
        try:
            shared: set[str] = set()
            for exporter in self._exporters:
                clip = verdict.clips.get(exporter.name)
                if clip is None:
                    continue
                if exporter.references:
                    clip = replace(clip, references=self._references(exporter, clip))
                if clip.audio_file and clip.audio_file not in shared:
                    shared.add(clip.audio_file)
                    self.audio_files += 1
                    self.small_file(clip.audio_file, sound.encoded(self._job.audio[exporter.name]))
                self._views[exporter.name].add(clip, sound)
        except ValueError as error:
            shard = self._job.shards[self.number]
            raise ConfigError(f"{shard}: {row['clip_id']}: {error}; see `speechmill verify`") from None

    def _references(self, exporter: Exporter, clip: Clip) -> tuple[Reference, ...]:
        """Conditioning clips of a clip that the format takes too, in its split."""
        wanted = clip.row.get(COLUMN)
        if not wanted or self._taken is None:
            return ()
        kind = self._job.audio[exporter.name].kind
        return tuple(
            Reference(
                id=other.id,
                seconds=other.seconds,
                text=exporter.clean(other.text),
                audio_file=audio_file(other.id, kind) if exporter.shares_audio else "",
            )
            for other in self._taken.find(wanted)
            if other.split == clip.split and f" {exporter.name} " in other.formats
        )

    def line(self, writer: str, file: str, line: str) -> None:
        """Add a line to a file of a format."""
        if "\n" in line or "\r" in line:
            raise ConfigError(f"--to {writer}: wrote a line break into {file}; its exporter is wrong")
        self.own(writer, file)
        self.lines.setdefault((writer, file), []).append(line)

    def own(self, writer: str, file: str) -> None:
        """Note whose a file is. Raises ConfigError if another format writes it too."""
        if writer != GENERAL and file.partition("/")[0] in RESERVED:
            raise ConfigError(f"--to {writer}: writes {file}, a name of the export itself; its exporter is wrong")
        if (other := self._owners.setdefault(file, writer)) != writer:
            raise ConfigError(f"--to {other} --to {writer}: both write {file}; export them into two folders")

    def small_file(self, name: str, content: Content) -> None:
        """Write a file in one piece, and list it."""
        self.has_small_files = True
        self._put(name, content)
        self.listed(f"{hashlib.sha256(content).hexdigest()}  {name}", len(content))

    def _put(self, name: str, content: Content) -> None:
        """Write a file without waiting until it is on the disk, which `write_part` does for all of them at once."""
        output = self._job.output
        if not output.is_local:
            output.fs.pipe_file(output.path(name), content)
            return
        path, unfinished = output.path(name), output.path(staged(self.number, str(os.getpid()), "unfinished"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.makedirs(os.path.dirname(unfinished), exist_ok=True)
        with open(unfinished, "wb") as file:
            file.write(content)
        os.replace(unfinished, path)  # a process of a killed export may be at the same file

    def listed(self, sums_line: str, size: int) -> None:
        """Add a finished file to the list of all files."""
        self.line(GENERAL, folder.SUMS_FILE, sums_line)
        self.bytes += size

    def finish(self, plan: Plan) -> Record:
        """Store the lines; returns the record of the part."""
        ends = {exporter.name: exporter.sorted_files for exporter in self._exporters}
        for (writer, file), lines in self.lines.items():
            if ends.get(writer) and file.endswith(ends[writer]):
                lines.sort(key=str.encode)
            self._job.output.write_text(staged(self.number, writer, file), "".join(f"{line}\n" for line in lines))
        counts = {name: _counts(plan.formats[name], view) for name, view in self._views.items()}
        return {
            "clips": plan.clips,
            "bytes": self.bytes,
            "audio_files": self.audio_files,
            "licences": self.licences,
            "formats": counts,
            "files": sorted([writer, file] for writer, file in self.lines),
            "tars": sorted([name, tar] for name, view in self._views.items() for tar in view.tars),
        }


def _counts(plan: FormatPlan, view: "_View") -> Record:
    return {"clips": plan.clips, "ids": view.ids}


class _View:
    """A part as one exporter sees it; see `Part`."""

    def __init__(self, writer: PartWriter, exporter: Exporter, job: Job, first_number: int, stack: ExitStack) -> None:
        self._writer, self._exporter, self._output = writer, exporter, job.output
        self._first, self._clips = first_number, 0
        self._closing = stack.enter_context(ExitStack())
        self._open: dict[str, TarWriter] = {}
        self._sound: Sound | None = None
        self.audio: Audio = job.audio[exporter.name]
        self.root = root_of(job.output)
        self.number = writer.number
        self.file_number = first_number
        self.tars: list[str] = []
        self.ids = 0

    def add(self, clip: Clip, sound: Sound) -> None:
        """Have the exporter write a clip."""
        self._sound = sound
        number = self._first + self._clips // (self._exporter.clips_per_file or self._clips + 1)
        if number != self.file_number:
            self._closing.close()
            self._open.clear()
        self.file_number = number
        self._clips += 1
        self.ids = sum_of_ids(self.ids, clip.id)
        self._exporter.add(clip, self)

    def line(self, file: str, line: str) -> None:
        """See `Part`."""
        self._writer.line(self._exporter.name, file, line)

    def file(self, name: str, content: Content) -> None:
        """See `Part`."""
        self._writer.own(self._exporter.name, name)
        self._writer.small_file(name, content)

    def sound(self, clip: Clip) -> Content:
        """See `Part`."""
        assert self._sound is not None
        return self._sound.encoded(self.audio)

    def member(self, tar: str, name: str, content: Content) -> None:
        """See `Part`."""
        if tar not in self._open:
            self._writer.own(self._exporter.name, tar)
            self._open[tar] = self._closing.enter_context(self._new_tar(tar))
            self.tars.append(tar)
        self._open[tar].add(name, content)

    @contextmanager
    def _new_tar(self, name: str) -> Iterator[TarWriter]:
        with tar_file(self._output, name) as (tar, file):
            yield tar
        self._writer.listed(file.sums_line(name), file.tell())


def root_of(output: Store) -> str:
    """Absolute path of an export, or its URL."""
    return (output.path("") if output.is_local else output.root).rstrip("/")


def sum_of_ids(total: int, clip_id: str) -> int:
    """Add a clip to a sum that is the same for the same clips in any order."""
    return (total + int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8])) % 2**64


def csv_line(values: Iterable[Any]) -> str:
    """A line of CSV, without the line end.

    >>> csv_line(["a", None, 'He said "no", twice'])
    'a,,"He said ""no"", twice"'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(one_line(str(value)) if value is not None else "" for value in values)
    return text.getvalue()
