"""Reads numbers with units: per cent, degrees, metres; names and plurals of units are CLDR's."""

import re
from typing import Any

from speechmill.text.verbalise.counts import decimal, signed, value_of
from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.numbers import NUMERAL, Number, cardinal, decimals, literal, plural
from speechmill.text.verbalise.place import Place, Reading
from speechmill.text.verbalise.tables import context

_PERCENT = re.compile(rf"([-−]?(?:{NUMERAL}))\s?([%‰])")
_DEGREES = re.compile(rf"([-−]?(?:{NUMERAL}))\s?(°[CFС]?)")
_GLUED = re.compile(rf"([-−]?(?:{NUMERAL}))([^\W\d_]{{1,3}}(?:/h|/ч)?[²³]?)")
_UNITS = {
    "kg": "mass-kilogram", "g": "mass-gram", "mg": "mass-milligram", "km": "length-kilometer", "m": "length-meter",
    "cm": "length-centimeter", "mm": "length-millimeter", "l": "volume-liter", "L": "volume-liter",
    "ml": "volume-milliliter", "km/h": "speed-kilometer-per-hour", "mph": "speed-mile-per-hour",
    "min": "duration-minute", "h": "duration-hour", "s": "duration-second", "MB": "digital-megabyte",
    "GB": "digital-gigabyte", "TB": "digital-terabyte", "Hz": "frequency-hertz", "kHz": "frequency-kilohertz",
    "MHz": "frequency-megahertz", "GHz": "frequency-gigahertz", "W": "power-watt", "kW": "power-kilowatt",
    "lb": "mass-pound", "lbs": "mass-pound", "ft": "length-foot", "oz": "mass-ounce", "t": "mass-tonne",
    "m²": "area-square-meter", "km²": "area-square-kilometer", "m³": "volume-cubic-meter",
    "°C": "temperature-celsius", "°": "angle-degree",
}  # fmt: skip
_SHORTER = {
    ("it", "t"): ["tonnellata", "tonnellate"],
    ("nl", "t"): ["ton", "ton"],
    ("it", "GB"): ["gigabyte", "gigabyte"],
}


def read_percent(place: Place) -> Reading | None:
    """Read 5 %, 5 ‰."""
    match = _PERCENT.fullmatch(place.core)
    number = literal(match[1], place.table) if match else None
    if match is None or number is None:
        return None
    name = place.table.signs["percent" if match[2] == "%" else "permille"]
    return Reading(measured(place, number, name, "m"))


def read_degrees(place: Place) -> Reading | None:
    """Read 5°, 5 °C. Raises UnreadableError where it may be an ordinal."""
    match, table = _DEGREES.fullmatch(place.core), place.table
    if match is None:
        return None
    if match[2] == "°" and table.language in ("es", "it", "pt", "fr"):
        raise UnreadableError("° may be degrees or an ordinal")
    number = literal(match[1], table)
    if number is None:
        return None
    if table.language == "en" and (place.after or "") in context("behind_degrees"):
        raise UnreadableError("degrees before a noun have no plural")
    if table.is_slavic:
        if match[2] == "°F":
            raise UnreadableError("degrees Fahrenheit have no forms here")
        name: Any = forms_of("°C" if match[2] != "°" else "°", table.language)
        return Reading(measured(place, number, name, "m"))
    if number.whole == 1 and not number.decimals:
        if table.language != "en":
            raise UnreadableError("the form of one depends on the noun")
        return Reading(
            signed(
                place,
                number,
                f"one {table.signs[match[2] if match[2] != '°' else 'degree'].replace('degrees', 'degree')}",
            )
        )
    return Reading(measured(place, number, table.signs["degree" if match[2] == "°" else match[2]], "m"))


def read_glued(place: Place) -> Reading | None:
    """Read 5kg, 10km/h."""
    match = _GLUED.fullmatch(place.core)
    unit = unit_named(match[2], place) if match else None
    if match is None or unit is None or unit in ("m", "g", "s", "t", "h", "L"):
        return None
    number = literal(match[1], place.table)
    return None if number is None else Reading(with_unit(place, number, unit))


