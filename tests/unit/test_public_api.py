"""`import speechmill`: what it offers, that it is quick, and a finished corpus read from wherever it lies."""

import doctest
import importlib
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
import soundfile
import speechmill
from speechmill.audio import decode_flac
from speechmill.core import ownership
from speechmill.core.store import Store
from speechmill.corpus.dataset import gpt_batch
from torch.utils.data import DataLoader

from tests.tiny_corpus import RATE, publish_tiny

ROOTS = {"speechmill": Path(speechmill.__path__[0])}
ROOTS["speech_defects"] = Path(importlib.import_module("speech_defects").__path__[0])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished corpus of eight clips."""
    return Path(publish_tiny(tmp_path_factory.mktemp("tiny"))[0].store.path(""))


@pytest.fixture
def stored(tiny: Path, store: Store) -> str:
    """Address of the same corpus on disk, on S3 and in memory."""
    for path in sorted(path for path in tiny.rglob("*") if path.is_file()):
        with store.create(str(path.relative_to(tiny))) as file:
            file.write(path.read_bytes())
    return store.root


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import sys, speechmill\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"apache_beam", "numpy", "pyarrow", "pydantic", "torch", "av", "click"} & set(loaded)


def test_a_run_neither_prints_warnings_of_beam_nor_sets_up_logging() -> None:
    code = "import logging, speechmill.runner.beam\nprint(logging.root.handlers, logging.root.level)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[] 30\n", "")


def test_it_offers_what_it_names_and_nothing_else() -> None:
    assert (
        {"ConfigError", "Corpus", "load_config", "run", "__version__"} == set(speechmill.__all__) <= {*dir(speechmill)}
    )
    assert all(getattr(speechmill, name) for name in speechmill.__all__)
    with pytest.raises(AttributeError, match="speechmill attribute corpse"):
        speechmill.corpse  # noqa: B018


# --- examples ---


def modules_with_examples() -> list[str]:
    """Names of the modules in which a docstring has an example."""
    found = []
    for package, root in ROOTS.items():
        for path in sorted(root.rglob("*.py")):
            if re.search(r"^\s*>>> ", path.read_text(), re.MULTILINE):
                parts = path.relative_to(root).with_suffix("").parts
                found.append(".".join((package, *(part for part in parts if part != "__init__"))))
    return found


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_do_what_they_say(
    name: str, tiny: Path, speech: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with a finished corpus, `corpus`, and some `recordings`."""
    shutil.copytree(tiny, tmp_path / "corpus")
    (tmp_path / "recordings").mkdir()
    soundfile.write(tmp_path / "recordings" / "lighthouse.flac", speech, RATE)
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    failed, tried = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert tried > 0
    assert not failed


def test_every_public_entry_point_has_an_example() -> None:
    corpus = speechmill.Corpus
    entries = [speechmill, speechmill.run, speechmill.load_config, corpus]
    entries += [getattr(corpus, name) for name in vars(corpus) if not name.startswith("_")]
    entries += [importlib.import_module("speech_defects").load, importlib.import_module("speechmill.corpus.dataset")]
    assert len(entries) > 8
    assert not [entry for entry in entries if ">>> " not in (entry.__doc__ or "")]


# --- the config ---


def test_keys_are_merged_into_sections_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "podcast.yaml"
    path.write_text("inputs: [a.mp3]\nthresholds: {snr_db: 10, bandwidth_hz: 4000}\n")
    config = speechmill.load_config(
        path, ["thresholds.snr_db=11", "workers=2"], thresholds={"snr_db": 12}, workers=None
    )
    assert config.thresholds.snr_db == 12
    assert config.thresholds.bandwidth_hz == 4000
    assert config.workers == 2
    assert config.inputs[0].address == "a.mp3"


def test_a_wrong_config_is_one_line_with_a_fix() -> None:
    with pytest.raises(speechmill.ConfigError, match=r"^thresholds\.snr: unknown key; did you mean 'snr_db'\?$"):
        speechmill.load_config(thresholds={"snr": 3})
    with pytest.raises(speechmill.ConfigError, match="--input"):
        speechmill.run(speechmill.load_config(output="nothing"), quiet=True)
    assert not os.path.exists("nothing")


