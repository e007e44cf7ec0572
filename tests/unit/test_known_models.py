"""Models by name: what is said of each, and what happens where the default cannot be had."""

import json
from pathlib import Path

import pytest
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.config_file import load
from speechmill.fetch import model_folder, models, where_found, with_model_at_hand
from speechmill.fetch.known_models import DEFAULT, KNOWN_MODELS, PACKAGED, known_model

from tests.commandline import Speechmill


@pytest.fixture
def without_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No hub answers, and nothing was downloaded."""
    for module in ("huggingface_hub.constants.HF_HUB_CACHE", "huggingface_hub.constants.HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(module, str(tmp_path), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def test_the_default_of_the_config_and_the_packaged_model_are_known() -> None:
    assert RunConfig().asr.model == DEFAULT
    assert models.PACKAGED_MODEL == PACKAGED
    assert known_model(DEFAULT)
    packaged = known_model(PACKAGED)
    size = sum(path.stat().st_size for path in model_folder(PACKAGED).iterdir() if path.is_file())
    assert packaged is not None
    assert packaged.is_english_only
    assert packaged.download_mb == round(size / 1e6)


@pytest.mark.usefixtures("without_hub")
def test_the_packaged_model_takes_the_place_of_a_default_that_cannot_be_had() -> None:
    assert where_found(PACKAGED) == "package"
    chosen, said = with_model_at_hand(load())
    assert chosen.asr.model == PACKAGED
    assert said is not None
    assert "base (148 MB" in said
    stored = load(base=json.loads(chosen.model_dump_json()))
    assert with_model_at_hand(stored) == (stored, None)  # named now, so nothing is chosen any more


@pytest.mark.usefixtures("without_hub")
@pytest.mark.parametrize("setting", ["asr.model=base", "asr.model=null", "asr.language=de"])
def test_what_is_set_stays(setting: str) -> None:
    config = load(settings=[setting])
    assert with_model_at_hand(config) == (config, None)


def test_the_same_command_keeps_the_model_when_the_default_can_be_had_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "model_folder", lambda *_: Path())
    assert with_model_at_hand(load())[0].asr.model == DEFAULT
    assert with_model_at_hand(load(), before=PACKAGED)[0].asr.model == PACKAGED


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "~/nowhere", "a/b/c"])
def test_a_wrong_path_is_called_one(name: str) -> None:
    with pytest.raises(ConfigError, match=f"asr.model: no such folder: {name}"):
        model_folder(name)


@pytest.mark.usefixtures("without_hub")
def test_models_are_listed_with_size_languages_speed_and_place(speechmill: Speechmill) -> None:
    told = json.loads(speechmill("models", "--json").stdout)
    assert list(told) == [model.name for model in KNOWN_MODELS]
    assert told["base"] == {
        "is_default": True, "parameters_millions": 74, "download_mb": 148, "languages": "99", "times_real_time": 21.0,
        "found": "nowhere",
    }  # fmt: skip
    assert told["tiny.en"]["found"] == "package"
    assert "base (default)" in speechmill("models").stdout
