"""Splits of a published corpus: two recordings with one text are in one split, whatever else is."""

from pathlib import Path
from typing import Any

import pytest
from speechmill import publish
from speechmill.core.records import Recording
from speechmill.decide.splits import split_of
from speechmill.publish.advice import splits

from tests import tiny_corpus

SHARE, RECORDINGS, PAIRS = 0.3, 24, 6
CLIP_S = 15  # in which so many words can be said
CREDITS = "this is a recording of our series and all of them are in the public domain"


def text_of(number: int, credit: str = "") -> str:
    """A text of its own, or of the recording that reads the same."""
    reads = number % (RECORDINGS // 2) if number % (RECORDINGS // 2) < PAIRS else number
    return f"{credit} {' '.join(f'word{reads}x{at}' for at in range(24))}"


def publish_texts(root: Path, monkeypatch: pytest.MonkeyPatch, credit: str = "", **settings: Any) -> tuple[Any, dict]:
    """The build of a corpus of RECORDINGS, and the split of each; 0 and 20, 1 and 21 and so on read one text."""
    names = [f"{number:032x}" for number in range(RECORDINGS)]
    texts = {tiny_corpus.stable_id(name, "0"): text_of(number, credit) for number, name in enumerate(names)}
    transcript = tiny_corpus._transcript
    monkeypatch.setattr(tiny_corpus, "RATE", CLIP_S * 4 // 3 * tiny_corpus.RATE)  # clips of CLIP_S
    monkeypatch.setattr(tiny_corpus, "CLIPS", {name: [{}] for name in names})
    monkeypatch.setattr(tiny_corpus, "_transcript", lambda clip_id: transcript(clip_id) | {"text": texts[clip_id]})
    recordings = tuple(
        Recording(recording_id=name, source="rss", media_url="", licence="CC0-1.0", content_id=name) for name in names
    )
    settings = {"validation_share": SHARE, **settings}
    build, stats = tiny_corpus.publish_tiny(root, recordings=recordings, publish=settings)
    placed = {
        row.recording_id: split for one in publish.decide_all(build) for row, split in zip(one.recordings, one.splits)
    }
    return stats, placed


def pairs(placed: dict[str, str]) -> list[tuple[str, str]]:
    return [(placed[f"{number:032x}"], placed[f"{number + RECORDINGS // 2:032x}"]) for number in range(PAIRS)]


def test_two_readers_of_one_text_are_in_one_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stats, placed = publish_texts(tmp_path, monkeypatch)
    assert stats["clips"] == {"kept": RECORDINGS}
    assert all(one == other for one, other in pairs(placed))
    alone = [f"{number:032x}" for number in range(RECORDINGS) if number % (RECORDINGS // 2) >= PAIRS]
    assert all(placed[name] == split_of(name, SHARE) for name in alone)
    assert 0 < stats["splits"]["validation"]["clips"] <= 2 * SHARE * RECORDINGS
    assert (stats["texts_kept_apart"], splits(stats)) == ("any", "")


def test_speakers_only_if_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stats, placed = publish_texts(tmp_path, monkeypatch, separate_texts=False)
    assert placed == {name: split_of(name, SHARE) for name in placed}
    assert any(one != other for one, other in pairs(placed))
    assert (stats["texts_kept_apart"], splits(stats)) == (None, "")


def test_credits_in_all_recordings_do_not_leave_nothing_to_hold_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stats, placed = publish_texts(tmp_path, monkeypatch, credit=CREDITS)
    assert all(one == other for one, other in pairs(placed))
    assert stats["splits"]["validation"]["clips"] > 0
    assert stats["texts_kept_apart"] == "most"
    assert "credits" in splits(stats)
