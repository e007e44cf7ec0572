"""Makes the pictures of the report that README and documentation show: `python docs/pictures.py [--corpus DIR]`.

Without a corpus the demo is run first, which takes minutes. The pictures hold a digest of template and style of the
page; a test says when those have changed since.
"""

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
PAGE = ROOT / "pipeline/speechmill/publish/report"
DRAWN = ("page.html", "page.css")  # what a picture shows follows from these
DIGEST = "page"  # key of the text chunk in a PNG
COLOURS = 96  # of a palette: the page has few, but for spectrograms
SIZE = (1120, 640)  # CSS pixels
PICTURES: Mapping[str, tuple[str, str]] = {  # the section that is shown, and what is done before
    "report-thresholds.png": (
        "#decide",
        "speechmill.setThreshold('snr_db', 30); speechmill.setThreshold('music', 0.5)",
    ),
    "report-histograms.png": ("#histograms", "speechmill.setThreshold('snr_db', 30)"),
    "report-clips.png": ("#every-clip", "speechmill.step(1); speechmill.step(1)"),
    "report-recording.png": ("#by-recording", ""),
}


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(prog="python docs/pictures.py", description=__doc__)
    parser.add_argument("--corpus", type=Path, help="a finished corpus to show; by default the demo's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = options.corpus or _demo(Path(folder) / "demo-corpus")
        for name, picture in draw(corpus / "report.html").items():
            (IMAGES / name).write_bytes(picture)
            print(f"docs/images/{name}: {len(picture) / 1000:.0f} kB")


def _demo(corpus: Path) -> Path:
    command = [sys.executable, "-m", "speechmill", "demo", "--output", str(corpus), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return corpus


def page_digest() -> str:
    """Digest of what the look of the page follows from."""
    return hashlib.sha256(b"".join((PAGE / name).read_bytes() for name in DRAWN)).hexdigest()[:16]


def draw(report: Path) -> dict[str, bytes]:
    """PNG of each picture, by its file name."""
    from playwright.sync_api import sync_playwright

    from tests.browser import BROWSER

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        pictures = {name: _picture(browser, report, *what) for name, what in PICTURES.items()}
        browser.close()
    return pictures


def _picture(browser: Any, report: Path, section: str, before: str) -> bytes:
    page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="light")
    page.goto(report.as_uri())
    page.wait_for_selector("body[data-ready]")
    page.evaluate(f"() => {{ {before} }}")
    page.evaluate("(section) => document.querySelector(section).scrollIntoView()", section)
    page.wait_for_timeout(500)  # ms, for what is drawn at the next frames
    picture = page.screenshot()
    page.close()
    return _small(picture)


def _small(picture: bytes) -> bytes:
    """The picture with a palette, and with the digest of the page."""
    from PIL import Image, PngImagePlugin

    about, file = PngImagePlugin.PngInfo(), io.BytesIO()
    about.add_text(DIGEST, page_digest())
    palette = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    palette.save(file, "PNG", optimize=True, pnginfo=about)
    return file.getvalue()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
