"""Cleaning of transcripts: invisible characters go, what was said stays."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speechmill.text.normal_form import clean


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        (" Hello,  world. ", "Hello, world."),
        ("one\ntwo\tthree\u00a0four", "one two three four"),
        ("cafe\u0301", "café"),
        ("a\x00b\x1b[31mc\u200bd\ufeffe", "a b [31mc d e"),
        ("\u202egnp.exe", "gnp.exe"),
        ("“Don’t!” – she said…", "“Don’t!” – she said…"),
        ("日本語 Ελληνικά עברית", "日本語 Ελληνικά עברית"),
        ("\x00 \n", ""),
    ],
)
def test_cleaning(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


@given(st.text(st.characters(codec="utf-32")))
def test_any_text_comes_out_clean_and_stays_so(raw: str) -> None:
    text = clean(raw)
    assert clean(text) == text
    assert unicodedata.is_normalized("NFC", text)
    assert not any(unicodedata.category(c).startswith("C") for c in text)
    assert text == text.strip()
    assert "  " not in text
