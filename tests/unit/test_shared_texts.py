"""Passages are found however a text was cut, and recordings that share them are linked."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from speechmill.decide.shared_texts import SharedText, linked
from speechmill.text.passages import MIN_WORDS, SHINGLE_WORDS, passage_keys

BOOK = [f"word{at}" for at in range(400)]


def keys(words: list[str], one_in: int = 1) -> set[int]:
    return set(passage_keys(" ".join(words), one_in=one_in).tolist())


@settings(max_examples=50)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 5))
def test_two_cuts_of_a_book_share_keys_where_they_share_enough_words(first: int, second: int, one_in: int) -> None:
    cuts = [keys(BOOK[at : at + 60], one_in) for at in (first, second)]
    common = max(0, min(first, second) + 60 - max(first, second))
    if common < SHINGLE_WORDS:
        assert not cuts[0] & cuts[1]
    elif one_in == 1:
        assert len(cuts[0] & cuts[1]) == common - SHINGLE_WORDS + 1 + (first == second)
    assert keys(BOOK[first : first + 60]) >= cuts[0]


def test_case_punctuation_and_apostrophes_do_not_matter() -> None:
    said = "It's late, said the miller; \u201cwe\u2019ll see tomorrow!\u201d"
    assert np.array_equal(passage_keys(said), passage_keys("ITS LATE SAID THE MILLER WELL SEE TOMORROW"))


def test_short_texts_have_no_keys_and_scripts_without_spaces_have() -> None:
    assert len(passage_keys("Yes, of course.")) == 0
    assert len(passage_keys(" ".join(BOOK[:MIN_WORDS]))) == 1
    said = "\u4eca\u65e5\u306f\u5929\u6c17\u304c\u3044\u3044\u3067\u3059\u306d"  # eleven characters
    assert len(passage_keys(said)) == 1 + 11 - SHINGLE_WORDS + 1


def link(recordings: list[list[str]], shared: SharedText) -> list[set[int]]:
    every = [(key, at) for at, words in enumerate(recordings) for key in keys(words)]
    members, labels = linked(
        np.array([key for key, _ in every], np.int64), np.array([at for _, at in every], np.int32), shared
    )
    return sorted(({*members[labels == label].tolist()} for label in {*labels.tolist()}), key=min)


def own(name: str, words: int = 100) -> list[str]:
    return [f"{name}{at}" for at in range(words)]


def test_recordings_are_linked_by_any_passage_or_by_most_of_their_text() -> None:
    credit = own("credit", 12)
    recordings = [credit + own("a"), credit + BOOK, credit + BOOK[20:], own("b"), credit + own("c"), own("b")[:30]]
    assert link(recordings, SharedText.ANY) == [{0, 1, 2, 4}, {3, 5}]
    assert link(recordings, SharedText.MOST) == [{1, 2}, {5}]  # a part of 3, whose own passages are mostly its own
    assert link([], SharedText.ANY) == []
    assert link([own("a"), own("b")], SharedText.ANY) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 9), st.integers(0, 7)), max_size=25))
def test_groups_are_those_that_are_found_pair_by_pair(pairs: list[tuple[int, int]]) -> None:
    groups = [{recording} for recording in range(8)]
    for key, recording in pairs:
        for other in {other for same, other in pairs if same == key}:
            joined = [group for group in groups if {recording, other} & group]
            groups = [group for group in groups if group not in joined] + [set().union(*joined)]
    keys, recordings = (np.array(values, kind) for values, kind in zip(
        zip(*pairs, strict=True) if pairs else ([], []), (np.int64, np.int32), strict=True))  # fmt: skip
    members, labels = linked(keys, recordings, SharedText.ANY)
    found = sorted(({*members[labels == label].tolist()} for label in {*labels.tolist()}), key=min)
    assert found == sorted((group for group in groups if len(group) > 1), key=min)
