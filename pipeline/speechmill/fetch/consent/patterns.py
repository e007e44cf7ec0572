"""Path patterns of robots.txt (RFC 9309, 2.2.2 and 2.2.3), matched in time linear in pattern and path.

Patterns are untrusted, so they are not turned into regular expressions: each part between stars is
searched once, from the left, which finds a match wherever there is one.
"""

import re
from urllib.parse import quote, unquote

# Characters that are not encoded; the two with a meaning in patterns are encoded in paths.
_KEPT = "%:/?#[]@!&'()+,;=~"
_ENCODED = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def normal_path(path: str) -> str:
    """Normalise path and query of an address for comparison with patterns."""
    return _normal(path, kept=_KEPT)


def normal_pattern(pattern: str) -> str:
    r"""A pattern in the same form: `*` is any text, `$` at the end is the end of the path.

    >>> normal_pattern("/café/%7Eann*$")
    '/caf%C3%A9/~ann*$'
    """
    body, end = (pattern[:-1], "$") if pattern.endswith("$") else (pattern, "")
    return _normal(body, kept=_KEPT + "*") + end


def matches(pattern: str, path: str) -> bool:
    """Whether a path matches a pattern; both normalised."""
    is_whole = pattern.endswith("$")
    first, *others = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    if not others:
        return not is_whole or len(path) == len(first)
    at, last = len(first), others.pop()
    for part in others:
        at = path.find(part, at)
        if at < 0:
            return False
        at += len(part)
    if is_whole:
        return len(path) - len(last) >= at and path.endswith(last)
    return path.find(last, at) >= 0


def _normal(path: str, *, kept: str) -> str:
    encoded = quote(path, safe=kept, errors="replace")
    return _ENCODED.sub(_plain_if_unreserved, encoded)


def _plain_if_unreserved(match: re.Match[str]) -> str:
    is_plain = int(match[1], 16) in _UNRESERVED
    return unquote(match[0]) if is_plain else match[0].upper()
