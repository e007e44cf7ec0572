"""The gate uses again what is whole, and nothing else."""

from pathlib import Path

import pytest

from tests.golden.gate import make_once


def test_what_was_interrupted_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "kept" / "inputs"

    def interrupted(part: Path) -> None:
        (part / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_once(folder, interrupted)
    assert not folder.exists()
    make_once(folder, lambda part: (part / "whole").touch())
    make_once(folder, interrupted)  # is not called: it is there
    assert [path.name for path in folder.iterdir()] == ["whole"]
