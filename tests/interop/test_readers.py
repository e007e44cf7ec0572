"""Each export is loaded by the reader that its trainer has, at the versions in docs/exports.md.

A reader that is not installed here is skipped, with the reason: `pytest -n 0 -rs -m interop` lists them.
"""

import importlib
import json
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from speechmill.export.engine import export
from speechmill.export.options import Options

from tests.exportable import clip, make_corpus

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
TRAIN, VALIDATION = range(8), range(8, 12)
SPLITS = {"train": TRAIN, "validation": VALIDATION}
NASTY = ' "Quoted", he said:\r\n| and "left" '
FORMATS = (
    "coqui", "f5-tts", "fish", "hf", "kaldi", "lhotse-shar", "ljspeech", "matcha", "nemo", "nemo-tarred", "piper",
    "voxcpm", "webdataset",
)  # fmt: skip


def ids(numbers: range) -> list[str]:
    return [f"{number:032x}" for number in numbers]


def reader(name: str) -> ModuleType:
    """A module of a trainer. Skips the test where it is not installed, or a library that it loads is missing."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError, TypeError) as error:  # TypeError: versions that contradict each other
        line = (str(error).splitlines() or [""])[0]
        pytest.skip(f"{name} cannot be imported here: {line}")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All formats in one folder, which is the working directory, as manifests with relative paths need it."""

    def one(number: int) -> dict:
        split = next(numbers for numbers in SPLITS.values() if number in numbers)
        others = [f"{other:032x}" for other in split if other != number and other % 2 == number % 2]
        text = NASTY if number == 3 else f"This is clip number {number}."
        return clip(number, 3.0 + number / 10, text=text, conditioning_clip_ids=others or None)

    shards = {
        "train-00000-00000": [one(number) for number in TRAIN[:5]],
        "train-00001-00000": [one(number) for number in TRAIN[5:]],
        "validation-00000-00000": [one(number) for number in VALIDATION],
    }
    root = tmp_path_factory.mktemp("interop")
    corpus = make_corpus(root / "corpus", shards)
    options = Options(sample_rate=22_050)
    result = export(str(corpus), str(root / "out"), FORMATS, options, workers=1)
    assert {counts["clips"] for counts in result["formats"].values()} == {12}
    before = Path.cwd()
    os.chdir(root / "out")
    yield root / "out"
    os.chdir(before)


def seconds(number: int) -> float:
    return 3.0 + number / 10


# --- lhotse ---


@pytest.mark.parametrize("split", SPLITS)
def test_lhotse_reads_shar(exported: Path, split: str) -> None:
    lhotse = reader("lhotse")
    cuts = lhotse.CutSet.from_shar(in_dir=exported / "lhotse_shar" / split)
    seen = []
    for cut, number in zip(cuts, SPLITS[split], strict=True):
        lhotse.validate(cut, read_data=True)
        assert cut.load_audio().shape == (1, round(seconds(number) * 22_050))
        assert cut.supervisions[0].speaker == f"s{number % 2}"
        seen.append(cut.id)
    assert seen == ids(SPLITS[split])


def test_lhotse_makes_batches_of_shar(exported: Path) -> None:
    lhotse = reader("lhotse")
    dataset = reader("lhotse.dataset")
    cuts = lhotse.CutSet.from_shar(in_dir=exported / "lhotse_shar/train")
    sampler = dataset.DynamicCutSampler(cuts, max_duration=8.0)
    loader = torch.utils.data.DataLoader(
        dataset.SpeechSynthesisDataset(feature_input_strategy=dataset.OnTheFlyFeatures(lhotse.Fbank())),
        sampler=sampler, batch_size=None,
    )  # fmt: skip
    texts = [text for batch in loader for text in batch["text"]]
    assert len(texts) == 8


@pytest.mark.parametrize("split", SPLITS)
def test_lhotse_reads_kaldi(exported: Path, split: str) -> None:
    kaldi = reader("lhotse.kaldi")
    recordings, supervisions, _ = kaldi.load_kaldi_data_dir(exported / "kaldi" / split, sampling_rate=22_050)
    assert sorted(recording.id[-32:] for recording in recordings) == ids(SPLITS[split])
    assert {(segment.id[-1], segment.speaker) for segment in supervisions} == {
        (clip_id[-1], f"s{number % 2}") for clip_id, number in zip(ids(SPLITS[split]), SPLITS[split], strict=True)
    }


# --- ESPnet and kaldiio ---


@pytest.mark.parametrize("split", SPLITS)
def test_espnet_reads_kaldi(exported: Path, split: str) -> None:
    read_text = reader("espnet2.fileio.read_text")
    dataset = reader("espnet2.train.dataset")
    folder = exported / "kaldi" / split
    texts = read_text.read_2columns_text(folder / "text")
    loaded = dataset.ESPnetDataset(
        [(str(folder / "wav.scp"), "speech", "sound"), (str(folder / "text"), "text", "text")],
        preprocess=lambda _, data: data | {"text": np.array([len(data["text"])])},
    )
    assert sorted(key[-32:] for key in texts) == ids(SPLITS[split])
    for key in texts:
        _, data = loaded[key]
        assert len(data["speech"]) == round(seconds(int(key[-32:], 16)) * 22_050)


