"""Clips of one shard of a corpus, row group by row group: which the options select, and which format takes which."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from speechmill.core.config_errors import ConfigError
from speechmill.core.store import Store
from speechmill.export.base import NO_TEXT, Audio, Clip, Exporter
from speechmill.export.options import Options
from speechmill.export.references import COLUMN
from speechmill.export.registry import find
from speechmill.export.sanitise import check_id

AUDIO_FOLDER = "wavs"
AUDIO_COLUMN = "audio"
BASE = (
    "clip_id", "recording_id", "sampling_rate", "start", "end", "text", "text_normalized", "speaker_id", "language",
    "bandwidth_hz", "title", "author", "source_url", "licence", "licence_url",
)  # fmt: skip
BUCKETS = 2**20  # by hash of the clip id, for --hours: a bucket has one clip of a million

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every process needs to know of an export. Small and picklable."""

    corpus: Store
    output: Store
    options: Options
    shards: tuple[str, ...]
    """Names of the files of `data/`; the number of a part is the place of its shard."""
    audio: dict[str, Audio]
    """Of each format, by its name."""
    taken: str | None = None
    """Path of the file of `TakenClips`, if a format writes references."""
    buckets: int = BUCKETS
    """Clips of buckets from this one on are left out because of `--hours`."""

    @property
    def exporters(self) -> tuple[Exporter, ...]:
        """The formats."""
        return find(tuple(self.audio))

    def split(self, part: int) -> str:
        """Split of the clips of a shard."""
        return self.shards[part].removeprefix("data/").partition("-")[0]


@dataclass(slots=True)
class Verdict:
    """What becomes of a clip."""

    number: int
    """Row within its row group."""
    row: Row
    option: str | None = None
    """Option that does not select it."""
    clips: dict[str, Clip] = field(default_factory=dict)
    """The clip as formats see it that take it, by their names."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why other formats leave it out."""
    changed: list[str] = field(default_factory=list)
    """Formats that it has another text in."""

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return seconds_of(self.row)


def seconds_of(row: Row) -> float:
    """Length of a clip."""
    return float((row["end"] - row["start"]) / row["sampling_rate"])


def audio_file(clip_id: str, kind: str) -> str:
    """Name of the shared audio file of a clip."""
    return f"{AUDIO_FOLDER}/{clip_id}.{kind}"


def raw_text(row: Row, options: Options) -> str:
    """Text of a clip as the options say, before a format cleans it."""
    return row.get(options.text or "text") or ""


def bucket_of(clip_id: str) -> int:
    """Bucket of a clip, in [0, BUCKETS): those of ten hours are among those of a hundred hours.

    >>> 0 <= bucket_of("6f1c") < BUCKETS
    True
    """
    return int(hashlib.sha256(clip_id.encode()).hexdigest()[:5], 16)


def open_shard(raw: IO[bytes], name: str) -> pq.ParquetFile:
    """Open a shard. Raises ConfigError for a file that is no Parquet, or without the columns of a corpus."""
    try:
        file = pq.ParquetFile(raw, pre_buffer=False)  # a buffer would grow to the whole file
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{name}: {error}; see `speechmill verify`") from None
    if missing := {"clip_id", "recording_id", "sampling_rate", "start", "end", AUDIO_COLUMN} - {
        *file.schema_arrow.names
    }:
        raise ConfigError(f"{name}: has no {', '.join(sorted(missing))}; see `speechmill verify`")
    return file


def read_group(file: pq.ParquetFile, number: int, columns: list[str]) -> pa.Table:
    """Read columns of a row group. Raises ConfigError for damaged data."""
    try:
        return file.read_row_group(number, columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"a shard of the corpus cannot be read ({error}); see `speechmill verify`") from None


def verdicts(job: Job, part: int, file: pq.ParquetFile) -> Iterator[tuple[int, list[Verdict]]]:
    """What becomes of each clip of a shard: for each row group its number and a verdict for each row."""
    names = _columns(job, file.schema_arrow.names)
    judge = Judge(job, job.split(part))
    for number in range(file.num_row_groups):
        table = read_group(file, number, names)
        selected = _where(table, job.options.where)
        rows = table.to_pylist()
        yield number, [judge(at, row, is_selected=selected is None or at in selected) for at, row in enumerate(rows)]


