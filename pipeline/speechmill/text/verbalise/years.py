"""Reads years and decades."""

import re

from speechmill.text.verbalise import slavic
from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.numbers import cardinal, words
from speechmill.text.verbalise.place import Place, Reading
from speechmill.text.verbalise.tables import Table, context

NOT_PLURAL = re.compile(r"(ss|us|is|'s|’s)$|^(was|has|as|does)$")


def as_year(value: int, table: Table) -> str:
    """A year, 1000 to 2999, in the special reading of English and German, else as a cardinal."""
    if table.language == "en" and 1000 < value < 3000 and value % 1000 >= 10:
        first, second = divmod(value, 100)
        if second == 0:
            return f"{words(first, 'en')} hundred"
        return f"{words(first, 'en')} {'oh ' if second < 10 else ''}{words(second, 'en')}"
    if table.language == "de" and 1100 <= value < 2000:
        rest = value % 100
        return f"{words(value // 100, 'de')}hundert{words(rest, 'de') if rest else ''}"
    if table.language == "de" and value < 1100:
        return words(value, "de").removeprefix("ein")
    return cardinal(value, table)


def year(place: Place, value: int) -> str | None:
    """A bare number of four digits as a year; None if it is a count. Raises UnreadableError if it may be both."""
    table, before, after = place.table, place.before, place.after
    if not 1000 < value < 3000 or len(place.core.lstrip("-")) != 4:
        return None
    follows_year_word = before in table.list("year_before") or place.follows_month
    if table.language == "en":
        return _english_year(place, value)
    if table.language == "de" and value < 2000:
        if follows_year_word or after is None or after[0].islower():
            return as_year(value, table)
        if value % 100 == 0:
            return as_year(value, table)
        raise UnreadableError(f"{value} may be a year or a count")
    in_year = before in table.list("citation_before") or place.follows_month
    if in_year and value < 2100 and table.gender((after or "").lower()) is None:
        spoken = cardinal(value, table)
        return re.sub("(cent|vingt)s$", r"\1", spoken) if table.language == "fr" else spoken
    return None


def _english_year(place: Place, value: int) -> str | None:
    after = place.after
    if place.before in place.table.list("never_year"):
        return None
    is_plural = after is not None and (
        (after.endswith("s") and not NOT_PLURAL.search(after)) or after in context("plurals")
    )
    if after is not None and after in place.table.list("units"):
        return None
    if is_plural and value % 100 and (value < 2000 or value > 2009):
        raise UnreadableError(f"{value} may be a year or a count")
    return as_year(value, place.table)


def decade(place: Place) -> Reading | None:
    """Read 1990s, die 90er, gli anni 90; None for anything else."""
    core, table, before = place.core, place.table, place.before
    if table.language == "en":
        match = re.fullmatch(r"(\d{2}|[12]\d{3})['’]?s", core)
        if match is None or int(match[1]) % 10 or match[1] in ("00", "10", "1000"):
            return None
        return Reading(re.sub("ys$", "ies", f"{as_year(int(match[1]), table)}s"))
    if table.text("decade_suffix"):
        match = re.fullmatch(r"(\d{2}|1[1-9]\d{2})er", core)
        if match and int(match[1]) % 10 == 0 and match[1] != "00":
            return Reading(
                f"{as_year(int(match[1]), table) if len(match[1]) > 2 else words(int(match[1]), 'de')}er",
                drops_apostrophe=True,
            )
        return None
    if before in ("anni", "jaren", "años", "années", "anos") and re.fullmatch("[2-9]0", core):
        return Reading(words(int(core), table.language), drops_apostrophe=True)
    return _slavic_decade(place) if table.is_slavic else None


def _slavic_decade(place: Place) -> Reading | None:
    core, table, before = place.core, place.table, place.before
    if table.language == "pl" and re.fullmatch("[2-9]0", core) and before in ("lata", "latach"):
        tail = place.token.tail.removeprefix(".") if place.next else place.token.tail
        return Reading(slavic.ordinal(int(core), table, "plural" if before == "lata" else "plural_gen"), tail=tail)
    match = re.fullmatch("([2-9]0)-(е|х)", core)
    if table.language == "ru" and match:
        return Reading(slavic.ordinal(int(match[1]), table, "plural" if match[2] == "е" else "plural_gen"))
    return None


def slavic_year(place: Place) -> Reading | None:
    """Read 1999 roku, в 1999 году."""
    table, before, after = place.table, place.before, (place.after or "").lower()
    if not table.is_slavic or not re.fullmatch(r"1\d{3}|20\d\d", place.core):
        return None
    value = int(place.core)
    if before == "rok" and not after:
        return Reading(slavic.ordinal(value, table))
    if after in ("roku", "году", "года"):
        is_in = before in ("w", "we", "в", "во")
        if (after == "году" and not is_in) or before in ("o", "po", "przy", "ku"):
            raise UnreadableError("the case of a year is not certain")
        return Reading(slavic.ordinal(value, table, "loc" if is_in and after != "года" else "gen"))
    if after == "год" and before in (None, "это", "был", "за", "на"):
        return Reading(slavic.ordinal(value, table))
    return None
