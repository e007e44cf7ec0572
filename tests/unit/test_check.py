"""Reading corpora of others: each of our exports gives back what went into it, and what is broken costs one item."""

import gzip
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from speechmill.core.config_errors import ConfigError
from speechmill.corpus.check import engine, layouts, leakage
from speechmill.corpus.check.items import Item
from speechmill.corpus.check.unpack import Listed, read_items, unpack
from speechmill.corpus.check.verdicts import Verdict
from speechmill.export.engine import export
from speechmill.runner.statusline import StatusLine

from tests.exportable import clip, make_corpus
from tests.known_corpora import CORPORA, sound

TRAIN, VALIDATION = range(4), range(4, 6)
SPLIT = dict.fromkeys(TRAIN, "train") | dict.fromkeys(VALIDATION, "validation")
READ_AS = {"ljspeech": "known", "nemo": "nemo", "nemo-tarred": "nemo", "webdataset": "webdataset", "hf": "audiofolder",
           "lhotse-shar": "lhotse"}  # fmt: skip


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shards = {
        "train-00000-00000": [clip(number) for number in TRAIN],
        "validation-00000-00000": [clip(number) for number in VALIDATION],
    }
    return make_corpus(tmp_path_factory.mktemp("check") / "corpus", shards)


def read(path: Path, layout: str | None = None) -> list[Item]:
    return list(layouts.items(str(path), layouts.layout_of(str(path), layout)))


def number_of(item: Item) -> int:
    return int(Path(item.id).name.partition(".")[0], 16)


@pytest.mark.parametrize("to", READ_AS)
def test_an_export_of_ours_is_read_whole(to: str, ours: Path, tmp_path: Path) -> None:
    export(str(ours), str(tmp_path / "out"), [to], workers=1)
    assert layouts.layout_of(str(tmp_path / "out")) == READ_AS[to]
    found = {number_of(item): item for item in read(tmp_path / "out")}
    assert sorted(found) == [*TRAIN, *VALIDATION]
    for number, item in found.items():
        split = None if to == "ljspeech" and number in TRAIN else SPLIT[number]  # whose metadata.csv names none
        assert (item.fault, item.split) == (None, split)
        assert item.text.lower() == f"this is clip {number}."
        assert item.speaker == (None if to == "ljspeech" else f"s{number % 2}")
        assert item.sound or Path(item.path).is_file()


def test_a_corpus_of_ours_is_read_by_its_clips(ours: Path) -> None:
    assert layouts.layout_of(str(ours)) == "parquet"
    found = read(ours)
    assert {number_of(item): item.split for item in found} == SPLIT
    assert all(item.sound[:4] == b"fLaC" and item.language == "en" for item in found)


def test_known_corpora_are_read(tmp_path: Path) -> None:
    for name, corpus in CORPORA.items():
        (tmp_path / name).mkdir()
        corpus.write(tmp_path / name)
        found = {item.id: (item.text, item.speaker, item.language) for item in read(tmp_path / name)}
        assert corpus.utterances.items() <= found.items(), name


def lines(path: Path, *rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))


def broken_manifest(root: Path) -> None:
    lines(root / "test.json", {"audio_filepath": "a.wav", "text": "So."}, "{broken", {"text": "No file."},
          {"audio_filepath": "a.wav", "offset": 1.0, "duration": 2.0})  # fmt: skip


def broken_tar(root: Path) -> None:
    with tarfile.open(root / "whole.tar", "w") as tar:
        for number in range(3):
            for leaf, content in (("flac", b"fLaC" * 300), ("txt", b"Said.")):
                (root / "member").write_bytes(content)
                tar.add(root / "member", f"{number}.{leaf}")
    (root / "member").unlink()
    (root / "cut.tar").write_bytes((root / "whole.tar").read_bytes()[:2_000])
    with tarfile.open(root / "odd.tar", "w") as tar:
        (root / "member").write_bytes(b"{broken")
        tar.add(root / "member", "x.json")
        tar.add(root / "member", "y.txt")
    (root / "member").unlink()


def broken_audiofolder(root: Path) -> None:
    lines(root / "metadata.jsonl", {"file_name": "a.wav", "text": "So."}, "[1]", {"file_name": None})


def broken_parquet(root: Path) -> None:
    audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"audio": {"bytes": b"RIFF", "path": None}}, {"audio": None}, {"audio": {"bytes": None, "path": "a.wav"}}]
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema([("audio", audio)])), root / "whole.parquet")
    (root / "cut.parquet").write_bytes((root / "whole.parquet").read_bytes()[:200])


def broken_cuts(root: Path) -> None:
    source = [{"type": "file", "channels": [0], "source": "a.wav"}]
    recording = {"sources": source, "duration": 5.0}
    cut = {"id": "one", "start": 1.0, "duration": 2.0, "recording": recording, "supervisions": [{"text": "So."}]}
    remote = cut | {"id": "two", "recording": {"sources": [{"type": "url", "source": "https://example.org/a"}]}}
    (root / "a.wav").touch()
    with gzip.open(root / "libri_cuts_dev.jsonl.gz", "wt") as file:
        file.write("".join(f"{row}\n" for row in (json.dumps(cut), "{broken", json.dumps(remote))))


