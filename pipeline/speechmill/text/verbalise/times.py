"""Reads days, ordinals, and times of the day."""

import re

from speechmill.text.verbalise import slavic
from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.numbers import cardinal, literal, ordinal, words
from speechmill.text.verbalise.place import Place, Reading
from speechmill.text.verbalise.years import NOT_PLURAL, decade, slavic_year

_CLOCK = re.compile(r"(\d{1,2})([:.h])([0-5]\d)?")
_FULL_CLOCK = re.compile(r"(\d{1,2})(?::([0-5]\d))?(am|pm|AM|PM)")
_ENGLISH_ORDINAL = re.compile(r"(\d[\d,]{0,12})(st|nd|rd|th)", re.IGNORECASE)


def read(place: Place) -> Reading | None:
    """Read a token of time or an ordinal; None if it is neither. Raises UnreadableError."""
    for kind in (_clock, decade, _suffixed, _day, _dotted, slavic_year):
        reading = kind(place)
        if reading is not None:
            return reading
    return None


# --- times of the day ---


def _clock(place: Place) -> Reading | None:
    table, core = place.table, place.core
    if table.language == "en":
        return _english_clock(place)
    match = _CLOCK.fullmatch(core)
    word = table.text("clock_word")
    followed = (place.after or "").lower() == word != ""
    if match is None or (match[2] == "h" and table.text("clock") != "h"):
        return _score(place)
    if match[2] == "." and not followed:
        return None
    if (match[2] != "h" and not match[3]) or int(match[1]) > 23 or (len(match[1]) > 1 and match[1] == "00"):
        raise UnreadableError(f"{core} is no certain time")
    hour, minute = int(match[1]), int(match[3] or 0)
    spoken = _slavic_clock(place, hour, minute) if table.is_slavic else _time(place, hour, minute, is_h=match[2] == "h")
    return Reading(spoken, count=2 if followed else 1)


def _time(place: Place, hour: int, minute: int, *, is_h: bool) -> str:
    table, openers = place.table, place.table.list("clock_before")
    if openers and not is_h and place.before not in openers:
        raise UnreadableError(f"how {place.core} is read here is not certain")
    if hour == 1 and (openers or table.language == "fr"):
        if minute or not is_h:
            raise UnreadableError("how one o'clock is read here is not certain")
        return table.text("clock_one")
    if minute and minute < 10 and (table.language in ("es", "it") or (table.language, hour) == ("pt", 20)):
        raise UnreadableError("minutes below ten are read in several ways")  # vinte e cinco is 25, too
    if table.language == "fr" and hour == 0:
        raise UnreadableError("how midnight is read here is not certain")
    hour_words = (
        "ein"
        if table.language == "de" and hour == 1
        else cardinal(hour, table, "f" if table.language in ("fr", "es", "pt") else None)
    )
    if not minute:
        return table.text("clock_full").format(hour=hour_words)
    minutes = cardinal(minute, table, "f" if table.language == "fr" else None)
    return table.text("clock_pattern").format(hour=hour_words, minute=minutes)


def _slavic_clock(place: Place, hour: int, minute: int) -> str:
    table, before = place.table, place.before
    minutes = (
        "" if not minute else (f"{words(0, table.language)} " if minute < 10 else "") + words(minute, table.language)
    )
    if table.language == "ru":
        if before not in (None, "в"):
            raise UnreadableError("the case of a time is not certain")
        return f"{words(hour, 'ru')} {minutes or 'ноль ноль'}"
    if before not in (None, "o", "od", "do", "po", "godzinie", "godziny", "jest", "godzina") or hour == 0:
        raise UnreadableError("the case of a time is not certain")
    form = "f" if before in (None, "jest", "godzina") else "f_gen"
    return f"{slavic.ordinal(hour, table, form)} {minutes}".strip()


def _english_clock(place: Place) -> Reading | None:
    core = place.core
    with_half = _FULL_CLOCK.fullmatch(core)
    match = with_half or _CLOCK.fullmatch(core)
    if match is None or (not with_half and match[2] != ":"):
        return None
    hour, minute = int(match[1]), (match[2] if with_half else match[3]) or "00"
    is_half = bool(with_half) or (place.after or "").lower().replace(".", "") in ("am", "pm")
    if not 0 < hour <= (12 if is_half else 23) or (hour > 12 and minute == "00") or (not with_half and not match[3]):
        raise UnreadableError(f"{core} is no certain time")
    half = f" {with_half[3]}" if with_half else ""
    if minute == "00":
        return Reading(f"{words(hour, 'en')}{half}" if is_half else f"{words(hour, 'en')} o'clock")
    return Reading(f"{words(hour, 'en')} {'oh ' if minute[0] == '0' else ''}{words(int(minute), 'en')}{half}")


def _score(place: Place) -> Reading | None:
    match = re.fullmatch(r"(\d{1,2}):(\d{1,2})", place.core)
    name = place.table.signs.get("score")
    if match is None or name is None:
        return None
    if int(match[1]) < 10 and int(match[2]) < 10 and len(match[1]) == len(match[2]) == 1:
        return Reading(f"{words(int(match[1]), 'de')} {name} {words(int(match[2]), 'de')}")
    return None


