"""Reads a finished corpus as TorToiSe's models are trained on it: a torch dataset over `data/*.parquet`.

    >>> from torch.utils.data import DataLoader
    >>> clips = Clips("corpus", only_tortoise=False)
    >>> loader = DataLoader(clips, batch_size=16, collate_fn=gpt_batch)
    >>> for epoch in range(2):
    ...     clips.begin(epoch)
    ...     for batch in loader:
    ...         lengths = batch["mel_lengths"]

An epoch is a permutation of row groups, cut into as many equal shares as there are workers on all ranks, so that no
rank waits for another; within a share, rows are shuffled over BUFFER_ROWS. It follows from seed and epoch alone, so
a training that stopped goes on in mid-epoch: `clips.begin(epoch, after=batches, batch_size=16)`.
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
BUFFER_ROWS = 512
NEEDED = ("clip_id", "audio", "sampling_rate", "start", "end", "text_tokens", "mel_tokens", "tortoise_ok")
SPEAKER = ("speaker_id", "recording_id")  # what tells voices apart: the first of these columns that is there

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """A row group, and which of its rows are wanted."""

    path: str
    number: int
    rows: tuple[int, ...]


class Clips(IterableDataset[Row]):
    """Clips of one split of a corpus, each with conditioning from other clips of its speaker.

    A sample holds `clip_id`; `text`, int64[t]; `codes`, int64[m] without start and stop; `samples`, its length at
    22,050 Hz; `conditioning`, float32[n, 80, f] normalised spectrograms; `conditioning_is_self`, whether there was no
    other clip of the speaker near it, so that they are other cuts of the clip itself.
    """

    def __init__(
        self, corpus: str | Path, *, split: str = "train", conditioning: int = 2, seed: int = 1, rank: int = 0,
        ranks: int = 1, only_tortoise: bool = True, norms: Sequence[float] = mel.NORMS,
    ) -> None:  # fmt: skip
        """Look at the files of a corpus.

        Args:
            corpus: folder, or fsspec URL.
            split: `train` or `validation`.
            conditioning: how many clips of the speaker each sample comes with.
            seed: what the order, and the choice of conditioning, follow from.
            rank: number of this process among all that train together.
            ranks: how many they are.
            only_tortoise: whether clips that TorToiSe cannot take (`tortoise_ok`) are left out.
            norms: the 80 numbers that spectrograms are divided by.

        Raises:
            ValueError: where there is no such split, or it has no text or mel tokens.
        """
        self._corpus = str(corpus)
        paths = _paths(self._corpus, split)
        self._columns, self.profile = self._common(paths, f"{corpus}/data/{split}-*.parquet")
        self._groups = [group for path in paths for group in self._row_groups(path, only_tortoise=only_tortoise)]
        self._conditioning, self._seed, self._rank, self._ranks = conditioning, seed, rank, ranks
        self._norms = torch.tensor(norms)
        self._epoch = self._batches = self._batch_size = 0

    def __len__(self) -> int:
        """Clips of an epoch on this rank, if it has one worker; more workers drop up to one clip each."""
        return sum(len(group.rows) for group in self._groups) // self._ranks

    def begin(self, epoch: int, *, after: int = 0, batch_size: int = 0) -> None:
        """Let the next iteration be that of `epoch`, after so many batches that its DataLoader gave already.

        Workers that outlive an iteration (`persistent_workers`) do not hear of it.
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
            if skipped >= count:  # nothing of it is read
                skipped -= count
                continue
            yield from self._samples(buffer, shuffled[skipped:], seeds[skipped:])
            skipped = 0

    def _samples(
        self, buffer: list[tuple[Group, list[int]]], order: npt.NDArray[np.int64], seeds: npt.NDArray[np.int64]
    ) -> Iterator[Row]:
        rows = [row for group, numbers in buffer for row in self._read(group, numbers)]
        voices: dict[str, list[int]] = defaultdict(list)
        for at, row in enumerate(rows):
            voices[self._voice(row)].append(at)
        for at, seed in zip(order, seeds, strict=True):
            row, rng = rows[at], np.random.default_rng(seed)
            others = [other for other in voices[self._voice(row)] if other != at]
            chosen = rng.choice(others or [at], self._conditioning)
            yield {
                "clip_id": row["clip_id"],
                "text": torch.tensor(row["text_tokens"] or [], dtype=torch.int64),
                "codes": torch.tensor(row["mel_tokens"], dtype=torch.int64),
                "samples": round((row["end"] - row["start"]) * mel.RATE / row["sampling_rate"]),
                "conditioning": torch.stack([self._heard(rows[one], rng) for one in chosen]),
                "conditioning_is_self": not others,
            }

    def _open(self, path: str) -> pq.ParquetFile:
        """A file of the corpus. Its filesystem is asked for anew: a worker process cannot use that of its parent."""
        return pq.ParquetFile(path, filesystem=filesystem_of(self._corpus)[0])

    def _common(self, paths: Sequence[str], pattern: str) -> tuple[list[str], str]:
        """Columns to read, the one that tells voices apart first; and the mel profile of the corpus."""
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
        with self._open(path) as file:
            for number in range(file.num_row_groups):
                takes = file.read_row_group(number, ["tortoise_ok"])[0].to_pylist()
                yield Group(path, number, tuple(at for at, ok in enumerate(takes) if ok or not only_tortoise))

    def _voice(self, row: Row) -> str:
        """Whose clip it is; of an unknown speaker, nobody else's."""
        return str(row[self._columns[0]] or row["clip_id"])

    def _read(self, group: Group, numbers: list[int]) -> list[Row]:
        """Some rows of a row group."""
        with self._open(group.path) as file:
            rows: list[Row] = file.read_row_group(group.number, self._columns).take(numbers).to_pylist()
            return rows

    def _heard(self, row: Row, rng: np.random.Generator) -> Tensor:
        """Spectrogram float32[80, 172] of CONDITIONING_SAMPLES from somewhere in a clip, zeros if it is shorter."""
        wave = resample(decode_flac(row["audio"]["bytes"]), row["sampling_rate"], mel.RATE)
        first = int(rng.integers(max(1, len(wave) - CONDITIONING_SAMPLES)))
        cut = wave[first : first + CONDITIONING_SAMPLES]
        padded = torch.from_numpy(np.pad(cut, (0, CONDITIONING_SAMPLES - len(cut))).clip(-1, 1))
        return mel.log_mel(mel.mirrored(padded[None]), self._norms)[0]


