"""The pictures of the documentation show what there is."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from speechmill.stages.flow import STAGES

from tests.docs.snippets import ROOT

IMAGES = ROOT / "docs/images"
MOST_BYTES = 100_000  # of a picture
OTHER_BOXES = {"list", "fetch", "decide", "publish"}  # of flow.svg, which are no stages of clips


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    """docs/pictures.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs/pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pictures_of_the_report_are_those_of_its_template_and_style(pictures: ModuleType) -> None:
    for name in pictures.PICTURES:
        with Image.open(IMAGES / name) as picture:
            assert picture.size == pictures.SIZE
            assert picture.text[pictures.DIGEST] == pictures.page_digest(), "python docs/pictures.py"
        assert (IMAGES / name).stat().st_size <= MOST_BYTES


def test_the_flow_names_stages_that_there_are() -> None:
    boxes = re.findall(
        r"<text [^>]*font-size='14'[^>]*font-weight='600'>(\w+)</text>", (IMAGES / "flow.svg").read_text()
    )
    assert len(boxes) > 8
    assert set(boxes) <= {stage.name for stage in STAGES} | OTHER_BOXES


def test_every_picture_is_shown() -> None:
    pages = [ROOT / "README.md", ROOT / "mkdocs.yml", *(ROOT / "docs").glob("*.md")]
    text = "".join(path.read_text() for path in pages)
    assert [path.name for path in sorted(Path(IMAGES).iterdir()) if path.name not in text] == []