def _columns(job: Job, names: list[str]) -> list[str]:
    """Columns to read."""
    every = {*names} - {AUDIO_COLUMN}
    wanted = every if job.options.where else {*BASE}
    for exporter in job.exporters:
        wanted |= every - {*exporter.unread} if exporter.columns is None else {*exporter.columns}
        wanted |= {COLUMN} if exporter.references else set()
    return [name for name in names if name in wanted]


def _where(table: pa.Table, condition: str | None) -> set[int] | None:
    """Numbers of the rows that meet an SQL condition; None without one. Raises ConfigError for one that is wrong."""
    if condition is None:
        return None
    try:
        import duckdb
    except ImportError:
        raise ConfigError("--where needs DuckDB: pip install 'speechmill[sql]'") from None
    numbered = table.append_column("_number", pa.array(range(len(table)), pa.int64()))
    safe = {"enable_external_access": "false", "threads": "1"}
    with duckdb.connect(":memory:", config=safe) as connection:
        try:
            rows = connection.from_arrow(numbered).filter(condition).project("_number").fetchall()
        except duckdb.Error as error:
            first = str(error).splitlines()[0]
            raise ConfigError(f"--where {condition}: {first}; see the columns in docs/data-model.md") from None
    return {number for (number,) in rows}


class Judge:
    """Decides what becomes of the clips of a split."""

    def __init__(self, job: Job, split: str) -> None:
        self._job, self._split, self._options, self._exporters = job, split, job.options, job.exporters

    def __call__(self, number: int, row: Row, *, is_selected: bool) -> Verdict:
        """Verdict on row `number`; `is_selected`: it meets the condition of `--where`."""
        check_id(row["clip_id"])
        verdict = Verdict(number, row, self._option(row, is_selected=is_selected))
        if verdict.option is None:
            for exporter in self._exporters:
                self._ask(exporter, verdict)
            if self._job.buckets < BUCKETS and verdict.clips and bucket_of(row["clip_id"]) >= self._job.buckets:
                verdict.option, verdict.clips, verdict.reasons, verdict.changed = "--hours", {}, {}, []
        return verdict

    def _option(self, row: Row, *, is_selected: bool) -> str | None:
        """The first option that does not select a row."""
        seconds, options = seconds_of(row), self._options
        rules = {
            "--split": options.splits and self._split not in options.splits,
            "--speaker": options.speakers and row.get("speaker_id") not in options.speakers,
            "--min-seconds": seconds < options.min_seconds,
            "--max-seconds": seconds > options.max_seconds,
            "--where": not is_selected,
        }
        return next((option for option, is_out in rules.items() if is_out), None)

    def _ask(self, exporter: Exporter, verdict: Verdict) -> None:
        """Put into a verdict whether a format takes the clip."""
        clip, is_changed = self._clip(exporter, verdict.row)
        if exporter.needs_text and not (clip.text and clip.normalized):
            reason: str | None = NO_TEXT
        else:
            reason = exporter.limits.reason(seconds=clip.seconds, characters=len(clip.text)) or exporter.reason(clip)
        if reason is not None:
            verdict.reasons[exporter.name] = reason
            return
        verdict.clips[exporter.name] = clip
        if is_changed:
            verdict.changed.append(exporter.name)

    def _clip(self, exporter: Exporter, row: Row) -> tuple[Clip, bool]:
        """A row as a format sees it, and whether its texts were changed for it."""
        text = raw_text(row, self._options)
        normalized = text if self._options.text else row.get("text_normalized") or text
        cleaned = exporter.clean(text), exporter.clean(normalized)
        kind = self._job.audio[exporter.name].kind
        clip = Clip(
            id=row["clip_id"],
            split=self._split,
            seconds=seconds_of(row),
            speaker=row.get("speaker_id") or row["recording_id"],
            language=row.get("language"),
            text=cleaned[0],
            normalized=cleaned[1],
            row=row,
            audio_file=audio_file(row["clip_id"], kind) if exporter.shares_audio else "",
        )
        return clip, cleaned != (text, normalized)
