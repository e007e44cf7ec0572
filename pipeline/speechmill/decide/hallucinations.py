"""Marks of a wrong transcript, from its text, its word times and the recogniser's own numbers.

What a rule looks at is a class here; its numbers, its reason and where they are from are data, in doubts.yaml. No rule
hears the sound, so each holds for what a right transcript of speech hardly ever shows.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from speechmill.core.reasons import Reason

_CLAUSE_END = re.compile(r"[.,;:!?…]+(?:\s|$)|[。｡！？、，]")
_APOSTROPHES = str.maketrans("", "", "'’ʼ")


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A transcript as the rules see it. What a recogniser does not tell is None."""

    text: str
    duration_s: float
    words: Sequence[Mapping[str, Any]] = ()
    language: str | None = None
    no_speech_probability: float | None = None
    avg_logprob: float | None = None

    @cached_property
    def tokens(self) -> list[str]:
        """Its words in lower case; each character that is as wide as high is one."""
        return tokens(self.text)

    @cached_property
    def is_wide(self) -> bool:
        """Whether most of it is Chinese, Japanese or Korean: a character is a syllable."""
        return 2 * sum(map(_is_wide, self.text)) > len(self.text)

    @cached_property
    def lengths_s(self) -> list[float]:
        """How long each word lasts."""
        return [word["end_s"] - word["start_s"] for word in self.words]


def tokens(text: str) -> list[str]:
    """Split a text into words without case, marks and apostrophes; Chinese, Japanese and Korean into characters."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_APOSTROPHES)
    return "".join(f" {c} " if _is_wide(c) else c if _is_letter(c) else " " for c in plain).split()


def _is_letter(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF" and _is_letter(character)


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    reason: Reason
    source: str
    """Where its numbers or phrases are from."""


class Loop(_Rule):
    """The same `shortest` to `longest` words more than `most` times in a row."""

    kind: Literal["loop"]
    shortest: int
    longest: int
    most: int
    wide: bool
    """For texts in Chinese, Japanese or Korean, where a character is a word; else for all others."""

    def holds(self, heard: Heard) -> bool:
        """Whether a transcript shows it."""
        return heard.is_wide == self.wide and self._pattern.search(" ".join([*heard.tokens, ""])) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\S)((?:\S+ ){{{self.shortest},{self.longest}}})\1{{{self.most}}}")


class Monotony(_Rule):
    """One word makes up more than `share` of at least `fewest` words."""

    kind: Literal["monotony"]
    fewest: int
    share: float

    def holds(self, heard: Heard) -> bool:
        """Whether a transcript shows it."""
        if len(heard.tokens) < self.fewest:
            return False
        return Counter(heard.tokens).most_common(1)[0][1] > self.share * len(heard.tokens)


class Rate(_Rule):
    """Fewer than `fewest` or more than `most` characters a second of the clip."""

    kind: Literal["rate"]
    fewest: float
    most: float
    wide: bool

    def holds(self, heard: Heard) -> bool:
        """Whether a transcript shows it."""
        rate = len(heard.text) / heard.duration_s
        return heard.is_wide == self.wide and not self.fewest <= rate <= self.most


class Gap(_Rule):
    """No word for more than `inner_s` or, at the ends of the clip, `edge_s`: longer than a clip is silent."""

    kind: Literal["gap"]
    inner_s: float
    edge_s: float

    def holds(self, heard: Heard) -> bool:
        """Whether a transcript shows it."""
        if not heard.words:
            return False
        inner = [after["start_s"] - word["end_s"] for word, after in pairwise(heard.words)]
        edges = (heard.words[0]["start_s"], heard.duration_s - heard.words[-1]["end_s"])
        return any(gap > self.inner_s for gap in inner) or any(gap > self.edge_s for gap in edges)


class Stretched(_Rule):
    """A word that lasts longer than `longest_s`."""

    kind: Literal["stretched"]
    longest_s: float

    def holds(self, heard: Heard) -> bool:
        """Whether a transcript shows it."""
        return any(length > self.longest_s for length in heard.lengths_s)


class Squeezed(_Rule):
    """More than `share` of the words last no longer than `shortest_s`: text without sound under it."""

    kind: Literal["squeezed"]
    shortest_s: float
    share: float

    def holds(self, heard: Heard) -> bool:
        """Whether a transcript shows it."""
        short = sum(length <= self.shortest_s for length in heard.lengths_s)
        return short > self.share * len(heard.words)


class Unlikely(_Rule):
    """The recogniser's mean log-probability is under `logprob`; and where given, that of no speech over `no_speech`."""

    kind: Literal["unlikely"]
    logprob: float
    no_speech: float = 0.0

    def holds(self, heard: Heard) -> bool:
        """Whether a transcript shows it."""
        if heard.avg_logprob is None or heard.no_speech_probability is None:
            return False
        return heard.avg_logprob < self.logprob and heard.no_speech_probability >= self.no_speech


