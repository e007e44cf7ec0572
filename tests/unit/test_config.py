"""Every mistake in a config is one line that names the key and the fix."""

import itertools
from pathlib import Path

import pytest
from pydantic import BaseModel
from speechmill.core import config, config_errors, config_file
from speechmill.core.config import RunConfig, Segment
from speechmill.core.config_errors import ConfigError


def test_file_settings_and_flags_override_each_other_in_order(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("inputs: [a.mp3]\noutput: from-file\nsegment: {edge_s: 0.2, min_silence_s: 0.6}\n")
    chosen = config_file.load(
        str(path), ["segment.edge_s=0.05", "thresholds.noise=null"], {"device": "cpu"}, output="flag"
    )
    assert chosen.output == "flag"
    assert chosen.inputs[0].address == "a.mp3"
    assert (chosen.segment.edge_s, chosen.segment.min_silence_s) == (0.05, 0.6)
    assert chosen.thresholds.noise is None
    assert chosen.device == "cpu"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("thresholds.nois=0.3", r"thresholds\.nois: unknown key; did you mean 'noise'\?"),
        ("thresholds.snr_db=20 dB", r"thresholds\.snr_db: must be a number \(got '20 dB'\); write digits"),
        ("colour=red", r"colour: unknown key; known here: asr, audio, defects"),
        ("thresholds.noise=3", r"thresholds\.noise: .*less than or equal to 1 \(got 3\)"),
        ("segment.vad=ears", r"segment\.vad: input should be 'webrtc' or 'silero'"),
        ("segment.min_length_s=25", "segment: min_length_s is over max_length_s"),
        ("segment.max_length_s=60", r"segment\.max_length_s: .*29"),
        ("inputs=[{adress: x}]", r"inputs\.0\.adress: unknown key; did you mean 'address'\?"),
        ("segment", "no name and '='"),
        ("segment.vad.x=1", "vad"),
        ("device=[", "not YAML"),
        ("asr.language=no", "put a word in quotes, such as 'no'"),
        ("asr.languages=[de, no]", r"asr\.languages\.1: .*put a word in quotes"),
        ("asr.languages=en", r"asr\.languages: must be a list .*write \[en\]"),
        ("asr.model=1.5", r"asr\.model: must be a text .*put it in quotes: '1\.5'"),
        ("inputs=talk.mp3", r"inputs: must be a list .*write \[talk\.mp3\]"),
        ("inputs=[no]", r"inputs\.0: must be keys and values .*put a word in quotes"),
        ("thresholds=3", "thresholds: must be keys and values .*or leave it out"),
        ("thresholds.snr_db=on", r"thresholds\.snr_db: must not be true; .*in quotes"),
        ("workers=yes", "workers: must not be true"),
        ("thresholds.snr_db=12:30", r"thresholds\.snr_db: .*number.* \(got '12:30'\)"),
        ("output=2024-01-01", "put it in quotes: '2024-01-01'"),
        ("thresholds.snr_db=.nan", r"thresholds\.snr_db: .*finite"),
        ("thresholds={1: 2}", r"1: a key must be a text"),
    ],
)
def test_mistakes_are_named(setting: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        config_file.load(settings=["segment.vad=webrtc", setting])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("written", "read"), [("010", 10), ("+010", 10), ("007", 7), ("08", 8), ("0_9", 9)])
def test_a_zero_in_front_makes_no_number_octal(written: str, read: int) -> None:
    loaded = config_file.load(settings=[f"segment.max_length_s={written}", f"fetch.retries={written}"])
    assert (loaded.segment.max_length_s, loaded.fetch.retries) == (read, read)
    assert config_file.load(settings=[f"output={written}"]).output == written


