"""Every kind of number, sign and abbreviation in each language: read as a native reader would, or not at all."""

from pathlib import Path

import pytest
from speechmill.text.normal_form import ALPHABET, comparable, normal_form
from speechmill.text.verbalise import LANGUAGES

CASES = Path(__file__).with_name("normal_form")
NULL = "-"  # stands for no reading
AT_LEAST = 25


def cases(language: str) -> list[tuple[str, str]]:
    lines = (CASES / f"{language}.tsv").read_text(encoding="utf-8").splitlines()
    return [(text, right) for text, right in (line.split("\t") for line in lines if line and not line.startswith("#"))]


@pytest.mark.parametrize(
    ("language", "text", "right"), [(language, *case) for language in LANGUAGES for case in cases(language)]
)
def test_a_text_is_read_right_or_not_at_all(language: str, text: str, right: str) -> None:
    form = normal_form(text, language)
    if right == NULL:
        assert form.text is None
        assert form.reason
    else:
        assert form.text == right, form.reason
        assert form.reason is None
        assert set(right) <= ALPHABET


def test_every_language_has_a_table_of_cases_with_some_that_are_not_read() -> None:
    assert set(LANGUAGES) == {"de", "en", "es", "fr", "it", "nl", "pl", "pt", "ru"}
    for language in LANGUAGES:
        found = cases(language)
        assert len(found) >= AT_LEAST
        assert any(right == NULL for _, right in found)


@pytest.mark.parametrize("language", ["xx", "am", "ja", "sv", None])
def test_other_languages_and_an_unknown_one_have_words_only(language: str | None) -> None:
    assert normal_form("Nothing to read here.", language).text == "nothing to read here."
    reason = normal_form("3 of these", language).reason
    assert reason is not None
    assert reason.startswith(
        "language unknown" if language is None else f"no rules for numbers and signs in {language}"
    )


def test_italian_numbers_end_in_the_words_of_their_tens() -> None:
    """Behind hundreds and thousands, num2words elides a letter too many of eighteen."""
    spoken = [str(normal_form(f"{number} libri", "it").text) for number in (*range(18, 100), *range(118, 200))]
    assert spoken[0] == "diciotto libri"
    for tens, hundreds in zip(spoken[:82], spoken[82:], strict=True):
        assert hundreds.endswith(tens)


def test_texts_are_compared_by_the_plainest_reading_where_none_is_certain() -> None:
    assert normal_form("J'en ai 21.", "fr").text is None
    assert comparable("J'en ai 21.", "fr") == "J'en ai vingt et un."
    assert comparable("3 av dem", "sv") == "tre av dem"
