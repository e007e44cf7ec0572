"""A token with its context: all that a reading may depend on."""

from dataclasses import dataclass

from speechmill.text.verbalise.tables import Table
from speechmill.text.verbalise.tokens import Token

NEAR = 20  # tokens that belong to one formula
_CLAUSE_ENDS = frozenset(".,;:!?…—–)")


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading of one or more tokens. `tail` is the punctuation after it, if not that of the last token."""

    text: str
    count: int = 1
    tail: str | None = None
    drops_apostrophe: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A token in its text."""

    tokens: list[Token]
    at: int
    table: Table
    is_spoken: bool = False  # the text is a normal form, whose abbreviations were read or refused

    @property
    def token(self) -> Token:
        """The token."""
        return self.tokens[self.at]

    @property
    def core(self) -> str:
        """The token without its punctuation."""
        return self.token.core

    @property
    def previous(self) -> Token | None:
        """The previous token, of any kind."""
        return self.tokens[self.at - 1] if self.at else None

    @property
    def next(self) -> Token | None:
        """The next token, of any kind."""
        return self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else None

    def is_near(self, sign: str) -> bool:
        """Whether a sign is within NEAR tokens."""
        return any(sign in token.core for token in self.tokens[max(0, self.at - NEAR) : self.at + NEAR])

    @property
    def before(self) -> str | None:
        """The previous word in lower case; None at the start of a clause."""
        last = self.previous
        if last is None or not last.core or self.token.lead.strip("'’"):
            return None
        if _CLAUSE_ENDS & set(last.tail) and not (last.tail == "." and self._is_abbreviated(last)):
            return None
        return last.core.lower()

    def _is_abbreviated(self, token: Token) -> bool:
        word = token.core.lower()
        return word in self.table.map("numbered") or word in self.table.map("abbreviations")

    @property
    def after(self) -> str | None:
        """The next word as it is spelt; None at the end of a clause."""
        if self.next is None or self.token.tail or self.next.lead or not self.next.core:
            return None
        return self.next.core

    @property
    def follows_label(self) -> bool:
        """Whether the previous word is a label of the number: page 5, Kapitel 5, No. 5."""
        before = self.before
        return before is not None and (before in self.table.list("labels") or before in self.table.map("numbered"))

    @property
    def follows_month(self) -> bool:
        """Whether the previous word is the name of a month."""
        last = self.previous
        return last is not None and last.core.lower() in self.table.list("months")

    @property
    def before_month(self) -> bool:
        """Whether the next word is the name of a month, perhaps after the language's `of`."""
        link, months = self.table.text("month_link"), self.table.list("months")
        at = self.at + 1
        if link:
            if at >= len(self.tokens) or self.tokens[at].core.lower() != link:
                return False
            at += 1
        return at < len(self.tokens) and self.tokens[at].core.lower() in months and not self.tokens[at].lead
