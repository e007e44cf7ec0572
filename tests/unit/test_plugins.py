"""Plug-ins that were loaded: who has a model, and what a corpus was made with."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from speechmill import asr
from speechmill.core import plugins
from speechmill.core.config import Asr
from speechmill.core.config_errors import ConfigError
from speechmill.core.plugins import Plugin
from speechmill.fetch import model_folder


def plugin(name: str, **value: object) -> Plugin:
    return Plugin(group=plugins.ASR, name=name, package="odd", version="1", value=SimpleNamespace(**value))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Plugin]:
    """The ASR backends that are plugged in while a test runs."""
    found: list[Plugin] = []
    monkeypatch.setattr(plugins, "_loaded", {group: [] for group in plugins.GROUPS} | {plugins.ASR: found})
    monkeypatch.setattr(plugins, "_left_out", {})
    return found


def test_a_backend_that_fails_at_the_question_is_left_out_and_the_next_is_asked(
    loaded: list[Plugin], tmp_path: Path
) -> None:
    def fails(folder: Path) -> bool:
        raise OSError("no\nfile")

    loaded += [plugin("a", can_load=fails), plugin("b", can_load=lambda _: False), plugin("c", can_load=lambda _: True)]
    assert plugins.asr_backend(tmp_path) == loaded[2]
    assert plugins.left_out() == ("asr: a of odd 1 is left out: can_load: OSError: no file",)
    assert [one.name for one in plugins.load(plugins.ASR)] == ["b", "c"]


def test_a_folder_is_a_model_where_a_backend_says_so_and_it_loads_it(loaded: list[Plugin], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model.bin and no model.safetensors"):
        model_folder(str(tmp_path))
    loaded.append(plugin("a", can_load=lambda folder: folder == tmp_path, load=lambda *given: given))
    assert model_folder(str(tmp_path)) == tmp_path
    assert asr.load(str(tmp_path), Asr(), "cpu", "int8") == (str(tmp_path), Asr(), "cpu", "int8")


def test_only_stages_that_are_not_here_are_missing(loaded: list[Plugin]) -> None:
    assert plugins.missing({}) is None
    assert plugins.missing({"plugins": {}}) is None
    assert plugins.missing({"plugins": {"mos": {"package": "p", "version": "2"}}}) == (
        "made with plug-ins that are not here: mos (of p 2); pip install p, or see `speechmill doctor`"
    )
