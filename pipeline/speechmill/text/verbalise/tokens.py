"""Splits text into tokens: punctuation apart, and numbers written with spaces joined."""

import re
import unicodedata
from dataclasses import dataclass

from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.tables import Table

MOST_DIGITS = 40  # digits that are joined; more are no number
UNSPOKEN = "*_~|•¿¡\ufe0e\ufe0f"
_KEYCAP = "\u20e3"
_EMOJI = "\U0001f000-\U0001faff\U0001fb00-\U0001fbff\u2600-\u27bf\u2b00-\u2bff\u231a-\u23ff\ufe0e\ufe0f"
_MARKUP = re.compile(
    rf"</?(?:i|b|u|s|em|strong|br|p|font|span|c|v)(?:[ .][^<>]{{0,80}})?/?>|[{_EMOJI}♪♫♬♩™®\u2122]", re.IGNORECASE
)
_HEARTS = "\u2665\u2763\u2764\U0001f493-\U0001f49f\U0001f5a4\U0001f90d\U0001f90e\U0001f9e1"
_HEART = re.compile(rf"[^\W_] ?[{_HEARTS}]\ufe0f? ?[^\W_]")
_AMONG_WORDS = re.compile(rf"[^\W_] ?[{_EMOJI}]{{1,8}} ?([^\W\d_])")
# Full-width forms, ligatures, circled digits, and Roman numerals and units as one character.
_COMPATIBLE = re.compile("[\uff01-\uff5e\ufb00-\ufb06\u2460-\u2473\u2160-\u2188\u2103\u2109\u3371-\u33df]")
_TOKEN = re.compile(r"(\s*)([^\s—…]+|[—…]+)")
_LEAD = re.compile(r"[\"'“”„«»‚‘’‹›(\[{¿¡*_~|•–\-]*")
_TAIL = "\"'“”’‘»«›‹)]}.,;:!?*_~|–-"
_DIGITS = re.compile(r"\d+")
_NUMERIC = re.compile(r"(?:.*\D)?\d", re.DOTALL)
_SIGNS = ("%", "‰", "°C", "°F", "°С", "°")


@dataclass(slots=True)
class Token:
    """Whitespace before a token, its opening punctuation, its core, and its closing punctuation."""

    gap: str
    lead: str
    core: str
    tail: str

    @property
    def is_numeric(self) -> bool:
        """Whether it contains a digit."""
        return _DIGITS.search(self.core) is not None


def plain(text: str) -> str:
    """Remove what is not read (emoji, tags, notes) and convert digits to ASCII. Raises UnreadableError."""
    if _KEYCAP in text:
        raise UnreadableError("an emoji of a digit may be spoken or not")
    if _HEART.search(text) or any(match[1].islower() for match in _AMONG_WORDS.finditer(text)):
        raise UnreadableError("an emoji among words may stand for one")
    text = _COMPATIBLE.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = _MARKUP.sub(" ", text)
    return re.sub(r"\d", lambda match: str(unicodedata.decimal(match[0])), text)


def tokenise(text: str, table: Table) -> list[Token]:
    """Split a text into tokens."""
    tokens = [_token(gap, word) for gap, word in _TOKEN.findall(text)]
    return _signs(_grouped(_letters(tokens, table), table), table)


def _token(gap: str, word: str) -> Token:
    match = _LEAD.match(word)
    assert match is not None
    at = match.end()
    if at and word[at - 1] in "-–" and word[at : at + 1] and (word[at].isdecimal() or word[at] in "$€£¥₹₽"):
        at -= 1  # a sign
    rest = word[at:]
    core = rest.rstrip(_TAIL)
    return Token(gap, word[:at], core, rest[len(core) :])


def _letters(tokens: list[Token], table: Table) -> list[Token]:
    """Join abbreviations written with spaces, such as `z. B.`."""
    abbreviations = table.map("abbreviations")
    joined: list[Token] = []
    for token in tokens:
        last = joined[-1] if joined else None
        if last and last.tail == "." and not token.lead and f"{last.core}.{token.core}".lower() in abbreviations:
            last.core, last.tail = f"{last.core}.{token.core}", token.tail
        else:
            joined.append(token)
    return joined


def _grouped(tokens: list[Token], table: Table) -> list[Token]:
    """Join successive groups of digits: thousands written with spaces, or no number at all."""
    joined: list[Token] = []
    for token in tokens:
        last = joined[-1] if joined else None
        joins = token.gap and (_is_digits(token.core) or _continues(token.core))
        if (
            last
            and joins
            and not last.tail
            and not token.lead
            and len(last.core) < MOST_DIGITS
            and _all_digits(last.core)
        ):
            last.core, last.tail = f"{last.core} {token.core}", token.tail
        else:
            joined.append(token)
    for token in joined:
        groups = token.core.count(" ")
        if groups and (table.language == "en" or groups > 1) and not re.search(r"000\D*$", token.core):
            token.core = token.core.replace(" ", "  ")  # matches no kind: it may be a telephone number
    return joined


def _is_digits(core: str) -> bool:
    return _DIGITS.fullmatch(core) is not None


def _all_digits(core: str) -> bool:
    return core.replace(" ", "").isdecimal()


def _continues(core: str) -> bool:
    return re.match(r"\d{3}(?:[.,]\d+)?(?:%|€|\$)?$", core) is not None


def _signs(tokens: list[Token], table: Table) -> list[Token]:
    """Join a sign with its number: `5 €`, `€ 5`, `5 %`, `10 °C`."""
    joined: list[Token] = []
    opened: Token | None = None
    for token in tokens:
        last = joined[-1] if joined else None
        is_sign = token.core in table.currencies or token.core in _SIGNS
        is_before = opened is not None and opened is last and token.core[:1].isdecimal()
        is_behind = is_sign and last is not None and not last.tail and _ends_numeric(last.core)
        if last and not token.lead and (is_before or is_behind):
            last.core, last.tail = last.core + token.core, token.tail
        else:
            joined.append(token)
            opened = token if token.core in table.currencies and not token.tail else None
            continue
        opened = None
    return joined


def _ends_numeric(core: str) -> bool:
    return core[-1:].isdecimal() or core[-1:] in ("½", "¼", "¾")
