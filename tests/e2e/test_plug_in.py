"""A kind of source is one file: that of docs/extending.md, dropped into the package's folder, is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from speechmill import sources
from speechmill.sources import builtin

from tests.docs.snippets import snippets

(SOURCE,) = [snippet.text for snippet in snippets("python") if snippet.marker.endswith("/linewise.py")]


@pytest.fixture
def linewise() -> Iterator[None]:
    path = Path(builtin.__file__).parent / "linewise.py"
    path.write_text(SOURCE)
    yield
    path.unlink()


def test_a_source_is_added_by_one_file(linewise: None, folder: Path, speechmill, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(str(path) for path in sorted(folder.iterdir())))
    settings = ["--set", "asr.model=null", "--set", "workers=1"]
    done = speechmill("run", "--input", f"linewise:{names}", "--output", tmp_path / "corpus", *settings)
    assert "clips kept" in done.stdout
    assert list((tmp_path / "corpus/data").glob("train-*.parquet"))
    assert "linewise" in sources.kinds()
    assert "linewise" in (tmp_path / "corpus/work/config.json").read_text()
