"""Every mistake in a config is one line that names the key and the fix."""

from pathlib import Path

import pytest

from pipeline import config
from pipeline.config import ConfigError, RunConfig, Segment


def test_file_settings_and_flags_override_each_other_in_order(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("inputs: [a.mp3]\noutput: from-file\nsegment: {edge: 0.2, min_silence: 0.6}\n")
    chosen = config.load(str(path), ["segment.edge=0.05", "thresholds.noise=null"], {"device": "cpu"}, output="flag")
    assert chosen.output == "flag"
    assert chosen.inputs[0].address == "a.mp3"
    assert (chosen.segment.edge, chosen.segment.min_silence) == (0.05, 0.6)
    assert chosen.thresholds.noise is None
    assert chosen.device == "cpu"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("thresholds.nois=0.3", r"thresholds\.nois: unknown key; did you mean 'noise'\?"),
        ("colour=red", r"colour: unknown key; known here: audio, defects"),
        ("thresholds.noise=3", r"thresholds\.noise: .*less than or equal to 1 \(got 3\)"),
        ("segment.vad=ears", r"segment\.vad: input should be 'webrtc' or 'silero'"),
        ("segment.min_length=25", "segment: min_length is over max_length"),
        ("segment.max_length=60", r"segment\.max_length: .*29"),
        ("inputs=[{adress: x}]", r"inputs\.0\.adress: unknown key; did you mean 'address'\?"),
        ("segment", "write it as key=value"),
        ("segment.vad.x=1", "vad"),
        ("device=[", "not YAML"),
    ],
)
def test_mistakes_are_named(setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        config.load(settings=["segment.vad=webrtc", setting])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\x00"])
def test_files_that_are_no_config(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        config.load(str(path))


def test_a_profile_is_a_hash_of_what_it_is_given() -> None:
    assert config.profile_of(1, Segment()) == config.profile_of(1, Segment())
    assert config.profile_of(1, Segment()) != config.profile_of(2, Segment())
    assert config.profile_of(1, Segment()) != config.profile_of(1, Segment(edge=0.05))


def test_every_key_is_described() -> None:
    def check(schema: dict, definitions: dict) -> None:
        for name, field in schema["properties"].items():
            assert field.get("description"), name
            reference = field.get("$ref", "").rpartition("/")[2]
            if reference:
                check(definitions[reference], definitions)

    schema = RunConfig.model_json_schema()
    sections = {"audio", "fetch", "segment", "thresholds", "transcribe", "licences", "publish"}
    for section in sections:
        check(schema["$defs"][section.capitalize()], schema["$defs"])
