"""A text token by token: classified by its characters, read by the first kind that takes it."""

import re

from speechmill.text.verbalise import lexical, quantities
from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.numbers import words
from speechmill.text.verbalise.place import Place, Reading
from speechmill.text.verbalise.relations import has_fraction
from speechmill.text.verbalise.tables import LANGUAGES, Table, table_of
from speechmill.text.verbalise.tokens import UNSPOKEN, Token, plain, tokenise

_SILENT = str.maketrans("", "", UNSPOKEN)
_DIGITS = re.compile(r"\d+")
_LONGEST_GUESS = 12  # digits; some languages of num2words never end on longer ones


def verbalise(text: str, language: str | None, *, guess: bool = False) -> str:
    """A text with its numbers, signs and abbreviations in words of its language, else as it was.

    language: ISO 639-1; None: not known. guess: read what is not certain in the plainest way, and leave out what has no
    reading; for comparing texts. Else raises UnreadableError, with the reason. Takes time in proportion to the text.
    """
    try:
        cleared = plain(text)
    except UnreadableError:
        if not guess:
            raise
        cleared = text
    if language not in LANGUAGES:
        return _without_rules(cleared, language, guess=guess)
    table = table_of(language)
    tokens = tokenise(cleared, table)
    out: list[str] = []
    at = 0
    while at < len(tokens):
        spoken, at = _spoken(tokens, at, table, guess=guess)
        out.append(spoken)
    return "".join(out)


def _spoken(tokens: list[Token], at: int, table: Table, *, guess: bool) -> tuple[str, int]:
    """What is said of one or more tokens from `at` on, and where the next begins."""
    token = tokens[at]
    if not token.core:
        return _punctuation(tokens, at, table, guess=guess), at + 1
    try:
        found = (quantities if token.is_numeric or has_fraction(token.core) else lexical).read(Place(tokens, at, table))
    except UnreadableError:
        if not guess:
            raise
        found = Reading(_guessed(token.core, table.language))
    last = tokens[at + found.count - 1]
    tail = last.tail if found.tail is None else found.tail
    lead = token.lead.rstrip("'’") if found.drops_apostrophe else token.lead
    return token.gap + lead.translate(_SILENT) + found.text + tail.translate(_SILENT), at + found.count


def _punctuation(tokens: list[Token], at: int, table: Table, *, guess: bool) -> str:
    token = tokens[at]
    mark = token.lead + token.tail
    is_between = 0 < at < len(tokens) - 1 and tokens[at - 1].is_numeric and tokens[at + 1].is_numeric
    if is_between and mark in ("-", "–", "*", "|", "~", ":"):
        if mark in "-–" and Place(tokens, at, table).is_near("="):
            return f"{token.gap}{table.signs['minus']}"
        if not guess:
            raise UnreadableError(f"{mark} between numbers has several readings")
    return token.gap + mark.translate(_SILENT)


def _without_rules(text: str, language: str | None, *, guess: bool) -> str:
    doubtful = lexical.unreadable(text)
    if doubtful is None:
        return text.translate(_SILENT)
    if not guess:
        known = f"no rules for numbers and signs in {language}" if language else "language unknown"
        raise UnreadableError(f"{known}: {doubtful}")
    return _guessed(text, language or "")


def _guessed(text: str, language: str) -> str:
    return _DIGITS.sub(lambda digits: f" {_plainest(digits[0], language)} ", lexical.without_symbols(text)).strip()


def _plainest(digits: str, language: str) -> str:
    if len(digits) > _LONGEST_GUESS or language == "am":  # num2words never ends on some of its numbers
        return digits
    try:
        return words(int(digits), language)
    except UnreadableError:
        return digits