class Stock(_Rule):
    """A phrase that recognisers learnt from subtitles and write over noise, music and what they cannot follow.

    `whole`: it is all of the text; `outer`: or its first clause, or its end; `anywhere`: it stands somewhere in it.
    Any phrase may come in any language, so those of the phrases only sort them.
    """

    kind: Literal["stock"]
    where: Literal["whole", "outer", "anywhere"]
    phrases: dict[str, tuple[str, ...]]

    def holds(self, heard: Heard) -> bool:
        """Whether a transcript shows it."""
        text = _spaced(heard.text)
        if self.where == "anywhere":
            return any(phrase in text for phrase in self._spaced)
        if self.where == "whole":
            return text in self._spaced
        return text.endswith(tuple(self._spaced)) or _spaced(_CLAUSE_END.split(heard.text)[0]) in self._spaced

    @cached_property
    def _spaced(self) -> frozenset[str]:
        return frozenset(_spaced(phrase) for phrases in self.phrases.values() for phrase in phrases)


def _spaced(text: str) -> str:
    return f" {' '.join(tokens(text))} "


class Pattern(_Rule):
    """A regular expression finds something in the text."""

    kind: Literal["pattern"]
    pattern: re.Pattern[str]

    def holds(self, heard: Heard) -> bool:
        """Whether a transcript shows it."""
        return self.pattern.search(heard.text) is not None


class Script(_Rule):
    """Letters that the language is not written in: more than `latin` of all if they are Latin, `other` else.

    A script is the first word of a letter's name in Unicode; a language that `scripts` does not name is Latin.
    """

    kind: Literal["script"]
    latin: float
    other: float
    scripts: dict[str, tuple[str, ...]]

    def holds(self, heard: Heard) -> bool:
        """Whether a transcript shows it."""
        found = Counter(map(_script, filter(str.isalpha, unicodedata.normalize("NFKC", heard.text))))
        own = self.scripts.get(heard.language or "", ("LATIN",))
        foreign = Counter({script: count for script, count in found.items() if script not in own})
        latin = foreign.pop("LATIN", 0)
        return latin > self.latin * found.total() or foreign.total() > self.other * found.total()


def _script(letter: str) -> str:
    return re.split("[ -]", unicodedata.name(letter, "UNKNOWN"), maxsplit=1)[0]


Rule = Loop | Monotony | Rate | Gap | Stretched | Squeezed | Unlikely | Stock | Pattern | Script


@lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """All rules, as doubts.yaml has them."""
    data = yaml.safe_load(files("speechmill.decide").joinpath("hallucinations.yaml").read_text(encoding="utf-8"))
    return TypeAdapter(tuple[Annotated[Rule, Field(discriminator="kind")], ...]).validate_python(data)


def reasons() -> list[Reason]:
    """The reasons of all rules, in their order."""
    return list(dict.fromkeys(rule.reason for rule in rules()))


def doubted(heard: Heard) -> list[Rule]:
    """The rules that hold for a transcript: the marks of a wrong one that it shows."""
    return [rule for rule in rules() if rule.holds(heard)]
