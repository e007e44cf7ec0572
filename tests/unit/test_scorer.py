"""What a scorer promises: a clip's scores depend on that clip alone, at any length, on any machine."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soxr
import speech_defects
import torch
from safetensors.torch import load_file, save_file
from speech_defects import Defect, model, scorer

RATE = 16_000
COLUMNS = {*Defect, "snr_db", "c50_db"}
Wave = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def shipped() -> speech_defects.Scorer:
    return speech_defects.load(device="cpu")


@pytest.fixture(scope="module")
def voice(speech: Wave) -> Wave:
    return np.asarray(soxr.resample(speech, 24_000, RATE), np.float32)


@pytest.fixture(scope="module")
def clips(voice: Wave) -> list[Wave]:
    """Clips of very different lengths, levels and worth."""
    rng = np.random.default_rng(5)
    lengths = [0.5, 0.52, 1.0, 3.3, 7.96, 8.0, 12.1, 20.0, 33.0]
    made = [voice[: round(s * RATE)] * np.float32(rng.uniform(0.05, 1.5)) for s in lengths]
    made += [rng.standard_normal(5 * RATE).astype(np.float32) * 0.1, np.zeros(4 * RATE, np.float32)]
    return made


def scores_of(waves: Sequence[Wave], by: speech_defects.Scorer, rate: int = RATE) -> npt.NDArray[np.float32]:
    found = by.score(waves, rate)
    assert set(found) == COLUMNS
    return np.stack([found[column] for column in sorted(COLUMNS)], 1)


def test_scores_are_probabilities_and_decibels(shipped: speech_defects.Scorer, clips: list[Wave]) -> None:
    found = shipped.score(clips, RATE)
    for column, values in found.items():
        assert values.dtype == np.float32
        assert values.shape == (len(clips),)
        assert np.isfinite(values).all()
        if column in tuple(Defect):
            assert (values >= 0).all()
            assert (values <= 1).all()


def test_the_high_frequency_bug_of_dl_art_school_is_not_ours(shipped: speech_defects.Scorer, clips: list[Wave]) -> None:
    """There, one spectrum of a batch decided for all: here no batch mate, order or company changes a clip's scores."""
    alone = np.concatenate([scores_of([clip], shipped) for clip in clips])
    together = scores_of(clips, shipped)
    order = np.random.default_rng(3).permutation(len(clips))
    shuffled = np.empty_like(together)
    shuffled[order] = scores_of([clips[i] for i in order], shipped)
    crowded = scores_of([*clips, *[clips[3]] * 40, *clips], shipped)
    for other in (together, shuffled, crowded[: len(clips)], crowded[-len(clips) :]):
        assert np.abs(other - alone).max() < 1e-5


def test_threads_change_nothing_that_is_stored(shipped: speech_defects.Scorer, clips: list[Wave]) -> None:
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(scores_of(clips, shipped).round(4))
    finally:
        torch.set_num_threads(before)
    assert np.abs(found[0] - found[1]).max() <= 1.01e-4


def test_level_does_not_count(shipped: speech_defects.Scorer, voice: Wave) -> None:
    clip = voice[: 6 * RATE]
    quiet, loud = scores_of([clip * np.float32(0.01), clip * np.float32(0.9)], shipped)
    assert np.abs(quiet - loud).max() < 1e-3


def test_fault_38_a_clip_that_is_not_finite_is_lost_alone(shipped: speech_defects.Scorer, clips: list[Wave]) -> None:
    broken = [clips[3].copy(), clips[3].copy()]
    broken[0][7], broken[1][-1] = np.nan, np.inf
    found = scores_of([clips[2], broken[0], clips[5], broken[1]], shipped)
    assert np.isnan(found[[1, 3]]).all()
    assert np.abs(found[[0, 2]] - scores_of([clips[2], clips[5]], shipped)).max() < 1e-5


@pytest.mark.parametrize("wave", [np.zeros(100), np.zeros(61 * RATE), np.zeros((2, 5 * RATE)), np.zeros(0)])
def test_what_is_no_clip_is_refused(shipped: speech_defects.Scorer, wave: npt.NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match=r"0\.5 to 60 s"):
        shipped.score([wave.astype(np.float32)], RATE)


def test_no_clips_give_no_scores(shipped: speech_defects.Scorer) -> None:
    assert scores_of([], shipped).shape == (0, len(COLUMNS))


