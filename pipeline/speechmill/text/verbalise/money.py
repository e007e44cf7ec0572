"""Reads amounts of money: sign or name of a currency, before or after the number, hundredths, thousands, millions."""

import re
from typing import Any

from speechmill.text.verbalise import slavic
from speechmill.text.verbalise.counts import decimal, require_neutral, signed, value_of
from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.numbers import NUMERAL, Number, cardinal, decimals, literal, plural, words
from speechmill.text.verbalise.place import Place, Reading
from speechmill.text.verbalise.tables import context
from speechmill.text.verbalise.units import check_attribute

HUNDREDTHS = 2  # decimals
COUNTED = 3  # forms of a currency behind whole numbers; a fourth is that behind a fraction


def read_money(place: Place) -> Reading | None:
    """Read $3.50, 3,50 €, $5m, 3.50 dollars."""
    core, table = place.core, place.table
    for sign, currency in table.currencies.items():
        if core.startswith((sign, f"-{sign}")):
            rest = core.removeprefix("-").removeprefix(sign)
            negative = core.startswith("-")
        elif core.endswith(sign):
            rest, negative = core.removesuffix(sign).strip(), False
        else:
            continue
        return _money(place, rest, currency, is_negative=negative)
    return _named(place)


def _named(place: Place) -> Reading | None:
    """Read 3.50 dollars: with hundredths, what is said of a sign is said of the name behind the amount."""
    number, name, table = literal(place.core, place.table), (place.after or "").lower(), place.table
    if number is None or len(number.decimals) != HUNDREDTHS or number.is_negative:
        return None
    for sign, currency in table.currencies.items():
        forms = [form.lower() for form in currency["forms"]]
        if name in forms or (table.is_slavic and name.startswith(forms[0][:-1])):
            if sign == "£":
                raise UnreadableError("pounds with hundredths may be money or a weight")
            if name not in forms[:COUNTED]:
                raise UnreadableError(f"how an amount with {name} is read is not certain")
            return Reading(_coins(place, number, currency), count=2)
    return None


def _money(place: Place, amount: str, currency: dict[str, Any], *, is_negative: bool) -> Reading | None:
    table = place.table
    ranged = re.fullmatch(rf"({NUMERAL})[-–]({NUMERAL})", amount)
    if ranged:
        return None
    letters = re.search(r"[A-Za-z]{1,2}$", amount)
    scale = table.map("scales").get(letters[0]) if letters and table.language == "en" else None
    if letters and scale is None:
        return None
    number = literal(
        amount[: letters.start()] if letters else "0" + amount if amount.startswith(".") else amount, table
    )
    if number is None:
        return None
    check_attribute(place)
    forms = currency["forms"]
    follows = place.after if table.language == "en" and place.after in table.list("scale_words") else None
    if not follows and (place.after or "").lower() in context("scale_words"):
        raise UnreadableError("an amount with a word behind it is read in another order")
    minus = f"{table.signs['minus']} " if is_negative else ""
    if scale or follows:
        if follows and place.tokens[place.at + 1].tail == "" and place.at + 2 < len(place.tokens):
            _check_doubled(place.tokens[place.at + 2].core, forms)
        size = scale or follows
        spoken = cardinal(number.whole, table) + (f" {decimals(number, table)}" if number.decimals else "")
        return Reading(f"{minus}{spoken} {size} {forms[1]}", count=2 if follows else 1)
    return Reading(minus + _coins(place, number, currency))


def _check_doubled(behind: str, forms: list[str]) -> None:
    """Raise UnreadableError for the name of a currency behind its sign: $5 million dollars."""
    if behind.lower() in forms:
        raise UnreadableError(f"the amount names {behind} twice")


def _coins(place: Place, number: Number, currency: dict[str, Any]) -> str:
    table, forms = place.table, currency["forms"]
    gender = str(currency.get("gender", "m"))
    if table.language == "de" and number.whole == 1 and number.decimals in ("", "00"):
        raise UnreadableError("the form of one depends on the noun's case")
    if not number.decimals or number.decimals == "00":
        unit = forms[plural(number.whole, table.language)]
        whole = (
            value_of(place, Number(number.whole, is_negative=number.is_negative), gender)
            if table.is_slavic
            else signed(place, number, cardinal(number.whole, table, None if table.language == "de" else gender))
        )
        if number.whole >= 10**6 and number.whole % 10**6 == 0 and table.language in ("fr", "es", "it", "pt"):
            unit = f"d'{unit}" if unit[0] in "aeiou" and table.language == "fr" else f"de {unit}"
            if table.language == "it":
                unit = unit.replace("de ", "di ")
        return f"{whole} {unit}"
    if len(number.decimals) != HUNDREDTHS:
        if table.is_slavic or table.language in ("es", "pt"):
            raise UnreadableError("an amount with such decimals is read in several ways")
        return f"{decimal(place, number)} {forms[1]}"
    return _with_minor(place, number, currency, gender)


def _with_minor(place: Place, number: Number, currency: dict[str, Any], gender: str) -> str:
    table, forms, minor = place.table, currency["forms"], currency.get("minor")
    part = int(number.decimals)
    if table.is_slavic:
        if not minor:
            raise UnreadableError("the hundredths of this currency have no certain name")
        require_neutral(place)
        small = slavic.agreed(part, str(currency.get("minor_gender", "m")), table)
        small = f"{small} {minor[plural(part, table.language)]}"
        if number.whole == 0:
            return small
        main = f"{slavic.agreed(number.whole, gender, table)} {forms[plural(number.whole, table.language)]}"
        return f"{main} {small}"
    if table.language == "en":
        if not minor:
            raise UnreadableError("the hundredths of this currency have no certain name")
        small = f"{words(part, 'en')} {minor[0 if part == 1 else 1]}"
        main = f"{cardinal(number.whole, table)} {forms[0 if number.whole == 1 else 1]}"
        return small if number.whole == 0 else f"{main}, {small}"
    joined = currency.get("joined")
    if (
        not joined
        or number.whole == 0
        or part < 10
        or (table.language == "de" and number.whole % 100 == 1 and number.whole > 1)
    ):
        raise UnreadableError("an amount of this kind is read in several ways")
    whole = (
        "ein"
        if table.language == "de" and number.whole == 1
        else cardinal(number.whole, table, None if table.language == "de" else gender)
    )
    return f"{whole} {forms[plural(number.whole, table.language)]}{joined}{cardinal(part, table)}"
