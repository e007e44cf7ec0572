"""A small finished corpus, made once by the real pipeline, for tests that read or damage one."""

import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs
from speechmill.core import config_file
from speechmill.core.store import Store
from speechmill.runner.run import run
from speechmill.sources.demo.podcast import serve

from tests.once import made_once


@pytest.fixture(scope="session")
def finished_corpus(podcast: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two episodes by HTTP, of which one has rejected clips, and a local file that is no audio."""
    folder = made_once("inspected", tmp_path_factory, lambda folder: make_corpus(podcast, folder))
    return folder / "corpus"  # the server is gone: whoever fetches again from here on fails


def make_corpus(podcast: Path, folder: Path) -> None:
    (folder / "broken.mp3").write_text("This is not audio.\n" * 100)
    with serve(podcast, 0) as url:
        lines = [{"url": f"{url}/episode-{n}.mp3", "licence": "CC-BY-4.0"} for n in (1, 3)] + [{"path": "broken.mp3"}]
        (folder / "all.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        settings = (
            "fetch.allow_hosts=[127.0.0.1]",
            "fetch.retries=0",
            "asr.model=tiny.en",
            "asr.beam_size=1",
            "workers=1",
            "turns.model=null",
            "speakers.model=null",
            "publish.validation_share=0",  # by hash, and the address has a port that differs
        )
        more = (*settings, "max_failed_ratio=1")
        chosen = config_file.load(None, more, inputs=(str(folder / "all.jsonl"),), output=str(folder / "corpus"))
        assert run(chosen, quiet=True).exit_code == 0


@pytest.fixture
def corpus(finished_corpus: Path, tmp_path: Path) -> Path:
    """A copy of the corpus that a test may do with as it likes."""
    return Path(shutil.copytree(finished_corpus, tmp_path / "corpus"))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of an S3 server of our own; tests keep apart by their buckets."""
    import s3fs
    from moto.server import ThreadedMotoServer

    s3fs.S3FileSystem.clear_instance_cache()  # of one that another test made, without credentials
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _s3_store(address: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    for key, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(key, value)
    store = Store(f"s3://{bucket}/corpus")
    store.fs.mkdir(bucket)
    return store


@pytest.fixture
def s3_store(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store on a real S3 server of our own."""
    return _s3_store(s3_server, f"mill-{uuid.uuid4().hex}", monkeypatch)


@pytest.fixture
def asked(s3_store: Store, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Requests so far, by the name that botocore has for them."""
    counts, call = Counter[str](), s3fs.S3FileSystem._call_s3

    async def counted(self: s3fs.S3FileSystem, method: str, *arguments: object, **options: object) -> object:
        counts[method] += 1
        return await call(self, method, *arguments, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    return counts


@pytest.fixture(params=["local", "s3", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store on disk, one on a real S3 server of our own, and one in memory."""
    place = f"mill-{uuid.uuid4().hex}"  # stores of one kind share a process
    if request.param == "s3":
        return _s3_store(request.getfixturevalue("s3_server"), place, monkeypatch)
    return Store(f"memory://{place}/corpus" if request.param == "memory" else str(tmp_path / "corpus"))
