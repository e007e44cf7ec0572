"""`speechmill config` explains every key, and what a corpus was made with."""

import json
from pathlib import Path

from speechmill.core.config import RunConfig
from speechmill.core.config_keys import config_keys, section_of

from tests.commandline import Speechmill


def test_every_key_has_a_meaning_and_its_default() -> None:
    keys = {key.name: key for key in config_keys()}
    defaults = RunConfig().model_dump(mode="json")
    for name, field in RunConfig.model_fields.items():
        if section_of(field.annotation) is None:
            assert keys[name].default == defaults[name]
    assert keys["thresholds.snr_db"].default == 15.0
    assert (keys["segment.min_silence_s"].unit, keys["audio.sample_rate"].unit) == ("s", "Hz")
    assert keys["segment.profile"].takes == "tortoise | recover | as_is"
    assert keys["inputs.address"].is_required
    assert [name for name, key in keys.items() if not key.meaning] == []


def test_names_choose_and_wrong_ones_get_a_hint(speechmill: Speechmill) -> None:
    told = json.loads(speechmill("config", "asr.model", "turns", "--json").stdout)
    assert list(told) == ["turns.model", "turns.overlap", "turns.cut", "asr.model"]
    assert told["asr.model"]["default"] == "base"
    assert "did you mean 'asr.model'?" in speechmill("config", "asr.modl", code=2).stderr


def test_of_a_corpus_only_what_differs(corpus: Path, speechmill: Speechmill) -> None:
    told = json.loads(speechmill("config", "--of", corpus, "asr", "--json").stdout)
    assert {name: key["value"] for name, key in told.items()} == {"asr.model": "tiny.en", "asr.beam_size": 1}
    assert "tiny.en" in speechmill("config", "--of", corpus).stdout