def test_a_key_with_a_dot_is_told_as_two_keys(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("asr.model: tiny.en\n")
    with pytest.raises(ConfigError, match=r"asr\.model: unknown key; write asr: \{model: …\}"):
        config_file.load(str(tmp_path / "config.yaml"))


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- a\n- b\n", "keys and values"),
        ("a: [", "not YAML"),
        ("\x00", "not YAML"),
        ("inputs: [a]\nthresholds: {snr_db: 1}\ninputs: [b]\n", "'inputs' stands twice, in lines 1 and 3"),
        ("thresholds:\n  snr_db: 1\n  noise: 0.5\n  snr_db: 2\n", "'snr_db' stands twice, in lines 2 and 4"),
        ("inputs: [{address: a, address: b}]", "'address' stands twice"),
        ("thresholds:\n  <<: {snr_db: 1}\n  <<: {snr_db: 2}\n", "'<<' stands twice, in lines 2 and 3"),
        ("[" * 5000, "nested too deeply"),
        (ALIASES, "aliases"),
        ("a: &a [*a]\n", "aliases"),
    ],
)
def test_files_that_are_no_config(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=named) as caught:
        config_file.load(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_config_in_another_encoding_says_so(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes("inputs: [Größe.mp3]".encode("latin-1"))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        config_file.load(str(path))
    path.write_bytes(b"\xef\xbb\xbfinputs: [a.mp3]")
    assert config_file.load(str(path)).inputs[0].address == "a.mp3"


def test_merge_keys_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("thresholds: {<<: {snr_db: 1, noise: 0.5}, snr_db: 2}\n")
    chosen = config_file.load(str(path)).thresholds
    assert (chosen.snr_db, chosen.noise) == (2, 0.5)


@pytest.mark.parametrize("name", ["en", "EN", "eng", "en-US", "en_GB", "English", "english"])
def test_a_language_in_any_spelling(name: str) -> None:
    chosen = config_file.load(settings=[f"asr.language={name}", f"asr.languages=[{name}]"]).asr
    assert (chosen.language, chosen.languages) == ("en", ("en",))


@pytest.mark.parametrize(
    ("name", "code"),
    [("ger", "de"), ("Deutsch", "de"), ("'no'", "no"), ("Norwegian", "no"), ("nb", "no"), ("Javanese", "jw"),
     ("jw", "jw"), ("zh-Hans", "zh"), ("Mandarin", "zh"), ("iw", "he"), ("Tagalog", "tl"), ("yue", "yue")],
)  # fmt: skip
def test_codes_are_those_of_whisper(name: str, code: str) -> None:
    assert config_file.load(settings=[f"asr.language={name}"]).asr.language == code


@pytest.mark.parametrize("name", ["xx", "Elvish of Lorien", "mul", "und", "e", "''", "en-", "123"])
def test_what_is_no_language_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"asr\.language: .*(not a language|must be a text)"):
        config_file.load(settings=[f"asr.language={name}"])


def test_a_profile_is_a_hash_of_what_it_is_given() -> None:
    assert config.profile_of(1, Segment()) == config.profile_of(1, Segment())
    assert config.profile_of(1, Segment()) != config.profile_of(2, Segment())
    assert config.profile_of(1, Segment()) != config.profile_of(1, Segment(edge_s=0.05))


def test_every_key_is_described() -> None:
    def check(schema: dict, definitions: dict) -> None:
        for name, field in schema["properties"].items():
            assert field.get("description"), name
            reference = field.get("$ref", "").rpartition("/")[2]
            if reference:
                check(definitions[reference], definitions)

    schema = RunConfig.model_json_schema()
    sections = {"audio", "fetch", "segment", "thresholds", "asr", "licences", "publish"}
    for section in sections:
        check(schema["$defs"][section.capitalize()], schema["$defs"])


@pytest.mark.parametrize(
    ("setting", "now"),
    [
        ("transcribe.model=base", "asr.model"),
        ("transcribe.second=base", "asr.cross_check"),
        ("thresholds.phone=1", "thresholds.telephone"),
        ("segment.min_length=3", "segment.min_length_s"),
        ("fetch.timeout=3", "fetch.timeout_s"),
        ("speakers.even=0.3", "speakers.threshold"),
    ],
)
def test_a_key_of_an_older_version_is_refused_with_its_new_name(setting: str, now: str) -> None:
    with pytest.raises(ConfigError, match=rf"has another name since 0\.2; write {now}$"):
        config_file.load(settings=[setting])


def test_every_renamed_key_leads_to_one_that_is_there() -> None:
    for now in config_errors.RENAMED.values():
        section, _, key = now.partition(".")
        fields = RunConfig.model_fields[section].annotation.model_fields
        assert not key or key in fields, now


def test_a_key_that_is_needed_is_asked_for() -> None:
    class Recipe(BaseModel):
        inputs: list[str]

    with pytest.raises(ConfigError, match="inputs: is needed, and has no default; give it with --set inputs="):
        config_file.read(Recipe, None, ())