@pytest.mark.parametrize(
    ("make", "faults"),
    [
        (broken_manifest, {"test.json line 2", "test.json line 3"}),
        (broken_tar, {"cut.tar", "x", "y"}),
        (broken_audiofolder, {"metadata.jsonl line 2", "metadata.jsonl line 3"}),
        (broken_parquet, {"cut.parquet", "whole.parquet row 1"}),
        (broken_cuts, {"libri_cuts_dev.jsonl.gz line 2", "two"}),
    ],
)
def test_what_is_broken_costs_one_item(make: Callable[[Path], None], faults: set[str], tmp_path: Path) -> None:
    make(tmp_path)
    found = read(tmp_path)
    assert {item.id for item in found if item.fault} == faults
    assert len(found) > len(faults)
    assert all((item.fault is None) == (item.path is not None or item.sound is not None) for item in found)


def test_parts_of_a_file_are_read_as_parts(tmp_path: Path) -> None:
    broken_manifest(tmp_path)
    assert [dict(item.span) for item in read(tmp_path) if not item.fault] == [{}, {"offset": 1.0, "duration": 2.0}]
    broken_cuts(tmp_path)
    (cut,) = [item for item in read(tmp_path, "lhotse") if not item.fault]
    assert (cut.text, cut.split, cut.path) == ("So.", "validation", str(tmp_path / "a.wav"))
    assert cut.span == {"offset": 1.0, "duration": 2.0}


def test_sounds_of_archives_are_stored_once_under_names_of_ours(tmp_path: Path) -> None:
    found = [Item(id="../../up\n", sound=b"fLaC1"), Item(id="same", sound=b"??"), Item(id="same", path="/there.wav")]
    quiet = StatusLine(quiet=True)
    unpack(iter(found), str(tmp_path), quiet)
    listed = list(read_items(str(tmp_path)))
    assert [item.id for item in listed] == ["../../up", "same", "same (2)"]
    stored = [Path(item.path) for item in listed[:2]]
    assert [path.read_bytes() for path in stored] == [b"fLaC1", b"??"]
    assert all(path.is_relative_to(tmp_path / "sounds") for path in stored)
    before = [path.stat().st_mtime_ns for path in stored]
    unpack(iter(found), str(tmp_path), quiet)
    assert [path.stat().st_mtime_ns for path in stored] == before
    manifest = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [row["title"] for row in manifest] == ["../../up", "same", "same (2)"]


def test_errors_name_the_fix(tmp_path: Path, ours: Path) -> None:
    sound(tmp_path / "plain/a.wav")
    with pytest.raises(ConfigError, match=r"no layout of a corpus that is known .*--layout.*as_is"):
        engine.check(str(tmp_path / "plain"), str(tmp_path / "out"))
    with pytest.raises(ConfigError, match="no item with a sound"):
        engine.check(str(tmp_path / "plain"), str(tmp_path / "out"), layout="nemo", quiet=True)
    with pytest.raises(ConfigError, match="has the check of another corpus"):
        engine.check(str(ours), str(tmp_path / "out"), quiet=True)
    with pytest.raises(ConfigError, match=r"not empty, it has a\.wav; give a new or an empty folder"):
        engine.check(str(ours), str(tmp_path / "plain"), quiet=True)
    with pytest.raises(ConfigError, match="lies within the corpus"):
        engine.check(str(ours), str(ours / "out"), quiet=True)
    assert not (ours / "out").exists()
    shutil.rmtree(tmp_path / "out")


def verdict(text: str | None, split: str | None, **values: object) -> Verdict:
    item = Listed(id="", split=split, speaker="ann", text=text, language=None, path=None, fault=None)
    return Verdict(item=item, **values)


LONG = "the river rises in the hills above the village and turns the wheel of the mill all through the winter"


def test_held_out_texts_and_sounds_that_train_has_are_found() -> None:
    train = verdict(f"{LONG}.", "train", clip_id="c1", content_id="a", reasons=["duplicate"])  # of the one in test
    same_words = verdict(f"He said: {LONG.upper()}!", "test", clip_id="c2", content_id="b")
    same_bytes = verdict("Another text as it seems, of some length.", "test", content_id="a")
    same_sound = verdict("And yet another one of these.", "validation", clip_id="c4", content_id="d", duplicate_of="c1")
    free = verdict("The river rises in the hills, but this goes on in a way of its own.", "test", content_id="e")
    short = verdict("Yes.", "test", content_id="f")
    unsplit = verdict(LONG, None, content_id="g")
    every = [train, same_words, same_bytes, same_sound, free, short, unsplit, verdict("Yes.", "train")]
    leakage.add_leaks(every)
    assert [v.reasons for v in every] == [
        [], ["text_in_train"], ["sound_in_train"], ["sound_in_train"], [], [], [], []
    ]  # fmt: skip
    assert leakage.shared_speakers(every) == {"ann": ["test", "train", "validation"]}
    assert leakage.shared_voices(every) == {}
