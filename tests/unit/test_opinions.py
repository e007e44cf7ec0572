"""Several opinions on what was said: whose text is taken, how far they agree, where its words are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speechmill.decide.opinions import (
    TextSource,
    agreement,
    choose_text,
    cross_check_text,
    is_cased_and_punctuated,
    with_word_times,
)

HEARD = "In two thousand six Mr. Norrell of Hurtfew Abbey had 40 books."
BOOK = "In 2006, Mr Norrell, of Hurtfew-Abbey, had forty books."
OTHER = "The whole of the village came out to see the balloon."


def timed(text: str) -> list[dict[str, Any]]:
    """Each word with half a second of its own."""
    return [
        {"word": word, "start_s": i / 2, "end_s": (i + 1) / 2, "probability": 0.9}
        for i, word in enumerate(text.split())
    ]


def choose(heard: str, **others: str | None) -> tuple[str, str, float | None]:
    chosen = choose_text(heard, timed(heard), "en", **{"cross_check": None, "reference": None} | others)
    return chosen.text, chosen.text_source, chosen.asr_agreement


def test_case_marks_and_how_numbers_are_written_are_no_disagreement() -> None:
    assert agreement("It cost $5, Mr. Bell.", "it cost five dollars mister bell", "en") == 1.0
    assert agreement("Café — déjà vu!", "cafe deja vu", "fr") == 1.0
    assert agreement("吾輩は猫である。", "吾輩は猫である", "ja") == 1.0
    assert agreement("吾輩は猫である。", "吾輩は犬である", "ja") == pytest.approx(0.8125)  # in Latin letters
    assert agreement("", "", "en") == 1.0
    assert agreement("Thank you.", "", "en") == 0.0
    assert agreement(HEARD, OTHER, "en") < 0.5


def test_a_human_text_that_a_recogniser_heard_wins() -> None:
    assert choose(HEARD.replace("Norrell", "Norell"), reference=BOOK)[:2] == (BOOK, TextSource.PUBLISHER)
    assert choose(OTHER, cross_check=HEARD, reference=BOOK)[:2] == (BOOK, TextSource.PUBLISHER)


def test_a_human_text_of_something_else_or_without_marks_does_not() -> None:
    text, source, found = choose(HEARD, reference=OTHER)
    assert (text, source) == (HEARD, TextSource.ASR)
    assert found is not None
    assert found < 0.5
    assert choose(HEARD, reference=HEARD.upper()) == (HEARD, TextSource.ASR, 1.0)
    assert (
        choose(HEARD, reference=HEARD.lower())[1]
        == choose(HEARD, reference=HEARD.replace(".", ""))[1]
        == TextSource.ASR
    )


def test_whoever_agrees_most_is_the_witness_and_without_one_nothing_is_claimed() -> None:
    assert choose(HEARD, cross_check=OTHER, reference=HEARD.upper())[2] == 1.0
    assert choose(HEARD, cross_check=HEARD)[2] == 1.0
    assert choose(HEARD) == (HEARD, TextSource.ASR, None)


def test_a_recogniser_that_knows_one_language_has_no_opinion_on_others() -> None:
    heard = {"text": "I'm going to the market.", "language": "en", "language_probability": None, "error": None}
    assert [cross_check_text(heard, language) for language in ("en", "fr")] == [heard["text"], None]
    detected = heard | {"language_probability": 0.6}  # it thinks so, and so disagrees
    assert cross_check_text(detected, "fr") == heard["text"]
    unknown = heard | {"language": None}
    assert cross_check_text(unknown, "fr") == heard["text"]
    assert cross_check_text(None, "en") is None


def test_a_recogniser_that_failed_does_not_disagree() -> None:
    failed = {"text": "", "language": None, "language_probability": None, "error": "RuntimeError: out of memory"}
    assert cross_check_text(failed, "en") is None
    assert choose(HEARD, cross_check=cross_check_text(failed, "en"))[2] is None
    assert choose(HEARD, cross_check=cross_check_text(failed | {"error": None}, "en"))[2] == 0.0  # it heard nothing


def test_what_is_written_as_one_reads_has_case_and_marks_where_its_script_has_them() -> None:
    assert all(map(is_cased_and_punctuated, ("Yes, sir.", "吾輩は猫である。", "مرحبا، يا صديقي", "Él vino; ¿y qué?")))
    assert not any(map(is_cased_and_punctuated, ("YES, SIR.", "yes, sir.", "Yes sir", "吾輩は猫である", "")))


def test_words_take_the_times_of_those_that_were_heard() -> None:
    found = with_word_times("In 2006, Mr Norrell came.", timed("In 2006 Mr. Norrell came"))
    assert [word["word"] for word in found] == ["In", "2006,", "Mr", "Norrell", "came."]
    assert [word["start_s"] for word in found] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert all(word["probability"] == 0.9 for word in found)


def test_words_that_were_not_heard_share_the_place_of_what_was_without_a_probability() -> None:
    found = with_word_times("at Hurtfew Abbey, he said", timed("at hurt few abbey said"))
    placed = [(word["word"], word["start_s"], word["end_s"], word["probability"]) for word in found]
    assert placed == [
        ("at", 0.0, 0.5, 0.9), ("Hurtfew", 0.5, 1.5, None), ("Abbey,", 1.5, 2.0, 0.9), ("he", 2.0, 2.0, None),
        ("said", 2.0, 2.5, 0.9),
    ]  # fmt: skip
    assert with_word_times("", timed("a b")) == []
    assert [word["end_s"] for word in with_word_times("a b", [])] == [0.0, 0.0]


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "—"])), st.lists(st.sampled_from(["a", "b", "c", "d", "—"])))
def test_times_never_run_backwards_and_no_word_is_lost(heard: list[str], wanted: list[str]) -> None:
    found = with_word_times(" ".join(wanted), timed(" ".join(heard)))
    assert [word["word"] for word in found] == wanted
    times = [time for word in found for time in (word["start_s"], word["end_s"])]
    assert times == sorted(times)
    assert all(0 <= time <= len(heard) / 2 for time in times)
