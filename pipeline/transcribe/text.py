"""Text as a reader would say it: cleaning, which changes nothing that was said, and TorToiSe's normal form."""

import re
import unicodedata
from collections.abc import Callable

MOST_DIGITS = 12  # of a number that is read as one
SPACES = re.compile(r"\s+")
ALPHABET = frozenset("abcdefghijklmnopqrstuvwxyz !'(),-./:;?")  # all that TorToiSe's text tokenizer knows
# What DL-Art-School's and TorToiSe's cleaners write for what they do not know.
STAND_INS = str.maketrans({"[": "(", "{": "(", "]": ")", "}": ")", "`": "'", "\N{EN DASH}": "-", "\N{EM DASH}": "-"})
SYMBOLS = {"%": " percent", "&": " and ", "@": " at ", "+": " plus ", "=": " equals ", "°": " degrees"}
ABBREVIATIONS = {
    "mrs": "misess", "mr": "mister", "dr": "doctor", "st": "saint", "co": "company", "jr": "junior", "maj": "major",
    "gen": "general", "drs": "doctors", "rev": "reverend", "lt": "lieutenant", "hon": "honorable", "sgt": "sergeant",
    "capt": "captain", "esq": "esquire", "ltd": "limited", "col": "colonel", "ft": "fort",
}  # fmt: skip
CURRENCIES = {"$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent")}
_ABBREVIATION = re.compile(rf"\b({'|'.join(ABBREVIATIONS)})\.", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_MONEY = re.compile(r"([$£€])\s?(\d+)(?:\.(\d\d))?(?!\.?\d)")
_CLOCK = re.compile(r"\b(\d{1,2}):([0-5]\d)\b")
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b", re.IGNORECASE)
_DECIMAL = re.compile(r"\b(\d+)\.(\d+)\b")
_DIGITS = re.compile(r"\d+")


def clean(text: str) -> str:
    """NFC, no control or invisible characters, single spaces. Case and punctuation stay."""
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(c if not unicodedata.category(c).startswith("C") else " " for c in composed)
    return SPACES.sub(" ", visible).strip()


def normalise(text: str, language: str | None = "en") -> str | None:
    """Write a text in TorToiSe's normal form: lower case, numbers as words, characters of ALPHABET only.

    English numbers, money, ordinals, times, years and abbreviations are read as TorToiSe's `english_cleaners` reads
    them; those of other languages are plain numbers. Other scripts are transliterated. None where a number cannot
    be read, so that nothing is left out in silence.
    """
    from anyascii import anyascii

    found = _expanded(clean(text), language or "en")
    if found is None:
        return None
    plain = anyascii(found.translate(STAND_INS)).translate(STAND_INS).lower()
    return SPACES.sub(" ", "".join(c for c in plain if c in ALPHABET)).strip()


def _expanded(text: str, language: str) -> str | None:
    """Numbers and signs in words."""
    if language == "en":
        text = _ABBREVIATION.sub(lambda found: ABBREVIATIONS[found[1].lower()], text)
        text = _THOUSANDS.sub("", text)
        text = _MONEY.sub(lambda found: _money(found[1], found[2], found[3]), text)
        text = _CLOCK.sub(lambda found: _clock(found[1], found[2]), text)
        text = _ORDINAL.sub(lambda found: _words(found[1], to="ordinal"), text)
        text = _DECIMAL.sub(lambda found: f"{_words(found[1])} point {' '.join(map(_words, found[2]))}", text)
        text = _DIGITS.sub(lambda found: _year(found[0]) if 1000 < int(found[0]) < 3000 else _words(found[0]), text)
        for symbol, word in SYMBOLS.items():
            text = text.replace(symbol, word)
        return text
    try:
        return _DIGITS.sub(lambda found: _words(found[0], language=language), text)
    except Exception:  # num2words knows some languages not at all and some in part, and raises what comes along
        return None


def _words(number: str, *, to: str = "cardinal", language: str = "en") -> str:
    """A number as words, without the `and` and the commas that TorToiSe's reading does not have."""
    from num2words import num2words

    read: Callable[..., str] = num2words
    if len(number) > MOST_DIGITS:  # a code or a serial number; some languages would never end
        return " ".join(read(int(digit), lang=language) for digit in number)
    found = read(int(number), lang=language, to=to)
    return found.replace(" and ", " ").replace(",", "") if language == "en" else found


def _year(number: str) -> str:
    """1000 < n < 3000: in pairs of digits, as nineteen oh five, but two thousand and two thousand five."""
    value = int(number)
    if value % 1000 < 10:
        return _words(number)
    first, second = divmod(value, 100)
    if second == 0:
        return f"{_words(str(first))} hundred"
    return f"{_words(str(first))} {'oh ' if second < 10 else ''}{_words(str(second))}"


def _money(sign: str, whole: str, cents: str | None) -> str:
    unit, part = CURRENCIES[sign]
    parts = [f"{_words(whole)} {_plural(unit, int(whole))}"] if int(whole) or not cents else []
    parts += [f"{_words(cents)} {_plural(part, int(cents))}"] if cents and int(cents) else []
    return ", ".join(parts) or f"zero {_plural(unit, 0)}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else "pence" if word == "penny" else f"{word}s"


def _clock(hour: str, minute: str) -> str:
    if minute == "00":
        return f"{_words(hour)} o'clock"
    return f"{_words(hour)} {'oh ' if minute[0] == '0' else ''}{_words(minute)}"
