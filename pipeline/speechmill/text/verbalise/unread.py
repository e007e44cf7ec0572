"""Finds words that are not spoken as they are spelt and that no table reads: abbreviations, codes, symbols of units."""

import re
import unicodedata

from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.place import Place
from speechmill.text.verbalise.tables import context

_SHORTEST_WORD = 4  # letters; fewer in front of a full stop and a number are likely an abbreviation
_LONGEST_SHORT = 5  # letters of abbreviations that look like words: allg., Inh., subst.
_LETTER_WORDS = frozenset("aàáeèéioóuyxnаеиоуыэюяіб")  # words of one letter that end sentences, and names of numbers
_HYPHENATED = re.compile(r"([бгджзклмнпрстфхцчшщ])-(?!\1|да\b)[а-яё]{1,3}")  # д-р, г-н, б-ка
_VOWEL = re.compile("[aeiouyаеёиоуыэюяіїє]")
_INTERJECTION = re.compile("[hm]+|p?f+t?|p?s+h*t?|s?h+|tsk|b?r{2,}|g?r{2,}|z{2,}|[хм]+|гм+|т?с{2,}|ш+|бр{2,}")
_DOTTED = re.compile(r"[^\W\d_]{1,3}(?:\.-?[^\W\d_]{1,4})+")
_SLASHED = re.compile(r"[^\W\d_]{1,2}/[^\W\d_]{0,2}")
_SMALL_ROMAN = re.compile("ii|iii|iv|vii|viii|ix|xi{1,3}|xiv|xv|xvi{1,3}|xix|xx", re.IGNORECASE)
_POSSESSIVE_ROMAN = re.compile("[IVX]{2,}['’]s?")
_STREET = re.compile(r"[^\W\d_]{2,}str", re.IGNORECASE)
_SAINT = re.compile(r"(?:St|Ste|Sts|Stes)-[^\W\d_]+")
_SENTENCES_BEGIN_WITH_I = ("it", "pl")  # the Italian article, Polish for `and`
_NUMERAL_BEFORE_NOUN = ("es", "fr", "it", "pl", "pt", "ru")  # where V and X are rarely names


def refuse_unread(place: Place) -> None:
    """Raise UnreadableError for a word that stands for another one which is not known."""
    kinds = (_is_abbreviation, _is_unit, _is_roman, _is_cut)
    if any(kind(place) for kind in kinds) or _has_small_letters(place.core):
        raise UnreadableError(f"{place.core} stands for something that is not in the tables")


def _is_abbreviation(place: Place) -> bool:
    """Whether a full stop behind it is none: `Tsd.`, `Eq. 3`; consonants alone are no word."""
    core, following = place.core, place.next
    if _HYPHENATED.fullmatch(core):
        return True
    if not place.token.tail.startswith(".") or place.token.tail.startswith("..") or not core.isalpha():
        return False
    if _is_short(place):
        return True
    if len(core) <= _SHORTEST_WORD and place.token.tail == "." and following is not None and following.is_numeric:
        return True
    if len(core) == 1:
        return False
    is_spelt = core[1:].islower() and core != "Ms"
    return is_spelt and not _VOWEL.search(_bare(core)) and not _INTERJECTION.fullmatch(core.lower())


def _is_short(place: Place) -> bool:
    """Whether it is a single small letter that is no word, or a short word in mid-sentence: `XIXe s.`, `allg. gilt`."""
    core, following, first = place.core, place.next, place.tokens[0].core
    if len(core) == 1:
        return core.islower() and core not in _LETTER_WORDS and place.table.language != "en"
    if place.token.tail != "." or following is None or following.lead or not first[:1].isupper():
        return False
    return len(core) <= _LONGEST_SHORT and following.core[:1].islower()


def _bare(word: str) -> str:
    """A word in lower case, without accents."""
    return unicodedata.normalize("NFD", word.lower())


def _is_unit(place: Place) -> bool:
    """Whether it is the symbol of a unit or a currency next to a number, or the short name of a month or day."""
    core, last, following = place.core, place.previous, place.next
    is_behind = last is not None and last.is_numeric and not last.tail
    is_before = following is not None and following.is_numeric and not place.token.tail
    if core in context("currency_codes") or core in place.table.list("short_names"):
        return is_behind or is_before
    return is_behind and (
        core in context("unit_symbols") or (core in context("last_unit_symbols") and place.after is None)
    )


def _is_roman(place: Place) -> bool:
    """Whether it is a Roman numeral that no rule has read."""
    core = place.core
    if _SMALL_ROMAN.fullmatch(core) or _POSSESSIVE_ROMAN.fullmatch(core):
        return True
    if core == "I" and place.table.language != "en" and not place.token.tail.startswith("."):
        return place.table.language not in _SENTENCES_BEGIN_WITH_I or place.before is not None
    if core in ("V", "X") and place.before in ("de", "der"):  # Karel de V
        return True
    return core in ("V", "X") and place.table.language in _NUMERAL_BEFORE_NOUN and place.after is not None


def _is_cut(place: Place) -> bool:
    """Whether letters are left out inside it: `p.ex`, `w/o`, `Hauptstr.`, `St-Pierre`, or it is in the table."""
    core, language = place.core, place.table.language
    unit, slash, _ = core.partition("/")
    if slash and place.previous is not None and place.previous.is_numeric and unit in place.table.list("units"):
        return True
    if core in place.table.list("unread") or (_SLASHED.fullmatch(core) and (core.islower() or core.endswith("/"))):
        return True
    if language in ("de", "nl") and place.token.tail.startswith(".") and _STREET.fullmatch(core):
        return True
    if language == "fr" and _SAINT.fullmatch(core):
        return True
    return language != "en" and _DOTTED.fullmatch(core) is not None and not core.isupper()


def _has_small_letters(core: str) -> bool:
    """Whether it has superscript letters, as in `Vᵉ`."""
    return any(unicodedata.decomposition(character).startswith("<super>") for character in core)
