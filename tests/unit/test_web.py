"""Scripts and styles of the pages: the bundles in the packages are those of the sources in web/, which stay small."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
SOURCES = [path for path in sorted((WEB / "src").rglob("*")) if path.suffix in {".js", ".css"}]
ASKS_SERVER = WEB / "src/review/server.js"  # of `speechmill review`, which the page's policy keeps it to
FILE_LINES, LINE_CHARACTERS = 300, 120
MARKUP_OR_NETWORK = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "fetch(",
    "XMLHttpRequest",
)


@pytest.mark.skipif(not (WEB / "node_modules").is_dir() or not shutil.which("node"), reason="no npm ci in web/")
def test_bundles_are_those_of_the_sources(tmp_path: Path) -> None:
    targets = bundles()
    for target in targets:
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["node", WEB / "build.mjs", tmp_path], check=True)
    stale = [target for target in targets if (tmp_path / target).read_bytes() != (ROOT / target).read_bytes()]
    assert stale == [], "npm run build, in web/"


def bundles() -> list[str]:
    """Paths of the bundles, as build.mjs names them."""
    return [line.split('"')[3] for line in (WEB / "build.mjs").read_text().splitlines() if line.startswith('  ["src/')]


def test_bundles_name_their_licences() -> None:
    assert len(bundles()) >= 2
    for target in bundles():
        text = (ROOT / target).read_text()
        assert "uPlot" not in text or "Permission is hereby granted, free of charge" in text


def test_sources_are_small_and_take_no_text_for_markup() -> None:
    assert len(SOURCES) > 15
    for path in SOURCES:
        lines = path.read_text().splitlines()
        assert len(lines) <= FILE_LINES, path
        if path.suffix == ".js":
            assert max(map(len, lines)) <= LINE_CHARACTERS, path
            allowed = {"fetch("} if path == ASKS_SERVER else set()
            assert not [word for word in MARKUP_OR_NETWORK if word in path.read_text() and word not in allowed], path
