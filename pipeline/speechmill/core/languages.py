"""Codes of languages, as people and files write them: `en`, `eng`, `en-US`, `English`.

Whisper has a code of its own for a few languages; it is the code that a corpus uses.
"""

from functools import lru_cache

import langcodes
from langcodes.tag_parser import LanguageTagError

MAX_CHARACTERS = 100
MIN_NAME_CHARACTERS = 4  # shorter words are codes that are wrong, and names of languages that nobody means
# Standard code to Whisper's (LANGUAGES in whisper/tokenizer.py, OpenAI 2022).
WHISPER_CODES = {"jv": "jw", "fil": "tl", "nb": "no", "cmn": "zh"}
NO_LANGUAGE = {"mul", "und", "zxx", "mis"}  # ISO 639-2: several, undetermined, none, uncoded


@lru_cache(maxsize=1024)
def language_code(name: str) -> str | None:
    """Code of a language by a tag of BCP 47, a code of ISO 639-1, -2 or -3, or its name in English or its own language.

    None for what is no language.

    >>> language_code("en-US"), language_code("ger"), language_code("Deutsch"), language_code("xx")
    ('en', 'de', 'de', None)
    """
    name = name.strip()
    if not 2 <= len(name) <= MAX_CHARACTERS:
        return None
    try:
        found = langcodes.get(name)
    except LanguageTagError:
        if not all(part.isalpha() and len(part) >= MIN_NAME_CHARACTERS for part in name.split()):
            return None
        try:
            found = langcodes.find(name)
        except LookupError:
            return None
    code = found.language
    if code is None or code in NO_LANGUAGE or not found.is_valid():
        return None
    return WHISPER_CODES.get(code, code)
