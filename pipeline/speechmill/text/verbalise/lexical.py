"""Reads tokens without digits: words, abbreviations, Roman numerals, signs between words, web addresses."""

import re
import unicodedata

from speechmill.text.verbalise import slavic
from speechmill.text.verbalise.counts import OPERATORS
from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.numbers import cardinal, ordinal
from speechmill.text.verbalise.place import Place, Reading
from speechmill.text.verbalise.relations import operator
from speechmill.text.verbalise.tables import context
from speechmill.text.verbalise.tokens import UNSPOKEN
from speechmill.text.verbalise.unread import refuse_unread

_PUNCTUATION = frozenset(
    " \"'“”„«»‚‘’‹›()[]{}.,;:!?-–—…/‐‑`´ʼ·,、。「」『』！？：；《》〈〉，．・؟،¿¡*_~|•\ufe0e\ufe0f"
)
_DOMAIN = re.compile(
    r"(?:[A-Za-z]{2,40}\.){1,4}(?:com|org|net|edu|gov|io|info|eu|tv|de|fr|es|it|pt|nl|pl|ru|uk|br)(?:/[A-Za-z]{1,40}){0,4}/?"
)
_EMAIL = re.compile(r"[A-Za-z]{1,40}(?:\.[A-Za-z]{1,40}){0,3}@(?:[A-Za-z]{1,40}\.){1,3}[a-z]{2,6}")
_ROMAN = re.compile("(?=.)M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_BEHIND_NUMBERED = ("in", "on", "of", "at", "to", "for", "by", "from", "with")  # what may follow English `no. 5`
_BEHIND_PART = (*_BEHIND_NUMBERED, "and", "or", "was", "is", "began", "ended", "broke")  # what may follow `Part I`
_SHORT_UNIT = re.compile(
    r"[^\W\d_]{1,3}/[^\W\d_]{1,3}|(?!pm$|vs$|dr$|mr$|ms$|mrs$|tv$)[b-df-hj-np-tv-xz]{2,3}|[KMGT]o"
)  # after a number
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_BARE_UNITS = ("kg", "km", "cm", "mm", "ml", "kHz", "MHz", "GHz", "km/h", "mph", "кг", "км", "см", "мм", "км/ч", "мл")
MOST_TENS = 10  # Spanish and Portuguese use ordinals of kings and centuries up to here


def read(place: Place) -> Reading:
    """Read a token without digits. Raises UnreadableError."""
    for kind in (_abbreviation, _roman, _address, _sign):
        reading = kind(place)
        if reading is not None:
            return reading
    core = place.core
    reason = unreadable(core)
    if reason is not None:
        raise UnreadableError(reason)
    if any(mark in core for mark in UNSPOKEN):
        raise UnreadableError(f"{core} may leave something out")
    if len(core) == 1 and "\u0370" <= core <= "\u03ff":
        raise UnreadableError(f"{core} has no certain name here")
    if not place.is_spoken:
        refuse_unread(place)
    last = place.previous
    follows_number = last is not None and last.is_numeric and not last.tail  # "press 6. To go on" has no unit
    if core in _BARE_UNITS or (follows_number and _SHORT_UNIT.fullmatch(core)):
        raise UnreadableError(f"{core} without a number has no certain form")
    return Reading(core)


def unreadable(text: str) -> str | None:
    """Why a text cannot be read without rules; None if it can."""
    for character in text:
        kind = unicodedata.category(character)
        if not (kind[0] in "LMZ" or character in _PUNCTUATION):
            return f"{character!r} has no certain reading"
    return None


def without_symbols(text: str) -> str:
    """A text without characters that have no reading; digits stay."""
    return "".join(c if c.isdecimal() or unreadable(c) is None else " " for c in text)


def _abbreviation(place: Place) -> Reading | None:
    core, table, following = place.core, place.table, place.next
    word, dotted = core.lower(), place.token.tail.startswith(".")
    is_name_next = following is not None and following.core[:1].isupper() and not following.lead
    if core in table.map("undotted") and is_name_next and not place.token.tail:
        return _certain(core, table.map("undotted")[core])
    if "." in word and word in table.map("abbreviations") and not dotted:
        return _certain(core, table.map("abbreviations")[word])
    if core == "M" and dotted and table.language == "fr" and following is not None and following.core == "et":
        return Reading("monsieur", tail="")
    if (
        word in table.map("numbered")
        and following is not None
        and following.is_numeric
        and (dotted or word in ("nr", "№", "n°", "nº", "n.º"))
    ):
        if word == "no" and _may_be_no(place):
            raise UnreadableError(f"{core}. before a number may be number or no")
        return Reading(table.map("numbered")[word], tail="")
    if core == "No" and table.language == "en" and following is not None and following.is_numeric and not dotted:
        raise UnreadableError("No before a number may be number or no")
    if not dotted:
        return None
    if word in table.map("abbreviations"):
        return _certain(
            core, table.map("abbreviations")[word], tail=place.token.tail if following is None else place.token.tail[1:]
        )
    if word in table.map("titles"):
        return _title(place, word, is_name_next=is_name_next)
    return None


def _may_be_no(place: Place) -> bool:
    """Whether English `no.` may be a word that ends a sentence: The answer is no. 12 people left."""
    at = place.at + 2
    if at >= len(place.tokens) or place.tokens[at - 1].tail:
        return False
    behind = place.tokens[at].core
    if behind in _BEHIND_NUMBERED:
        return False
    is_counted = behind[:1].islower() and behind not in context("verbs")
    return is_counted or place.before in ("or", "say", "says", "said", "is", "was", "answered")


def _certain(short: str, long: str, *, tail: str | None = None) -> Reading:
    """Reading of an abbreviation in a table; "" means that its form depends on the sentence."""
    if not long:
        raise UnreadableError(f"{short} has several readings")
    return Reading(long, tail=tail)


def _title(place: Place, word: str, *, is_name_next: bool) -> Reading | None:
    last = place.previous
    follows_name = last is not None and last.core[:1].isupper() and place.before is not None and place.at > 1
    if is_name_next and place.table.language == "en" and place.core.islower():
        raise UnreadableError(f"{place.core}. may be a title or end a sentence")
    if (
        is_name_next
        and place.token.tail == "."
        and not (word in ("st", "dr") and follows_name and place.table.language == "en")
    ):
        return Reading(place.table.map("titles")[word], tail="")
    if place.core[0].isupper() and len(word) > 1:
        raise UnreadableError(f"{place.core}. has several readings here")
    return None


# --- Roman numerals ---


def _roman(place: Place) -> Reading | None:
    core, table = place.core, place.table
    if table.language == "fr" and core in ("Ier", "Ire", "Ière"):
        return Reading("premier" if core == "Ier" else "première")
    century = re.fullmatch(r"([IVX]+)(?:e|ème)", core) if table.language == "fr" else None
    digits = century[1] if century else core
    if re.fullmatch("[IVX]{2,}(?:e|ste|th|st|nd|rd|º|ª|-[а-я]{1,2})", core) and not century:
        raise UnreadableError(f"how {core} is read is not certain")
    if not digits or not _ROMAN.fullmatch(digits):
        return None
    value = _value(digits)
    reading = _century(place, value) or _regnal(place, value)
    if reading is not None:
        return reading
    if century:
        return Reading(ordinal(value, table))
    if place.before is not None and place.before in table.list("roman_after") and (len(core) > 1 or _is_part(place)):
        return Reading(cardinal(value, table))
    is_alone = len(core) == 1 and core in "IVX" and (_follows_name(place) or _is_german_ordinal(place))
    if is_alone or (len(core) > 1 and set(core) <= set("IVX")) or len(core) > 3:
        raise UnreadableError(f"how {core} is read is not certain")
    return None


def _is_part(place: Place) -> bool:
    """Whether a single letter is the number of a part: Chapter V, World War I. Raises UnreadableError for another I."""
    last, following = place.previous, place.next
    if last is None or place.core not in "IVX" or not last.core[:1].isupper():
        return False
    is_word = following and not place.token.tail and following.core not in _BEHIND_PART
    if place.core == "I" and (is_word or place.table.language == "fr"):  # acte un, acte premier
        raise UnreadableError(f"I behind {last.core} may be a word or a number")
    return True


def _is_german_ordinal(place: Place) -> bool:
    """Whether it may be a German ordinal, or else an initial: I. Akt."""
    is_before_noun = place.next is not None and place.next.core[:1].isupper()
    return place.table.language == "de" and place.token.tail == "." and is_before_noun


def _follows_name(place: Place) -> bool:
    """Whether a single letter comes after a name, and so may be a number; in English, I is mostly a word."""
    last = place.previous
    if last is None or place.before is None or not last.core[:1].isupper() or len(last.core) < 3:
        return False
    return not (place.table.language == "en" and (place.core == "I" or last.core == "Malcolm"))


def _value(digits: str) -> int:
    values = [_VALUES[digit] for digit in digits]
    return sum(
        -current if current < following else current
        for current, following in zip(values, [*values[1:], 0], strict=True)
    )


def _century(place: Place, value: int) -> Reading | None:
    table, century = place.table, place.table.map("century")
    after = (place.after or "").lower()
    if not century or not (place.before in century["before"] or after in century["after"]):
        return None
    if century["form"] == "slavic":
        return Reading(_slavic_century(place, value, after))
    if century["form"] in ("cardinal", "mixed") and value > MOST_TENS:
        return Reading(cardinal(value, table))
    return Reading(ordinal(value, table))


def _slavic_century(place: Place, value: int, century: str) -> str:
    if century in ("wiek", "век"):
        if place.before not in (None, "to", "это", "был"):
            raise UnreadableError("the case of a century is not certain")
        return slavic.ordinal(value, place.table)
    is_locative = century == "веке" or (century == "wieku" and place.before in ("w", "we"))
    if century == "wieku" and place.before in ("o", "po", "na", "przy", "ku"):
        raise UnreadableError("the case of a century is not certain")
    return slavic.ordinal(value, place.table, "loc" if is_locative else "gen")


def _regnal(place: Place, value: int) -> Reading | None:
    last, table = place.previous, place.table
    if last is None or last.tail or place.before is None:
        return None
    form = ""
    gender = next((g for g, names in table.map("regnal").items() if last.core in names), None)
    if gender is None:
        gender = next((g for g, names in table.map("regnal_genitive").items() if last.core in names), None)
        form = "gen"
    if gender is None or value > 39:
        return None
    if place.core == "I" and table.language in ("en", "fr"):
        raise UnreadableError("I behind a name may be a number or a word")
    tail = place.token.tail
    if table.language == "de":
        if place.at != 1:
            raise UnreadableError("the case of a king's number is not certain")
        tail = tail[1:] if tail.startswith(".") and place.next else tail
    return Reading(_number_of_king(place, value, gender, form), tail=tail)


def _number_of_king(place: Place, value: int, gender: str, form: str) -> str:
    table = place.table
    if table.is_slavic:
        wanted = {("m", ""): "", ("m", "gen"): "gen", ("f", ""): "f", ("f", "gen"): "f_gen"}[gender, form]
        return slavic.ordinal(value, table, wanted)
    pattern = table.map("regnal_pattern")[gender] if table.language == "de" else table.text("regnal_pattern")
    if pattern == "{cardinal}":
        return "premier" if value == 1 else cardinal(value, table)
    if pattern == "{mixed}":
        return ordinal(value, table, gender) if value <= MOST_TENS else cardinal(value, table)
    return str(pattern).format(ordinal=ordinal(value, table, gender))


# --- signs and addresses ---


def _address(place: Place) -> Reading | None:
    core, signs = place.core, place.table.signs
    if _EMAIL.fullmatch(core) or _DOMAIN.fullmatch(core):
        if "@" in core and "at" not in signs:
            raise UnreadableError("@ has several readings")
        spoken = re.sub(r"^www\.", "w w w.", core.rstrip("/"), flags=re.IGNORECASE)
        for mark, name in ((".", "dot"), ("@", "at"), ("/", "slash")):
            spoken = spoken.replace(mark, f" {signs.get(name)} ")
        return Reading(spoken)
    if "://" in core or core.lower().startswith("www."):
        raise UnreadableError("an address of the web")
    if re.fullmatch(r"#[^\W\d_]{2,60}", core):
        if re.search(r"[a-zа-яё][A-ZА-ЯЁ]", core):
            raise UnreadableError(f"the words of {core} are not apart")
        return Reading(f"{signs['hashtag']} {core[1:]}")
    if re.fullmatch(r"@[A-Za-z]{2,40}", core) and "at" in signs:
        return Reading(f"{signs['at']} {core[1:]}")
    return None


def _sign(place: Place) -> Reading | None:
    core, table, last = place.core, place.table, place.previous
    if core == "/" and (last is None or last.is_numeric or (place.next and place.next.is_numeric)):
        raise UnreadableError("/ beside a number has several readings")
    if core == "&":
        following = place.next.core.lower() if place.next else ""
        is_e = table.language == "es" and re.match(r"h?i(?!e)", following)
        return Reading("e" if is_e else table.signs["and"])
    if table.language == "en" and re.fullmatch(r"[A-Z](?:&[A-Z]){1,2}", core):
        return Reading(core.replace("&", " and "))
    if table.language == "en" and core in ("AT&T", "C#", "F#"):
        return Reading({"AT&T": "a t and t", "C#": "c sharp", "F#": "f sharp"}[core])
    if re.fullmatch(r"[A-Z]\+{1,2}", core):
        return Reading(f"{core.rstrip('+')}{core.count('+') * (' ' + table.signs['plus'])}")
    if core in table.currencies:
        if last is None or last.core not in table.map("scales"):
            raise UnreadableError(f"{core} without a number has no certain form")
        return Reading(table.currencies[core]["forms"][-1 if not table.is_slavic else 2])
    if core in ("x", "X", "х") and last is not None and last.is_numeric and not last.tail:
        raise UnreadableError("x behind a number has several readings")
    if core in OPERATORS:
        return operator(place)
    return None
