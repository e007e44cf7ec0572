"""What all tests of a session may read is made once, by whichever worker of pytest-xdist needs it first."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(name: str, factory: pytest.TempPathFactory, make: Callable[[Path], None]) -> Path:
    """A folder that `make` has filled, in this worker or in another one, which is waited for."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        make(folder := factory.mktemp(name))
        return folder
    folder = factory.getbasetemp().parent / f"once-{name}"  # the workers' folders lie side by side
    mark = folder.with_suffix(".made")
    with FileLock(folder.with_suffix(".lock")):
        if not mark.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
            folder.mkdir()
            make(folder)
            mark.touch()
    return folder
