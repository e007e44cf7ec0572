"""Plans an export from the columns without audio: clips, hours and bytes, and what is left out and why."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from speechmill.export.encoding import length_in_bytes
from speechmill.export.reading import AUDIO_COLUMN, BUCKETS, Job, Verdict, bucket_of, open_shard, raw_text, verdicts
from speechmill.export.references import TakenClip

BANDWIDTH_SHARE = 0.5  # of what a sample rate carries: clips with less are counted


@dataclass(slots=True)
class FormatPlan:
    """What one format takes of a shard, or of a corpus."""

    clips: int = 0
    seconds: float = 0.0
    audio_bytes: float = 0.0
    changed: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, other: "FormatPlan") -> None:
        """Add the counts of another shard."""
        self.clips += other.clips
        self.seconds += other.seconds
        self.audio_bytes += other.audio_bytes
        self.changed += other.changed
        self.left_out += other.left_out


@dataclass(slots=True)
class Plan:
    """Counts of a shard, or of a corpus."""

    formats: dict[str, FormatPlan]
    corpus_clips: int = 0
    clips: int = 0
    """Clips that at least one format takes."""
    seconds: float = 0.0
    shared_bytes: float = 0.0
    """Of audio files in `wavs/`."""
    narrow: int = 0
    """Clips whose measured bandwidth is less than BANDWIDTH_SHARE of what the sample rate carries."""
    not_selected: Counter[str] = field(default_factory=Counter)
    """Clips that options leave out, by option."""
    taken: list[TakenClip] = field(default_factory=list)
    """Clips of a shard, if a format writes references; not added up."""

    def add(self, other: "Plan") -> None:
        """Add the counts of another shard."""
        for name, counts in other.formats.items():
            self.formats[name].add(counts)
        self.corpus_clips += other.corpus_clips
        self.clips += other.clips
        self.seconds += other.seconds
        self.shared_bytes += other.shared_bytes
        self.narrow += other.narrow
        self.not_selected += other.not_selected


def empty_plan(job: Job) -> Plan:
    """A plan without clips."""
    return Plan({name: FormatPlan() for name in job.audio})


def plan_part(job: Job, part: int) -> Plan:
    """Plan a shard. Raises ConfigError for a condition that is wrong."""
    plan = empty_plan(job)
    options = job.options
    with job.corpus.open(job.shards[part]) as raw:
        file = open_shard(raw, job.shards[part])
        if options.splits and job.split(part) not in options.splits:
            plan.corpus_clips = file.metadata.num_rows
            plan.not_selected["--split"] = plan.corpus_clips
            return plan
        for number, group in verdicts(job, part, file):
            flac = _audio_bytes(file, number) / max(len(group), 1)
            for verdict in group:
                count(plan, verdict, job, flac)
                if job.taken and verdict.clips:
                    plan.taken.append(_taken(verdict, job, part))
    return plan


def _taken(verdict: Verdict, job: Job, part: int) -> TakenClip:
    text, formats = raw_text(verdict.row, job.options), f" {' '.join(verdict.clips)} "
    return TakenClip(verdict.row["clip_id"], job.split(part), verdict.seconds, text, formats)


def count(plan: Plan, verdict: Verdict, job: Job, flac_bytes: float = 0.0) -> None:
    """Count a clip, whose FLAC has about `flac_bytes` bytes."""
    plan.corpus_clips += 1
    if verdict.option is not None:
        plan.not_selected[verdict.option] += 1
        return
    seconds, rate = verdict.seconds, verdict.row["sampling_rate"]
    for name, reason in verdict.reasons.items():
        plan.formats[name].left_out[reason] += 1
    shared = 0.0
    for name, clip in verdict.clips.items():
        size = length_in_bytes(job.audio[name], seconds, flac_bytes, rate)
        counts = plan.formats[name]
        counts.clips += 1
        counts.seconds += seconds
        counts.audio_bytes += size
        counts.changed += name in verdict.changed
        shared = size if clip.audio_file else shared
    if verdict.clips:
        plan.clips += 1
        plan.seconds += seconds
        plan.shared_bytes += shared
        highest = max(job.audio[name].rate for name in verdict.clips)
        bandwidth_hz = verdict.row.get("bandwidth_hz")
        plan.narrow += bandwidth_hz is not None and bandwidth_hz < BANDWIDTH_SHARE * highest / 2


def lengths_part(job: Job, part: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Seconds of the clips of a shard that at least one format takes, by bucket: buckets, seconds."""
    if job.options.splits and job.split(part) not in job.options.splits:
        return np.zeros(0, np.int64), np.zeros(0)
    with job.corpus.open(job.shards[part]) as raw:
        taken = [
            (bucket_of(verdict.row["clip_id"]), verdict.seconds)
            for _, group in verdicts(job, part, open_shard(raw, job.shards[part]))
            for verdict in group
            if verdict.clips
        ]
    return np.array([bucket for bucket, _ in taken], np.int64), np.array([seconds for _, seconds in taken], np.float64)


def with_hours(job: Job, lengths: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]) -> Job:
    """The job, limited to as many buckets of clips as fit into `--hours`."""
    assert job.options.hours is not None
    seconds = np.zeros(BUCKETS)
    for buckets, lengths_s in lengths:
        np.add.at(seconds, buckets, lengths_s)
    fits = np.cumsum(seconds) <= job.options.hours * 3600
    return replace(job, buckets=int(fits.sum()))


def _audio_bytes(file: pq.ParquetFile, number: int) -> int:
    """Size of the audio in a row group."""
    group = file.metadata.row_group(number)
    chunks = (group.column(at) for at in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == f"{AUDIO_COLUMN}.bytes")
