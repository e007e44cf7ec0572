"""The look of the report with what breaks pages: names of other scripts, very long words, one clip."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from speechmill import publish
from speechmill.core.records import Recording
from speechmill.publish import report

from tests.browser import AXE, NARROW, WIDE, browser, opened, overflow, serious_faults
from tests.tiny_corpus import RECORDINGS, publish_tiny

__all__ = ["browser"]

NAMES = (
    "ספר על הרוח " * 6,
    "漢字と仮名の長い題名" * 8,
    "\N{STUDIO MICROPHONE}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}" * 20,
    "Donaudampfschifffahrtsgesellschaftskapitän" * 4,
)
NAMED = tuple(
    replace(one, title=name, author=name, media_url=f"https://example.org/{'x' * 300}{at}.mp3")
    for at, (one, name) in enumerate(zip(RECORDINGS, NAMES, strict=True))
)
ONE = tuple(recording for recording in RECORDINGS if recording.content_id == "c2")
SCROLLED = """[...document.querySelectorAll(".scroll")].filter((one) => one.scrollWidth > one.clientWidth + 1)
    .map((one) => one.getAttribute("aria-label"))"""


@pytest.mark.parametrize("recordings", [NAMED, ONE], ids=["names", "one recording"])
@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")])
def test_nothing_is_cut_and_axe_finds_no_serious_fault(
    browser: Any, tmp_path: Path, recordings: tuple[Recording, ...], size: tuple[int, int], scheme: str
) -> None:
    build, stats = publish_tiny(tmp_path, recordings=recordings)
    path = tmp_path / "report.html"
    stats = stats | {"candidate_samples_by_profile": {"tortoise": 144_000, "recover": 168_000}}
    path.write_text(report.render(build, stats, publish.decide_all(build)))
    with opened(browser, path, size, color_scheme=scheme) as page:
        page.keyboard.press("j")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.wait_for_selector("#offers table")
        assert overflow(page) == 0
        assert page.evaluate(SCROLLED) == []
        assert not AXE.exists() or serious_faults(page) == []