def test_kaldiio_reads_kaldi(exported: Path) -> None:
    kaldiio = reader("kaldiio")
    for key, (rate, samples) in kaldiio.load_scp(str(exported / "kaldi/train/wav.scp")).items():
        assert (rate, len(samples)) == (22_050, round(seconds(int(key[-32:], 16)) * 22_050))


# --- webdataset, datasets ---


def test_webdataset_reads_tar_files(exported: Path) -> None:
    webdataset = reader("webdataset")
    tars = [str(path) for path in sorted(exported.glob("train-*.tar"))]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ids(TRAIN)
    for sample, number in zip(samples, TRAIN, strict=True):
        assert json.loads(sample["json"])["speaker_id"] == f"s{number % 2}"
        assert sample["flac"][:4] == b"fLaC"
        assert sample["txt"]


def test_datasets_reads_the_audiofolder(exported: Path, tmp_path: Path) -> None:
    datasets = reader("datasets")
    reader("torchcodec.decoders")  # datasets reads audio with it
    loaded = datasets.load_dataset("audiofolder", data_dir=str(exported / "hf"), cache_dir=str(tmp_path))
    assert {split: loaded[split]["clip_id"][:] for split in loaded} == {s: ids(n) for s, n in SPLITS.items()}
    for row, number in zip(loaded["train"], TRAIN, strict=True):
        assert row["audio"].get_all_samples().data.shape[-1] == round(seconds(number) * 22_050)


# --- NeMo ---


@pytest.mark.parametrize("split", SPLITS)
def test_nemo_reads_its_manifests(exported: Path, split: str) -> None:
    utils = reader("nemo.collections.asr.parts.utils.manifest_utils")
    adapters = reader("nemo.collections.common.data.lhotse.nemo_adapters")
    rows = utils.read_manifest(str(exported / f"nemo_{split}.json"))
    assert [Path(row["audio_filepath"]).stem for row in rows] == ids(SPLITS[split])
    for cut, number in zip(adapters.LazyNeMoIterator(f"nemo_{split}.json"), SPLITS[split], strict=True):
        assert cut.load_audio().shape == (1, round(seconds(number) * 22_050))
        assert cut.supervisions[0].language == "en"


@pytest.mark.parametrize("split", SPLITS)
def test_nemo_reads_tar_files(exported: Path, split: str) -> None:
    cutset = reader("nemo.collections.common.data.lhotse.cutset")
    omegaconf = reader("omegaconf")
    config = {"input_cfg": f"nemo_tarred/{split}/input_cfg.yaml", "shard_seed": 0, "shuffle": False}
    more = {"force_finite": True, "metadata_only": False}
    cuts, is_tarred = cutset.read_cutset_from_config(omegaconf.OmegaConf.create(config | more))
    assert is_tarred
    assert sorted(cut.clip_id for cut in cuts) == ids(SPLITS[split])
    assert all(cut.load_audio().shape[1] == round(seconds(int(cut.clip_id, 16)) * 22_050) for cut in cuts)


# --- coqui ---


def test_coqui_reads_its_lists_and_xtts_takes_all_clips(exported: Path) -> None:
    datasets = reader("TTS.tts.datasets")
    shared = reader("TTS.tts.configs.shared_configs")
    xtts = reader("TTS.tts.layers.xtts.trainer.dataset")
    config = shared.BaseDatasetConfig(
        formatter="coqui", path=str(exported), meta_file_train="metadata_train.csv", meta_file_val="metadata_eval.csv",
        language="en",
    )  # fmt: skip
    train, held_out = datasets.load_tts_samples(shared.BaseTTSConfig(datasets=[config]), eval_split=True)
    assert sorted(Path(sample["audio_file"]).stem for sample in train) == ids(TRAIN)
    assert sorted(Path(sample["audio_file"]).stem for sample in held_out) == ids(VALIDATION)
    arguments = SimpleNamespace(
        debug_loading_failures=True, max_conditioning_length=132_300, min_conditioning_length=66_150,
        max_wav_length=255_995, max_text_length=200, gpt_use_masking_gt_prompt_approach=True,
    )  # fmt: skip
    tokenizer = SimpleNamespace(encode=lambda text, _: [2 + ord(letter) % 200 for letter in text])  # its own has a file
    settings = SimpleNamespace(model_args=arguments, training_seed=1)
    dataset = xtts.XTTSDataset(settings, held_out, tokenizer, 22_050, is_eval=True)
    assert len(dataset.samples) == len(VALIDATION)
    assert {dataset[at]["wav"].shape[-1] for at in range(4)} == {
        round(seconds(number) * 22_050) for number in VALIDATION
    }


