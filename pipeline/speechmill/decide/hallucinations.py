"""Hallucination checks of a hypothesis, by its text, its word times and the probabilities of the ASR model.

Each kind of check is a class; the checks, with their limits, reasons and sources, are in hallucinations.yaml. They do
not use the audio, so each looks for something that a correct hypothesis of speech hardly ever has.
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
class Hypothesis:
    """A hypothesis with what the checks use. Values that an ASR model does not give are None."""

    text: str
    duration_s: float
    words: Sequence[Mapping[str, Any]] = ()
    language: str | None = None
    no_speech_probability: float | None = None
    avg_logprob: float | None = None

    @cached_property
    def tokens(self) -> list[str]:
        """Words in lower case, see `tokens`."""
        return tokens(self.text)

    @cached_property
    def is_wide(self) -> bool:
        """Whether most of the text is Chinese, Japanese or Korean, where a character is about a syllable."""
        return 2 * sum(map(_is_wide, self.text)) > len(self.text)

    @cached_property
    def durations_s(self) -> list[float]:
        """Duration of each word in seconds."""
        return [word["end_s"] - word["start_s"] for word in self.words]


def tokens(text: str) -> list[str]:
    """Split a text into words without case, punctuation or apostrophes; Chinese, Japanese, Korean into characters."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_APOSTROPHES)
    return "".join(f" {c} " if _is_wide(c) else c if _is_letter(c) else " " for c in plain).split()


def _is_letter(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF" and _is_letter(character)


class _Check(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    reason: Reason
    source: str
    """Origin of its limits or phrases."""


class Loop(_Check):
    """The same `shortest` to `longest` words repeated more than `most` times in a row."""

    kind: Literal["loop"]
    shortest: int
    longest: int
    most: int
    wide: bool
    """Whether it checks Chinese, Japanese and Korean, where a character is a word, or all other texts."""

    def matches(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis fails the check."""
        return hypothesis.is_wide == self.wide and self._pattern.search(" ".join([*hypothesis.tokens, ""])) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\S)((?:\S+ ){{{self.shortest},{self.longest}}})\1{{{self.most}}}")


class Monotony(_Check):
    """One word makes up more than `share` of at least `fewest` words."""

    kind: Literal["monotony"]
    fewest: int
    share: float

    def matches(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis fails the check."""
        if len(hypothesis.tokens) < self.fewest:
            return False
        return Counter(hypothesis.tokens).most_common(1)[0][1] > self.share * len(hypothesis.tokens)


class Rate(_Check):
    """Fewer than `fewest` or more than `most` characters a second of the clip."""

    kind: Literal["rate"]
    fewest: float
    most: float
    wide: bool

    def matches(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis fails the check."""
        rate = len(hypothesis.text) / hypothesis.duration_s
        return hypothesis.is_wide == self.wide and not self.fewest <= rate <= self.most


class Gap(_Check):
    """No word for more than `inner_s`, or `edge_s` at the ends of the clip: longer than silence in a clip can be."""

    kind: Literal["gap"]
    inner_s: float
    edge_s: float

    def matches(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis fails the check."""
        if not hypothesis.words:
            return False
        inner = [after["start_s"] - word["end_s"] for word, after in pairwise(hypothesis.words)]
        edges = (hypothesis.words[0]["start_s"], hypothesis.duration_s - hypothesis.words[-1]["end_s"])
        return any(gap > self.inner_s for gap in inner) or any(gap > self.edge_s for gap in edges)


class Stretched(_Check):
    """A word longer than `longest_s`."""

    kind: Literal["stretched"]
    longest_s: float

    def matches(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis fails the check."""
        return any(duration > self.longest_s for duration in hypothesis.durations_s)


class Squeezed(_Check):
    """More than `share` of the words are at most `shortest_s` long: text without audio."""

    kind: Literal["squeezed"]
    shortest_s: float
    share: float

    def matches(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis fails the check."""
        short = sum(duration <= self.shortest_s for duration in hypothesis.durations_s)
        return short > self.share * len(hypothesis.words)


class Unlikely(_Check):
    """A mean log-probability under `logprob`, and a probability of no speech of at least `no_speech`."""

    kind: Literal["unlikely"]
    logprob: float
    no_speech: float = 0.0

    def matches(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis fails the check."""
        if hypothesis.avg_logprob is None or hypothesis.no_speech_probability is None:
            return False
        return hypothesis.avg_logprob < self.logprob and hypothesis.no_speech_probability >= self.no_speech


class StockPhrase(_Check):
    """A phrase that ASR models learnt from subtitles and write for noise, music and unclear speech.

    `where` it counts: as the `whole` text; `outer`: also as its first clause or its end; or `anywhere`.
    The languages of `phrases` only sort them: any phrase may occur in any language.
    """

    kind: Literal["stock"]
    where: Literal["whole", "outer", "anywhere"]
    phrases: dict[str, tuple[str, ...]]

    def matches(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis fails the check."""
        text = _padded(hypothesis.text)
        if self.where == "anywhere":
            return any(phrase in text for phrase in self._phrases)
        if self.where == "whole":
            return text in self._phrases
        return text.endswith(tuple(self._phrases)) or _padded(_CLAUSE_END.split(hypothesis.text)[0]) in self._phrases

    @cached_property
    def _phrases(self) -> frozenset[str]:
        return frozenset(_padded(phrase) for phrases in self.phrases.values() for phrase in phrases)


def _padded(text: str) -> str:
    """Tokens of a text with a space before, between and after them, to find whole words in it."""
    return f" {' '.join(tokens(text))} "


class Pattern(_Check):
    """A regular expression matches in the text."""

    kind: Literal["pattern"]
    pattern: re.Pattern[str]

    def matches(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis fails the check."""
        return self.pattern.search(hypothesis.text) is not None


class Script(_Check):
    """Letters in a script that the language does not use: a share over `latin` of Latin letters, or `other` of others.

    The script of a letter is the first word of its Unicode name. Languages that `scripts` lacks use Latin.
    """

    kind: Literal["script"]
    latin: float
    other: float
    scripts: dict[str, tuple[str, ...]]

    def matches(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis fails the check."""
        letters = Counter(map(_script, filter(str.isalpha, unicodedata.normalize("NFKC", hypothesis.text))))
        own = self.scripts.get(hypothesis.language or "", ("LATIN",))
        foreign = Counter({script: count for script, count in letters.items() if script not in own})
        latin = foreign.pop("LATIN", 0)
        return latin > self.latin * letters.total() or foreign.total() > self.other * letters.total()


def _script(letter: str) -> str:
    """First word of the Unicode name of a letter, e.g. LATIN."""
    return re.split("[ -]", unicodedata.name(letter, "UNKNOWN"), maxsplit=1)[0]


Check = Loop | Monotony | Rate | Gap | Stretched | Squeezed | Unlikely | StockPhrase | Pattern | Script


@lru_cache(maxsize=1)
def checks() -> tuple[Check, ...]:
    """All checks of hallucinations.yaml."""
    data = yaml.safe_load(files("speechmill.decide").joinpath("hallucinations.yaml").read_text(encoding="utf-8"))
    return TypeAdapter(tuple[Annotated[Check, Field(discriminator="kind")], ...]).validate_python(data)


def failed_checks(hypothesis: Hypothesis) -> list[Check]:
    """The checks that a hypothesis fails."""
    return [check for check in checks() if check.matches(hypothesis)]
