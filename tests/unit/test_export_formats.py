"""Formats of exports: each read by the rules of its trainer's reader, with the clips of the corpus and their limits."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from speechmill.core.config_errors import ConfigError
from speechmill.export import without_pipes
from speechmill.export.engine import export
from speechmill.export.options import Options

from tests.exportable import clip, contents, make_corpus

LISTS = ("coqui", "f5-tts", "gpt-sovits", "ljspeech", "matcha", "piper", "voxcpm")
NASTY = '"Quoted", he said | and\r\nshe\tleft: "well'
TEXTS = {number: f"This is clip {number}." for number in range(12)} | {3: NASTY}


def ids(*numbers: int) -> list[str]:
    return [f"{number:032x}" for number in numbers]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips of two speakers with references within, across and beyond the limits of formats."""

    def one(number: int, **values) -> dict:
        others = [other for other in ((number + 4) % 12, (number + 8) % 12) if other != number]
        return clip(number, 1.0 + number / 10, text=TEXTS[number], conditioning_clip_ids=ids(*others), **values)

    shards = {
        "train-00000-00000": [one(number) for number in range(5)],
        "train-00001-00000": [one(number) for number in (5, 6, 7)],
        "validation-00000-00000": [one(number) for number in (8, 9, 10, 11)],
    }
    return make_corpus(tmp_path_factory.mktemp("formats") / "corpus", shards)


