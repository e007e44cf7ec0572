"""A real Flink cluster and a real Prism, where they are installed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import s3fs

from deploy.flink.local.cluster import BUCKET, LIBRARIES, Cluster
from tests.commandline import flags

RUN_S = 900.0


class OnFlink:
    """Runs on a cluster, whose output is on its S3 server."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._files = s3fs.S3FileSystem(
            endpoint_url=cluster.s3, key="local", secret="local", use_listings_cache=False, skip_instance_cache=True
        )  # fmt: skip

    def start(self, recordings: Path, name: str, *settings: str, **options: object) -> "subprocess.Popen[str]":
        """Begin a run with the output `name`."""
        command = ["run", *flags(recordings, f"s3://{BUCKET}/{name}", *settings), "--", *self.cluster.beam_options]
        return self.call(*command, **options)

    def call(self, *arguments: str, **options: object) -> "subprocess.Popen[str]":
        """Begin a command."""
        return subprocess.Popen(
            [sys.executable, "-m", "speechmill", *arguments], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=os.environ | self.cluster.environment, **options,
        )  # fmt: skip

    def names(self, name: str) -> list[str]:
        """Names of all files of an output."""
        root = f"{BUCKET}/{name}"
        return [path.removeprefix(f"{root}/") for path in self._files.find(root)]

    def download(self, name: str, folder: Path) -> Path:
        """A copy of an output on disk."""
        self._files.get(f"{BUCKET}/{name}/", str(folder), recursive=True)
        return folder


def finished(run: "subprocess.Popen[str]", within_s: float | None = RUN_S) -> str:
    """What a run printed, once it has ended well; None: however long it takes."""
    try:
        out, err = run.communicate(timeout=within_s)
    finally:
        run.kill()
    assert run.returncode == 0, out + err
    return out


class WithWeakStorage(Cluster):
    """A cluster whose S3 server is `weak_s3.py`."""

    def _command(self, name: str) -> list[str]:
        weak = [sys.executable, str(Path(__file__).with_name("weak_s3.py")), str(self.ports["s3"])]
        return weak if name == "s3" else super()._command(name)


def require_flink() -> None:
    """Skip a test where Flink is not installed."""
    if shutil.which("java") is None:
        pytest.skip("no Java: on Debian, apt-get install openjdk-17-jre-headless")
    if not (LIBRARIES / "flink").is_dir():
        pytest.skip(f"no Flink in {LIBRARIES}: deploy/flink/local/install")


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[OnFlink]:
    """A job manager, two task managers with a worker pool each, a job server and an S3 server."""
    slots = 2 if "cluster" in pytestconfig.getoption("markexpr") else 1  # among all tests: two workers start sooner
    require_flink()
    with Cluster(tmp_path_factory.mktemp("flink"), slots=slots) as cluster:
        yield OnFlink(cluster)


@pytest.fixture(scope="session")
def prism() -> Path:
    """Beam's runner in Go."""
    found = LIBRARIES.with_name("prism") / f"prism-{metadata.version('apache-beam')}"
    if not found.is_file():
        pytest.skip(f"no {found}: deploy/prism/install")
    return found