def test_coqui_reads_ljspeech(exported: Path) -> None:
    formatters = reader("TTS.tts.datasets.formatters")
    samples = formatters.ljspeech(str(exported), "metadata.csv")
    assert [Path(sample["audio_file"]).stem for sample in samples] == ids(TRAIN)
    assert all(Path(sample["audio_file"]).is_file() for sample in samples)
    assert samples[3]["text"].rstrip("\n") == "quoted, he said: and left"  # coqui-tts 0.28 keeps the line end


# --- piper, F5-TTS, VoxCPM, Matcha-TTS, Fish Speech ---


def test_piper_prepares_its_list(exported: Path, tmp_path: Path) -> None:
    module = reader("piper.train.vits.dataset")
    data = module.VitsDataModule(
        csv_path=exported / "piper.csv", cache_dir=tmp_path / "cache", espeak_voice="en-us", num_speakers=2,
        config_path=tmp_path / "config.json", voice_name="test", audio_dir=exported, batch_size=2, num_workers=0,
        validation_split=0.0, num_test_examples=0, trim_silence=False,
    )  # fmt: skip
    data.prepare_data()
    assert json.loads((tmp_path / "config.json").read_text())["speaker_id_map"] == {"s0": 0, "s1": 1}
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert sum(len(batch.speaker_ids) for batch in batches) == 8


def test_f5_prepares_its_list(exported: Path, tmp_path: Path) -> None:
    prepare = reader("f5_tts.train.datasets.prepare_csv_wavs")
    dataset, datasets = reader("f5_tts.model.dataset"), reader("datasets")
    pairs = prepare.read_audio_text_pairs(str(exported / "f5_train.csv"))
    assert [Path(path).stem for path, _ in pairs] == ids(TRAIN)
    results, durations, vocabulary = prepare.prepare_csv_wavs_dir(str(exported / "f5_train.csv"), num_workers=1)
    assert durations == pytest.approx([seconds(number) for number in TRAIN], abs=0.001)
    prepare.save_prepped_dataset(tmp_path, results, durations, vocabulary, is_finetune=False)
    # not by its load_dataset, which reads data/ beside the package only: of a path it fails, in 1.1.22
    loaded = dataset.CustomDataset(datasets.Dataset.from_file(str(tmp_path / "raw.arrow")), durations=durations)
    assert len(loaded) == 8
    assert loaded[0]["mel_spec"].shape[0] == 100


def test_f5_reads_prompts(exported: Path) -> None:
    evaluation = reader("f5_tts.eval.utils_eval")
    rows = evaluation.get_seedtts_testset_metainfo(str(exported / "f5_prompts_train.lst"))
    assert [row[0] for row in rows] == ids(TRAIN)
    assert all(Path(row[2]).is_file() and Path(row[4]).is_file() for row in rows)


def test_voxcpm_reads_its_manifests(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = reader("voxcpm.training.data")
    reader("torchcodec.decoders")  # datasets reads audio with it
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    train, held_out = data.load_audio_text_datasets("voxcpm_train.jsonl", "voxcpm_validation.jsonl")
    assert (len(train), len(held_out)) == (8, 4)
    for row, number in zip(train, TRAIN, strict=True):
        assert row["audio"]["array"].shape[-1] == pytest.approx(seconds(number) * 16_000, abs=2)
        assert row["ref_audio"]["array"].shape[-1] == pytest.approx(row["ref_duration"] * 16_000, abs=20)


def test_matcha_reads_its_lists(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    espeak = reader("espeakng_loader")  # eSpeak in a wheel: else one of the system has to be there
    monkeypatch.setenv("PHONEMIZER_ESPEAK_LIBRARY", espeak.get_library_path())
    monkeypatch.setenv("ESPEAK_DATA_PATH", espeak.get_data_path())
    module = reader("matcha.data.text_mel_datamodule")
    for name, columns in (("matcha_train.txt", 2), ("matcha_train_multispeaker.txt", 3)):
        rows = module.parse_filelist(name)
        assert {len(row) for row in rows} == {columns}
        assert all(soundfile.info(exported / row[0]).samplerate == 22_050 for row in rows)


@pytest.mark.parametrize("split", SPLITS)
def test_fish_speech_finds_sounds_with_their_texts(exported: Path, split: str) -> None:
    """As its extract_vq.py lists the files of a folder, and its loader of references reads their texts."""
    module = reader("fish_speech.utils.file")
    files = module.list_files(exported / "fish" / split, module.AUDIO_EXTENSIONS, recursive=True, sort=True)
    assert sorted(file.stem for file in files) == ids(SPLITS[split])
    for file in files:
        number = int(file.stem, 16)
        text = module.read_ref_text(str(file.with_suffix(".lab")))
        assert text == ('"Quoted", he said: | and "left"' if number == 3 else f"This is clip number {number}.")
        assert file.parent.name == f"s{number % 2}"
        assert soundfile.info(file).frames == round(seconds(number) * 22_050)


def test_clips_are_of_different_lengths_so_that_a_mix_up_shows() -> None:
    assert all(seconds(a) < seconds(b) for a, b in pairwise(range(12)))
