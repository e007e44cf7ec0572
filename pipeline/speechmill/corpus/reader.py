"""Reader of a finished corpus: kept clips, all candidate clips, recordings, and a dataset for training."""

import os
from typing import TYPE_CHECKING, Any

import pyarrow.dataset as ds

from speechmill.core import ownership
from speechmill.core.config_errors import ConfigError
from speechmill.core.config_file import load
from speechmill.core.state import no_corpus, read_run
from speechmill.core.store import Store
from speechmill.decide.splits import TRAIN, VALIDATION
from speechmill.publish import RECORDINGS_FILE, RUN_FILE
from speechmill.publish.columns import columns_in, data_schema

if TYPE_CHECKING:
    from speechmill.corpus.dataset import Clips

SPLITS = (TRAIN, VALIDATION)


class Corpus:
    """A finished corpus in a folder, or at an fsspec URL such as `s3://bucket/corpus`. Access is read-only.

    The tables are `pyarrow.dataset.Dataset`s, which are read lazily, with filters and columns pushed down to the files.
    The schema's metadata describe the columns, as docs/data-model.md does.

    Raises ConfigError if there is no corpus or no run has finished it; the message names the fix.

    >>> import speechmill
    >>> import pyarrow.dataset as ds
    >>> corpus = speechmill.Corpus("corpus")
    >>> corpus.clips("train").to_table(columns=["clip_id", "duration_s"]).column_names
    ['clip_id', 'duration_s']
    >>> for batch in corpus.clips().to_batches(filter=ds.field("snr_db") > 20):
    ...     for clip in batch.to_pylist():
    ...         flac = clip["audio"]["bytes"]
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self._store = store = Store(os.fspath(location))
        if not ownership.is_corpus(store):
            raise no_corpus(store.root)
        run = read_run(store)
        if run is None:
            fix = f"finish it with: speechmill run --output {store.root}"
            raise ConfigError(f"{store.root}: not published: no {RUN_FILE}; {fix}")
        self._run = run

    def __repr__(self) -> str:
        return f"Corpus({self._store.root!r})"

    def clips(self, split: str | None = None) -> ds.Dataset:
        """Kept clips with their audio as FLAC bytes, of one split (`train`, `validation`), or of both.

        Raises ValueError for another split.

        >>> import speechmill
        >>> corpus = speechmill.Corpus("corpus")
        >>> corpus.clips().count_rows() == corpus.clips("train").count_rows() + corpus.clips("validation").count_rows()
        True
        """
        if split not in (None, *SPLITS):
            raise ValueError(f"split {split!r}: give one of {', '.join(SPLITS)}, or None for all")
        splits = SPLITS if split is None else (split,)
        return self._dataset([name for part in splits for name in names_below(self._run, f"data/{part}-")])

    def pool(self) -> ds.Dataset:
        """All candidate clips, kept or rejected, with scores, `decision` and `reasons`, without audio and text.

        >>> import speechmill
        >>> pool = speechmill.Corpus("corpus").pool().to_table(columns=["decision", "reasons"])
        >>> all(row["reasons"] for row in pool.to_pylist() if row["decision"] == "rejected")
        True
        """
        return self._dataset(names_below(self._run, "pool.parquet/"))

    def recordings(self) -> ds.Dataset:
        """All recordings, also failed ones and files left out, with `status`, `reason`, licence and source.

        >>> import speechmill
        >>> import pyarrow.dataset as ds
        >>> failed = speechmill.Corpus("corpus").recordings().to_table(filter=ds.field("status") == "failed")
        >>> failed.select(["recording_id", "reason"]).to_pylist()
        [{'recording_id': 'r3', 'reason': 'not_audio'}]
        """
        return self._dataset([RECORDINGS_FILE])

    def to_torch(self, split: str = TRAIN, **options: Any) -> "Clips":
        """A torch dataset of text tokens, mel tokens and conditioning, as TorToiSe's models are trained on.

        Args:
            split: `train` or `validation`.
            options: Keyword arguments of `speechmill.corpus.dataset.Clips`, such as `conditioning`, the number of other
                clips of the speaker; `rank` and `ranks`, to divide clips among GPUs; `seed`; `only_tortoise=False`, to
                include clips that TorToiSe cannot take.

        Returns:
            An IterableDataset; `speechmill.corpus.dataset.gpt_batch` collates its samples.

        Raises:
            ValueError: The split has no clips, or the corpus no text or mel tokens.

        >>> import speechmill
        >>> clips = speechmill.Corpus("corpus").to_torch(only_tortoise=False)
        >>> sample = next(iter(clips))
        >>> sample["codes"].dtype, sample["conditioning"].shape
        (torch.int64, torch.Size([2, 80, 172]))
        """
        from speechmill.corpus.dataset import Clips

        return Clips(self._store.root, split=split, **options)

    def _dataset(self, names: list[str]) -> ds.Dataset:
        """Published files as one dataset; an empty one of the data columns if there are none."""
        if not names:
            columns = columns_in(load(base=self._run["config"]), self._run["profiles"])
            return ds.dataset(data_schema(columns).empty_table())
        return ds.dataset([self._store.path(name) for name in names], filesystem=self._store.fs, format="parquet")


def names_below(run: dict[str, Any], prefix: str) -> list[str]:
    """Sorted names of the published files that start with `prefix`; `run` is the content of run.json."""
    return sorted(name for name in run["files"] if name.startswith(prefix))
