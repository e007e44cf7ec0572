"""Text in TorToiSe's normal form and as its tokens: what cannot be read or encoded is said, not left out in silence."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speechmill.core.config_errors import ConfigError
from speechmill.stages.tokenise import fits_trainers
from speechmill.text.normal_form import ALPHABET, normalise
from speechmill.tokens import TEXT_TOKENS
from speechmill.tokens.text import ENTRIES, LETTERS, TextTokenizer, load, tortoise_takes, train


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It was 21, or 1,234,500.",
         "it was twenty-one, or one million two hundred thirty-four thousand five hundred."),
        ("In 1905, 2000, 2005, 1800 and 2024.",
         "in nineteen oh five, two thousand, two thousand five, eighteen hundred and twenty twenty-four."),
        ("the 1990s, the '80s", "the nineteen nineties, the 'eighties"),
        ("the 1st, 22nd, 3rd and 100th", "the first, twenty-second, third and one hundredth"),
        ("$3.50, £1.01, €5, $1,000 and 5$",
         "three dollars, fifty cents, one pound, one penny, five euros, one thousand dollars and five dollars"),
        ("$1.5 million, $5.5, $.50", "one point five million dollars, five point five dollars, fifty cents"),
        ("3.14 and .5", "three point one four and zero point five"),
        ("1/2, ¾, 3½", "one half, three quarters, three and one half"),
        ("at 5:30, 12:00, 9:05am", "at five thirty, twelve o'clock, nine oh five am"),
        ("-5°, 50%", "minus five degrees, fifty percent"),
        ("Mr. Smith & Dr. Jones, Mrs. Lee", "mister smith and doctor jones, misess lee"),
        ("A4, x², ①, ５", "a four, x squared, one, five"),
        ("“Hello” — [she] said… don’t", "hello - (she) said... don't"),
        ("Ünïcödé, Привет, Ⅳ", None),
        ("a\x00b\u200bc", "a b c"),
        ("1" * 40, None),
        ("", ""),
    ],
)  # fmt: skip
def test_english_is_written_as_it_is_said(text: str, said: str) -> None:
    assert normalise(text) == said


@pytest.mark.parametrize(
    ("text", "language", "said"),
    [
        ("Ich habe 21 Bücher.", "de", "ich habe einundzwanzig bucher."),
        ("J'ai 5 ans", "fr", "j'ai cinq ans"),
        ("У меня 5", "ru", "u menya pyat'"),
        ("nothing to read", "xx", "nothing to read"),
        ("3 of these", "xx", None),  # a language without numbers
        ("3 of these", "am", None),
        ("3 of these", None, None),
    ],
)
def test_other_languages_have_plain_numbers_or_say_that_they_have_none(text, language, said) -> None:
    assert normalise(text, language) == said


@given(st.text(st.characters(codec="utf-32"), max_size=60), st.sampled_from(["en", "de", "ja", "xx", None]))
def test_any_text_comes_out_in_the_alphabet_and_stays_so(text: str, language: str | None) -> None:
    said = normalise(text, language)
    if said is not None:
        assert set(said) <= ALPHABET
        assert said == said.strip()
        assert "  " not in said
        assert normalise(said, language) == said


# --- the tokenizer ---


def test_the_shipped_one_is_of_tortoises_kind() -> None:
    told = json.loads(TEXT_TOKENS.read_text())["model"]
    assert len(told["vocab"]) == ENTRIES == 255
    assert [told["vocab"][token] for token in ("[STOP]", "[UNK]", "[SPACE]")] == [0, 1, 2]
    assert set(LETTERS) | {" "} == ALPHABET
    assert set(LETTERS) <= told["vocab"].keys()
    assert len(told["merges"]) == 215


words = st.text(st.sampled_from(LETTERS), min_size=1, max_size=8)


@given(st.lists(words, min_size=1, max_size=12).map(" ".join))
def test_text_in_normal_form_goes_there_and_back(text: str) -> None:
    ids = load(TEXT_TOKENS).encode(text)
    assert min(ids) > 1
    assert max(ids) < ENTRIES
    assert load(TEXT_TOKENS).decode(ids) == text


@pytest.mark.parametrize("text", ["50%", "Hello", "ü", "a_b", "[x]", "5"])
def test_what_it_does_not_know_is_seen(text: str) -> None:
    ids = load(TEXT_TOKENS).encode(text)
    assert min(ids) <= 1
    assert not tortoise_takes(100_000, 24_000, ids)


@pytest.mark.parametrize(
    ("samples", "ids", "fits", "takes"),
    [
        (255_995, [5], True, True),
        (255_996, [5], False, True),
        (604 * 1_024 - 1, [5], False, True),
        (604 * 1_024, [5], False, False),  # 605 mel tokens
        (100_000, [5] * 402, True, True),
        (100_000, [5] * 403, True, False),
        (100_000, [5, 1, 5], True, False),
        (100_000, [5, 0, 5], True, False),
        (100_000, [], True, False),
        (100_000, None, True, False),
    ],
)
def test_limits_of_tortoises_consumers(samples: int, ids: list[int] | None, *, fits: bool, takes: bool) -> None:
    assert fits_trainers(np.array([samples]), 22_050).tolist() == [fits]
    assert tortoise_takes(samples, 22_050, ids) is takes


def test_training_gives_the_same_file_for_the_same_texts(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    syllables = [f"{a}{b}{c}" for a in "bdfgklmnprstvw" for b in "aeiou" for c in "lnrst"]
    texts = [" ".join("".join(rng.choice(syllables, 2)) for _ in range(12)) for _ in range(2_000)]
    assert train(texts, tmp_path / "a.json") == train(texts, tmp_path / "b.json") == 215
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert TextTokenizer(tmp_path / "a.json").encode("seven men") != load(TEXT_TOKENS).encode("seven men")


def test_too_few_texts_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give more of them"):
        train(["one two three"], tmp_path / "a.json")


@pytest.mark.parametrize("content", ["{", "{}", json.dumps({"model": 3})])
def test_a_file_that_is_no_tokenizer_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(ConfigError, match=r"tokenise\.text_tokenizer"):
        TextTokenizer(tmp_path / "bad.json")


def test_a_tokenizer_of_another_kind_is_told(tmp_path: Path) -> None:
    other = json.loads(TEXT_TOKENS.read_text().replace("[STOP]", "[PAD]"))
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.raises(ConfigError, match="as 0, 1, 2"):
        TextTokenizer(tmp_path / "other.json")
