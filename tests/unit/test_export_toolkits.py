"""Formats of toolkits: NeMo, lhotse, Kaldi and Hugging Face, read by the rules of their readers."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.json as pj
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml
from speechmill.audio import decode_flac
from speechmill.core.config_errors import ConfigError
from speechmill.export.base import Exporter
from speechmill.export.engine import export
from speechmill.export.finishing import ExportError
from speechmill.export.formats.nemo_tarred import NeMoTarred
from speechmill.export.options import Options
from speechmill.export.registry import exporters

from tests.exportable import clip, contents, make_corpus

TOOLKITS = ("cosyvoice", "hf", "kaldi", "lhotse-shar", "nemo", "nemo-tarred")
TEXT = ' She  said: "yes | no"\r\nand left. '
PLAIN = 'She said: "yes | no" and left.'
SPEAKERS = ("s1", "s10", "s1-a", "Ann B", "Ann_B", "Анна")
TRAIN, VALIDATION = range(10), range(10, 13)


def ids(*numbers: int) -> list[str]:
    return [f"{number:032x}" for number in numbers]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of six speakers in three shards, each with the two clips before it as references."""

    def one(number: int) -> dict:
        before = ids(number - 1, number - 2) if number > 1 else None
        word = {"word": "yes", "start_s": 0.25, "end_s": 0.75, "probability": 0.5}
        return clip(
            number, 2.5 + number / 10, text=TEXT if number == 3 else f"This is clip {number}.", words=[word],
            speaker_id=SPEAKERS[number % 6], conditioning_clip_ids=before, recording_id=f"r{number // 4}",
        )  # fmt: skip

    shards = {
        "train-00000-00000": [one(number) for number in TRAIN[:6]],
        "train-00001-00000": [one(number) for number in TRAIN[6:]],
        "validation-00000-00000": [one(number) for number in VALIDATION],
    }
    return make_corpus(tmp_path_factory.mktemp("toolkits") / "corpus", shards)


