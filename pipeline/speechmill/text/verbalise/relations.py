"""Reads several numbers in one token: ranges, fractions, arithmetic."""

import re

from speechmill.text.verbalise import years
from speechmill.text.verbalise.counts import OPERATORS, require_neutral, signed
from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.numbers import NUMERAL, Number, cardinal, literal, varies
from speechmill.text.verbalise.place import Place, Reading
from speechmill.text.verbalise.tables import context
from speechmill.text.verbalise.units import forms_of, unit_of

_FRACTIONS = {
    "½": "1/2",
    "¼": "1/4",
    "¾": "3/4",
    "⅓": "1/3",
    "⅔": "2/3",
    "⅕": "1/5",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}
_RANGE = re.compile(rf"({NUMERAL})[-–]({NUMERAL})(%|€|\$|£)?")
YEAR_END = 2100  # numbers from here on are read as no year
_ARITHMETIC = re.compile(r"[+×÷=<>·*]")


def has_fraction(core: str) -> bool:
    """Whether a token has a fraction or a power as one character, which is no digit for `re`."""
    return any(character in _FRACTIONS or character in "²³" for character in core)


def read_range(place: Place) -> Reading | None:
    """Read 5-10 kg, 1914-1918, pages 3-5."""
    match, table = _RANGE.fullmatch(place.core), place.table
    if match is None:
        return None
    first, last = literal(match[1], table), literal(match[2], table)
    if first is None or last is None or not first.is_plain or not last.is_plain:
        return None
    if first.whole >= last.whole or "to" not in table.signs or place.before in context("games") or table.is_slavic:
        raise UnreadableError(f"how {place.core} is read is not certain")
    if _is_telephone(place, last):
        raise UnreadableError(f"{place.core} may be a number of a telephone")
    to = table.signs["to"]
    if all(1000 < number.whole < YEAR_END and not number.is_grouped for number in (first, last)):
        return Reading(f"{years.as_year(first.whole, table)} {to} {years.as_year(last.whole, table)}")
    unit = None if match[3] else unit_of(place)
    after = place.after or ""
    is_before_noun = after[:1].islower() or (after != "" and table.language == "de")
    if not (match[3] or unit or place.follows_label or is_before_noun):
        raise UnreadableError(f"{place.core} may be a range or something else")
    if any(varies(number.whole, table.language) for number in (first, last)) and not place.follows_label:
        raise UnreadableError("the form of a number depends on a noun that is not known")
    spoken = f"{cardinal(first.whole, table)} {to} {cardinal(last.whole, table)}"
    if match[3]:
        name = table.signs["percent"] if match[3] == "%" else table.currencies[match[3]]["forms"][-1]
        return Reading(f"{spoken} {name}")
    return Reading(f"{spoken} {forms_of(unit, table.language)[-1]}" if unit else spoken, count=2 if unit else 1)


def _is_telephone(place: Place, last: Number) -> bool:
    """Whether digits with a hyphen continue those before them, or end like no number that is rounded."""
    before = place.previous
    is_continued = before is not None and before.is_numeric and not set(before.tail) & set(",;:.!?")
    return is_continued or (last.whole >= YEAR_END and not last.is_grouped and last.whole % 50 != 0)


def read_fraction(place: Place) -> Reading | None:
    """Read ½, 3/4, 3½. Raises UnreadableError."""
    match = re.fullmatch(r"(\d{0,4})\s?([½¼¾⅓⅔⅕⅛⅜⅝⅞])|(\d/\d{1,2}|\d⁄\d{1,2})", place.core)
    if match is None:
        return None
    table, last = place.table, place.previous
    if last is not None and last.is_numeric and not last.tail:
        raise UnreadableError(f"{last.core} and {place.core} may be one number")
    if match[1]:
        return _mixed(place, match[1], match[2])
    name = table.map("fractions").get(_FRACTIONS.get(match[2] or "", (match[3] or "").replace("⁄", "/")))
    if name is None or (match[3] and place.before in context("date_before")):
        raise UnreadableError(f"how {place.core} is read is not certain")
    if table.is_slavic:
        require_neutral(place)
        if name.startswith(("jedna", "одна")) and place.before is not None:
            raise UnreadableError("the case of a fraction is not certain")
    if table.language == "de" and name.startswith("ein ") and place.before in context("dative"):
        raise UnreadableError("the case of a fraction is not certain")
    if table.language != "en" and place.after is not None and place.after.lower() not in context("of"):
        raise UnreadableError("a fraction before a noun is read in several ways")
    return Reading(name)


def _mixed(place: Place, whole: str, part: str) -> Reading:
    table = place.table
    suffix = table.map("mixed_suffix").get(part)
    if suffix and int(whole) > 1:
        return Reading(f"{cardinal(int(whole), table)}{suffix}")
    fraction = table.map("fractions").get(_FRACTIONS[part])
    if table.language != "en" or fraction is None:
        raise UnreadableError("a number with a fraction is read in several ways")
    return Reading(f"{cardinal(int(whole), table)} {table.text('mixed')} {fraction}")


def read_arithmetic(place: Place) -> Reading | None:
    """Read 2+2=4, without spaces. Raises UnreadableError."""
    core, table = place.core, place.table
    if not _ARITHMETIC.search(core) or len(core) > 40:
        return None
    if re.fullmatch(r"\+\d{1,3}", core):
        return Reading(f"{table.signs['plus']} {cardinal(int(core[1:]), table)}") if not table.is_slavic else None
    spoken = []
    for part in re.split(r"([+×÷=<>·*])", core):
        if part in OPERATORS:
            spoken.append(_operator_name(part, place))
        elif re.fullmatch("[a-z]", part):
            spoken.append(part)
        else:
            number = literal(part, table) if part else None
            if number is None or number.decimals:
                raise UnreadableError(f"how {core} is read is not certain")
            spoken.append(signed(place, number, cardinal(number.whole, table)))
    return Reading(" ".join(spoken))


def operator(place: Place) -> Reading | None:
    """Read a sign between numbers."""
    core, last, following = place.core, place.previous, place.next
    sides = [token for token in (last, following) if token is not None and (token.is_numeric or len(token.core) == 1)]
    if core in "+=" and last is not None and following is not None and last.core and following.core:
        return Reading(_operator_name(core, place))
    if len(sides) < 2:
        raise UnreadableError(f"{core} has no certain reading here")
    return Reading(_operator_name(core, place))


def _operator_name(sign: str, place: Place) -> str:
    name = place.table.signs.get(OPERATORS[sign])
    if not name:
        raise UnreadableError(f"{sign} has several readings")
    return str(name)
