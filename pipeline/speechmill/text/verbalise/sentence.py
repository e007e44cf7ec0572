"""Verbalises a text token by token; each is read by the first kind that matches."""

import re

from speechmill.text.verbalise import lexical, quantities
from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.numbers import words
from speechmill.text.verbalise.place import Place, Reading
from speechmill.text.verbalise.relations import has_fraction
from speechmill.text.verbalise.tables import LANGUAGES, table_of
from speechmill.text.verbalise.tokens import UNSPOKEN, plain, tokenise

_SILENT = str.maketrans("", "", UNSPOKEN)
_DIGITS = re.compile(r"\d+")
_LONGEST_GUESS = 12  # digits; some languages of num2words never end on longer ones


def verbalise(text: str, language: str | None, *, guess: bool = False, is_spoken: bool = False) -> str:
    """Replace numbers, signs and abbreviations in a text by words of its language. Takes linear time.

    `language` is an ISO 639-1 code; None: unknown. With `guess`, uncertain tokens get the simplest reading, and
    characters without a reading are left out, for comparing texts; otherwise raises UnreadableError with the reason.
    `is_spoken`: the text is a normal form, in which capitals that tell initials from abbreviations are gone.
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
        spoken, at = _spoken(Place(tokens, at, table, is_spoken), guess=guess)
        out.append(spoken)
    return "".join(out)


def _spoken(place: Place, *, guess: bool) -> tuple[str, int]:
    """Words of one or more tokens from a place on, and the index of the next token."""
    tokens, at, token = place.tokens, place.at, place.token
    if not token.core:
        return _punctuation(place, guess=guess), at + 1
    try:
        reading = (quantities if token.is_numeric or has_fraction(token.core) else lexical).read(place)
    except UnreadableError:
        if not guess:
            raise
        reading = Reading(_guessed(token.core, place.table.language))
    last = tokens[at + reading.count - 1]
    tail = last.tail if reading.tail is None else reading.tail
    lead = token.lead.rstrip("'’") if reading.drops_apostrophe else token.lead
    return token.gap + lead.translate(_SILENT) + reading.text + tail.translate(_SILENT), at + reading.count


def _punctuation(place: Place, *, guess: bool) -> str:
    tokens, at, token = place.tokens, place.at, place.token
    mark = token.lead + token.tail
    is_between = 0 < at < len(tokens) - 1 and tokens[at - 1].is_numeric and tokens[at + 1].is_numeric
    if mark == "*" and at + 1 < len(tokens) and tokens[at + 1].is_numeric and not guess:
        raise UnreadableError("* before a number has several readings")
    if is_between and mark in ("-", "–", "*", "|", "~", ":"):
        if mark in "-–" and place.is_near("="):
            return f"{token.gap}{place.table.signs['minus']}"
        if not guess:
            raise UnreadableError(f"{mark} between numbers has several readings")
    return token.gap + mark.translate(_SILENT)


def _without_rules(text: str, language: str | None, *, guess: bool) -> str:
    reason = lexical.unreadable(text)
    if reason is None:
        return text.translate(_SILENT)
    if not guess:
        cause = f"no rules for numbers and signs in {language}" if language else "language unknown"
        raise UnreadableError(f"{cause}: {reason}")
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
