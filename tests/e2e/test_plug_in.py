"""A kind of source is one file: dropped into the package's folder, it is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from speechmill import sources

SOURCE = '''
"""Lists the files named on the lines of a text file."""

from pathlib import Path

from speechmill.core.records import Recording, stable_id
from speechmill.sources import Listed, rest_of


def list_recordings(source, config, store):
    for line in Path(rest_of(source.address, "linewise")).read_text().split():
        recording_id = stable_id("linewise", line)
        recording = Recording(recording_id=recording_id, source="linewise", media_url=line, licence="CC0-1.0")
        yield Listed(recording=recording, media_path=line)
'''


@pytest.fixture
def linewise() -> Iterator[None]:
    path = Path(sources.__file__).parent / "linewise.py"
    path.write_text(SOURCE)
    yield
    path.unlink()


def test_a_source_is_added_by_one_file(linewise: None, folder: Path, speechmill, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(str(path) for path in sorted(folder.iterdir())))
    settings = ["--set", "transcribe.model=null", "--set", "workers=1"]
    done = speechmill("run", "--input", f"linewise:{names}", "--output", tmp_path / "corpus", *settings)
    assert "clips kept" in done.stdout
    assert "linewise" in sources.kinds()
    assert "linewise" in (tmp_path / "corpus/work/config.json").read_text()
