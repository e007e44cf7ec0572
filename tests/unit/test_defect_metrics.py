"""Figures of an evaluation, and an evaluation of real clips by real rules."""

import base64
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from speech_defects import Defect
from speech_defects.evaluate import evaluate, metrics
from speech_defects.evaluate.baselines import (
    BASELINES,
    WADA_DB,
    bandwidth,
    mel_edges,
    mel_filters,
    wada_snr,
    wada_table,
)
from speech_defects.evaluate.clips import UnreadableError, read_manifest, read_wave

from tests.browser import assert_any_reader_can_use, browser

__all__ = ["browser"]

RATE = 16_000
CLEAN = dict.fromkeys([defect.value for defect in Defect], 0) | {"source": "made", "speaker": "a", "group": "clean"}
scores = arrays(np.float64, st.integers(1, 40), elements=st.integers(0, 8).map(lambda n: n / 8))  # with many ties


class Rules:
    """Calls a clip telephone speech where it is narrow, and nothing else."""

    profile = "<rules>"

    def __init__(self) -> None:
        self.measure = bandwidth()

    def score(self, waves, sample_rate):
        assert sample_rate == RATE
        narrow = [1 - self.measure(wave)["99 % roll-off"] / (RATE / 2) for wave in waves]
        none = np.zeros(len(waves), np.float32)
        return {defect.value: none for defect in Defect} | {
            "telephone": np.array(narrow, np.float32), "snr_db": none, "c50_db": none
        }  # fmt: skip


# --- metrics ---


@given(scores, scores)
def test_auc_is_the_chance_that_a_positive_is_above(positives, negatives):
    pairs = positives[:, None] - negatives
    assert metrics.roc_auc(positives, negatives) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert metrics.roc_auc(negatives, positives) == pytest.approx(1 - metrics.roc_auc(positives, negatives))


@given(scores, scores)
def test_eer_lies_between_the_rates_of_two_thresholds(positives, negatives):
    found = metrics.eer(positives, negatives)
    _, false_reject, miss = metrics.roc(positives, negatives)
    assert np.maximum(false_reject, miss).min() >= found >= np.minimum(false_reject, miss).min()
    assert found == pytest.approx(metrics.eer(-negatives, -positives))  # which side is which does not matter


def test_eer_is_interpolated():
    assert metrics.eer(np.array([1.0, 1.0]), np.array([1.0, 1.0])) == pytest.approx(0.5)
    assert metrics.eer(np.array([0.2, 0.9]), np.array([0.1, 0.3, 0.0])) == pytest.approx(1 / 3)
    assert metrics.eer(np.array([0.8, 0.9]), np.array([0.1])) == 0
    assert math.isnan(metrics.eer(np.array([]), np.array([1.0])))


@given(scores, st.sampled_from([0.0, 0.01, 0.03, 0.1, 0.5]))
def test_threshold_loses_at_most_the_share_asked(clean, loss):
    threshold = metrics.threshold_for(clean, loss)
    assert (clean > threshold).mean() <= loss + 1e-9
    lower = clean[clean < threshold]
    assert not len(lower) or (clean > lower.max()).mean() > loss  # no lower one would do


def test_threshold_of_a_hundred_clips_loses_three():
    clean = np.arange(100.0)
    assert (clean > metrics.threshold_for(clean, 0.03)).sum() == 3
    with pytest.raises(ValueError, match="clean"):
        metrics.threshold_for(np.array([]), 0.03)
    with pytest.raises(ValueError, match="finite"):
        metrics.threshold_for(np.array([0.1, np.nan]), 0.03)


def test_miss_at_false_reject():
    negatives, positives = np.arange(100) / 100, np.array([0.5, 0.95, 0.985, 2.0])
    assert metrics.miss_at(positives, negatives, false_reject=0.01) == 0.5  # the threshold is 0.98
    assert metrics.miss_at(positives, negatives, false_reject=0.05) == 0.25


