"""A clip's transcript does not depend on its batch; a clip that fails harms no neighbour."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soxr
from speechmill.asr.whisper import WHOLE_WINDOW, Whisper, window_of
from speechmill.core.config import Asr
from speechmill.fetch import model_folder

TEXTS = (
    "The miller carried a heavy sack of barley up the narrow stairs.",
    "Nobody had repaired the little bridge since the flood of last year.",
    "A letter came on Monday, but it was addressed to somebody else.",
    "Rain fell on the roof all night, and in the morning the river was high.",
    "Seven geese walked along the road as if it belonged to them.",
)


@pytest.fixture(scope="module")
def waves() -> list[np.ndarray]:
    from hibari import Hibari

    voice = Hibari()
    return [soxr.resample(voice(text, seed=0), 24_000, 16_000).astype(np.float32) for text in TEXTS]


def whisper(batch_size: int) -> Whisper:
    return Whisper(str(model_folder("tiny.en")), Asr(batch_size=batch_size), "cpu", "int8")


def test_text_words_and_probabilities_are_the_same_in_any_batch(waves: list[np.ndarray]) -> None:
    alone = whisper(1).transcribe(waves)
    for size, seed in ((2, 1), (3, 2), (5, 3)):
        order = random.Random(seed).sample(range(len(waves)), len(waves))
        together = whisper(size).transcribe([waves[i] for i in order])
        assert together == [alone[i] for i in order]


def test_batches_of_as_much_audio_as_a_gpu_gets_give_the_same(waves: list[np.ndarray]) -> None:
    alone, filled = whisper(1), whisper(1)
    filled._fills_windows = True
    assert len(filled._batches(dict.fromkeys(range(5), 500), waves)) == 1  # six windows of 5 s are one of 30 s
    assert len(filled._batches(dict.fromkeys(range(5), 3_000), waves)) == 5
    assert filled.transcribe(waves) == alone.transcribe(waves)


HEAR = """
import sys
import numpy as np
from speechmill.core.config import Asr, Asr
from speechmill.fetch import model_folder
from speechmill.asr.whisper import Whisper
print(Whisper(str(model_folder("tiny.en")), Asr(), "cpu", "int8").transcribe([np.load(sys.argv[1])]))
"""


def test_text_words_and_probabilities_are_the_same_with_any_number_of_threads(
    waves: list[np.ndarray], tmp_path: Path
) -> None:
    np.save(tmp_path / "wave.npy", np.concatenate(waves[:3]))
    command = [sys.executable, "-c", HEAR, str(tmp_path / "wave.npy")]
    heard = {
        subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": threads}, check=True, capture_output=True).stdout
        for threads in ("1", "2", "5")
    }
    assert len(heard) == 1
    assert b"barley" in heard.pop()


def test_what_was_said_is_heard_cased_punctuated_and_timed(waves: list[np.ndarray]) -> None:
    (heard,) = whisper(1).transcribe([waves[2]])
    assert heard.text.startswith("A letter came on Monday")
    assert heard.text.endswith(".")
    assert heard.language == "en"
    assert heard.asr_confidence is not None
    assert heard.asr_confidence > 0.7
    times = [(word.start_s, word.end_s) for word in heard.words]
    assert times == sorted(times)
    assert 0 <= times[0][0] < times[-1][1] <= len(waves[2]) / 16_000 + 0.1
    assert " ".join(word.word for word in heard.words) == heard.text


def test_a_clip_that_fails_alone_is_an_error_row_of_its_own(waves: list[np.ndarray]) -> None:
    recogniser = whisper(4)
    empty = np.zeros(0, np.float32)
    heard = recogniser.transcribe([waves[0], empty, waves[1]])
    assert [bool(one.text) for one in heard] == [True, False, True]
    assert heard[0] == whisper(1).transcribe([waves[0]])[0]


def test_silence_gives_no_confident_text() -> None:
    (heard,) = whisper(1).transcribe([np.zeros(16_000 * 6, np.float32)])
    assert heard.no_speech_probability is not None
    assert not heard.text or heard.no_speech_probability > 0.5


def test_a_window_is_a_little_longer_than_the_clip_and_a_function_of_it_alone() -> None:
    seconds = (1.0, 2.5, 2.6, 7.5, 12.0, 27.5, 29.9)
    assert [window_of(np.zeros(int(s * 16_000), np.float32)) / 100 for s in seconds] == [5, 5, 10, 10, 15, 30, 30]


def test_a_clip_of_which_a_short_window_makes_doubtful_text_is_heard_in_the_whole_one(
    waves: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    hiss = np.random.default_rng(1).normal(0, 0.01, 6 * 16_000).astype(np.float32)
    in_short = whisper(4).transcribe([waves[0], hiss])
    monkeypatch.setattr("speechmill.asr.whisper.window_of", lambda _: WHOLE_WINDOW)
    in_whole = whisper(4).transcribe([waves[0], hiss])
    assert in_short[1] == in_whole[1]
    assert in_short[0] != in_whole[0]  # good text stays what the short window gave
    assert in_short[0].text == in_whole[0].text
