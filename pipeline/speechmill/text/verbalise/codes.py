"""Reads tokens of letters and digits: MP3, COVID-19, No.5, x²."""

import re

from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.numbers import cardinal, literal
from speechmill.text.verbalise.place import Place, Reading

_LETTERS = re.compile(r"([A-ZА-Я]{1,6})(-?)(\d{1,3})([A-Z]{0,2})")
_COMPOUNDS = re.compile(r"(\d{1,3})-([a-zäöüßë]{2,20}(?:-[a-z]{2,12}){0,3})")
_COMPOUND = {"en": "-", "de": "", "nl": ""}  # 5-year-old, 5-jährig, 5-jarig
_TIME_ZONES = ("GMT", "UTC", "CET", "MEZ", "EST", "PST")
_DIMENSION = re.compile(r"(\d{1,2})([KGDPх])")


def read_power(place: Place) -> Reading:
    """Read x², x³. Raises UnreadableError where the language has no certain reading."""
    name = place.table.signs.get("square" if place.core[1] == "²" else "cube")
    if not name or place.core[0] == "m":  # square metres without a number
        raise UnreadableError(f"how {place.core} is read is not certain")
    return Reading(f"{place.core[0]} {name}")


def read_numbered(place: Place) -> Reading | None:
    """Read #5, №5, No.5, § 5."""
    table = place.table
    match = re.fullmatch(r"(#|№|§|n°|nº|[A-Za-z]{1,4}\.)(\d{1,4})", place.core)
    if match is None:
        return None
    name = table.map("numbered").get(match[1].rstrip(".").lower())
    if match[1] == "#" and table.language == "en":
        name = table.signs["number"]
    if name is None:
        raise UnreadableError(f"how {place.core} is read is not certain")
    number = literal(match[2], table)
    assert number is not None
    return Reading(f"{name} {cardinal(number.whole, table)}")


def read_letters(place: Place) -> Reading | None:
    """Read MP3, COVID-19, 5G, H2O."""
    core, table = place.core, place.table
    if reading := _compound(place):
        return reading
    short = _DIMENSION.fullmatch(core)
    match = _LETTERS.fullmatch(core)
    if table.language == "ru" and re.search("[A-Za-z]", core) and (short or match):
        raise UnreadableError(f"how {core} is read in Russian is not certain")
    if short and (table.language != "de" or short[1] != "1"):
        return Reading(f"{cardinal(int(short[1]), table)} {short[2]}")
    return _designation(match, place) if match and core != "U2" else None


def _compound(place: Place) -> Reading | None:
    """Read a number that is joined with a word: 18-jährig, COVID-19."""
    core, table = place.core, place.table
    if table.language in _COMPOUND and (compound := _COMPOUNDS.fullmatch(core)):
        if compound[1] == "1" or compound[1].startswith("0"):
            raise UnreadableError(f"how {core} is read is not certain")
        return Reading(f"{cardinal(int(compound[1]), table)}{_COMPOUND[table.language]}{compound[2]}")
    named = re.fullmatch(r"([^\W\d_]{3,12})-([1-9]\d?)", core)
    if named and named[1] in _TIME_ZONES:
        raise UnreadableError(f"{core} may be a time zone behind or before {named[1]}")
    if named and table.language != "ru":
        return Reading(f"{named[1]}-{cardinal(int(named[2]), table)}")
    return None


def _designation(match: re.Match[str], place: Place) -> Reading | None:
    """Read letters and a number, and what follows them: MP3, A-10, H2O."""
    letters, hyphen, digits, after = match[1], match[2], match[3], match[4]
    value = int(digits)
    is_long = value > 99 and value % 100 != 0
    is_foreign = after and place.core != "H2O" and place.table.language != "en"
    if digits.startswith("0") or is_long or is_foreign or letters == "WW":
        return None
    joint = "-" if hyphen else " "
    return Reading(f"{letters}{joint}{cardinal(value, place.table)}{f' {after}' if after else ''}")
