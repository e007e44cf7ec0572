"""A small finished corpus, made once by the real pipeline, for tests that read or damage one."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline import config, demo
from pipeline.run import run


@pytest.fixture(scope="session")
def finished_corpus(podcast: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes by HTTP, of which one has rejected clips, and a local file that is no audio."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "broken.mp3").write_text("This is not audio.\n" * 100)
    with demo.serve(podcast, 0) as url:
        lines = [{"url": f"{url}/episode-{n}.mp3", "licence": "CC-BY-4.0"} for n in (1, 3)] + [{"path": "broken.mp3"}]
        (folder / "all.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        settings = ("fetch.allow_hosts=[127.0.0.1]", "fetch.retries=0", "transcribe.model=tiny.en", "workers=1")
        more = (*settings, "max_failed_ratio=1")
        chosen = config.load(None, more, inputs=(str(folder / "all.jsonl"),), output=str(folder / "corpus"))
        assert run(chosen, quiet=True).exit_code == 0
    return folder / "corpus"  # the server is gone: whoever fetches again from here on fails


@pytest.fixture
def corpus(finished_corpus: Path, tmp_path: Path) -> Path:
    """A copy of the corpus that a test may do with as it likes."""
    return Path(shutil.copytree(finished_corpus, tmp_path / "corpus"))
