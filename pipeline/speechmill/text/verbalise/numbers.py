"""Numbers in words by num2words, and their agreement with a noun, which num2words lacks."""

import re
from dataclasses import dataclass
from functools import lru_cache

from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.tables import Table

MOST_DECIMALS = 9
NUMERAL = r"\d[\d.,'’ ]*\d|\d"  # candidates for `literal`
# Errors of num2words, which supports some languages not at all and some in part.
NUMBER_ERRORS = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)
_APOSTROPHES = "'’"


@dataclass(frozen=True, slots=True)
class Number:
    """A written number: its whole part, the digits after its decimal mark, and its grouping."""

    whole: int
    decimals: str = ""
    mark: str = ""  # the decimal mark
    is_grouped: bool = False
    is_negative: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it has neither sign nor decimals."""
        return not self.decimals and not self.is_negative


def literal(text: str, table: Table) -> Number | None:
    """Parse a number as the language writes it; None for other text. Raises UnreadableError where it is ambiguous."""
    if re.fullmatch(r"\.\d{1,9}", text) and table.text("decimal_mark") == ".":
        text = f"0{text}"
    negative, digits = text[:1] in "-−" and text[:1] != "", text.lstrip("-−")
    if not digits or not digits[0].isdecimal() or len(digits) > 40 or len(text) - len(digits) > 1:
        return None
    whole, mark, decimals = digits, "", ""
    marks = {"."} if table.language == "es" and re.fullmatch(r"\d{1,3}\.\d", digits) else {table.text("decimal_mark")}
    for candidate in marks:
        if digits.count(candidate) == 1:
            whole, mark, decimals = digits.partition(candidate)
    if mark and not (decimals.isdecimal() and len(decimals) <= MOST_DECIMALS):
        return None
    grouped = _ungrouped(whole, table)
    if grouped is None:
        return None
    if mark and len(decimals) == 3 and whole != "0" and len(whole) <= 3 and (mark == "," or decimals == "000"):
        raise UnreadableError(f"{text} may be thousands or decimals")
    return Number(grouped, decimals, mark, grouped != 0 and not whole.isdecimal(), negative)


def _ungrouped(whole: str, table: Table) -> int | None:
    if whole.isdecimal():
        if len(whole) > 1 and whole[0] == "0":
            raise UnreadableError(f"{whole}: how leading zeros are read is not known")
        return int(whole)
    if table.language == "en" and re.fullmatch(r"[1-9]\d?(?:,\d\d)+,\d{3}", whole):  # Indian
        return int(whole.replace(",", ""))
    for mark in (*table.list("group_marks"), " ", *_APOSTROPHES):
        first, *groups = whole.split(mark)
        if (
            groups
            and re.fullmatch("[1-9][0-9]{0,2}", first)
            and all(re.fullmatch("[0-9]{3}", group) for group in groups)
        ):
            return int(first + "".join(groups))
    return None


@lru_cache(maxsize=4096)
def words(value: int, language: str, to: str = "cardinal") -> str:
    """Words of a number by num2words, corrected. Raises UnreadableError where there are none."""
    from num2words import num2words

    try:
        spoken = str(num2words(value, lang=language, to=to))
    except NUMBER_ERRORS:
        raise UnreadableError(f"no words for {value} in {language}") from None
    return _corrected(spoken, value, language)


def _corrected(spoken: str, value: int, language: str) -> str:
    if language == "en":
        return spoken.replace(" and ", " ").replace(",", "")
    if language == "es":
        return re.sub(r"veintiuno (?=mil)", "veintiún ", re.sub(r"\buno (?=mil)", "un ", spoken))
    if language == "fr":
        return spoken.replace("vingtsième", "vingtième")
    if language == "nl":
        if 1100 <= value < 2000 and value % 1000 and not spoken.endswith(("ste", "de")):
            rest = value % 100
            return words(value // 100, "nl") + "honderd" + (words(rest, "nl") if rest else "")
        return re.sub(r"duizend(?=[a-zé])(?!ste$)", "duizend ", spoken)
    if language == "it":
        return spoken.replace("dicott", "diciott")  # num2words elides an i behind hundreds: 118, 1918
    if language == "ru":
        return re.sub(r"^одна (?=тысяча)", "", spoken)
    if language == "pt" and re.search("dezasse|dezanove", spoken):
        raise UnreadableError(f"{value} is read differently in Brazil and Portugal")
    return spoken


def varies(value: int, language: str) -> bool:
    """Whether the form of a cardinal depends on the counted noun. For Slavic languages see slavic.py."""
    last, tail = value % 10, value % 100
    if language == "de":
        return tail == 1
    if language == "fr":
        return last == 1 and tail not in (11, 71, 91)
    if language == "it":
        return value == 1
    hundreds = any(part // 100 > 1 for part in (value % 1000, value // 1000 % 1000))
    if language == "es":
        return (last == 1 and tail != 11) or hundreds or (value // 1000 % 10 == 1 and value // 1000 % 100 != 11 > 1)
    if language == "pt":
        thousands = value // 1000 % 1000
        parts = (value % 1000, thousands if thousands > 1 else 0)
        return hundreds or any(part % 10 in (1, 2) and part % 100 not in (11, 12) for part in parts)
    return False


def cardinal(value: int, table: Table, gender: str | None = None) -> str:
    """A cardinal. `gender` is that of the noun after it, m or f; None: the form used in counting."""
    if value > table.largest:
        raise UnreadableError(f"{value}: a number of this size is not read as one")
    spoken = words(value, table.language)
    if gender is None or not varies(value, table.language):
        return spoken
    return _agreeing(spoken, table.language, gender)


_AGREE = {
    ("fr", "f"): [(r"\bun$", "une"), (r"-un$", "-une")],
    ("es", "m"): [(r"veintiuno$", "veintiún"), (r"\buno$", "un")],
    ("es", "f"): [(r"uno$", "una"), (r"ientos\b", "ientas")],
    ("it", "m"): [(r"^uno$", "un")],
    ("it", "f"): [(r"^uno$", "una")],
    ("pt", "f"): [(r"\bum$", "uma"), (r"\bdois(?= mil\b|$)", "duas"), (r"entos\b", "entas")],
}


def _agreeing(spoken: str, language: str, gender: str) -> str:
    if language == "de":
        raise UnreadableError("the form of one depends on the noun's case")
    for pattern, form in _AGREE.get((language, gender), []):
        spoken = re.sub(pattern, form, spoken)
    return spoken


def ordinal(value: int, table: Table, gender: str = "m") -> str:
    """An ordinal in the nominative."""
    language = table.language
    if language == "es" and value > 10:
        raise UnreadableError("Spanish ordinals above ten are often read as cardinals")
    if language == "fr" and value == 1:
        return "première" if gender == "f" else "premier"
    spoken = words(value, language, "ordinal")
    if language in ("es", "it", "pt") and gender == "f":
        return re.sub(r"o\b", "a", spoken)
    return spoken


def decimals(number: Number, table: Table) -> str:
    """Words for the decimal mark and the digits after it."""
    point = {"es": "punto", "en": "point"}.get(table.language) if number.mark == "." else table.signs["point"]
    digits = number.decimals
    if table.text("decimals") == "digits" or len(digits) > 2:
        if table.text("decimals") != "digits":
            raise UnreadableError("more than two decimals are read in several ways")
        return f"{point} {' '.join(words(int(digit), table.language) for digit in digits)}"
    zeros = [words(0, table.language)] * (len(digits) - len(digits.lstrip("0")))
    rest = digits.lstrip("0")
    return " ".join([str(point), *zeros, *([words(int(rest), table.language)] if rest else [])])


def plural(value: int, language: str, *, is_decimal: bool = False) -> int:
    """Index of the noun form for a number: 0 one, 1 several, 2 many (Slavic), 3 fractions (Slavic)."""
    if language not in ("pl", "ru"):
        return int(not (value < 2 if language == "fr" else value == 1 and not is_decimal))
    if is_decimal:
        return 3
    if value == 1 or (language == "ru" and value % 10 == 1 and value % 100 != 11):
        return 0
    return 1 if value % 10 in (2, 3, 4) and value % 100 not in (12, 13, 14) else 2