# --- a finished corpus ---


def test_a_corpus_is_read_where_it_lies(stored: str) -> None:
    corpus = speechmill.Corpus(stored)
    clips = corpus.clips().to_table()
    kept = corpus.pool().to_table(filter=ds.field("decision") == "kept")
    assert clips["clip_id"].to_pylist() == kept["clip_id"].to_pylist()
    assert clips.num_rows == 3
    for clip in clips.to_pylist():
        assert len(decode_flac(clip["audio"]["bytes"])) == clip["end"] - clip["start"]
    statuses = corpus.recordings().to_table(columns=["recording_id", "status"]).to_pylist()
    assert {row["recording_id"]: row["status"] for row in statuses}["r3"] == "failed"


def test_clips_are_streamed_filtered_and_of_one_split(tiny: Path) -> None:
    corpus = speechmill.Corpus(tiny)
    splits = {split: corpus.clips(split).to_table(columns=["clip_id"])["clip_id"].to_pylist() for split in SPLITS}
    assert sorted(itertools.chain(*splits.values())) == sorted(corpus.clips().to_table()["clip_id"].to_pylist())
    noisy = [row for batch in corpus.pool().to_batches(filter=ds.field("snr_db") < 10) for row in batch.to_pylist()]
    assert {row["snr_db"] for row in noisy} == {3.0, 9.0}
    with pytest.raises(ValueError, match="give one of train, validation, or None"):
        corpus.clips("test")


SPLITS = ("train", "validation")


def test_a_split_without_clips_is_an_empty_table_with_its_columns(tmp_path: Path) -> None:
    build, _ = publish_tiny(tmp_path, thresholds={"snr_db": 90})
    corpus = speechmill.Corpus(build.store.root)
    assert corpus.pool().count_rows() > 0
    for split in (*SPLITS, None):
        assert corpus.clips(split).count_rows() == 0
        assert {"clip_id", "audio", "text"} <= set(corpus.clips(split).schema.names)


def test_files_of_others_beside_the_shards_are_not_read(tiny: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny, tmp_path / "copy")
    (shard,) = (copy / "data").glob("train-*")
    shutil.copy(shard, copy / "data" / "train-mine.parquet")
    assert speechmill.Corpus(copy).clips("train").count_rows() == speechmill.Corpus(tiny).clips("train").count_rows()


@pytest.mark.parametrize("workers", [0, 1])
def test_torch_reads_a_corpus_where_it_lies(stored: str, workers: int) -> None:
    clips = speechmill.Corpus(stored).to_torch("train", only_tortoise=False, conditioning=1)
    (batch,) = DataLoader(clips, batch_size=8, num_workers=workers, collate_fn=gpt_batch)
    expected = speechmill.Corpus(stored).clips("train").to_table(columns=["clip_id"])["clip_id"].to_pylist()
    assert sorted(batch["clip_ids"]) == sorted(expected)
    assert batch["conditioning"].shape == (len(expected), 1, 80, 172)


def test_what_is_no_finished_corpus_is_refused_with_the_fix(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(speechmill.ConfigError, match="no corpus here; make one with: speechmill run --input X"):
        speechmill.Corpus(tmp_path / "nowhere")
    (tmp_path / "music.mp3").write_bytes(b"ID3")
    with pytest.raises(speechmill.ConfigError, match="no corpus here"):
        speechmill.Corpus(tmp_path)
    ownership.claim(begun := Store(str(tmp_path / "begun")))
    with pytest.raises(speechmill.ConfigError, match=r"no run\.json; finish it with: speechmill run --output"):
        speechmill.Corpus(begun.root)
    damaged = shutil.copytree(tiny, tmp_path / "damaged")
    (damaged / "run.json").write_text("{}")
    with pytest.raises(speechmill.ConfigError, match=r"run\.json: damaged"):
        speechmill.Corpus(damaged)
    with pytest.raises(speechmill.ConfigError, match="memory://nobody/there: no corpus here"):
        speechmill.Corpus("memory://nobody/there")
