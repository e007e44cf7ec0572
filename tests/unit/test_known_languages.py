"""A language that a recogniser does not know is refused before anything is fetched."""

import json
from pathlib import Path

import pytest
from speechmill.asr.known_languages import check_language, known_languages
from speechmill.core.config_errors import ConfigError
from speechmill.fetch import model_folder

from tests.commandline import Speechmill


def vocabulary(folder: Path, languages: tuple[str, ...], tokens: int) -> Path:
    """Folder of a Whisper that has a token for each language; only its vocabulary is there."""
    special = [f"<|{language}|>" for language in languages]
    folder.mkdir(exist_ok=True)
    (folder / "vocabulary.json").write_text(json.dumps([*map(str, range(tokens - len(special))), *special]))
    return folder


def test_the_packaged_model_knows_english() -> None:
    folder = model_folder("tiny.en")
    assert known_languages(folder) == {"en"}
    check_language(folder, "en")
    check_language(folder, None)
    with pytest.raises(ConfigError, match="knows English only, not de"):
        check_language(folder, "de")


def test_a_multilingual_model_knows_what_its_vocabulary_names(tmp_path: Path) -> None:
    folder = vocabulary(tmp_path / "base", ("en", "de", "yue"), 51_865)
    check_language(folder, "yue")
    with pytest.raises(ConfigError, match="does not know ga; it knows de, en, yue"):
        check_language(folder, "ga")


def test_other_models_list_no_languages(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("{}")  # of a CTC network
    check_language(tmp_path, "ga")


def test_a_damaged_vocabulary_is_named(tmp_path: Path) -> None:
    (tmp_path / "vocabulary.json").write_text("[")
    with pytest.raises(ConfigError, match=r"vocabulary\.json is damaged"):
        known_languages(tmp_path)


def test_a_run_ends_before_it_fetches(speechmill: Speechmill, folder: Path, tmp_path: Path) -> None:
    done = speechmill(
        *("run", "--input", folder, "--output", tmp_path / "corpus", "--set", "asr.model=tiny.en"),
        *("--set", "asr.language=German"), code=2,
    )  # fmt: skip
    assert "knows English only, not de" in done.stderr
    assert not list((tmp_path / "corpus" / "work").glob("fetch/*"))
