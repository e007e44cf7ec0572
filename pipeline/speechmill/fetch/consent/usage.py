"""Lists of preferences, as lines of robots.txt and headers have them, and what they say of training.

- `Content-Usage: train-ai=n` (IETF AIPREF, drafts attach and vocab)
- `Content-Signal: search=yes, ai-train=no` (Cloudflare's Content Signals Policy)
"""

# Categories that training a model of speech falls under, the narrow ones before those that hold them. Of the narrow
# ones any no counts; the wide ones are asked where no narrow one is named.
NARROW, WIDE = ("train-genai", "train-ai"), ("tdm", "ai", "bots")
SIGNAL = "ai-train"


def usage_forbids(preferences: str) -> str | None:
    """The preference of a Content-Usage list that decides about training, if it is a no; None if it is none."""
    return _no(preferences, NARROW) if _names(preferences, NARROW) else _first_no(preferences)


def usage_speaks(preferences: str) -> bool:
    """Whether a Content-Usage list says anything of training."""
    return _names(preferences, (*NARROW, *WIDE))


def signal_forbids(preferences: str) -> str | None:
    """As `usage_forbids`, of a Content-Signal list."""
    return _no(preferences, (SIGNAL,))


def signal_speaks(preferences: str) -> bool:
    """Whether a Content-Signal list says anything of training."""
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
    """Names and answers, y or n or longer, in lower case, without parameters; what has no answer is left out."""
    pairs = []
    for part in preferences.lower().split(","):
        name, _, rest = part.partition("=")
        answer = rest.partition(";")[0].strip().strip("\"'")
        if answer in ("y", "n", "yes", "no", "?1", "?0"):
            pairs.append((name.strip(), {"?1": "y", "?0": "n"}.get(answer, answer)))
    return pairs
