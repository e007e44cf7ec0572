"""A review in a real browser: hear, filter, judge by keys, take back, publish, load again."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from speechmill.corpus.review.server import ReviewServer
from speechmill.corpus.review.session import Session

from tests.browser import AXE, NARROW, WIDE, browser, overflow, serious_faults
from tests.commandline import Speechmill

__all__ = ["browser"]

HEARD = "(audio) => audio.duration"
CURRENT = "speechmill.current()"
Opened = Callable[..., Any]


@contextmanager
def served(corpus: Path, queue: str = "doubtful") -> Iterator[ReviewServer]:
    with (
        closing(Session(str(corpus), queue=queue, who="ann")) as session,
        ReviewServer(session, host="127.0.0.1", port=0) as server,
    ):
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """Open the page of a server; at its end the test fails if the page has reported a fault or asked another server."""
    pages: list[tuple[Any, list[str]]] = []

    def open_page(server: ReviewServer, size: tuple[int, int] = WIDE, **options: Any) -> Any:
        page = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options).new_page()
        faults: list[str] = []
        pages.append((page, faults))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        own = server.address.rpartition(server.guard.token)[0]
        page.on(
            "request",
            lambda request: None if request.url.startswith((own, "data:", "file:")) else faults.append(request.url),
        )
        page.goto(server.session.private_link(server.address))  # as the command opens it
        ready(page)
        return page

    yield open_page
    for page, faults in pages:
        page.context.close()
        assert faults == []


def ready(page: Any) -> None:
    page.wait_for_selector("body[data-review]")
    page.wait_for_selector("#detail .surroundings")


def until(page: Any, expression: str) -> None:
    """Wait for an expression to be true: in steps, since the page's policy lets nobody evaluate text in it."""
    for _ in range(2_000):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def said(page: Any) -> str:
    """What the page says that it did; waits for the server's answer."""
    until(page, "document.querySelector('.review .said').textContent !== ''")
    text: str = page.inner_text(".review .said")
    return text


def lines(corpus: Path) -> list[dict[str, Any]]:
    path = corpus / "decisions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def judged(page: Any, count: int) -> None:
    until(page, f"document.querySelector('.review progress').value === {count}")


def test_hear_filter_drop_correct_publish_and_load_again(
    finished_corpus: Path, tmp_path: Path, opened: Opened, speechmill: Speechmill
) -> None:
    corpus = Path(shutil.copytree(finished_corpus, tmp_path / "corpus"))
    kept = pq.read_table(corpus / "data")["clip_id"].to_pylist()
    with served(corpus, "random:100") as server:
        page = opened(server)
        page.evaluate(f"speechmill.choose('{kept[0]}')")
        page.wait_for_selector("#detail .surroundings")
        page.keyboard.press(" ")  # plays the clip, rejected or not, as it is stored
        until(page, "document.querySelector('#detail audio').currentTime > 0")
        page.keyboard.press("c")
        until(page, "document.querySelector('.surroundings audio').currentTime > 0")
        longer = page.evaluate(
            "document.querySelector('.surroundings audio').duration - document.querySelector('#detail audio').duration"
        )
        assert longer > 0.5
        page.keyboard.press("n")
        judged(page, 1)
        assert page.evaluate(CURRENT) != kept[0]  # it went on

        page.evaluate(f"speechmill.choose('{kept[1]}')")
        page.wait_for_selector("#detail .surroundings")
        page.keyboard.press("t")
        page.wait_for_selector("#detail form.text:not([hidden])")
        page.keyboard.type("It is 5 p.m., said y and n.")  # keys of a field decide nothing
        page.keyboard.press("Control+Enter")
        judged(page, 2)
        assert [(line["clip_id"], line["decision"]) for line in lines(corpus)] == [(kept[0], "drop"), (kept[1], "text")]
        assert page.inner_text("#detail h3") == "It is 5 p.m., said y and n."

        page.fill("#filter", "kept")
        until(page, f"document.querySelector('#shown').textContent.startsWith('{len(kept)} ')")
        speechmill("select", corpus)
        rows = {row["clip_id"]: row for row in pq.read_table(corpus / "data").to_pylist()}
        assert rows.keys() == set(kept[1:])
        assert rows[kept[1]]["text_normalized"] == "it is five p.m., said y and n."

        page.reload()
        ready(page)
        judged(page, 2)
        page.fill("#filter", "kept")
        until(page, f"document.querySelector('#shown').textContent.startsWith('{len(kept) - 1} ')")
        page.evaluate(f"speechmill.choose('{kept[0]}')")
        assert "you: drop" in page.inner_text("#detail")
        page.press("#filter", "Escape")
        page.keyboard.press("u")  # of before the page was loaded again
        judged(page, 1)
        page.wait_for_load_state("networkidle")
    assert [line["decision"] for line in lines(corpus)] == ["drop", "text", "undo"]


