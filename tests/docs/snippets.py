"""The fenced blocks of the documentation, and the lines of shell in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"(?:^<!-- ([^>]+?) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BREAKS = {"&&", "||", "|", ";"}


@dataclass(frozen=True, slots=True)
class Snippet:
    """A fenced block: of which page, after which comment, in which language."""

    page: Path
    marker: str
    language: str
    text: str
    number: int

    @property
    def name(self) -> str:
        """What a test is called."""
        return f"{self.page.stem}-{self.number}"


def snippets(language: str = "") -> list[Snippet]:
    """All fenced blocks of README, CONTRIBUTING and docs/ in a language, or in any."""
    found = [
        Snippet(page, block[1] or "", block[2], block[3], number)
        for page in PAGES
        for number, block in enumerate(FENCE.finditer(page.read_text()), 1)
    ]
    return [snippet for snippet in found if language in ("", snippet.language)]


def commands(text: str) -> Iterator[list[str]]:
    """Words of each command of a shell script: one a line or between `&&`, `|` and `;`, without comments."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in lexer:
            if word in BREAKS:
                yield words
                words = []
            else:
                words.append(word)
        if words:
            yield words


def inline_code() -> Iterator[tuple[Path, str]]:
    """What stands between single backticks in prose, with its page."""
    for page in PAGES:
        prose = FENCE.sub("", page.read_text())
        yield from ((page, code) for code in re.findall(r"`([^`\n]+)`", prose))