def measured(place: Place, number: Number, name: Any, gender: str) -> str:
    """A number and its unit.

    Args:
        place: The token.
        number: Its number.
        name: The unit's name, or its forms.
        gender: Of the unit.
    """
    table = place.table
    is_decimal = bool(number.decimals)
    unit = name if isinstance(name, str) else name[plural(number.whole, table.language, is_decimal=is_decimal)]
    if table.language == "de" and number.whole == 1 and not is_decimal:
        raise UnreadableError("the form of one depends on the noun's case")
    if unit in ("por ciento", "por mil", "por cento", "pour cent", "pour mille", "per cento", "per mille"):
        return signed(place, number, f"{cardinal(number.whole, table)}{_behind(number, table)} {unit}")
    if is_decimal:
        return f"{signed(place, number, decimal(place, number))} {unit}"
    if table.is_slavic:
        return f"{value_of(place, number, gender)} {unit}"
    return f"{signed(place, number, cardinal(number.whole, table, gender if table.language != 'de' else None))} {unit}"


def _behind(number: Number, table: Any) -> str:
    return f" {decimals(number, table)}" if number.decimals else ""


def with_unit(place: Place, number: Number, unit: str) -> str:
    """A number and a unit from `unit_of`, in agreement. Raises UnreadableError."""
    table = place.table
    gender = "f" if unit in table.list("feminine_units") else "m"
    if unit == "m" and len(number.decimals) > 1 and table.language not in ("en", "ru"):
        raise UnreadableError("metres with centimetres are read in several ways")
    check_attribute(place)
    _check_behind(place)
    if len(place.after or "") == 1 and place.next is not None and place.next.tail.startswith("."):
        _check_full_stop(place)
    if (table.language, unit, number.whole) == ("it", "h", 1) and not number.decimals:
        return signed(place, number, "un'ora")
    if table.language == "en" and number.whole == 1 and number.is_plain:
        return f"one {forms_of(unit, 'en')[0]}"
    return measured(place, number, forms_of(unit, table.language), gender)


def _check_behind(place: Place) -> None:
    """Raise UnreadableError where an English unit stands before a noun or more of a height: 60 W bulb, 5 ft 10."""
    if place.table.language != "en" or place.after is None or place.at + 2 >= len(place.tokens):
        return
    unit, follower = place.tokens[place.at + 1], place.tokens[place.at + 2]
    if unit.tail or unit_named(unit.core, place) is None:
        return
    if follower.is_numeric or (follower.core.islower() and follower.core not in context("behind_units")):
        raise UnreadableError(f"{place.core} {unit.core} before {follower.core} may have no plural")


def check_attribute(place: Place) -> None:
    """Raise UnreadableError where an English quantity may have no plural: the 100 m sprint, $5 bill."""
    if place.table.language != "en":
        return
    if place.before in context("determiners"):
        raise UnreadableError(f"{place.core} behind {place.before} may be part of a longer name")
    follower = place.tokens[place.at + 2].core if place.after and place.at + 2 < len(place.tokens) else ""
    if place.after == "m" and follower in context("plurals"):
        raise UnreadableError("m before a noun may be metres or millions")
    if place.after in context("behind_money"):
        raise UnreadableError(f"{place.core} before {place.after} has no plural")


def _check_full_stop(place: Place) -> None:
    """Raise UnreadableError where a letter with a full stop may be an abbreviation, such as a Russian year's."""
    if place.table.is_slavic or place.at + 2 < len(place.tokens):
        raise UnreadableError(f"{place.after}. may be a unit or another abbreviation")


def unit_of(place: Place) -> str | None:
    """The unit after a number, for `forms_of`; None if there is none."""
    return unit_named(place.after or "", place)


def unit_named(name: str, place: Place) -> str | None:
    """The unit of a sign in the language, for `forms_of`; None if there is none."""
    unit = place.table.map("unit_letters").get(name, name)
    units = place.table.list("units") or [*place.table.map("unit_letters").values()]
    return unit if unit in units and unit in _UNITS else None


def forms_of(unit: str, language: str) -> list[str]:
    """Forms of a unit by CLDR: singular, plural; in Slavic languages also for many and for fractions."""
    from babel.units import format_unit

    if (language, unit) in _SHORTER:
        return _SHORTER[language, unit]
    values: tuple[float, ...] = (1, 2, 5, 1.5) if language in ("pl", "ru") else (1, 5)
    formatted = [format_unit(value, _UNITS[unit], locale=language, length="long") for value in values]
    return [re.sub(r"^[\d.,]+\s", "", text) for text in formatted]