def test_fault_37_a_batch_that_is_too_big_for_memory_is_halved(
    shipped: speech_defects.Scorer, clips: list[Wave], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where batches have a fixed number of rows, as on a GPU: no memory is saved by leaving rows empty."""
    assert isinstance(shipped, scorer.NetworkScorer)
    prepared = [model.levelled(clips[5])] * 5
    whole, _ = shipped._score(prepared, 8 * RATE, 5)
    judge, sizes = shipped._judge, []

    def small(waves: torch.Tensor, samples: torch.Tensor) -> model.Verdict:
        sizes.append(len(waves))
        if len(waves) > 2:
            raise torch.OutOfMemoryError("too big")
        return judge(waves, samples)

    monkeypatch.setattr(shipped, "_judge", small)
    halved, frames = shipped._score(prepared, 8 * RATE, 8)
    assert np.abs(halved - whole).max() < 1e-5
    assert frames.shape == (5, len(Defect), 8 * RATE // speech_defects.FRAME)
    assert sizes == [8, 4, 2, 2, 2]


def test_half_precision_leaves_the_features_alone(voice: Wave) -> None:
    waves = torch.from_numpy(model.levelled(voice[: 2 * RATE]))[None]
    plain = model.Features()(waves)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.Features()(waves), plain)


def test_memory_for_one_clip_is_needed(
    shipped: speech_defects.Scorer, clips: list[Wave], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: torch.Tensor) -> model.Verdict:
        raise torch.OutOfMemoryError("too big")

    monkeypatch.setattr(shipped, "_judge", never)
    with pytest.raises(torch.OutOfMemoryError):
        shipped.score(clips[:2], RATE)


def test_the_upper_band_is_measured_for_what_speech_needs(voice: Wave) -> None:
    """A telephone's band lacks bels, full band lacks none, and neither padding nor a click in a pause changes that."""
    edges = {3_400: (2.0, 3.5), 4_000: (2.0, 3.5), 6_000: (0.0, 0.5), 8_000: (0.0, 0.5)}
    features, found = model.Features(), {}
    for edge, (least, most) in edges.items():
        spectrum = np.fft.rfft(voice[: 5 * RATE])
        spectrum[round(edge * 5) :] = 0
        wave = np.fft.irfft(spectrum).astype(np.float32)
        clicked = wave.copy()
        clicked[40_000:40_004] += 0.3
        padded = np.stack([np.pad(model.levelled(one), (0, 3 * RATE)) for one in (wave, clicked)])
        is_there = (torch.arange(8 * 25) < 5 * 25).float()[None].repeat(2, 1)
        found[edge], with_click = model.lack(features(torch.from_numpy(padded))[:, 0], is_there).tolist()
        alone = model.lack(features(torch.from_numpy(padded[:1, : 5 * RATE]))[:, 0], torch.ones(1, 5 * 25)).item()
        assert least <= found[edge] <= most
        assert abs(alone - found[edge]) < 1e-4
        assert abs(with_click - found[edge]) < 0.1
    assert model.lack(features(torch.zeros(1, RATE))[:, 0], torch.ones(1, 25)).item() == pytest.approx(3.5)


def test_other_rates_are_heard_alike(shipped: speech_defects.Scorer, voice: Wave) -> None:
    clip = voice[: 8 * RATE]
    ours = scores_of([clip], shipped)
    for rate in (22_050, 24_000, 48_000):
        other = scores_of([soxr.resample(clip, RATE, rate)], shipped, rate)
        apart = np.abs(other - ours)[0]
        probable = [column in tuple(Defect) for column in sorted(COLUMNS)]
        assert apart[probable].max() < 0.02
        assert apart.max() < 1  # dB


def test_padding_is_masked(shipped: speech_defects.Scorer, voice: Wave) -> None:
    """The network itself: more padding than its own length asks for changes no verdict."""
    assert isinstance(shipped, scorer.NetworkScorer)
    clip = torch.from_numpy(model.levelled(voice[: 5 * RATE + 123]))
    verdicts = []
    for length in (6 * RATE, 20 * RATE):
        waves = torch.zeros(1, length)
        waves[0, : clip.numel()] = clip
        with torch.inference_mode():
            verdicts.append(shipped._judge(waves, torch.tensor([clip.numel()])))
    frames = clip.numel() // speech_defects.FRAME
    assert torch.allclose(verdicts[0].clips, verdicts[1].clips, atol=1e-4)
    assert torch.allclose(verdicts[0].frames[..., :frames], verdicts[1].frames[..., :frames], atol=1e-4)


def test_folding_the_normalisations_changes_nothing(shipped: speech_defects.Scorer, voice: Wave) -> None:
    assert isinstance(shipped, scorer.NetworkScorer)
    waves = torch.from_numpy(model.levelled(voice[: 6 * RATE]))[None]
    with torch.inference_mode():
        plain = scorer.read_network(speech_defects.WEIGHTS)(waves, torch.tensor([waves.shape[1]]))
        fused = shipped._judge(waves, torch.tensor([waves.shape[1]]))
    assert torch.allclose(plain.clips, fused.clips, atol=1e-4)


def test_a_profile_names_weights_and_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = load_file(speech_defects.WEIGHTS)
    state["judge.bias"] = state["judge.bias"] + 1
    save_file(state, tmp_path / "other.safetensors")
    ours = speech_defects.profile()
    assert ours == speech_defects.load(device="cpu").profile
    assert speech_defects.profile(weights=tmp_path / "other.safetensors") != ours
    assert speech_defects.profile(overlap=tmp_path / "other.safetensors") != ours
    monkeypatch.setattr(speech_defects, "SCORES_VERSION", -1)
    assert speech_defects.profile() != ours


def test_other_files_are_no_weights(tmp_path: Path) -> None:
    with pytest.raises(speech_defects.NoWeightsError, match="no-such"):
        speech_defects.load(device="cpu", weights=tmp_path / "no-such.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    for name in ("text", "other"):
        with pytest.raises(ValueError, match=name):
            speech_defects.load(device="cpu", weights=tmp_path / f"{name}.safetensors")


def test_the_weights_are_small() -> None:
    assert sum(file.stat().st_size for file in speech_defects.WEIGHTS.parent.iterdir()) < 20e6


def test_importing_the_interface_is_cheap() -> None:
    code = "import sys, speech_defects; assert not {'torch', 'scipy', 'soxr', 'speechbrain'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
