"""Parses lists of usage preferences, in robots.txt and headers, for statements about training.

- `Content-Usage: train-ai=n` (IETF AIPREF, drafts attach and vocab)
- `Content-Signal: search=yes, ai-train=no` (Cloudflare's Content Signals Policy)
"""

import re

# Categories that include training of a speech model, narrow ones and wide ones that contain them. Of the narrow
# ones any refusal counts; the wide ones count where no narrow one is given.
NARROW, WIDE = ("train-genai", "train-ai"), ("tdm", "ai", "bots")
SIGNAL = "ai-train"


def usage_forbids(preferences: str) -> str | None:
    """The preference of a Content-Usage list that forbids training; None if there is none."""
    return _no(preferences, NARROW) if _names(preferences, NARROW) else _first_no(preferences)


def usage_speaks(preferences: str) -> bool:
    """Whether a Content-Usage list has a preference about training."""
    return _names(preferences, (*NARROW, *WIDE))


def signal_forbids(preferences: str) -> str | None:
    """Like `usage_forbids`, for a Content-Signal list."""
    return _no(preferences, (SIGNAL,))


def signal_speaks(preferences: str) -> bool:
    """Whether a Content-Signal list has a preference about training."""
    return _names(preferences, (SIGNAL,))


def _first_no(preferences: str) -> str | None:
    named = [name for name in WIDE if _names(preferences, (name,))]
    return _no(preferences, tuple(named[:1]))


def _names(preferences: str, names: tuple[str, ...]) -> bool:
    return any(name in names for name, _ in _pairs(preferences))


def _no(preferences: str, names: tuple[str, ...]) -> str | None:
    return next(
        (f"{name}={answer}" for name, answer in _pairs(preferences) if name in names and answer[0] == "n"), None
    )


def _pairs(preferences: str) -> list[tuple[str, str]]:
    """Names and answers, in lower case, without parameters; entries without an answer are left out."""
    pairs = []
    for part in re.split("[,;]", preferences.lower()):  # some write `;` between preferences, where parameters belong
        name, _, rest = part.partition("=")
        answer = rest.strip().strip("\"'")
        if answer in ("y", "n", "yes", "no", "?1", "?0"):
            pairs.append((name.strip(), {"?1": "y", "?0": "n"}.get(answer, answer)))
    return pairs
