"""A real browser, driven by Playwright: Debian's Chromium, or whichever is installed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
AXE = Path(__file__).parents[1] / "web/node_modules/axe-core/axe.min.js"
WIDE, NARROW = (1400, 900), (390, 844)  # CSS pixels
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser. Not for a whole session: its event loop runs as long."""
    playwright = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("no browser here")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Any, path: Path, size: tuple[int, int] = WIDE, ready: str = "body[data-ready]", **options: Any
) -> Iterator[Any]:
    """A page of a file, once it has what `ready` selects. Fails at its end if the page has reported an error."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    page, faults = context.new_page(), list[str]()
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    page.wait_for_selector(ready)
    yield page
    context.close()
    assert faults == []


def serious_faults(page: Any) -> list[str]:
    """Faults of accessibility that axe-core finds, without the mild ones."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in SERIOUS]


def overflow(page: Any) -> int:
    """CSS pixels by which the page is wider than its window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return width
