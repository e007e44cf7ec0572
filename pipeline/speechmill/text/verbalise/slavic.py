"""Russian and Polish: forms of numbers before nouns.

Only numbers in the nominative or accusative are read, and only where the noun's ending and the previous
word show this case. Where the two cases differ, or another case is possible, UnreadableError is raised.
"""

import re
from functools import lru_cache
from typing import Any

from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.numbers import plural, words
from speechmill.text.verbalise.tables import Table

_POLISH = {  # endings of an adjective in -y or -i
    "gen": ("ego", "iego"), "loc": ("ym", "im"), "f": ("a", "a"), "f_gen": ("ej", "iej"), "plural": ("e", "ie"),
    "plural_gen": ("ych", "ich"),
}  # fmt: skip
_RUSSIAN: dict[str, dict[str, Any]] = {
    "gen": {"case": "g"}, "loc": {"case": "p"}, "f": {"gender": "f"}, "f_gen": {"gender": "f", "case": "g"},
    "plural": {"plural": True}, "plural_gen": {"plural": True, "case": "g"},
}  # fmt: skip


def ordinal(value: int, table: Table, form: str = "") -> str:
    """An ordinal: masculine nominative, or `form`: gen, loc, f, f_gen (all oblique cases), plural, plural_gen."""
    if table.language == "pl":
        parts = words(value, "pl", "ordinal").split()
        return " ".join(_declined(word, form) for word in parts) if form else " ".join(parts)
    from num2words import num2words

    return str(num2words(value, lang="ru", to="ordinal", **_RUSSIAN.get(form, {})))


def _declined(word: str, form: str) -> str:
    if not re.search(r"[yi]$", word) or word in ("trzy", "cztery"):
        return word
    hard, soft = _POLISH[form]
    ending = soft if word.endswith("i") else hard
    stem = word[:-1]
    if word.endswith("ci") and form in ("f",):
        return f"{stem}ia"
    return f"{stem}{ending}"


def counted(value: int, noun: str, table: Table) -> str:
    """A number before a noun of the text. Raises UnreadableError where the noun does not have the required form."""
    forms, gender, is_animate = _forms(noun.lower(), value, table)
    if not forms:
        raise UnreadableError(f"the case of {value} before {noun} is not certain")
    return agreed(value, gender, table, is_animate=is_animate)


def agreed(value: int, gender: str, table: Table, *, is_animate: bool = False) -> str:
    """A number in its form for a gender, where nominative and accusative are the same.

    Args:
        value: The number.
        gender: Of the noun: m, f or n.
        table: Of the language.
        is_animate: Whether the noun is animate.

    Raises:
        UnreadableError: The two cases differ.
    """
    last, tail = value % 10, value % 100
    if value > table.largest:
        raise UnreadableError(f"{value}: a number of this size is not read as one")
    if table.language == "ru":
        thousands = value // 1000 % 1000
        if (thousands % 10 == 1 and thousands % 100 != 11) or (
            last == 1 and tail != 11 and (gender == "f" or is_animate)
        ):
            raise UnreadableError(f"the case of {value} is not certain")
        from num2words import num2words

        return str(num2words(value, lang="ru", gender=gender))
    spoken = words(value, "pl")
    if value == 1 and (gender == "f" or is_animate):
        raise UnreadableError("the case of one is not certain")
    if value == 1 and gender == "n":
        return "jedno"
    return re.sub(r"dwa$", "dwie", spoken) if gender == "f" and tail != 12 else spoken


def _forms(noun: str, value: int, table: Table) -> tuple[bool, str, bool]:
    """Whether a noun has the form that a number requires, its gender, and whether it is animate."""
    kind = plural(value, table.language)
    if table.language == "pl":
        row = _polish_nouns(table).get((noun, kind))
        animate = row is not None and row[0] in ("kot", "pies")
        return row is not None, row[3] if row else "m", animate
    return _russian(noun, kind)


def _polish_nouns(table: Table) -> dict[tuple[str, int], Any]:
    return {(row[kind], kind): row for row in table.list("nouns") for kind in (0, 1, 2)}


@lru_cache(maxsize=1)
def _morphology() -> Any:
    import pymorphy3

    return pymorphy3.MorphAnalyzer()


@lru_cache(maxsize=4096)
def _russian(noun: str, kind: int) -> tuple[bool, str, bool]:
    wanted = [{"sing", "nomn"}, {"sing", "gent"}, {"plur", "gent"}][kind]
    nouns = [parsed for parsed in _morphology().parse(noun) if parsed.tag.POS == "NOUN" and parsed.is_known]
    for parsed in nouns:
        if wanted <= parsed.tag.grammemes:
            gender = {"masc": "m", "femn": "f", "neut": "n"}.get(parsed.tag.gender or "", "")
            return bool(gender), gender, parsed.tag.animacy == "anim"
    return False, "m", False


def is_neutral(before: str | None, table: Table) -> bool:
    """Whether a number after a word (None: at the start of a clause) is in the nominative or accusative."""
    if before is None or before in table.list("neutral_before") or before in table.list("labels"):
        return True
    return table.language == "ru" and _is_neutral_in_russian(before, tuple(table.list("governing")))


@lru_cache(maxsize=4096)
def _is_neutral_in_russian(word: str, governing: tuple[str, ...]) -> bool:
    best = _morphology().parse(word)[:1]
    if not best or not best[0].is_known or best[0].normal_form in governing:
        return False
    return best[0].tag.POS in ("VERB", "INFN", "NPRO")
