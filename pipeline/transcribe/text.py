"""Text as a reader would say it: cleaning, which changes nothing that was said, and TorToiSe's normal form."""

import re
import unicodedata
from collections.abc import Callable

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
# One, several, a hundredth, several of those; and for yen there are none.
CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"), "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"), "¥": ("yen", "yen", "sen", "sen"),
}  # fmt: skip
UNREADABLE = {"am"}  # num2words never ends on some of its numbers
# What num2words raises: it knows some languages not at all and some in part.
NUMBER_ERRORS = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)
MOST_DIGITS = 12  # of a number that is read as one
_SIGN, _NUMBER = "[$£€¥]", r"\d+(?:\.\d+)?"
_ABBREVIATION = re.compile(rf"\b({'|'.join(ABBREVIATIONS)})\.", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_SIGN_LAST = re.compile(rf"(?<![\d.])({_NUMBER})\s?({_SIGN})(?!\d)")
_MANY = re.compile(rf"({_SIGN})\s?({_NUMBER})\s(hundred|thousand|million|billion|trillion)\b", re.IGNORECASE)
_MONEY = re.compile(rf"({_SIGN})\s?(\d*)(?:\.(\d+))?(?=\D|$)")
_CLOCK = re.compile(r"\b(\d{1,2}):([0-5]\d)(?![\d:])")
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b", re.IGNORECASE)
_DECADE = re.compile(r"\b(\d{2,4})'?s\b")
_FRACTION = re.compile(r"(?<![\d/⁄])(\d)[/⁄]([2-9]|10)(?![\d/⁄])")
_MIXED = re.compile(r"(?<=\d)\s?(?=[¼-¾⅐-⅞])")  # three and a half, in one word
_DECIMAL = re.compile(r"(?<!\d)(\d*)\.(\d+)")
_MINUS = re.compile(r"(?<![\w-])[-−](?=\d)")
_LOOSE = re.compile(r" +([,.;:?!)])")
_SEAM = re.compile(r"(?<=\d)(?=[^\W\d_])|(?<=[^\W\d_])(?=\d)")  # between a digit and a letter
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

    found = expanded(clean(text), language or "en")
    if found is None:
        return None
    plain = anyascii(found.translate(STAND_INS)).translate(STAND_INS).lower()
    return _LOOSE.sub(r"\1", SPACES.sub(" ", "".join(c for c in plain if c in ALPHABET))).strip()


def expanded(text: str, language: str) -> str | None:
    """Write numbers and signs in words, in a language of ISO 639-1; None where one cannot be read."""
    text = unicodedata.normalize("NFKC", _MIXED.sub(" and ", text))  # full-width digits, fractions, ligatures
    if language == "en":
        return _in_english(text)
    if language in UNREADABLE and _DIGITS.search(text):
        return None
    try:
        return _DIGITS.sub(lambda found: _words(found[0], language=language), text)
    except NUMBER_ERRORS:
        return None


def _in_english(text: str) -> str:
    text = _THOUSANDS.sub("", _ABBREVIATION.sub(lambda found: ABBREVIATIONS[found[1].lower()], text))
    text = _SIGN_LAST.sub(r"\2\1", text)
    text = _MANY.sub(lambda found: f"{found[2]} {found[3]} {CURRENCIES[found[1]][1]}", text)
    text = _MONEY.sub(lambda found: _money(found[1], found[2], found[3] or ""), text)
    text = _CLOCK.sub(lambda found: f"{_clock(found[1], found[2])} ", text)
    text = _ORDINAL.sub(lambda found: _words(found[1], to="ordinal"), text)
    text = _DECADE.sub(lambda found: re.sub("ys$", "ies", f"{_number(found[1])}s"), text)
    text = _FRACTION.sub(lambda found: f" {_fraction(int(found[1]), int(found[2]))} ", text)
    text = _MINUS.sub("minus ", _SEAM.sub(" ", text))
    text = _DECIMAL.sub(lambda found: f"{_words(found[1] or '0')} point {' '.join(map(_words, found[2]))}", text)
    text = _DIGITS.sub(lambda found: _number(found[0]), text)
    for symbol, word in SYMBOLS.items():
        text = text.replace(symbol, word)
    return text


def _number(digits: str) -> str:
    return _year(digits) if 1000 < int(digits) < 3000 else _words(digits)


def _fraction(part: int, whole: int) -> str:
    name = {2: "half", 4: "quarter"}.get(whole) or _words(str(whole), to="ordinal")
    if part == 1:
        return f"one {name}"
    return f"{_words(str(part))} {'halves' if whole == 2 else f'{name}s'}"


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


def _money(sign: str, whole: str, part: str) -> str:
    """Of digits before and after the point; two after it are hundredths."""
    one, several, hundredth, hundredths = CURRENCIES[sign]
    if not whole and not part:
        return sign
    if part and len(part) != 2:
        return f"{whole or '0'}.{part} {several}"
    parts = [f"{_words(whole)} {one if int(whole) == 1 else several}"] if whole and (int(whole) or not part) else []
    if part and (int(part) or not parts):
        parts.append(f"{_words(part)} {hundredth if int(part) == 1 else hundredths}")
    return ", ".join(parts)


def _clock(hour: str, minute: str) -> str:
    if minute == "00":
        return f"{_words(hour)} o'clock"
    return f"{_words(hour)} {'oh ' if minute[0] == '0' else ''}{_words(minute)}"