# --- days and other ordinals ---


def _suffixed(place: Place) -> Reading | None:
    """Read 1st, 2e, 3ª, 5-я."""
    core, table = place.core, place.table
    if table.language == "en":
        match = _ENGLISH_ORDINAL.fullmatch(core)
        number = literal(match[1], table) if match else None
        return Reading(ordinal(number.whole, table)) if number and number.is_plain else None
    if table.language == "ru":
        return _russian_suffixed(place)
    match = re.fullmatch(r"(\d{1,4})(\.?[^\W\d_]{1,3}|\.?º|\.?ª)", core)
    form = table.map("suffixes").get(match[2]) if match else None
    if match is None or form is None:
        return None
    value = int(match[1])
    if form == "short":
        if value not in (1, 3):
            raise UnreadableError(f"how {core} is read is not certain")
        return Reading("primer" if value == 1 else "tercer")
    if form.startswith("second"):
        return Reading(form) if value == 2 else None
    if table.language == "nl" and not ordinal(value, table).endswith(match[2]):
        return None
    return Reading(ordinal(value, table, form or "m"))


def _russian_suffixed(place: Place) -> Reading | None:
    match = re.fullmatch(r"(\d{1,4})-(го|я|ую)", place.core)
    if match is None:
        return None
    if match[2] == "ую":
        return None
    return Reading(slavic.ordinal(int(match[1]), place.table, "gen" if match[2] == "го" else "f"))


def _day(place: Place) -> Reading | None:
    """Read 3 May, May 3, le 3 mai, am 3. Mai."""
    table, core = place.table, place.core
    if not re.fullmatch(r"[1-9]|[12]\d|3[01]", core):
        return None
    if table.language == "en":
        return _english_day(place)
    if not place.before_month or (
        place.token.tail and not (table.language in ("de", "pl") and place.token.tail == ".")
    ):
        return None
    value = int(core)
    if table.language == "de":
        return None if place.token.tail != "." else _german_day(place)
    if table.is_slavic:
        if place.before in ("przed", "po", "na", "między", "a", "k", "к", "на", "по", "перед", "между", "ku", "nad"):
            raise UnreadableError("the case of a date is not certain")
        return Reading(slavic.ordinal(value, table, "gen"), tail="")
    if value == 1 and table.text("no_first_of_month"):
        raise UnreadableError(table.text("no_first_of_month"))
    if value == 1 and table.text("first_of_month"):
        return Reading(table.text("first_of_month"))
    return Reading(cardinal(value, table))


def _english_day(place: Place) -> Reading | None:
    value, after = int(place.core), place.after
    last = place.previous
    if place.follows_month and last is not None and not last.tail and last.core[0].isupper():
        if after is not None and after.endswith("s") and not NOT_PLURAL.search(after):
            raise UnreadableError(f"{last.core} {value} may be a date or a count")
        return Reading(ordinal(value, place.table))
    if place.before_month and after is not None and after[0].isupper():
        the = "" if place.before == "the" else "the "
        return Reading(f"{the}{ordinal(value, place.table)} of")
    return None


def _german_day(place: Place) -> Reading:
    spoken = ordinal(int(place.core), place.table)
    before = place.before
    if before in (*place.table.map("ordinal_before")["ten"], "bis", "ab", "seit", "vor", "nach"):
        return Reading(f"{spoken}n", tail="")
    if before == "der":
        return Reading(spoken, tail="")
    if place.at == 0:
        return Reading(f"{spoken}r", tail="")
    raise UnreadableError("the case of a date is not certain")


def _dotted(place: Place) -> Reading | None:
    """Read ordinals with a point, as in German and Polish, where the point may also end a sentence."""
    table, following = place.table, place.next
    if table.language not in ("de", "pl") or place.token.tail != ".":
        return None
    if following is None:
        _refuse_last_ordinal(place)
        return None
    if not re.fullmatch(r"\d{1,3}", place.core):
        return None
    if table.language == "pl":
        if following.core[:1].islower():
            raise UnreadableError("the case of an ordinal is not certain")
        return None
    forms, before = table.map("ordinal_before"), place.before
    for ending, openers in (("n", forms["ten"]), ("", forms["te"])):
        if before in openers:
            return Reading(f"{ordinal(int(place.core), table)}{ending}", tail="")
    raise UnreadableError(f"{place.core}. may be an ordinal or end a sentence")


def _refuse_last_ordinal(place: Place) -> None:
    """Raise UnreadableError for the day at the end of a sentence: Sie kommt am 15."""
    forms = place.table.map("ordinal_before").values()
    openers = {opener for form in forms for opener in form} | {"der", "als", "ab", "bis", "seit"}
    if place.table.language == "de" and re.fullmatch(r"\d{1,2}", place.core) and place.before in openers:
        raise UnreadableError(f"{place.core}. may be an ordinal")
