"""Five questions of a newcomer, each answered by what the page shows: visible words only, at 1400 and 390 pixels.

Every step is priced by the keystroke-level model, thought included. That is an estimate: no person was timed.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from speechmill import publish
from speechmill.core.build import Build
from speechmill.publish import report

from tests.browser import NARROW, WIDE, browser, opened
from tests.tiny_corpus import publish_tiny

__all__ = ["browser"]

THINK_S, POINT_S, CLICK_S, KEY_S = 1.35, 1.1, 0.2, 0.28  # Card, Moran and Newell's keystroke-level model
MOST_S = 20.0  # of a minute; the rest is for reading and hearing
PROFILES = {"tortoise": 144_000, "recover": 168_000, "as_is": 0}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, dict[str, Any]]:
    return publish_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tiny_page(tiny: tuple[Build, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    build, stats = tiny
    path = tmp_path_factory.mktemp("page") / "report.html"
    stats = stats | {"candidate_samples_by_profile": PROFILES}
    path.write_text(report.render(build, stats, publish.decide_all(build)))
    return path


class Newcomer:
    """Somebody who knows no key and no id: clicks on words that can be seen, and types. `seconds` is what it took."""

    def __init__(self, page: Any) -> None:
        self.page, self.seconds = page, 0.0

    def click(self, role: str, words: str) -> None:
        """Click on the first link, button or field with these words, which must be in the window."""
        whole = re.compile(rf"(?<!\w){re.escape(words)}")  # "Set", not "Reset"
        element = self.page.get_by_role(role, name=whole).first
        assert self.sees(element), words
        element.click()
        self.seconds += THINK_S + POINT_S + CLICK_S

    def types(self, words: str) -> None:
        self.page.keyboard.type(words)
        self.seconds += THINK_S + KEY_S * len(words)

    def sees(self, element: Any) -> bool:
        """Whether an element comes into the window without scrolling."""
        element.wait_for()
        self.page.wait_for_timeout(200)  # ms, for what is drawn at the next frames
        box, size = element.bounding_box(), self.page.viewport_size
        return bool(box and box["y"] < size["height"] and box["y"] + box["height"] > 0 and box["x"] < size["width"])

    def reads(self, words: str) -> bool:
        return self.sees(self.page.get_by_text(words).first)


@pytest.fixture(params=[WIDE, NARROW], ids=["1400", "390"])
def newcomer(request: pytest.FixtureRequest, browser: Any, tiny_page: Path) -> Iterator[Newcomer]:
    with opened(browser, tiny_page, request.param) as page:
        newcomer = Newcomer(page)
        yield newcomer
        assert newcomer.seconds < MOST_S


def test_why_was_this_episode_lost(newcomer: Newcomer) -> None:
    newcomer.click("link", "Why was a recording lost?")
    newcomer.click("searchbox", "Find a recording")
    newcomer.types("broken")
    newcomer.click("gridcell", "Broken")
    assert newcomer.reads("not_audio – ")


def test_which_threshold_gives_ten_per_cent_more_at_which_price(newcomer: Newcomer) -> None:
    newcomer.click("link", "Which threshold keeps 10 % more")
    assert newcomer.reads("14.5")
    newcomer.click("button", "Set")
    assert newcomer.reads("speechmill select tiny --set thresholds.snr_db=14.5")


def test_its_price_is_heard(newcomer: Newcomer) -> None:
    newcomer.click("link", "Which threshold keeps 10 % more")
    newcomer.click("button", "List")
    assert newcomer.reads("1 of 8 clips")
    newcomer.click("gridcell", "✕ low_snr")
    assert newcomer.page.locator("#detail audio").count() == 1


def test_hear_the_most_doubtful_clips(newcomer: Newcomer) -> None:
    newcomer.click("link", "Hear the most doubtful kept clips")
    newcomer.click("button", "Play all in turn")
    assert newcomer.reads("Stop")
    newcomer.page.wait_for_function("document.querySelector('.clip audio').currentTime > 0")


def test_where_a_clip_is_dropped_or_corrected(newcomer: Newcomer) -> None:
    newcomer.click("link", "Drop a clip, or correct its text")
    assert newcomer.reads("speechmill review tiny")


def test_what_recover_would_win(newcomer: Newcomer) -> None:
    newcomer.click("link", "What would recover win?")
    assert newcomer.reads("+12.5")


def test_doubtful_clips_follow_each_other_without_a_click(browser: Any, finished_corpus: Path) -> None:
    with opened(browser, finished_corpus / "report.html") as page:
        page.get_by_role("link", name="Hear the most doubtful kept clips").click()
        sounds = page.locator("#listen details.group").first.locator("audio")
        assert sounds.count() > 1
        page.get_by_role("button", name="Play all in turn").first.click()
        sounds.nth(0).evaluate("(audio) => { audio.currentTime = audio.duration - 0.1; }")
        page.wait_for_function("(audio) => !audio.paused && audio.currentTime > 0", arg=sounds.nth(1).element_handle())
        page.get_by_role("button", name="Stop").click()
        assert page.evaluate("[...document.querySelectorAll('audio')].every((audio) => audio.paused)")