@pytest.fixture(scope="module")
def exported(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All formats that share audio, in one go."""
    out = tmp_path_factory.mktemp("exported") / "out"
    result = export(str(corpus), str(out), LISTS, workers=1)
    assert {name: counts["clips"] for name, counts in result["formats"].items()} == dict.fromkeys(LISTS, 12)
    assert len(list((out / "wavs").iterdir())) == 12
    return out


# --- readers, by the rules of those named ---


def by_coqui(folder: Path, name: str) -> list[tuple[str, str, str]]:
    """TTS/tts/datasets/formatters.py, coqui: columns by csv.DictReader, as many `|` in each line as in the first."""
    path = folder / name
    assert len({line.count("|") for line in path.read_text().splitlines()}) == 1
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="|"))
    return [(str(folder / row["audio_file"]), row["text"], row["speaker_name"]) for row in rows]


def by_ljspeech(folder: Path, name: str) -> list[tuple[str, str, str]]:
    """The same file, ljspeech: the third column."""
    rows = [line.split("|") for line in (folder / name).open()]
    return [(str(folder / "wavs" / f"{row[0]}.wav"), row[2].rstrip("\n"), "ljspeech") for row in rows]


def by_piper(folder: Path, name: str) -> list[tuple[str, str, str]]:
    """piper/train/vits/dataset.py: csv.reader, the first column, the last and the second."""
    with (folder / name).open(encoding="utf-8") as file:
        return [(str(folder / row[0]), row[-1], row[1]) for row in csv.reader(file, delimiter="|")]


def by_f5(folder: Path, name: str) -> list[tuple[str, str, str]]:
    """f5_tts/train/datasets/prepare_csv_wavs.py: csv.reader, a header, absolute paths."""
    with (folder / name).open(newline="", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file, delimiter="|")
    assert header == ["audio_file", "text"]
    assert all(Path(row[0]).is_absolute() for row in rows)
    return [(row[0], row[1], "") for row in rows]


def by_sovits(folder: Path, name: str) -> list[tuple[str, str, str]]:
    """prepare_datasets/1-get-text.py: exactly four columns; the file by its own name in the folder of audio."""
    lines = (folder / name).read_text(encoding="utf8").strip("\n").split("\n")
    rows = [(path, speaker, language, text) for path, speaker, language, text in (line.split("|") for line in lines)]
    assert {row[2] for row in rows} == {"en"}
    return [(str(folder / "wavs" / Path(row[0]).name), row[3], row[1]) for row in rows]


def by_matcha(folder: Path, name: str) -> list[tuple[str, str, str]]:
    """matcha/data/text_mel_datamodule.py: the filelist of several speakers, by their numbers."""
    speakers = (folder / "matcha_speakers.txt").read_text().splitlines()
    lines = (folder / name.replace(".txt", "_multispeaker.txt")).read_text().splitlines()
    rows = [line.strip().split("|") for line in lines]
    single = [line.strip().split("|") for line in (folder / name).read_text().splitlines()]
    assert single == [[path, text] for path, _, text in rows]
    assert all(soundfile.info(folder / row[0]).samplerate == 22_050 for row in rows)
    return [(str(folder / path), text, speakers[int(number)]) for path, number, text in rows]


def by_voxcpm(folder: Path, name: str) -> list[tuple[str, str, str]]:
    """voxcpm/training/data.py: JSON lines; paths relative to the manifest."""
    rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    for row in rows:
        assert soundfile.info(folder / row["audio"]).duration == pytest.approx(row["duration"], abs=0.001)
    return [(str(folder / row["audio"]), row["text"], "") for row in rows]


READERS: dict[str, tuple[Callable[[Path, str], list[tuple[str, str, str]]], str, str]] = {
    "coqui": (by_coqui, "metadata_train.csv", "metadata_eval.csv"),
    "ljspeech": (by_ljspeech, "metadata.csv", "metadata_validation.csv"),
    "piper": (by_piper, "piper.csv", "piper_validation.csv"),
    "f5-tts": (by_f5, "f5_train.csv", "f5_validation.csv"),
    "gpt-sovits": (by_sovits, "gpt_sovits.list", "gpt_sovits_validation.list"),
    "matcha": (by_matcha, "matcha_train.txt", "matcha_validation.txt"),
    "voxcpm": (by_voxcpm, "voxcpm_train.jsonl", "voxcpm_validation.jsonl"),
}
SPEAKERLESS = ("f5-tts", "ljspeech", "voxcpm")


def test_every_format_with_lists_has_a_reader() -> None:
    assert READERS.keys() == {*LISTS}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_gets_all_clips_with_their_texts(exported: Path, name: str) -> None:
    reader, train, validation = READERS[name]
    for file, numbers in ((train, range(8)), (validation, range(8, 12))):
        rows = reader(exported, file)
        assert [Path(path).stem for path, _, _ in rows] == ids(*numbers)
        assert all(Path(path).is_file() for path, _, _ in rows)
        plain = " ".join(NASTY.split()) if name == "voxcpm" else without_pipes(NASTY)
        expected = {number: plain if number == 3 else TEXTS[number] for number in numbers}
        if name == "ljspeech":
            expected = {number: text.lower() for number, text in expected.items()}
        assert [text for _, text, _ in rows] == list(expected.values())
        if name not in SPEAKERLESS:
            assert [speaker for _, _, speaker in rows] == [f"s{number % 2}" for number in numbers]


# --- references ---


def test_a_reference_is_another_clip_of_the_split_that_is_in_the_export(exported: Path) -> None:
    with (exported / "metadata_train.csv").open(newline="") as file:
        references = {
            Path(row["audio_file"]).stem: row["reference_path"] for row in csv.DictReader(file, delimiter="|")
        }
    expected = dict(zip(ids(*range(8)), ids(4, 5, 6, 7, 0, 1, 2, 3), strict=True))  # 8 to 11 are validation
    assert references == {clip_id: f"wavs/{other}.wav" for clip_id, other in expected.items()}
    manifest = [json.loads(line) for line in (exported / "voxcpm_train.jsonl").read_text().splitlines()]
    assert {Path(row["audio"]).stem: Path(row["ref_audio"]).stem for row in manifest} == expected
    assert [row["ref_duration"] for row in manifest[:2]] == [1.4, 1.5]
    prompts = [line.split("|") for line in (exported / "f5_prompts_train.lst").read_text().splitlines()]
    assert {row[0]: Path(row[2]).stem for row in prompts} == expected
    assert [row[1] for row in prompts][7] == without_pipes(NASTY)  # of clip 3
    assert not (exported / "f5_prompts_validation.lst").exists()  # whose references are of training


def test_a_reference_that_options_leave_out_is_none(corpus: Path, tmp_path: Path) -> None:
    options = Options(where="clip_id not in (select lpad('5', 32, '0'))")
    export(str(corpus), str(tmp_path / "out"), ["coqui", "voxcpm"], options, workers=1)
    with (tmp_path / "out/metadata_train.csv").open(newline="") as file:
        rows = {Path(row["audio_file"]).stem: row for row in csv.DictReader(file, delimiter="|")}
    assert rows[ids(1)[0]]["reference_path"] == f"wavs/{ids(1)[0]}.wav"  # itself, as XTTS takes it without one
    assert rows[ids(0)[0]]["reference_path"] == f"wavs/{ids(4)[0]}.wav"
    manifest = [json.loads(line) for line in (tmp_path / "out/voxcpm_train.jsonl").read_text().splitlines()]
    assert ["ref_audio" in row for row in manifest] == [True, False, True, True, True, True, True]


# --- limits and traps of single formats ---


def left_out(rows: list[dict], tmp_path: Path, name: str) -> dict[str, int]:
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": [clip(0), *rows]})
    result = export(str(corpus), str(tmp_path / "out"), [name], workers=1)
    assert result["formats"][name]["clips"] == 1 + len(rows) - sum(result["formats"][name]["left_out"].values())
    return result["formats"][name]["left_out"]


def test_xtts_has_its_limits(tmp_path: Path) -> None:
    rows = [clip(1, 11.61), clip(2, 11.609), clip(3, 0.49), clip(4, text="x" * 251), clip(5, text="x" * 250),
            clip(6, text="ж" * 183, language="ru"), clip(7, language="sv"), clip(8, language=None)]  # fmt: skip
    found = left_out(rows, tmp_path, "coqui")
    assert found == {"language_not_in_xtts": 2, "text_too_long": 2, "too_long": 1, "too_short": 1}
    wavs = [soundfile.info(path) for path in (tmp_path / "out/wavs").iterdir()]
    assert max(wav.frames for wav in wavs) <= 255_995


def test_f5_has_its_limits(tmp_path: Path) -> None:
    assert left_out([clip(1, 0.29), clip(2, 30.1), clip(3, 30.0), clip(4, 0.3)], tmp_path, "f5-tts") == {
        "too_long": 1,
        "too_short": 1,
    }


def test_sovits_has_its_limits_and_languages(tmp_path: Path) -> None:
    rows = [clip(1, 54.0), clip(2, 0.6), clip(3, language="de"), clip(4, language="yue"), clip(5, text="|")]
    assert left_out(rows, tmp_path, "gpt-sovits") == {
        "language_not_in_gpt_sovits": 1, "no_text": 1, "too_long": 1, "too_short": 1,
    }  # fmt: skip


def test_several_languages_have_lists_of_their_own_for_xtts(tmp_path: Path) -> None:
    rows = [clip(number, language=language) for number, language in enumerate(("en", "de", "en", "fr"))]
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": rows, "validation-00000-00000": [clip(4)]})
    export(str(corpus), str(tmp_path / "out"), ["coqui"], workers=1)
    found = {
        path.name: [Path(row[0]).stem for row in by_coqui(tmp_path / "out", path.name)]
        for path in (tmp_path / "out").glob("metadata_*.csv")
    }
    assert found == {
        "metadata_train.csv": ids(0, 1, 2, 3), "metadata_eval.csv": ids(4),
        "metadata_train_de.csv": ids(1), "metadata_train_en.csv": ids(0, 2), "metadata_train_fr.csv": ids(3),
        "metadata_eval_de.csv": [], "metadata_eval_en.csv": ids(4), "metadata_eval_fr.csv": [],
    }  # fmt: skip


def test_f5_needs_a_path_that_can_stand_in_a_list(corpus: Path, tmp_path: Path) -> None:
    for name in ("a|b", 'a"b', "a  b"):
        with pytest.raises(ConfigError, match="f5-tts has absolute paths in its lists; choose a local folder"):
            export(str(corpus), str(tmp_path / name), ["f5-tts"])
    with pytest.raises(ConfigError, match="choose a local folder"):
        export(str(corpus), "memory://bucket/export", ["f5-tts"], workers=1)
    export(str(corpus), str(tmp_path / "a b"), ["f5-tts"], workers=1)
    assert all(Path(path).is_file() for path, _, _ in by_f5(tmp_path / "a b", "f5_train.csv"))


def test_fish_has_a_folder_for_each_speaker(corpus: Path, tmp_path: Path) -> None:
    odd = make_corpus(tmp_path / "odd", {"train-00000-00000": [clip(0, speaker_id="../a b")]})
    export(str(odd), str(tmp_path / "odd-out"), ["fish"], workers=1)
    assert (tmp_path / f"odd-out/fish/train/_a_b/{ids(0)[0]}.lab").is_file()
    for kind in ("wav", "flac"):
        export(str(corpus), str(tmp_path / kind), ["fish"], Options(audio=kind), workers=1)
        for split, numbers in (("train", range(8)), ("validation", range(8, 12))):
            found = sorted((tmp_path / kind / "fish" / split).glob(f"*/*.{kind}"), key=lambda path: path.name)
            assert [(path.parent.name, path.stem) for path in found] == [
                (f"s{number % 2}", clip_id) for number, clip_id in zip(numbers, ids(*numbers), strict=True)
            ]
            assert [path.with_suffix(".lab").read_text() for path in found] == [
                " ".join(TEXTS[number].split()) for number in numbers
            ]


def test_speakers_that_are_unknown_are_those_of_their_recordings(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": [clip(0, speaker_id=None), clip(5)]})
    export(str(corpus), str(tmp_path / "out"), ["piper"], workers=1)
    assert [speaker for _, _, speaker in by_piper(tmp_path / "out", "piper.csv")] == ["r0", "s1"]


def test_all_formats_in_one_go_are_those_of_each_alone(corpus: Path, exported: Path, tmp_path: Path) -> None:
    own_rate = ("f5-tts", "gpt-sovits", "voxcpm")  # alone they have audio at the rate of the corpus
    together = contents(exported)
    for name in LISTS:
        alone = tmp_path / name
        export(str(corpus), str(alone), [name], workers=1)
        is_list = re.compile(r"[a-z].*\.(csv|txt|lst|list|jsonl)").match
        lists = {path: text for path, text in contents(alone).items() if is_list(path)}
        assert lists
        for path, content in lists.items():
            assert together[path].replace(bytes(exported), b"") == content.replace(bytes(alone), b""), path
        for path in alone.glob("wavs/*"):
            assert (together[f"wavs/{path.name}"] == path.read_bytes()) == (name not in own_rate)
