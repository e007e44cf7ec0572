"""Reads the languages of a Whisper model from its vocabulary, before a run begins and without loading the model."""

import json
import re
from pathlib import Path

from speechmill.core.config_errors import ConfigError

VOCABULARIES = ("vocabulary.json", "vocabulary.txt")  # of models in CTranslate2 format
ENGLISH_TOKENS = 51_864  # of an English-only Whisper; multilingual ones have more
ENGLISH = "en"
_LANGUAGE_TOKEN = re.compile(r"<\|([a-z]{2,3})\|>")


def check_language(folder: Path, language: str | None, key: str = "asr.model") -> None:
    """Raise ConfigError naming `key` where the Whisper model in a folder does not support a language.

    Passes where nothing can be checked: no language is set, or the model lists none.
    """
    known = known_languages(folder)
    if language is None or not known or language in known:
        return
    if known == {ENGLISH}:
        fix = "name a multilingual one, or leave asr.language out"
        raise ConfigError(f"{key}: this Whisper knows English only, not {language}; {fix}")
    raise ConfigError(f"asr.language: the model of {key} does not know {language}; it knows {', '.join(sorted(known))}")


def known_languages(folder: Path) -> set[str]:
    """Codes of the languages that a Whisper model has a token for; empty for other kinds of model."""
    path = next((folder / name for name in VOCABULARIES if (folder / name).is_file()), None)
    if path is None:
        return set()
    try:
        text = path.read_text(encoding="utf-8")
        tokens = json.loads(text) if path.suffix == ".json" else text.removesuffix("\n").split("\n")
        languages = {match[1] for token in tokens if (match := _LANGUAGE_TOKEN.fullmatch(token))}
    except (ValueError, TypeError):
        raise ConfigError(f"asr.model: {path} is damaged; fetch the model again") from None
    return {ENGLISH} & languages if len(tokens) <= ENGLISH_TOKENS else languages