@pytest.fixture(scope="module")
def exported(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All these formats in one go."""
    out = tmp_path_factory.mktemp("exported") / "out"
    result = export(str(corpus), str(out), TOOLKITS, workers=1)
    assert {name: counts["clips"] for name, counts in result["formats"].items()} == dict.fromkeys(TOOLKITS, 13)
    return out


def json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def members(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path, "r:") as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]


def text_of(number: int) -> str:
    return PLAIN if number == 3 else f"This is clip {number}."


# --- NeMo ---


@pytest.mark.parametrize(("split", "numbers"), [("train", TRAIN), ("validation", VALIDATION)])
def test_nemo_has_a_line_for_each_clip(exported: Path, split: str, numbers: range) -> None:
    rows = json_lines(exported / f"nemo_{split}.json")
    assert [Path(row["audio_filepath"]).stem for row in rows] == ids(*numbers)
    for row, number in zip(rows, numbers, strict=True):
        assert soundfile.info(exported / row["audio_filepath"]).duration == pytest.approx(row["duration"], abs=0.001)
        assert (row["text"], row["speaker"]) == (text_of(number), SPEAKERS[number % 6])
        assert row["lang"] == row["language"] == "en"


def test_the_context_of_magpie_is_the_best_reference_of_three_seconds(exported: Path) -> None:
    contexts = {
        Path(row["audio_filepath"]).stem: (Path(row["context_audio_filepath"]).stem, row["context_audio_duration"])
        for split in ("train", "validation")
        for row in json_lines(exported / f"nemo_{split}.json")
        if "context_audio_filepath" in row
    }
    # 2 to 9 in training have two before them, of which those from 5 on have 3 s; 10 is the first of validation
    before = {number: (number - 1, 2.4 + number / 10) for number in (2, 3, 4, 5, 6, 7, 8, 9, 11, 12)}
    assert contexts == {
        ids(number)[0]: (ids(other)[0], pytest.approx(length)) for number, (other, length) in before.items()
    }
    rows = json_lines(exported / "nemo_train.json")
    assert rows[4]["context_text"] == PLAIN
    assert "context_text" not in rows[0]


def test_a_longer_reference_is_taken_before_one_that_is_too_short(tmp_path: Path) -> None:
    rows = [clip(0, 1.0), clip(1, 2.9), clip(2, 3.0), clip(3, conditioning_clip_ids=ids(0, 1, 2)),
            clip(4, conditioning_clip_ids=ids(1, 0))]  # fmt: skip
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": rows})
    export(str(corpus), str(tmp_path / "out"), ["nemo"], workers=1)
    lines = json_lines(tmp_path / "out/nemo_train.json")
    assert [Path(line.get("context_audio_filepath", "none")).stem for line in lines] == ["none"] * 3 + ids(2, 1)


@pytest.mark.parametrize(("split", "numbers"), [("train", TRAIN), ("validation", VALIDATION)])
def test_tarred_manifests_are_those_of_their_tar_files(exported: Path, split: str, numbers: range) -> None:
    folder = exported / "nemo_tarred" / split
    (entry,) = yaml.safe_load((folder / "input_cfg.yaml").read_text())
    shards = {"train": 2, "validation": 1}[split]
    pattern = "audio__OP_0..1_CL_.tar" if shards == 2 else "audio_0.tar"
    assert entry["tarred_audio_filepaths"] == f"nemo_tarred/{split}/{pattern}"
    assert entry["manifest_filepath"].startswith(f"nemo_tarred/{split}/sharded_manifests/manifest_")
    assert yaml.safe_load((folder / "metadata.yaml").read_text())["dataset_config"]["num_shards"] == shards
    joint = json_lines(folder / "tarred_audio_manifest.json")
    assert [row["clip_id"] for row in joint] == ids(*numbers)
    assert len(list(folder.glob("audio_*.tar"))) == shards
    for shard in range(shards):
        rows = json_lines(folder / f"sharded_manifests/manifest_{shard}.json")
        assert rows == [row for row in joint if row["shard_id"] == shard]
        tar = members(folder / f"audio_{shard}.tar")
        assert [name for name, _ in tar] == [row["audio_filepath"] for row in rows]
        for (_, content), row in zip(tar, rows, strict=True):
            assert soundfile.info(io.BytesIO(content)).duration == pytest.approx(row["duration"], abs=0.001)


def test_a_tarred_name_is_never_taken_for_a_part_of_a_longer_file(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": [clip(0, clip_id="a-sub1"), clip(1)]})
    export(str(corpus), str(tmp_path / "out"), ["nemo-tarred"], workers=1)
    (first, _), *_ = members(tmp_path / "out/nemo_tarred/train/audio_0.tar")
    assert first == "a_sub1.wav"


def test_a_new_tar_file_has_a_new_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NeMoTarred, "clips_per_file", 2)
    shards = {f"train-0000{at}-00000": [clip(10 * at + number) for number in range(3)] for at in range(2)}
    export(str(make_corpus(tmp_path / "corpus", shards)), str(tmp_path / "out"), ["nemo-tarred"], workers=1)
    manifests = sorted((tmp_path / "out/nemo_tarred/train/sharded_manifests").iterdir())
    assert [[row["clip_id"] for row in json_lines(path)] for path in manifests] == [
        ids(0, 1), ids(2), ids(10, 11), ids(12),
    ]  # fmt: skip


# --- lhotse ---


@pytest.mark.parametrize(("split", "numbers"), [("train", TRAIN), ("validation", VALIDATION)])
def test_shar_has_cuts_and_recordings_in_the_same_order(
    corpus: Path, exported: Path, split: str, numbers: range
) -> None:
    folder = exported / "lhotse_shar" / split
    assert {path.name.split(".")[0] for path in folder.iterdir()} == {
        "cuts",
        "recording",
    }  # lhotse takes all for fields
    flacs = {
        row["clip_id"]: row["audio"]["bytes"]
        for path in sorted(corpus.glob("data/*"))
        for row in pq.read_table(path, columns=["clip_id", "audio"]).to_pylist()
    }
    cuts = [cut for path in sorted(folder.glob("cuts.*.jsonl")) for cut in json_lines(path)]
    tars = [member for path in sorted(folder.glob("recording.*.tar")) for member in members(path)]
    assert [cut["id"] for cut in cuts] == ids(*numbers)
    for cut, audio, facts, number in zip(cuts, tars[::2], tars[1::2], numbers, strict=True):
        assert (audio[0], facts[0]) == (f"{cut['id']}.flac", f"{cut['id']}.json")
        assert audio[1] == flacs[cut["id"]]  # copied
        assert json.loads(facts[1]) == cut["recording"]
        assert cut["recording"]["num_samples"] == len(decode_flac(audio[1]))
        (supervision,) = cut["supervisions"]
        assert (supervision["text"], supervision["speaker"]) == (text_of(number), SPEAKERS[number % 6])
        assert supervision["alignment"] == {"word": [["yes", 0.25, 0.5, 0.5]]}
        assert cut["custom"]["licence"] == "CC-BY-4.0"


def test_a_resampled_recording_has_its_exact_length(tmp_path: Path) -> None:
    rows = [clip(number, 1.0 + number / 997) for number in range(5)]
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": rows})
    export(str(corpus), str(tmp_path / "out"), ["lhotse-shar"], Options(sample_rate=16_000, audio="wav"), workers=1)
    cuts = json_lines(tmp_path / "out/lhotse_shar/train/cuts.000000.jsonl")
    audio = members(tmp_path / "out/lhotse_shar/train/recording.000000.tar")[::2]
    for cut, (_, content) in zip(cuts, audio, strict=True):
        frames = len(soundfile.read(io.BytesIO(content))[0])
        assert (cut["recording"]["num_samples"], cut["recording"]["sampling_rate"]) == (frames, 16_000)
        assert cut["duration"] == cut["recording"]["duration"] == frames / 16_000


# --- Kaldi ---


@pytest.mark.parametrize("name", ["kaldi", "cosyvoice"])
def test_kaldi_is_sorted_by_utterance_and_by_speaker(exported: Path, name: str) -> None:
    """The rules of Kaldi's utils/validate_data_dir.sh."""
    for split, numbers in (("train", TRAIN), ("validation", VALIDATION)):
        folder = exported / name / split
        lists = {path.name: path.read_text().splitlines() for path in folder.iterdir()}
        assert lists.keys() == {"spk2utt", "text", "utt2spk", "wav.scp"}
        for path in folder.iterdir():
            done = subprocess.run(["sort", "-c", "-k1,1", "-u", path], env={"LC_ALL": "C"}, capture_output=True)
            assert done.returncode == 0, (path, done.stderr)
        by_speaker = subprocess.run(["sort", "-c", "-k2,2", folder / "utt2spk"], env={"LC_ALL": "C"})
        assert by_speaker.returncode == 0
        pairs = [line.split() for line in lists["utt2spk"]]
        assert all(utterance.startswith(f"{speaker}-") for utterance, speaker in pairs)
        again = [[utterance, line.split()[0]] for line in lists["spk2utt"] for utterance in line.split()[1:]]
        assert again == pairs
        paths = dict(line.split() for line in lists["wav.scp"])
        texts = dict(line.split(maxsplit=1) for line in lists["text"])
        assert paths.keys() == texts.keys() == {utterance for utterance, _ in pairs}
        assert sorted(Path(path).stem for path in paths.values()) == ids(*numbers)
        for utterance, path in paths.items():
            assert Path(path).is_file()
            assert texts[utterance] == text_of(int(Path(path).stem, 16))


def test_speakers_stay_apart_whatever_their_names(exported: Path) -> None:
    lines = (exported / "kaldi/train/spk2utt").read_text().splitlines()
    speakers = {line.split()[0]: {int(u[-32:], 16) % 6 for u in line.split()[1:]} for line in lines}
    assert len(speakers) == 6
    assert sorted(number for numbers in speakers.values() for number in numbers) == list(range(6))
    assert {"s1", "s10", "Ann_B"} < speakers.keys()


@pytest.mark.parametrize("name", ["kaldi", "cosyvoice"])
def test_kaldi_needs_a_path_without_blanks(corpus: Path, tmp_path: Path, name: str) -> None:
    for output in (str(tmp_path / "a b"), "memory://bucket/export"):
        with pytest.raises(ConfigError, match=f"{name} has absolute paths in its lists; choose a local folder"):
            export(str(corpus), output, [name], workers=1)


def test_cosyvoice_has_its_limits(tmp_path: Path) -> None:
    rows = [clip(0, 0.99), clip(1, 1.0), clip(2, 60.0), clip(3, 60.1), clip(4, text=None)]
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": rows})
    result = export(str(corpus), str(tmp_path / "out"), ["cosyvoice"], workers=1)
    assert result["formats"]["cosyvoice"]["left_out"] == {"no_text": 1, "too_long": 1, "too_short": 1}
    assert {soundfile.info(path).samplerate for path in (tmp_path / "out/wavs").iterdir()} == {24_000}


# --- Hugging Face ---


def test_the_audiofolder_has_metadata_of_the_same_types_in_both_splits(exported: Path) -> None:
    """The rules of datasets' folder_based_builder.py, whose audio needs FFmpeg's libraries: see tests/interop."""
    assert {path.name for path in (exported / "hf").iterdir()} == {"train", "validation"}
    tables = {split: pj.read_json(exported / f"hf/{split}/metadata.jsonl") for split in ("train", "validation")}
    assert tables["train"].schema == tables["validation"].schema
    assert {str(field.type) for field in tables["train"].schema} == {"string", "double"}
    for split, numbers in (("train", TRAIN), ("validation", VALIDATION)):
        rows = tables[split].to_pylist()
        assert [(row["clip_id"], row["text"]) for row in rows] == [
            (ids(number)[0], text_of(number)) for number in numbers
        ]
        for row in rows:
            path = exported / "hf" / split / row["file_name"]
            assert soundfile.info(path).duration == pytest.approx(row["duration"], abs=0.001)


# --- all of them ---


def test_one_go_and_each_alone_give_the_same_bytes(corpus: Path, exported: Path, tmp_path: Path) -> None:
    export(str(corpus), str(tmp_path / "again"), TOOLKITS[::-1], workers=2)
    together, again = contents(exported), contents(tmp_path / "again")
    assert together.keys() == again.keys()
    for path, content in again.items():
        if path not in ("SHA256SUMS", "export.json"):  # with hashes of lists that have the folder's path
            assert content.replace(bytes(tmp_path / "again"), b"") == together[path].replace(bytes(exported), b""), path


@pytest.mark.parametrize(
    ("name", "file", "old", "new"),
    [
        ("nemo-tarred", "nemo_tarred/train/sharded_manifests/manifest_0.json", b'"shard_id": 0', b'"shard_id": 7'),
        ("lhotse-shar", "lhotse_shar/train/cuts.000000.jsonl", b'"num_samples": ', b'"num_samples": 1'),
        ("kaldi", "kaldi/train/text", b"s0-", b"s2-"),
        ("hf", "hf/train/metadata.jsonl", b'"file_name": "00000/', b'"file_name": "00000/0'),
    ],
)
def test_reading_back_sees_what_a_trainer_would_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, file: str, old: bytes, new: bytes
) -> None:
    exporter: Exporter = exporters()[name]
    out, finish = tmp_path / "out", type(exporter).finish

    def spoil(self: Exporter, exported) -> None:
        finish(self, exported)
        content = (out / file).read_bytes()
        assert old in content
        (out / file).write_bytes(content.replace(old, new, 1))

    monkeypatch.setattr(type(exporter), "finish", spoil)
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": [clip(number) for number in range(3)]})
    with pytest.raises(ExportError, match=f"^{name}: "):
        export(str(corpus), str(out), [name], workers=1)


def test_audio_is_that_of_the_corpus(corpus: Path, exported: Path) -> None:
    rows = [row for path in sorted(corpus.glob("data/train*")) for row in pq.read_table(path).to_pylist()]
    for row in rows:
        (path,) = (exported / "hf/train").glob(f"*/{row['clip_id']}.flac")
        assert path.read_bytes() == row["audio"]["bytes"]
        samples, _ = soundfile.read(exported / f"wavs/{row['clip_id']}.wav", dtype="int16")
        assert len(samples) == pytest.approx(
            len(decode_flac(row["audio"]["bytes"])) * 24_000 / row["sampling_rate"], abs=1
        )
        assert np.abs(samples).max() > 4_000
