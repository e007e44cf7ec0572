"""Real training steps on exports of a real corpus: what a trainer's own code learns from them, loss by loss.

Models are small, and data are a handful of clips that are learnt by heart: what is shown is that sound, text and
speakers arrive, not that a voice comes out.
"""

import json
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch
from speechmill.export.engine import export

from tests.interop.test_readers import reader

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]


def falls(losses: list[float]) -> None:
    """Losses are finite, and those of the last third are lower than those of the first."""
    third = len(losses) // 3
    assert np.isfinite(losses).all(), losses
    assert np.mean(losses[-third:]) < np.mean(losses[:third]), losses
    print(" ".join(f"{loss:.3f}" for loss in losses))  # with -s: for the documentation


def train(parameters, loss_of: Callable[[], torch.Tensor], steps: int, rate: float) -> list[float]:
    optimizer, losses = torch.optim.AdamW(parameters, rate), []
    for _ in range(steps):
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_lhotse_feeds_a_network(corpus: Path, tmp_path: Path) -> None:
    lhotse, dataset = reader("lhotse"), reader("lhotse.dataset")
    export(str(corpus), str(tmp_path / "out"), ["lhotse-shar"], workers=1)
    cuts = lhotse.CutSet.from_shar(in_dir=tmp_path / "out/lhotse_shar/train")
    loader = torch.utils.data.DataLoader(
        dataset.SpeechSynthesisDataset(feature_input_strategy=dataset.OnTheFlyFeatures(lhotse.Fbank())),
        sampler=dataset.DynamicCutSampler(cuts, max_duration=20.0, shuffle=True, seed=0), batch_size=None,
    )  # fmt: skip
    torch.manual_seed(0)
    network, head = torch.nn.GRU(80, 128, batch_first=True), torch.nn.Linear(128, 80)
    batches = cycle(list(loader))

    def loss_of() -> torch.Tensor:
        frames = next(batches)["features"]
        return (head(network(frames[:, :-1])[0]) - frames[:, 1:]).abs().mean()  # the next frame from those before

    falls(train([*network.parameters(), *head.parameters()], loss_of, steps=30, rate=3e-3))


def sound_without_ffmpeg(path: str) -> tuple[torch.Tensor, int]:
    """In place of torchaudio.load, which needs FFmpeg's libraries for torchcodec."""
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(wave.T), rate


def test_f5_tts_learns_to_fill_in_speech(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = reader("f5_tts.train.datasets.prepare_csv_wavs")
    dataset, datasets = reader("f5_tts.model.dataset"), reader("datasets")
    cfm, dit, utils = reader("f5_tts.model.cfm"), reader("f5_tts.model.backbones.dit"), reader("f5_tts.model.utils")
    export(str(corpus), str(tmp_path / "out"), ["f5-tts"], workers=1)
    results, durations, vocabulary = prepare.prepare_csv_wavs_dir(str(tmp_path / "out/f5_train.csv"), num_workers=1)
    prepare.save_prepped_dataset(tmp_path / "prepared", results, durations, vocabulary, is_finetune=False)
    characters, size = utils.get_tokenizer(str(tmp_path / "prepared/vocab.txt"), "custom")
    rows = datasets.Dataset.from_file(str(tmp_path / "prepared/raw.arrow"))
    monkeypatch.setattr(dataset.torchaudio, "load", sound_without_ffmpeg)
    clips = dataset.CustomDataset(rows, durations=durations)
    batch = dataset.collate_fn([clips[at] for at in range(2)])
    torch.manual_seed(0)
    transformer = dit.DiT(dim=128, depth=2, heads=2, ff_mult=2, text_dim=64, text_num_embeds=size, mel_dim=100)
    model = cfm.CFM(transformer, mel_spec_kwargs={"mel_spec_type": "vocos"}, vocab_char_map=characters)

    def loss_of() -> torch.Tensor:
        return model(batch["mel"].permute(0, 2, 1), batch["text"], lens=batch["mel_lengths"])[0]

    falls(train(model.parameters(), loss_of, steps=18, rate=1e-3))


def alignment_of_the_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step of VITS that piper compiles from Cython, whose source its wheel lacks: the best monotonic path."""

    def maximum_path_c(paths: np.ndarray, values: np.ndarray, frames: np.ndarray, symbols: np.ndarray) -> None:
        for path, value, length, width in zip(paths, values, frames, symbols, strict=True):
            total = np.full((length, width + 1), -np.inf, np.float32)
            total[0, 1] = value[0, 0]
            for at in range(1, length):
                total[at, 1:] = value[at, :width] + np.maximum(total[at - 1, 1:], total[at - 1, :-1])
            symbol = width - 1
            for at in range(length - 1, -1, -1):
                path[at, symbol] = 1
                if symbol and at and total[at - 1, symbol] > total[at - 1, symbol + 1]:
                    symbol -= 1

    package = "piper.train.vits.monotonic_align.monotonic_align"
    core = ModuleType(f"{package}.core")
    core.maximum_path_c = maximum_path_c
    monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setitem(sys.modules, core.__name__, core)


def test_piper_trains_a_voice(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, model = reader("piper.train.vits.dataset"), reader("piper.train.vits.lightning")
    lightning = reader("lightning")
    alignment_of_the_wheel(monkeypatch)
    export(str(corpus), str(tmp_path / "out"), ["piper"], workers=1)
    module = data.VitsDataModule(
        csv_path=tmp_path / "out/piper.csv", cache_dir=tmp_path / "cache", espeak_voice="en-us", num_speakers=1,
        config_path=tmp_path / "config.json", voice_name="test", audio_dir=tmp_path / "out", batch_size=2,
        num_workers=0, validation_split=0.0, num_test_examples=0, trim_silence=False,
    )  # fmt: skip
    lightning.seed_everything(0)
    small = {"inter_channels": 48, "hidden_channels": 48, "filter_channels": 96, "upsample_initial_channel": 64}
    voice = model.VitsModel(batch_size=2, n_layers=2, mos_metric=None, learning_rate=1e-3, **small)
    losses = []
    voice.log = lambda name, value, **_: losses.append(float(value)) if name == "loss_g" else None
    trainer = lightning.Trainer(
        max_epochs=5, accelerator="cpu", logger=False, enable_checkpointing=False, limit_val_batches=0,
        enable_progress_bar=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(voice, module)
    assert json.loads((tmp_path / "config.json").read_text())["audio"]["sample_rate"] == 22_050
    falls(losses)
