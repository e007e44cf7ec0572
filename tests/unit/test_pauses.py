"""Whether marks stand where the speaker pauses."""

from itertools import accumulate
from typing import Any

import pytest
from speechmill.decide.pauses import pause_agreement


def spoken(text: str, pauses: dict[str, float]) -> list[dict[str, Any]]:
    """Words at 15 characters a second; `pauses` are seconds of silence after a word, which Whisper adds to the word."""
    lengths = [(1 + len(word)) / 15 + pauses.get(word, 0.0) for word in text.split()]
    starts = accumulate(lengths, initial=0.0)
    return [
        {"word": word, "start_s": start, "end_s": start + length, "probability": 0.9}
        for word, start, length in zip(text.split(), starts, lengths, strict=False)
    ]


SENTENCE = "When he came home, there was nobody; the house stood empty."


def test_marks_at_pauses_agree_and_marks_elsewhere_do_not() -> None:
    words = spoken(SENTENCE, {"home,": 0.6, "nobody;": 0.8})
    assert pause_agreement(words, SENTENCE) == 1.0
    moved = "When he, came home there was nobody the house; stood empty."
    assert pause_agreement(words, moved) == 0.0
    half = "When he came home, there was nobody the house stood empty."
    assert pause_agreement(words, half) == pytest.approx(2 / 3)


def test_a_text_of_another_hand_is_judged_by_the_words_that_were_heard() -> None:
    words = spoken(SENTENCE, {"home,": 0.6, "nobody;": 0.8})
    assert pause_agreement(words, "“When he came home,” there was nobody — the house stood empty!") == 1.0


def test_what_cannot_be_judged_is_no_evidence() -> None:
    assert pause_agreement([], "") is None
    assert pause_agreement(spoken("Nobody here.", {}), "Nobody here.") is None  # a mark at the end is no boundary
    assert pause_agreement(spoken(SENTENCE, {}), "Quite another text.") is None


def test_marks_of_other_scripts_count() -> None:
    words = spoken("वह आया। फिर गया नहीं", {"आया।": 1.0})
    assert pause_agreement(words, "वह आया। फिर गया नहीं") == 1.0
