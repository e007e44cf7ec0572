"""Reads tokens with digits by the first kind that matches; a bare number is the last kind."""

import re

from speechmill.text.verbalise import times, years
from speechmill.text.verbalise.codes import read_letters, read_numbered, read_power
from speechmill.text.verbalise.counts import decimal, value_of
from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.money import read_money
from speechmill.text.verbalise.numbers import Number, literal, plural
from speechmill.text.verbalise.place import Place, Reading
from speechmill.text.verbalise.relations import read_arithmetic, read_fraction, read_range
from speechmill.text.verbalise.tables import context
from speechmill.text.verbalise.units import read_degrees, read_glued, read_percent, unit_of, with_unit

LONGEST_NUMBER = 10_000  # from here on digits without group marks may be a code: of a telephone, of a town
SHORTEST_CALL, CALL_WORDS = 100, 3  # the least number that is called, and how many words before it say so

MOST_BOOKS = 4  # of one name: four of Maccabees


def read(place: Place) -> Reading:
    """Read a token with digits. Raises UnreadableError."""
    core = place.core
    lead, tail = place.token.lead, place.token.tail
    if "~" in lead or tail.startswith(("-", "–", ",-")) or (tail.startswith(("'", "’")) and not lead):
        raise UnreadableError(f"{core}{tail} has several readings")
    if "[" in lead and "]" in tail:
        raise UnreadableError(f"[{core}] may be a reference")
    if "*" in tail and "*" not in lead:
        raise UnreadableError(f"{core}* may be stars or a note")
    if tail == '"' and not lead and sum((token.lead + token.tail).count('"') for token in place.tokens) % 2:
        raise UnreadableError(f"{core}{tail} may be inches or the end of a quotation")
    if core.count("²") + core.count("³") and re.fullmatch(r"[A-Za-z][²³]", core):
        return read_power(place)
    for kind in KINDS:
        reading = kind(place)
        if reading is not None:
            return reading
    raise UnreadableError(f"{core} is of no kind that has a certain reading")


def _is_round(core: str) -> bool:
    """Whether ungrouped digits end like a number rather than a code."""
    return core.endswith("00")


def _plain(place: Place) -> Reading | None:
    number = literal(place.core, place.table)
    if number is None:
        return None
    if _is_dutch_postcode(place):
        raise UnreadableError(f"{place.core} {place.after} may be a postcode")
    is_ungrouped = not number.is_grouped and place.core.isdecimal()
    if number.whole >= LONGEST_NUMBER and is_ungrouped and not _is_round(place.core):
        raise UnreadableError(f"{place.core} may be a number or a code")
    unit = unit_of(place)
    if unit is not None:
        return Reading(with_unit(place, number, unit), count=2)
    _check_name(place, number)
    _check_call(place, number)
    _check_book(place, number)
    scale = place.table.map("scales").get(place.after or "")
    if isinstance(scale, list):
        return _scaled(place, number, scale)
    return Reading(value_of(place, number))


def _is_dutch_postcode(place: Place) -> bool:
    letters = place.after or ""
    is_code = len(letters) == 2 and letters.isupper() and re.fullmatch(r"\d{4}", place.core)
    return place.table.language == "nl" and bool(is_code)


def _check_name(place: Place, number: Number) -> None:
    """Raise UnreadableError for a number in a name, such as Boeing 747 or Room 101: such are often read by digits."""
    last = place.previous
    if (
        last is None
        or place.before is None
        or not 100 < number.whole < 10_000
        or number.is_grouped
        or not number.is_plain
        or number.whole % 100 == 0
        or years.year(place, number.whole)
    ):
        return
    is_noun = place.after is not None and place.after[0].islower() and place.after not in context("verbs")
    is_plural = place.table.language not in ("en", "fr", "es", "pt") or (place.after or "").endswith(
        ("s", "people", "men")
    )
    is_free = place.at == 1 and is_noun and is_plural
    if place.table.language == "de":
        is_free = is_noun or (place.after or "")[:1].isupper()
    is_name = last.core[:1].isupper() and not place.follows_label and not is_free
    if is_name or place.before in context("numbered_by_digits"):
        raise UnreadableError(f"how {place.core} is read behind {last.core} is not certain")


def _check_call(place: Place, number: Number) -> None:
    """Raise UnreadableError for a number that is called, such as 112: how it is grouped is not certain."""
    words_before = {token.core.lower() for token in place.tokens[max(0, place.at - CALL_WORDS) : place.at]}
    is_called = place.after is None or place.core in context("emergency_numbers")
    if number.whole >= SHORTEST_CALL and is_called and words_before & context("calls"):
        raise UnreadableError(f"{place.core} may be the number of a telephone")


def _check_book(place: Place, number: Number) -> None:
    """Raise UnreadableError for books of the Bible that are called first and second, or one and two."""
    if place.table.language == "en" and number.whole <= MOST_BOOKS and place.after in context("numbered_books"):
        raise UnreadableError(f"{place.core} before {place.after} may be an ordinal")


def _scaled(place: Place, number: Number, forms: list[str]) -> Reading:
    """Read 5 Mio., 5 тыс."""
    table = place.table
    kind = plural(number.whole, table.language, is_decimal=bool(number.decimals))
    following = place.tokens[place.at + 1]
    if table.language == "de" and number.whole == 1 and not number.decimals:
        raise UnreadableError("the form of one depends on the noun's case")
    if table.is_slavic and following.core in ("тыс", "tys"):
        raise UnreadableError("the case of thousands is not certain")
    spoken = decimal(place, number) if number.decimals else value_of(place, number, gender="m")
    tail = following.tail[1:] if following.tail.startswith(".") and place.at + 2 < len(place.tokens) else following.tail
    return Reading(f"{spoken} {forms[kind]}", count=2, tail=tail)


KINDS = (
    times.read, read_numbered, read_money, read_percent, read_degrees, read_glued, read_range, read_fraction,
    read_arithmetic, read_letters, _plain,
)  # fmt: skip
