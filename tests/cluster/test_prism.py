"""A run on Prism, Beam's runner in Go, gives the bytes of a run in one process."""

import subprocess
from pathlib import Path

import pytest

from tests.commandline import fingerprint, flags, start

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def test_prism_gives_the_bytes_of_one_process(prism: Path, folder: Path, corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "corpus"
    options = ("--", "--runner=PrismRunner", f"--prism_location={prism}")
    run = start("run", *flags(folder, output), *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = run.communicate(timeout=800)
    assert run.returncode == 0, out + err
    assert fingerprint(output) == fingerprint(corpus)
    assert (output / "recordings.parquet").read_bytes() == (corpus / "recordings.parquet").read_bytes()
