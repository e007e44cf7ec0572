"""The report in a real browser: it decides as `select` does, and what one can do with it works."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from speechmill import publish
from speechmill.core.build import Build
from speechmill.core.manual import ManualDecisions
from speechmill.publish import report
from speechmill.publish.report.extension import Extension

from tests.browser import AXE, NARROW, WIDE, browser, opened, overflow, serious_faults
from tests.commandline import Speechmill, summary
from tests.tiny_corpus import EVIL_TEXT, EVIL_TITLE, publish_tiny

__all__ = ["browser"]

COUNTS = """() => ({
  kept: [...Array(speechmill.clips.count).keys()].filter((row) => speechmill.clips.isKept(row)).length,
  reasons: Object.fromEntries([...document.querySelectorAll("#by-reason tbody tr")].map(
    (row) => [row.cells[0].firstChild.textContent, Number(row.cells[2].textContent)]).filter(([, clips]) => clips)),
})"""
FRAMES = """async () => {
  for (let frame = 0; frame < 4; frame++) await new Promise((done) => requestAnimationFrame(done));
}"""  # until what follows from a change is drawn
THRESHOLDS: list[dict[str, float | None]] = [
    {},
    {"snr_db": 40.0},
    {"snr_db": None, "asr_confidence": 0.93},
    {"noise": 0.02, "music": 0.01, "edge_ratio": 0.2, "bandwidth_hz": 8_000.0},
    {"snr_db": 8.0, "clipped_ratio": None, "loudness_lufs": None, "edge_ratio": None, "reverb": None, "noise": None},
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, dict[str, Any]]:
    return publish_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tiny_page(tiny: tuple[Build, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(*tiny, tmp_path_factory.mktemp("page"))


def written(build: Build, stats: dict[str, Any], folder: Path, extension: Extension | None = None) -> Path:
    path = folder / "report.html"
    path.write_text(report.render(build, stats, publish.decide_all(build), extension=extension))
    return path


@pytest.fixture
def page(browser: Any, tiny_page: Path) -> Iterator[Any]:
    with opened(browser, tiny_page) as page:
        yield page


def shown(page: Any) -> str:
    page.evaluate(FRAMES)
    text: str = page.inner_text("#shown")
    return text


def plot_of(page: Any, column: str) -> Any:
    """The area of a histogram, which is drawn when it comes into sight."""
    page.locator(f"#histogram-{column}").scroll_into_view_if_needed()
    page.wait_for_selector(f"#histogram-{column} .u-over")
    return page.locator(f"#histogram-{column} .u-over")


def set_thresholds(page: Any, limits: dict[str, float | None]) -> None:
    for key, value in limits.items():
        page.evaluate("([key, value]) => speechmill.setThreshold(key, value)", [key, value])
    page.evaluate(FRAMES)


def test_the_page_counts_what_select_keeps(browser: Any, finished_corpus: Path, speechmill: Speechmill) -> None:
    for limits in THRESHOLDS:
        with opened(browser, finished_corpus / "report.html") as page:
            set_thresholds(page, limits)
            command, counts = shlex.split(page.inner_text("#command")), page.evaluate(COUNTS)
        if not limits:
            assert command == ["speechmill", "status", finished_corpus.name]
        sets = command[3:] if limits else []
        told = summary(speechmill("select", finished_corpus, *sets, "--dry-run", "--json"))
        assert counts["kept"] == told["kept"]["clips"]["then"]
        assert counts["reasons"] == {name: n["then"] for name, n in told["rejected"].items() if n["then"]}


def test_the_page_honours_decisions_by_hand_and_what_no_threshold_decides(
    browser: Any, tiny: tuple[Build, dict[str, Any]], tmp_path: Path
) -> None:
    build, stats = tiny
    ids = [clip for group in publish.decide_all(build) for clip in group.places["clip_id"].to_pylist()]
    by_hand = ManualDecisions(
        kept=frozenset(ids[2:4]), dropped=frozenset(ids[:1]), texts={ids[1]: "Another text."},
        defects={"low_snr": {ids[4]: False}, "clipped": {ids[5]: True}, "music": {ids[5]: True}},
    )  # fmt: skip
    build = replace(build, by_hand=by_hand)
    for limits in ({}, {"snr_db": 40.0, "asr_confidence": 0.95}, {"snr_db": None, "clipped_ratio": None}):
        thresholds = build.config.thresholds.model_copy(update=limits)
        other = replace(build, config=build.config.model_copy(update={"thresholds": thresholds}))
        expected = publish.preview(other)
        with opened(browser, written(build, stats, tmp_path)) as page:
            set_thresholds(page, limits)
            counts = page.evaluate(COUNTS)
        assert counts["kept"] == expected["clips"].get("kept", 0)
        assert counts["reasons"] == {name: n["clips"] for name, n in expected["rejected_by_reason"].items()}


def test_a_slider_moved_by_hand_changes_figures_and_command_and_a_click_copies_it(
    browser: Any, tiny_page: Path
) -> None:
    with opened(browser, tiny_page, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.focus("#threshold-snr_db")
        page.keyboard.press("ArrowLeft")
        page.uncheck("#threshold-clipped_ratio-on")
        page.evaluate(FRAMES)
        command = page.inner_text("#command")
        page.click("#copy")
        page.wait_for_selector(".copied:has-text('copied')")
        assert page.evaluate("navigator.clipboard.readText()") == command
        assert command.startswith("speechmill select tiny --set thresholds.snr_db=14.9")
        assert command.endswith(" --set thresholds.clipped_ratio=null")
        page.click("#reset")
        page.evaluate(FRAMES)
        assert page.inner_text("#command") == "speechmill status tiny"


def test_the_list_is_filtered_by_words_reasons_and_comparisons(page: Any) -> None:
    for filter_, clips in {
        "": 8, "kept": 3, "reason:low_snr": 3, "snr_db < 15": 3, "snr_db<15 bandwidth_hz >= 5000": 2, "onclick": 3,
        'recording:"plain"': 2, "rejected plain": 1, "nothing-like-it": 0,
    }.items():  # fmt: skip
        page.fill("#filter", filter_)
        assert shown(page).startswith(f"{clips} of 8 clips"), filter_
    page.fill("#filter", "loudness < 3")
    assert shown(page)
    assert page.inner_text("#filter-faults").startswith("no field loudness")


def test_the_list_is_sorted_by_any_column(page: Any) -> None:
    page.select_option("#score", "snr_db")
    page.evaluate(FRAMES)
    scores = page.locator(".clip-grid .grid-body .c-score").all_inner_texts()
    assert scores == ["3", "9", "14.5", *["30"] * 5]
    page.click(".clip-grid .grid-head .c-score button")
    assert page.locator(".clip-grid .grid-body .c-score").all_inner_texts() == scores[::-1]
    assert page.get_attribute(".clip-grid .grid-head .c-score", "aria-sort") == "descending"


def test_a_head_of_the_list_keeps_its_focus_and_a_click_that_a_redraw_comes_into(page: Any) -> None:
    head = page.locator(".clip-grid .grid-head .c-length")
    head.locator("button").focus()
    for order in ("descending", "ascending"):
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == order
    box = head.locator("button").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.evaluate("speechmill.setThreshold('snr_db', 10)")
    page.evaluate(FRAMES)
    page.mouse.up()
    assert head.get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_heads_of_tables_show_their_order_whole(browser: Any, tiny_page: Path, size: tuple[int, int]) -> None:
    with opened(browser, tiny_page, size) as page:
        heads = [head for head in page.locator(".grid-head .cell:has(button)").all() if head.is_visible()]
        assert len(heads) > 4
        for head in heads:
            head.locator("button").click()
            assert head.evaluate("(cell) => cell.scrollWidth - cell.clientWidth") <= 0, head.inner_text()


def test_a_brush_filters_list_and_histograms_and_can_be_cleared(page: Any) -> None:
    plot = plot_of(page, "snr_db")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20, steps=4)  # to 20 dB
    page.mouse.up()
    assert shown(page).startswith("3 of 8 clips")
    assert page.inner_text("#histogram-bandwidth_hz .readout") == "0 kept, 3 rejected"
    page.fill("[aria-label='bandwidth_hz from']", "5000")
    page.keyboard.press("Tab")
    assert shown(page).startswith("2 of 8 clips")
    page.click("#clear-brushes")
    assert shown(page).startswith("8 of 8 clips")


def test_hovering_tells_what_a_bar_holds(page: Any) -> None:
    plot = plot_of(page, "snr_db")
    plot.hover(position={"x": plot.bounding_box()["width"] * 31 / 80, "y": 40})
    assert page.inner_text("#histogram-snr_db .readout") == "30 to 32: 3 kept, 2 rejected"


def test_keys_choose_and_play_a_clip(page: Any) -> None:
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert EVIL_TEXT in page.inner_text("#detail h3")
    assert page.locator("#detail audio[aria-label]").count() == 1
    page.evaluate("document.addEventListener('playing', () => { document.body.dataset.plays = 1; }, true)")
    page.keyboard.press(" ")
    page.wait_for_selector("body[data-plays]")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "filter"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert "next clip" in page.inner_text("#keys")


def test_fault_35_a_browser_runs_the_script_of_the_page_and_no_other(browser: Any, tiny_page: Path) -> None:
    """Titles and texts with tags are shown, letter by letter; a script of theirs would open a dialog."""
    dialogs: list[str] = []
    with opened(browser, tiny_page) as page:
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.reload()
        page.wait_for_selector("body[data-ready]")
        row = page.evaluate(
            "[...Array(speechmill.clips.count).keys()].find((at) => speechmill.clips.text(at).includes('<'))"
        )
        page.evaluate(f"speechmill.choose(speechmill.clips.id({row}))")
        assert EVIL_TEXT in page.inner_text("#detail h3")
        assert EVIL_TITLE in page.inner_text("#detail .from")
        places = "#detail, #list-view, #recordings-view"
        assert page.evaluate(f"document.querySelectorAll(':is({places}) :is(script, q)').length") == 0
    assert dialogs == []


def test_every_sound_can_be_decoded(page: Any, tiny: tuple[Build, dict[str, Any]]) -> None:
    _, stats = tiny
    heard = page.evaluate("""() => Promise.all([...document.querySelectorAll(".clip audio")].map((audio) =>
        new Promise((done) => { audio.onloadedmetadata = () => done(audio.duration); audio.onerror = () => done(0);
                                audio.preload = "auto"; audio.load(); })))""")
    assert heard == [pytest.approx(0.75, abs=0.05)] * (sum(stats["clips"].values()) - 1)


def test_a_recording_has_a_timeline_and_a_table_of_what_became_of_it(page: Any) -> None:
    page.click(".recording-grid .grid-body .grid-row:has-text('Plain')")
    assert page.locator(".timeline rect.f-kept[y]").count() == 1
    assert page.locator(".timeline rect.f-rejected[y]").count() == 1
    cells = page.locator(".recording tbody tr").all_inner_texts()
    assert [cell.split()[-2] for cell in cells] == ["37.5", "37.5", "25.0"]
    page.click(".recording button:has-text('List its 2 clips')")
    assert shown(page).startswith("2 of 8 clips")


def test_it_says_how_far_a_threshold_must_move_to_keep_more(page: Any) -> None:
    page.click("#offers summary")
    page.wait_for_selector("#offers tbody tr")
    rows = [row.split("\t") for row in page.locator("#offers tbody tr").all_inner_texts()]
    assert [row[:3] for row in rows] == [["snr_db", "15", "14.5"], ["clipped_ratio", "0.005", "0.02"]]
    page.click("#offers tbody tr:first-child button:has-text('Set')")
    page.evaluate(FRAMES)
    assert page.inner_text("#command") == "speechmill select tiny --set thresholds.snr_db=14.5"


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core: npm ci in web/")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Any, tiny_page: Path, scheme: str) -> None:
    with opened(browser, tiny_page, color_scheme=scheme) as page:
        page.keyboard.press("j")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert serious_faults(page) == []


def test_nothing_is_cut_on_a_narrow_screen(browser: Any, tiny_page: Path) -> None:
    with opened(browser, tiny_page, NARROW) as page:
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert overflow(page) == 0


def test_an_empty_corpus_has_a_page_that_throws_nothing(browser: Any, tmp_path: Path) -> None:
    build, stats = publish_tiny(tmp_path, recordings=(), transcribed=False)
    with opened(browser, written(build, stats, tmp_path)) as page:
        assert "There are no clips" in page.inner_text("#every-clip")
        page.fill("#filter", "x")
        assert shown(page).startswith("0 of 0 clips")


def test_a_server_gives_sounds_notes_and_actions(
    browser: Any, tiny: tuple[Build, dict[str, Any]], tmp_path: Path
) -> None:
    script = """
    const noted = new Map();
    window.speechmill = {
      sound: (clipId) => `data:audio/flac;base64,${clipId}`,
      note: (clipId) => noted.get(clipId) ?? "",
      actions: [{key: "d", label: "Drop", run: (clipId) => { noted.set(clipId, "dropped"); speechmill.refresh(); }}],
      detail: (clipId, element) => { element.textContent = `around ${clipId}`; },
    };
    document.addEventListener("speechmill:ready", () => speechmill.setQueue([speechmill.clips.id(3)]));
    document.addEventListener("speechmill:chosen", (event) => { document.body.dataset.chosen = event.detail; });
    """
    path = written(*tiny, tmp_path, Extension(script=script, style="#extension { color: red; }"))
    with opened(browser, path) as page:
        assert shown(page).startswith("1 of 8 clips")
        page.keyboard.press("j")
        page.keyboard.press("d")
        clip_id = page.get_attribute("body", "data-chosen")
        assert page.get_attribute("#detail audio", "src") == f"data:audio/flac;base64,{clip_id}"
        assert page.inner_text("#detail .served") == f"around {clip_id}"
        assert "dropped" in page.inner_text(".clip-grid .grid-body .c-verdict")
        assert "Drop" in page.inner_text("#detail .actions")


def test_speech_too_short_for_a_clip_can_be_heard(browser: Any, finished_corpus: Path) -> None:
    with opened(browser, finished_corpus / "report.html") as page:
        page.click("[data-group=too_short] summary")
        page.evaluate("document.querySelector('[data-group=too_short] audio').play()")
        page.wait_for_selector("[data-group=too_short] .picture i:not([hidden])")