def test_keys_judge_a_queue_in_order_and_undo_leads_back(corpus: Path, opened: Opened) -> None:
    with served(corpus) as server:
        page = opened(server)
        queue = server.session.state()["queue"]["clip_ids"]
        assert page.evaluate(CURRENT) == queue[0]
        until(page, "document.querySelector('#list-view .grid-row.chosen') !== null")
        assert (
            page.evaluate("document.querySelector('#list-view .grid-scroll').scrollTop") == 0
        )  # the first of the queue
        page.keyboard.press("y")
        until(page, f"speechmill.current() === '{queue[1]}'")
        page.keyboard.press("2")  # music
        page.wait_for_selector(".defects button:nth-of-type(2)[aria-pressed=true]")
        page.keyboard.press("2")
        page.wait_for_selector(".defects button:nth-of-type(2)[aria-pressed=false]")
        page.keyboard.press("n")
        until(page, f"speechmill.current() === '{queue[2]}'")
        page.keyboard.press("s")
        page.wait_for_selector("#detail form.speaker:not([hidden])")
        page.keyboard.type("the guest")
        page.keyboard.press("Enter")
        judged(page, 3)
        page.keyboard.press("u")
        judged(page, 2)
        page.keyboard.press("u")
        until(page, f"speechmill.current() === '{queue[1]}'")
        assert "you:" not in page.inner_text("#detail .by")
        page.click(".agreement summary")
        assert "kept by the models" in page.inner_text(".agreement table")
        page.keyboard.press("Escape")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("?")
        assert {"keep", "drop", "correct text", "undo"} <= set(page.inner_text("dialog").split("\n"))
    told = [(line["decision"], line.get("defect"), line.get("present")) for line in lines(corpus)]
    assert told == [
        ("keep", None, None), ("defect", "music", True), ("defect", "music", False), ("drop", None, None),
        ("speaker", None, None), ("undo", None, None), ("undo", None, None),
    ]  # fmt: skip


def test_what_is_typed_before_the_form_is_there_is_not_lost(finished_corpus: Path, opened: Opened) -> None:
    with served(finished_corpus, "random:100") as server:
        page = opened(server)
        held: list[Any] = []
        is_held = [True]
        page.route("**/api/clips/*", lambda route: held.append(route) if is_held else route.continue_())
        page.reload()
        page.wait_for_selector("body[data-review]")
        until_held(page, held)
        page.keyboard.press("t")
        page.keyboard.type("New words")
        is_held.clear()
        for route in held:
            route.continue_()
        page.wait_for_selector("form.text:not([hidden]) textarea")
        page.keyboard.type(", and more.")
        assert page.input_value("form.text textarea") == "New words, and more."


def until_held(page: Any, held: list[Any]) -> None:
    """Wait until the page asks the server for a clip, which a route holds back."""
    for _ in range(200):
        if held:
            return
        page.wait_for_timeout(50)
    raise AssertionError("the page asks for no clip")


def test_a_server_that_is_gone_is_told(corpus: Path, browser: Any) -> None:
    with served(corpus) as server:
        page = browser.new_page()
        page.goto(server.address)
        ready(page)
        page.route("**/api/judgements", lambda route: route.abort())
        page.keyboard.press("y")
        until(page, "document.querySelector('.review .fault').textContent.includes('still running')")
        page.close()
    assert not lines(corpus)


def test_two_windows_agree_as_soon_as_one_looks_at_them(corpus: Path, opened: Opened) -> None:
    with served(corpus) as server:
        one, other = opened(server), opened(server)
        one.keyboard.press("n")
        judged(one, 1)
        assert other.evaluate("document.querySelector('.review progress').value") == 0
        other.evaluate("dispatchEvent(new Event('focus'))")
        judged(other, 1)
        assert "you: drop" in other.inner_text("#detail")
        for page in (one, other):
            page.wait_for_load_state("networkidle")


def test_a_text_that_the_server_did_not_take_stays_in_its_form(corpus: Path, browser: Any) -> None:
    with served(corpus) as server:
        page = browser.new_page()
        page.goto(server.address)
        ready(page)
        page.route("**/api/judgements", lambda route: route.abort())
        page.keyboard.press("t")
        page.wait_for_selector("#detail form.text:not([hidden])")
        page.keyboard.type("Written with care.")
        page.keyboard.press("Control+Enter")
        until(page, "document.querySelector('.review .fault').textContent.includes('still running')")
        page.wait_for_selector("#detail form.text:not([hidden])")
        assert page.input_value("#detail form.text textarea") == "Written with care."
        page.unroute("**/api/judgements")
        page.click("#detail form.text button:has-text('save')")
        judged(page, 1)
        page.close()
    assert [line["text"] for line in lines(corpus)] == ["Written with care."]


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_it_is_accessible_and_fits(corpus: Path, opened: Opened, size: tuple[int, int], scheme: str) -> None:
    with served(corpus, "reason:low_snr") as server:
        page = opened(server, size, color_scheme=scheme)
        page.keyboard.press("n")
        said(page)
        page.click(".agreement summary")
        page.keyboard.press("Escape")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("t")
        assert overflow(page) <= 0
        if AXE.exists():
            assert serious_faults(page) == []
