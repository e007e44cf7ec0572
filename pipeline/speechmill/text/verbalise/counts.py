"""Reads a number in the form that its noun requires; all other kinds of quantity use it."""

import re

from speechmill.text.verbalise import slavic, years
from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.numbers import Number, cardinal, decimals, varies
from speechmill.text.verbalise.place import Place
from speechmill.text.verbalise.tables import context

OPERATORS = {
    "+": "plus", "=": "equals", "×": "times", "·": "times", "÷": "divided", "<": "less", ">": "greater",
    "±": "plus_minus", "−": "minus", "*": "times",
}  # fmt: skip


def value_of(place: Place, number: Number, gender: str | None = None) -> str:
    """A number in the form that its noun requires. `gender` is the noun's, if known."""
    if in_arithmetic(place):
        return signed(place, number, cardinal(number.whole, place.table))
    if number.decimals:
        return signed(place, number, decimal(place, number))
    if place.table.is_slavic:
        return signed(place, number, _slavic(place, number, gender))
    return signed(place, number, _count(place, number, gender))


def signed(place: Place, number: Number, spoken: str) -> str:
    """Put the word for minus before a negative number."""
    return f"{place.table.signs['minus']} {spoken}" if number.is_negative else spoken


def decimal(place: Place, number: Number) -> str:
    """A number with decimals, without its sign. Raises UnreadableError."""
    table, before = place.table, place.before
    if before in context("versions") and len(number.decimals) > 1:
        raise UnreadableError("how a version is read is not certain")
    if len(number.decimals) == 2 and (before in table.list("clock_before") or _may_be_time(place)):
        raise UnreadableError(f"{place.core} may be a time or a decimal")
    if table.is_slavic:
        require_neutral(place)
    if table.language == "pl" and (number.whole, number.decimals) == (1, "5"):
        raise UnreadableError("one and a half has a word of its own, which agrees with the noun")
    if table.text("decimals") == "tenths":
        return _tenths(number)
    return f"{cardinal(number.whole, table)} {decimals(number, table)}"


def _may_be_time(place: Place) -> bool:
    """Whether English writes a time with a point: at 6.30 in the morning, 6.30 pm."""
    if place.table.language != "en":
        return False
    after = (place.next.core.lower().replace(".", "") if place.next else "") if not place.token.tail else ""
    is_counted = after in context("behind_decimals") or after in place.table.list("scale_words")
    return after in ("am", "pm") or (place.before in ("at", "by", "from", "until", "till") and not is_counted)


def _tenths(number: Number) -> str:
    """Russian: two whole, five tenths."""
    size, part = len(number.decimals), int(number.decimals)
    if size > 2 or any(n % 10 == 1 and n % 100 != 11 for n in (number.whole, part)) or number.whole > 999 or part == 0:
        raise UnreadableError("the case of this decimal is not certain")
    from num2words import num2words

    whole, share = (str(num2words(n, lang="ru", gender="f")) for n in (number.whole, part))
    return f"{whole} целых {share} {'десятых' if size == 1 else 'сотых'}"


def _count(place: Place, number: Number, gender: str | None) -> str:
    table, value = place.table, number.whole
    if table.language == "de" and value == 1 and place.after == "Uhr":
        return "ein"
    year = None if number.is_grouped or gender else years.year(place, value)
    if year is not None:
        return year
    if not varies(value, table.language):
        return _invariable(place, value)
    if place.follows_label:
        return _invariable(place, value)
    noun = gender or table.gender((place.after or "").lower())
    if noun is None and len(place.tokens) > 1:
        raise UnreadableError(f"the form of {value} depends on a noun that is not known")
    return cardinal(value, table, noun)


def _invariable(place: Place, value: int) -> str:
    spoken = cardinal(value, place.table)
    if place.table.language == "fr" and place.follows_label:
        return re.sub("(cent|vingt)s$", r"\1", spoken)
    return spoken


def _slavic(place: Place, number: Number, gender: str | None) -> str:
    table, value = place.table, number.whole
    if gender:
        require_neutral(place)
        return slavic.agreed(value, gender, table)
    if place.follows_label:
        return cardinal(value, table)
    if not number.is_grouped and 1000 <= value <= 2100 and place.after is None:
        raise UnreadableError("the case of a year is not certain")
    require_neutral(place)
    if place.after is not None:
        return slavic.counted(value, place.after, table)
    if value % 10 in (1, 2, 3, 4) or (table.language == "pl" and value > 1):
        raise UnreadableError(f"the form of {value} depends on a noun that is not known")
    return cardinal(value, table)


def require_neutral(place: Place) -> None:
    """Raise UnreadableError unless a Slavic number is in the nominative or accusative here."""
    if not slavic.is_neutral(place.before, place.table):
        raise UnreadableError(f"the case of {place.core} behind {place.before} is not certain")


def in_arithmetic(place: Place) -> bool:
    """Whether a number is next to an arithmetic sign, and counts nothing."""
    neighbours = [token for token in (place.previous, place.next) if token is not None]
    if any(token.core in OPERATORS for token in neighbours):
        return True
    return place.is_near("=") and any(not token.core and token.lead in ("-", "–") for token in neighbours)
