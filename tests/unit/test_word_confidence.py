"""How likely each word is right: by its own probability, by those around it, and only where they are Whisper's."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speechmill.decide.opinions import ChosenText, TextSource, choose_text, word_agreements
from speechmill.decide.word_confidence import features, word_confidences
from speechmill.stages.assess import _confidence
from speechmill.stages.passage_texts import _part, _Passage


def timed(text: str, probability: float | None = 0.9) -> list[dict[str, Any]]:
    return [
        {"word": word, "start_s": at / 2, "end_s": at / 2 + 0.4, "probability": probability}
        for at, word in enumerate(text.split())
    ]


def assessed(words: list[dict[str, Any]], source: TextSource = TextSource.ASR, no_speech: float | None = 0.01) -> Any:
    chosen = ChosenText(text="", words=words, text_source=source, asr_agreement=None)
    return _confidence(chosen, {"no_speech_probability": no_speech})


@given(st.lists(st.floats(0, 1), max_size=40))
def test_any_probabilities_give_a_confidence_for_each_word(probabilities: list[float]) -> None:
    found = word_confidences(probabilities)
    assert len(found) == len(probabilities)
    assert all(0 < value < 1 for value in found)


@given(st.lists(st.floats(0.02, 0.97), min_size=1, max_size=20), st.data())
def test_a_word_that_is_more_probable_makes_no_word_less_likely(probabilities: list[float], data: Any) -> None:
    before, at = word_confidences(probabilities), data.draw(st.integers(0, len(probabilities) - 1))
    higher = [*probabilities[:at], min(probabilities[at] + 0.01, 1.0), *probabilities[at + 1 :]]
    assert all(new >= old for new, old in zip(word_confidences(higher), before, strict=True))


def test_a_sure_word_among_unsure_ones_is_worth_less_than_among_sure_ones() -> None:
    among_sure, among_unsure = word_confidences([0.95] * 9), word_confidences([0.4] * 4 + [0.95] + [0.4] * 4)
    assert among_sure[4] > 0.9 > among_unsure[4] > among_unsure[0]
    assert word_confidences([0.98] * 10)[0] > 0.95
    assert word_confidences([0.3] * 10)[0] < 0.5


def test_features_are_of_the_word_its_neighbours_and_the_clip() -> None:
    rows = features([0.5, 0.5, 0.5, 0.5, 0.5, 0.9])
    assert rows.shape == (6, 3)
    assert rows[0, :2] == pytest.approx([0, 0])
    assert (rows[3, 1], rows[0, 2]) == (pytest.approx(0.323, abs=0.001), pytest.approx(rows[5, 2]))
    assert rows[5, 0] == pytest.approx(2.197, abs=0.001)  # the log-odds of 0.9


def test_the_confidence_of_a_text_is_the_mean_of_its_words_and_only_where_it_is_whispers() -> None:
    words = timed("He came and went.")
    found = assessed(words)
    assert [word["confidence"] for word in found["words"]] == word_confidences([0.9] * 4)
    assert found["text_confidence"] == pytest.approx(word_confidences([0.9] * 4)[0], abs=1e-4)
    assert assessed(words, no_speech=None) == {"words": words, "text_confidence": None}  # a network with a CTC head
    assert assessed([])["text_confidence"] is None


@pytest.mark.parametrize(("known", "found"), [((None, None), None), ((0.2, 0.3), 0.3), ((None, 0.3), 0.3)])
def test_a_clip_of_passages_says_that_nobody_speaks_only_where_the_model_says_so(known: Any, found: Any) -> None:
    asked = {"language": "en", "language_probability": None, "avg_logprob": -0.1}
    passages = [
        _Passage(
            at * 100, at * 100 + 100, asked | {"text": "a b", "words": timed("a b"), "no_speech_probability": value}
        )
        for at, value in enumerate(known)
    ]
    assert _part(passages, (0, 200), (0.0, 200.0), 100)["no_speech_probability"] == found


def test_words_that_only_the_publisher_has_are_without_confidence_and_do_not_count() -> None:
    words = [*timed("He came"), *timed("at last", None)]
    found = assessed(words, TextSource.PUBLISHER)
    assert [word["confidence"] is None for word in found["words"]] == [False, False, True, True]
    assert found["text_confidence"] is None


@pytest.mark.parametrize(
    ("text", "other", "language", "found"),
    [
        ("He came and went.", "he came, and went", "en", [1, 1, 1, 1]),
        ("He came and went.", "He came und went", "en", [1, 1, pytest.approx(2 / 3, abs=1e-3), 1]),
        ("He came and went.", "He came", "en", [1, 1, 0, 0]),
        ("He came and went.", "", "en", [0, 0, 0, 0]),
        ("It cost $5 – really.", "it cost five dollars really", "en", [1, 1, 1, None, 1]),
        ("into the wood", "in to the would", "en", [1, 1, 0.75]),  # "in to" has the letters of "into"
        ("Это было давно.", "Это было давно", "ru", [1, 1, 1]),
        ("", "He came", "en", []),
    ],
)
def test_the_agreement_of_words_with_another_text(text: str, other: str, language: str, found: list[Any]) -> None:
    assert word_agreements(text.split(), other, language) == found


def test_words_are_compared_with_the_nearest_other_text() -> None:
    hypothesis = "He came and went."
    chosen = choose_text(hypothesis, timed(hypothesis), "en", cross_check="He came and sent", reference="Nothing of it")
    assert [word["agreement"] for word in chosen.words] == [1, 1, 1, 0.75]
    alone = choose_text(hypothesis, timed(hypothesis), "en", cross_check=None, reference=None)
    assert all("agreement" not in word for word in alone.words)