def gpt_batch(samples: Sequence[Row]) -> Row:
    """Collate for TorToiSe's GPT.

    `text` int64[B, t], filled up with 0, and `text_lengths`; `mel` int64[B, m], codes between START_MEL and STOP_MEL,
    filled up with STOP_MEL, and `mel_lengths` with both; `wav_lengths`, samples at 22,050 Hz; `conditioning`
    float32[B, n, 80, f]; `conditioning_is_self` bool[B]; `clip_ids`. A model that adds start and stop itself, as
    TorToiSe's own `UnifiedVoice` does, takes `mel[:, 1:-1]`, in which every row still ends in the stops it expects.
    """
    framed = [torch.cat([torch.tensor([START_MEL]), s["codes"], torch.tensor([STOP_MEL])]) for s in samples]
    return _shared(samples) | {
        "mel": _padded(framed, STOP_MEL),
        "mel_lengths": torch.tensor([len(row) for row in framed]),
        "wav_lengths": torch.tensor([sample["samples"] for sample in samples]),
        "conditioning": torch.stack([sample["conditioning"] for sample in samples]),
        "conditioning_is_self": torch.tensor([sample["conditioning_is_self"] for sample in samples]),
    }


def clvp_batch(samples: Sequence[Row], silence: Silence) -> Row:
    """Collate for CLVP, which has no lengths and no codes over 8,191: `speech` int64[B, m] goes on as silence."""
    speech = _padded([sample["codes"] for sample in samples], silence.within)
    for row, sample in zip(speech, samples, strict=True):
        free = min(speech.shape[1] - len(sample["codes"]), len(silence.last))
        row[speech.shape[1] - free :] = torch.tensor(silence.last[len(silence.last) - free :])
    return _shared(samples) | {"speech": speech}


def _shared(samples: Sequence[Row]) -> Row:
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
    """Row groups, BUFFER_ROWS rows or a little more at a time."""
    buffer: list[tuple[Group, list[int]]] = []
    for one in wanted:
        buffer.append(one)
        if sum(len(rows) for _, rows in buffer) >= BUFFER_ROWS:
            yield buffer
            buffer = []
    if buffer:
        yield buffer