def test_calibration_error_is_small_for_probabilities_and_large_for_overconfidence():
    rng = np.random.default_rng(1)
    chance = rng.random(20_000)
    happened = rng.random(20_000) < chance
    bins = metrics.reliability(chance, happened)
    assert len(bins) == 15
    assert max(b.clips for b in bins) - min(b.clips for b in bins) <= 1
    assert metrics.calibration_error(bins) < 0.02
    overconfident = metrics.reliability(np.round(chance), happened)
    assert len(overconfident) == 2
    assert metrics.calibration_error(overconfident) == pytest.approx(0.25, abs=0.02)


def test_clips_of_equal_score_share_a_bin_whatever_their_order():
    happened = np.arange(100) < 50  # a manifest with all positives first
    assert metrics.calibration_error(metrics.reliability(np.full(100, 0.5), happened)) == 0


@given(scores)
def test_kept_curve_ends_with_everything(values):
    bad, seconds = values > 0.5, np.full(len(values), 3600.0)
    curve = metrics.kept_curve(values, bad, seconds)
    assert curve[-1].hours == pytest.approx(len(values))
    assert curve[-1].defect == pytest.approx(bad.mean())
    assert all(point.hours == (values <= point.threshold).sum() for point in curve)


def test_interval_is_wider_where_clips_share_speakers():
    rng = np.random.default_rng(2)
    of_speaker = np.repeat(rng.normal(size=20), 20)
    is_positive = np.repeat(np.arange(20) % 2 == 0, 20)
    values = of_speaker + is_positive + 0.1 * rng.normal(size=400)
    speakers = [str(i // 20) for i in range(400)]
    by_speaker = metrics.interval(metrics.roc_auc, values, is_positive, groups=speakers)
    by_clip = metrics.interval(metrics.roc_auc, values, is_positive, groups=[str(i) for i in range(400)])
    assert by_speaker[0] <= metrics.roc_auc(values[is_positive], values[~is_positive]) <= by_speaker[1]
    assert by_speaker[1] - by_speaker[0] > 2 * (by_clip[1] - by_clip[0])


# --- baselines ---


def test_wada_table_is_that_of_drawn_speech():
    rng = np.random.default_rng(3)
    speech = rng.gamma(0.4, size=400_000) * rng.choice([-1, 1], 400_000)
    for snr in (0.0, 10.0, 20.0):
        noise = rng.normal(size=speech.size) * np.sqrt(speech.var() / 10 ** (snr / 10))
        mixed = np.abs(speech + noise)
        contrast = np.log(mixed.mean()) - np.log(mixed).mean()
        assert np.interp(snr, WADA_DB, wada_table()) == pytest.approx(contrast, abs=0.01)
        assert wada_snr()((0.01 * (speech + noise)).astype(np.float32))["WADA-SNR"] == pytest.approx(snr, abs=0.5)
    assert (np.diff(wada_table()) > 0).all()


def test_mel_filters_meet_at_their_edges():
    edges = mel_edges(8, lambda hertz: hertz, 0.0, 8000.0)
    np.testing.assert_allclose(edges, np.linspace(0, 8000, 10))
    assert mel_filters(edges, size=512).sum(axis=0)[60:200] == pytest.approx(1)


def test_every_baseline_that_needs_no_package_scores_a_second_and_a_minute():
    noise = np.random.default_rng(0).normal(size=60 * RATE).astype(np.float32) / 10
    for baseline in BASELINES.values():
        if not baseline.packages:
            measure = baseline.load()
            for seconds in (1, 60):
                assert set(measure(noise[: seconds * RATE])) == set(baseline.figures)


def test_the_scores_of_distillmos_fall_with_noise(speech):
    pytest.importorskip("distillmos")
    measure = BASELINES["distillmos"].load()
    voice = np.asarray(soxr.resample(speech, 24_000, RATE), np.float32)[: 6 * RATE]
    noise = np.random.default_rng(0).normal(0, voice.std(), len(voice)).astype(np.float32)
    clean, noisy = (measure(wave) for wave in (voice, voice + noise))
    assert clean.keys() == {"Distill-MOS"}
    assert 5 >= clean["Distill-MOS"] > noisy["Distill-MOS"] + 1 > 2


# --- manifests ---


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "line 2: not a JSON object"),
        ("{", "line 2: "),
        (json.dumps(CLEAN), "line 2: no 'path'"),
        (json.dumps(CLEAN | {"file": "a.wav", "noise": 2}), "line 2: 'noise' is 2, not 1, 0 or null"),
        (json.dumps(CLEAN | {"file": "a.wav", "snr_db": "loud"}), "line 2: 'snr_db' is \"loud\", not a number"),
        (json.dumps({"file": "a.wav", "noise": 1}), "line 2: no 'music'"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said(tmp_path: Path, line: str, said: str):
    (tmp_path / "m.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(ValueError, match=r"m\.jsonl") as caught:
        read_manifest(tmp_path / "m.jsonl")
    assert said in str(caught.value)


def test_sound_of_any_rate_comes_at_16_khz_and_too_long_is_not_read(tmp_path: Path):
    soundfile.write(tmp_path / "a.flac", np.zeros((44_100, 2)), 44_100)
    assert read_wave(tmp_path / "a.flac").shape == (RATE,)
    soundfile.write(tmp_path / "b.wav", np.zeros(8_000 * 61), 8_000)
    with pytest.raises(UnreadableError, match=r"61\.00 s long"):
        read_wave(tmp_path / "b.wav")


def test_a_labelled_clip_may_be_a_part_of_a_file(tmp_path: Path):
    wave = np.linspace(-0.5, 0.5, 8 * RATE)
    soundfile.write(tmp_path / "a.wav", wave, RATE)
    lines = [{"path": "a.wav", "start_s": 1, "end_s": 3}, {"audio_filepath": "a.wav", "offset": 2.0, "duration": 3.0}]
    lines += [{"file": "a.wav", "duration": 8.0, "speaker": 7}, {"path": "a.wav", "start_s": 7, "end_s": 9}]
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(CLEAN | line)}\n" for line in lines))
    *clips, beyond = read_manifest(tmp_path / "m.jsonl")
    assert [clip.speaker for clip in clips] == ["a", "a", "7"]
    for clip, (first, last) in zip(clips, ((1, 3), (2, 5), (0, 8)), strict=True):
        np.testing.assert_allclose(read_wave(clip.path, clip.part), wave[first * RATE : last * RATE], atol=1e-4)
    with pytest.raises(UnreadableError, match="ends at 9 s"):
        read_wave(beyond.path, beyond.part)


# --- the whole ---


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Broad clips and narrow ones, a file that is no sound, one that is not there."""
    rng = np.random.default_rng(4)
    rows = []
    for i in range(12):
        rate = 8_000 if i % 2 else RATE
        soundfile.write(tmp_path / f"{i}.wav", rng.normal(size=2 * rate) / 20, rate)
        group = {"group": "<b>telephone</b>", "telephone": 1, "codec": "narrow"} if i % 2 else {}
        language = {"language": ("cy", "et")[i % 4 // 2]}
        rows.append(CLEAN | {"file": f"{i}.wav", "speaker": str(i), "snr_db": 30} | group | language)
    (tmp_path / "text.wav").write_text("no sound")
    rows += [CLEAN | {"file": "text.wav"}, CLEAN | {"file": "gone.wav"}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "m.jsonl"


def test_evaluation_of_a_rule(manifest: Path, tmp_path: Path):
    done: list[tuple[int, int]] = []
    names = ["bandwidth", "wada"]
    found = evaluate(
        manifest, tmp_path / "out", scorer=Rules(), baselines=names, progress=lambda *at: done.append(at)
    )  # fmt: skip
    assert found == json.loads((tmp_path / "out" / "defects.json").read_text())
    assert done[-1] == (14, 14)
    assert (found["clips"], found["clean"]) == (12, 6)
    assert {one["file"] for one in found["left_out"]} == {"text.wav", "gone.wav"}
    assert str(tmp_path) not in json.dumps(found)
    lost = {part: figures["clips"] for part, figures in found["clean_lost"].items()}
    assert lost == {"all": 6, "clean": 6, "source made": 6, "language cy": 3, "language et": 3}
    telephone = found["defects"]["telephone"]
    assert (telephone["against_clean"]["auc"], telephone["against_clean"]["eer"], telephone["missed"]) == (1, 0, 0)
    assert found["defects"]["noise"]["against_clean"]["auc"] is None  # no such clips: nothing, not zero
    assert found["confusion"]["telephone"]["telephone"] == 1
    assert found["confusion"]["telephone"]["noise"] == 0
    ours, rival = found["models"][0], next(one for one in found["models"] if one["name"] == "99 % roll-off")
    assert (
        rival["defects"]["telephone"]["auc"] == ours["defects"]["telephone"]["auc"] == 1
    )  # low is worse: the sign is turned
    assert {"by": "codec", "part": "narrow", "clips": 6, "auc": 1, "eer": 0, "missed": 0} in telephone["buckets"]


def test_any_reader_can_use_the_page(manifest: Path, tmp_path: Path, browser):
    evaluate(manifest, tmp_path / "out", scorer=Rules())
    assert_any_reader_can_use(browser, tmp_path / "out" / "defects.html")


def test_page_escapes_what_manifests_say_and_loads_nothing(manifest: Path, tmp_path: Path):
    evaluate(manifest, tmp_path / "out", scorer=Rules())
    page = (tmp_path / "out" / "defects.html").read_text()
    assert "<b>telephone</b>" not in page
    assert "&lt;b&gt;telephone&lt;/b&gt;" in page
    assert "&lt;rules&gt;" in page
    assert not any(found in page for found in ("<script", "href=", "http:", "https:", " style="))
    assert page.count("src=") == page.count('src="data:audio/mpeg;base64,')
    assert "default-src &#39;none&#39;" in page


def test_given_thresholds_are_used_and_every_error_has_its_sound(manifest: Path, tmp_path: Path):
    found = evaluate(manifest, tmp_path / "out", scorer=Rules(), thresholds=dict.fromkeys(Defect, 0.99))
    page = (tmp_path / "out" / "defects.html").read_text()
    sounds = [base64.b64decode(sound) for sound in re.findall(r'src="data:audio/mpeg;base64,([^"]+)"', page)]
    errors = [error for defect in Defect for error in found["defects"][defect]["errors"]]
    assert [found["scores"]["file"][error["clip"]] for error in errors] == [error["file"] for error in errors]
    assert len(sounds) == len(errors) > 0
    clips = {clip.file: clip for clip in read_manifest(manifest)}
    for error, sound in zip(errors, sounds, strict=True):
        heard, _ = soundfile.read(io.BytesIO(sound))
        assert heard.size == pytest.approx(read_wave(clips[error["file"]].path).size, abs=3_000)
    assert found["defects"]["telephone"]["missed"] == 1
    assert len(found["defects"]["telephone"]["errors"]) == 6


def test_limit_takes_clips_from_all_over(manifest: Path, tmp_path: Path):
    found = evaluate(manifest, tmp_path / "out", scorer=Rules(), limit=4)
    assert found["scores"]["file"][0] == "0.wav"
    assert found["clips"] + len(found["left_out"]) == 4


def test_unknown_baseline_is_named(manifest: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="no baseline named magic; there are dnsmos"):
        evaluate(manifest, tmp_path / "out", scorer=Rules(), baselines=["magic"])
