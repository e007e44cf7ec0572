"""Both detectors on a synthetic voice: they find it, in blocks of any size, at any level, over noise."""

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
import soxr
from speechmill.audio.cutting import gate, spans
from speechmill.audio.vad import DETECTORS, Listener
from speechmill.core.config import Segment
from speechmill.core.records import SpanKind

RATE = 24_000
Sound = npt.NDArray[np.float32]
Heard = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]
each_detector = pytest.mark.parametrize("vad", sorted(DETECTORS))


def listen(vad: str, sound: Sound, rate: int = RATE, blocks: tuple[int, ...] = (RATE,)) -> Heard:
    listener, at, turn = Listener(vad, rate), 0, 0
    while at < sound.size:
        size = blocks[turn % len(blocks)]
        listener.hear(sound[at : at + size])
        at, turn = at + size, turn + 1
    return listener.finish()


def loud(sound: Sound, rate: int = RATE) -> npt.NDArray[np.bool_]:
    """Frames of 10 ms that hold sound, of a recording whose pauses are digital silence."""
    size = rate // 100
    return np.abs(np.pad(sound, (0, -sound.size % size))).reshape(-1, size).max(axis=1) > 0.01


def grown(marks: npt.NDArray[np.bool_], frames: int) -> npt.NDArray[np.bool_]:
    return np.convolve(marks, np.ones(2 * frames + 1), "same") > 0


@each_detector
def test_speech_is_marked_and_silence_is_not(vad: str, speech: Sound) -> None:
    marks, levels = listen(vad, speech)
    truth = loud(speech)
    assert marks.size == levels.size == truth.size
    assert marks[truth].mean() > 0.9
    assert not marks[~grown(truth, 30)].any()  # 0.3 s from any sound


@each_detector
def test_an_utterance_is_found_whole(vad: str, speech: Sound) -> None:
    marks, levels = listen(vad, speech)
    marks = gate(marks, levels) if DETECTORS[vad].gated else marks
    found = spans(marks, levels, samples=speech.size, rate=RATE, rules=Segment())
    clips = [span for span in found if span.kind is SpanKind.CLIP]
    truth = grown(loud(speech), 20)  # what the voice says in one breath
    said = np.diff(np.flatnonzero(np.diff(np.r_[0, truth, 0])))[::2]
    assert len(clips) == (said >= 500).sum() == 8
    for clip in clips:  # nothing that can be heard is cut off
        for edge in (clip.start, clip.end):
            assert np.abs(speech[max(edge - RATE // 50, 0) : edge + RATE // 50]).max() < 0.05


@each_detector
@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_blocks_of_any_size_give_the_same(vad: str, rate: int, speech: Sound) -> None:
    sound = soxr.resample(speech[: 35 * RATE], RATE, rate).astype(np.float32)
    marks, levels = listen(vad, sound, rate, blocks=(rate,))
    for blocks in [(7_919, 0, 1, 331), (sound.size,)]:
        other_marks, other_levels = listen(vad, sound, rate, blocks)
        assert np.array_equal(marks, other_marks)
        assert np.array_equal(levels, other_levels)
    assert marks.size == -(-sound.size * 100 // rate)


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 161, 512, 220, 221])
@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000])
@each_detector
def test_a_few_samples_are_no_trouble(vad: str, rate: int, samples: int) -> None:
    marks, levels = listen(vad, np.zeros(samples, np.float32), rate)
    assert marks.size == levels.size == -(-samples * 100 // rate)
    assert not marks.any()
    assert (levels == -100).all()


def test_levels_are_decibels_of_full_scale() -> None:
    sine = np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE).astype(np.float32)
    for peak, level_db in [(1.0, -3.01), (0.1, -23.01)]:
        np.testing.assert_allclose(listen("webrtc", peak * sine)[1], level_db, atol=0.02)


def test_an_offset_does_not_change_levels(speech: Sound) -> None:
    some = speech[: 10 * RATE] * 0.5
    np.testing.assert_allclose(listen("webrtc", some)[1], listen("webrtc", some + np.float32(0.3))[1], atol=0.1)


def clips_of(sound: Sound, vad: str = "webrtc") -> list[tuple[int, int]]:
    marks, levels = listen(vad, sound)
    marks = gate(marks, levels) if DETECTORS[vad].gated else marks
    found = spans(marks, levels, samples=sound.size, rate=RATE, rules=Segment())
    return [(span.start, span.end) for span in found if span.kind is SpanKind.CLIP]


@each_detector
@pytest.mark.parametrize("gain_db", [-30, 0])
def test_a_quiet_book_is_cut_as_a_loud_one(vad: str, gain_db: int, speech: Sound) -> None:
    room = np.random.default_rng(0).standard_normal(speech.size) * 10 ** (-70 / 20)
    quiet = ((speech + room) * 10 ** (gain_db / 20)).astype(np.float32)
    assert len(clips_of(quiet, vad)) == 8


@pytest.mark.parametrize("snr_db", [30, 20])
def test_a_noisy_recording_is_cut_at_its_pauses(snr_db: int, speech: Sound) -> None:
    power = np.mean(speech[loud(speech).repeat(RATE // 100)[: speech.size]] ** 2)
    steady = np.random.default_rng(0).standard_normal(speech.size) * np.sqrt(power * 10 ** (-snr_db / 10))
    assert len(clips_of((speech + steady).astype(np.float32))) == 8


HOUR = """
import re
import numpy as np
from speechmill.audio.vad import Listener
listener = Listener("{vad}", 24_000)
block = np.random.default_rng(0).standard_normal(24_000 * 10).astype(np.float32) / 10
for second in range(0, {seconds}, 10):
    listener.hear(block)
marks, levels = listener.finish()
assert levels.size == 100 * {seconds}
print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])  # ru_maxrss is inherited
"""


@pytest.mark.parametrize(("vad", "minutes"), [("webrtc", 60), ("silero", 10)])
def test_memory_does_not_grow_with_the_recording(vad: str, minutes: int) -> None:
    def peak_kib(seconds: int) -> int:
        script = HOUR.format(vad=vad, seconds=seconds)
        return int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout)

    assert peak_kib(60 * minutes) - peak_kib(100) < 20 * 1024
