"""Text normalisation: cleaning, which changes no words, and TorToiSe's normal form."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from speechmill.text.verbalise import UnreadableError, verbalise
from speechmill.text.verbalise.tables import table_of

SPACES = re.compile(r"\s+")
ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz !'(),-./:;?")  # all that TorToiSe's text tokenizer knows
# Replacements that DL-Art-School's and TorToiSe's cleaners use for characters outside the alphabet.
STAND_INS = str.maketrans({"[": "(", "{": "(", "]": ")", "}": ")", "`": "'", "\N{EN DASH}": "-", "\N{EM DASH}": "-"})
_LOOSE = re.compile(r" +([,.;:?!)])")


@dataclass(frozen=True, slots=True)
class NormalForm:
    """A text in normal form, or the reason why it has none. One of the two is None."""

    text: str | None = None
    reason: str | None = None


@lru_cache(maxsize=1)
def abbreviated() -> frozenset[str]:
    """English abbreviations that end in a full stop."""
    return frozenset(table_of("en").map("abbreviations") | table_of("en").map("titles"))


def clean(text: str) -> str:
    """NFC, no control or invisible characters, single spaces. Case and punctuation stay."""
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(c if not unicodedata.category(c).startswith("C") else " " for c in composed)
    return SPACES.sub(" ", visible).strip()


def normal_form(text: str, language: str | None) -> NormalForm:
    """Write a text in TorToiSe's normal form: lower case, numbers and signs as words, characters of ALPHABET only.

    language: ISO 639-1; None: not known. Other scripts are transliterated. Where anything has no certain reading the
    whole text has none, so that no word is wrong or left out in silence.
    """
    try:
        spoken = latin(verbalise(clean(text), language))
        again = latin(verbalise(spoken, language, is_spoken=True))
    except UnreadableError as error:
        return NormalForm(reason=str(error))
    return NormalForm(spoken) if again == spoken else NormalForm(reason="its normal form would be read otherwise")


def normalise(text: str, language: str | None = "en") -> str | None:
    """The text of `normal_form`; None where there is none."""
    return normal_form(text, language).text


def comparable(text: str, language: str | None) -> str:
    """A text with its numbers and signs in words, for comparing: the plainest reading where none is certain.

    Its letters and case stay as they are.
    """
    return SPACES.sub(" ", verbalise(clean(text), language, guess=True)).strip()


def letters(text: str, language: str | None) -> str:
    """Letters and digits of a text, in Latin script and with numbers as words: about one for each sound of speech.

    >>> letters("Привет, 21!", "ru")
    'privetdvadtsatodin'
    """
    return "".join(filter(str.isalnum, latin(comparable(text, language), guess=True)))


def latin(text: str, *, guess: bool = False) -> str:
    """Transliterate into ALPHABET. Raises UnreadableError where a letter cannot be; `guess` leaves it out."""
    plain = "".join(_transliterated(character, guess=guess) for character in text.translate(STAND_INS))
    return _LOOSE.sub(r"\1", SPACES.sub(" ", plain)).strip()


def _transliterated(character: str, *, guess: bool) -> str:
    """A character in those of ALPHABET; nothing where it is a mark that is not read."""
    from anyascii import anyascii

    transliteration = anyascii(character).translate(STAND_INS).lower()
    kept = "".join(c for c in transliteration if c in ALPHABET)
    if (
        not guess
        and unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lo")
        and (not kept or any(c.isdigit() for c in transliteration))
    ):
        raise UnreadableError(f"{character!r} has no transliteration")
    return kept
