"""A torch dataset over `data/*.parquet` of a finished corpus, for the training of TorToiSe's models.

    >>> from torch.utils.data import DataLoader
    >>> clips = Clips("corpus", only_tortoise=False)
    >>> loader = DataLoader(clips, batch_size=16, collate_fn=gpt_batch)
    >>> for epoch in range(2):
    ...     clips.begin(epoch)
    ...     for batch in loader:
    ...         lengths = batch["mel_lengths"]

An epoch is a permutation of row groups, divided into equal shares for all workers of all ranks, so that no rank waits
for another; within a share, rows are shuffled over BUFFER_ROWS. The order depends only on seed and epoch, so training
can resume within an epoch: `clips.begin(epoch, after=batches, batch_size=16)`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from speechmill.audio import decode_flac, resample
from speechmill.core.filesystem import filesystem_of
from speechmill.tokens import Silence, mel

START_MEL, STOP_MEL, STOP_TEXT = 8_192, 8_193, 0
CONDITIONING_SAMPLES = 44_000  # at 22,050 Hz, as in the fine-tuning configs of DL-Art-School
BUFFER_ROWS = 512  # rows that are shuffled and decoded together
NEEDED = ("clip_id", "audio", "sampling_rate", "start", "end", "text_tokens", "mel_tokens", "tortoise_ok")
SPEAKER = ("speaker_id", "recording_id")  # identify speakers: the first column that exists is used

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """A row group, and those of its rows that are used."""

    path: str
    number: int
    rows: tuple[int, ...]


class Clips(IterableDataset[Row]):
    """Clips of one split of a corpus, each with conditioning from other clips of its speaker.

    A sample is a dict with `clip_id`; `text`, int64[t]; `codes`, int64[m] without start and stop; `samples`, length at
    22,050 Hz; `conditioning`, float32[n, 80, f] normalised spectrograms; `conditioning_is_self`, true if the buffer had
    no other clip of the speaker, so that the conditioning is from the clip itself.
    """

    def __init__(
        self, corpus: str | Path, *, split: str = "train", conditioning: int = 2, seed: int = 1, rank: int = 0,
        ranks: int = 1, only_tortoise: bool = True, norms: Sequence[float] = mel.NORMS,
    ) -> None:  # fmt: skip
        """Read the metadata of a split.

        Args:
            corpus: Folder, or fsspec URL.
            split: `train` or `validation`.
            conditioning: Number of conditioning clips for each sample.
            seed: Seed of the order and of the choice of conditioning.
            rank: Index of this process among the `ranks` that train together.
            ranks: Number of these processes.
            only_tortoise: Whether to omit clips that TorToiSe cannot take (`tortoise_ok` is false).
            norms: 80 numbers by which spectrograms are divided.

        Raises:
            ValueError: There is no such split, or it has no text or mel tokens.
        """
        self._corpus = str(corpus)
        paths = _paths(self._corpus, split)
        self._columns, self.profile = self._columns_and_profile(paths, f"{corpus}/data/{split}-*.parquet")
        self._groups = [group for path in paths for group in self._row_groups(path, only_tortoise=only_tortoise)]
        self._conditioning, self._seed, self._rank, self._ranks = conditioning, seed, rank, ranks
        self._norms = torch.tensor(norms)
        self._epoch = self._batches = self._batch_size = 0

    def __len__(self) -> int:
        """Clips of an epoch on this rank with one worker; each further worker may drop one clip."""
        return sum(len(group.rows) for group in self._groups) // self._ranks

    def begin(self, epoch: int, *, after: int = 0, batch_size: int = 0) -> None:
        """Set the epoch of the next iteration.

        Has no effect on running workers, that is with `persistent_workers`.

        Args:
            epoch: Number of the epoch.
            after: Batches of this epoch that the DataLoader has given already.
            batch_size: Batch size of the DataLoader; needed with `after`.
        """
        self._epoch, self._batches, self._batch_size = epoch, after, batch_size

    def __iter__(self) -> Iterator[Row]:
        """Samples of this worker's share of the epoch."""
        worker = get_worker_info()
        at, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        turn = (at + self._batches) % workers  # batches come from workers in turn, and the first begins again
        given = (self._batches + workers - 1 - turn) // workers
        share, shares = self._rank * workers + turn, self._ranks * workers
        yield from self._share(self._epoch, share, shares, given * self._batch_size)

    def _share(self, epoch: int, share: int, shares: int, skipped: int) -> Iterator[Row]:
        """Samples of one of `shares` equal shares of an epoch, without the first `skipped`."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._groups))
        ends = np.cumsum([len(self._groups[at].rows) for at in order])
        size = int(ends[-1]) // shares if len(ends) else 0
        first, last = share * size, (share + 1) * size
        wanted: list[tuple[Group, list[int]]] = []
        for at, end in zip(order, ends, strict=True):
            group = self._groups[at]
            rows = group.rows[max(0, first - int(end) + len(group.rows)) : max(0, last - int(end) + len(group.rows))]
            if rows:
                wanted.append((group, list(rows)))
        rng = np.random.default_rng([self._seed, epoch, share])
        for buffer in _buffers(wanted):
            count = sum(len(rows) for _, rows in buffer)
            shuffled, seeds = rng.permutation(count), rng.integers(2**32, size=count)
            if skipped >= count:  # skipped without reading it
                skipped -= count
                continue
            yield from self._samples(buffer, shuffled[skipped:], seeds[skipped:])
            skipped = 0

    def _samples(
        self, buffer: list[tuple[Group, list[int]]], order: npt.NDArray[np.int64], seeds: npt.NDArray[np.int64]
    ) -> Iterator[Row]:
        """Samples of a buffer in `order`, an index into its rows; `seeds` has one for each sample."""
        rows = [row for group, numbers in buffer for row in self._read(group, numbers)]
        rows_of: dict[str, list[int]] = defaultdict(list)
        for at, row in enumerate(rows):
            rows_of[self._speaker(row)].append(at)
        for at, seed in zip(order, seeds, strict=True):
            row, rng = rows[at], np.random.default_rng(seed)
            others = [other for other in rows_of[self._speaker(row)] if other != at]
            chosen = rng.choice(others or [at], self._conditioning)
            yield {
                "clip_id": row["clip_id"],
                "text": torch.tensor(row["text_tokens"] or [], dtype=torch.int64),
                "codes": torch.tensor(row["mel_tokens"], dtype=torch.int64),
                "samples": round((row["end"] - row["start"]) * mel.RATE / row["sampling_rate"]),
                "conditioning": torch.stack([self._conditioning_mel(rows[index], rng) for index in chosen]),
                "conditioning_is_self": not others,
            }

    def _open(self, path: str) -> pq.ParquetFile:
        """Open a file of the corpus, on a filesystem of this process: that of a parent process cannot be used."""
        return pq.ParquetFile(path, filesystem=filesystem_of(self._corpus)[0])

    def _columns_and_profile(self, paths: Sequence[str], pattern: str) -> tuple[list[str], str]:
        """Columns to read, first that of the speaker, and the mel profile of the corpus. Raises ValueError."""
        if not paths:
            raise ValueError(f"no {pattern}: give a finished corpus and a split that it has")
        profiles = set()
        for path in paths:
            with self._open(path) as file:
                names = file.schema_arrow.names
                if missing := [name for name in (*NEEDED, "mel_profile") if name not in names]:
                    fix = "make the corpus with transcripts and mel tokens"
                    raise ValueError(f"{path} has no {', '.join(missing)}: {fix}")
                profiles |= set(file.read(["mel_profile"])[0].unique().to_pylist())
        if len(profiles) != 1:
            raise ValueError(f"{pattern} has mel tokens of {len(profiles)} profiles, which do not go together")
        return [next(name for name in SPEAKER if name in names), *NEEDED], str(profiles.pop())

    def _row_groups(self, path: str, *, only_tortoise: bool) -> Iterator[Group]:
        """Row groups of a file, with the rows to use."""
        with self._open(path) as file:
            for number in range(file.num_row_groups):
                fits = file.read_row_group(number, ["tortoise_ok"])[0].to_pylist()
                yield Group(path, number, tuple(at for at, ok in enumerate(fits) if ok or not only_tortoise))

    def _speaker(self, row: Row) -> str:
        """Speaker of a clip; a clip of an unknown speaker gets a speaker of its own."""
        return str(row[self._columns[0]] or row["clip_id"])

    def _read(self, group: Group, numbers: list[int]) -> list[Row]:
        """Rows of a row group by their numbers."""
        with self._open(group.path) as file:
            rows: list[Row] = file.read_row_group(group.number, self._columns).take(numbers).to_pylist()
            return rows

    def _conditioning_mel(self, row: Row, rng: np.random.Generator) -> Tensor:
        """Spectrogram float32[80, 172] of CONDITIONING_SAMPLES at a random place of a clip, zero-padded if shorter."""
        wave = resample(decode_flac(row["audio"]["bytes"]), row["sampling_rate"], mel.RATE)
        first = int(rng.integers(max(1, len(wave) - CONDITIONING_SAMPLES)))
        cut = wave[first : first + CONDITIONING_SAMPLES]
        padded = torch.from_numpy(np.pad(cut, (0, CONDITIONING_SAMPLES - len(cut))).clip(-1, 1))
        return mel.log_mel(mel.mirrored(padded[None]), self._norms)[0]


def gpt_batch(samples: Sequence[Row]) -> Row:
    """Collate for TorToiSe's GPT.

    `text` int64[B, t], padded with 0, and `text_lengths`; `mel` int64[B, m], codes between START_MEL and STOP_MEL,
    padded with STOP_MEL, and `mel_lengths` with start and stop; `wav_lengths`, samples at 22,050 Hz; `conditioning`
    float32[B, n, 80, f]; `conditioning_is_self` bool[B]; `clip_ids`. Models that add start and stop themselves, such as
    TorToiSe's own `UnifiedVoice`, take `mel[:, 1:-1]`, in which every row still ends in the stops that they expect.
    """
    framed = [torch.cat([torch.tensor([START_MEL]), s["codes"], torch.tensor([STOP_MEL])]) for s in samples]
    return _text_batch(samples) | {
        "mel": _padded(framed, STOP_MEL),
        "mel_lengths": torch.tensor([len(row) for row in framed]),
        "wav_lengths": torch.tensor([sample["samples"] for sample in samples]),
        "conditioning": torch.stack([sample["conditioning"] for sample in samples]),
        "conditioning_is_self": torch.tensor([sample["conditioning_is_self"] for sample in samples]),
    }


def clvp_batch(samples: Sequence[Row], silence: Silence) -> Row:
    """Collate for CLVP, which has no lengths and no codes over 8,191: `speech` int64[B, m] is padded with silence."""
    speech = _padded([sample["codes"] for sample in samples], silence.within)
    for row, sample in zip(speech, samples, strict=True):
        free = min(speech.shape[1] - len(sample["codes"]), len(silence.last))
        row[speech.shape[1] - free :] = torch.tensor(silence.last[len(silence.last) - free :])
    return _text_batch(samples) | {"speech": speech}


def _text_batch(samples: Sequence[Row]) -> Row:
    """Clip ids and padded texts."""
    return {
        "clip_ids": [sample["clip_id"] for sample in samples],
        "text": _padded([sample["text"] for sample in samples], STOP_TEXT),
        "text_lengths": torch.tensor([len(sample["text"]) for sample in samples]),
    }


def _padded(rows: Sequence[Tensor], value: int) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def _paths(corpus: str, split: str) -> list[str]:
    """Paths, on the filesystem of the corpus, of the files of a split, in order."""
    filesystem, base = filesystem_of(corpus)
    try:
        paths = filesystem.ls(f"{base}/data", detail=False)
    except FileNotFoundError:
        return []
    return sorted(path for path in paths if fnmatch(PurePosixPath(path).name, f"{split}-*.parquet"))


def _buffers(wanted: Sequence[tuple[Group, list[int]]]) -> Iterator[list[tuple[Group, list[int]]]]:
    """Row groups in buffers of BUFFER_ROWS rows or a little more."""
    buffer: list[tuple[Group, list[int]]] = []
    for group in wanted:
        buffer.append(group)
        if sum(len(rows) for _, rows in buffer) >= BUFFER_ROWS:
            yield buffer
            buffer = []
    if buffer:
        yield buffer
