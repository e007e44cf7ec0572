"""Language codes from what people and files write: `en`, `eng`, `en-US`, `English`.

Corpora use Whisper's codes, which differ from the standard for a few languages.
"""

from functools import lru_cache

MAX_CHARACTERS = 100
MIN_NAME_CHARACTERS = 4  # shorter words are wrong codes rather than names of languages
# Standard code to Whisper's (LANGUAGES in whisper/tokenizer.py, OpenAI 2022).
WHISPER_CODES = {"jv": "jw", "fil": "tl", "nb": "no", "cmn": "zh"}
NO_LANGUAGE = {"mul", "und", "zxx", "mis"}  # ISO 639-2: several, undetermined, none, uncoded


@lru_cache(maxsize=1024)
def language_code(name: str) -> str | None:
    """Language code for a BCP 47 tag, a code of ISO 639-1, -2 or -3, or a name in English or the language itself.

    None for anything else.

    >>> language_code("en-US"), language_code("ger"), language_code("Deutsch"), language_code("xx")
    ('en', 'de', 'de', None)
    """
    import langcodes  # takes a tenth of a second, and most configs name no language
    from langcodes.tag_parser import LanguageTagError

    name = name.strip()
    if not 2 <= len(name) <= MAX_CHARACTERS:
        return None
    try:
        language = langcodes.get(name)
    except LanguageTagError:
        if not all(part.isalpha() and len(part) >= MIN_NAME_CHARACTERS for part in name.split()):
            return None
        try:
            language = langcodes.find(name)
        except LookupError:
            return None
    code = language.language
    if code is None or code in NO_LANGUAGE or not language.is_valid():
        return None
    return WHISPER_CODES.get(code, code)
