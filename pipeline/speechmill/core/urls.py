"""Strips secrets from URLs that are published, printed or logged: user, password and tokens.

A token cannot be recognised, so a query parameter is kept only if its name is known to be harmless and its value does
not look like a key. The full URL, which is needed to fetch again, stays in `work/`. All functions take time linear in
the length of the text, which may be hostile.
"""

import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

# Names of query parameters that select an episode, page or language.
HARMLESS = {
    "cat", "category", "ep", "episode", "feed", "file", "filename", "format", "id", "lang", "language", "list", "n",
    "name", "p", "page", "paged", "podcast", "season", "show", "t", "title", "type", "v",
}  # fmt: skip
MAX_VALUE_CHARS = 100
HIDDEN = "***"
_SECRET_NAME = re.compile(r"token|key|auth(?!or)|sig|secret|pass|hmac|hdn|sess|jwt|cred|policy", re.IGNORECASE)
_SECRET_WORD = re.compile(r"(?:.*[._-])?(?:private|token|(?:api)?key|auth|secret|signed|jwt)s?", re.IGNORECASE)
_KEY_LIKE = re.compile(r"[A-Za-z0-9+]{16,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}", re.IGNORECASE)
_WORD = re.compile(r"[^\s\"<>]+")  # URLs in text, JSON or markup end before these characters
_AFTER = ".,;:!)]}'`\\"  # punctuation after a URL
_SCHEME_END = re.compile(r":(?:\\{0,4}/){2}")  # also as JSON may escape it: `:\/\/`
_AUTHORITY_END = re.compile(r"(?<!\\)\\*+/")
_SEPARATOR = re.compile(r"&amp;|&#38;|\\u0026|[&;]")
_QUERY = re.compile(r"[?#](?=[^?#]*?=)")  # where there is no scheme, `?` and `#` count only before a `=`
_MARKS = "@?#%=:"  # of a word that may have secrets
_HEADER = re.compile(
    r"((?:authorization|\bx-[a-z-]{0,40}(?:key|token|auth|secret)[a-z-]{0,40})\W{1,5}"
    r"(?:(?:basic|bearer|digest|token|apikey)\s{1,5})?)[^\s\"',}]+",
    re.IGNORECASE,
)
_COOKIE = re.compile(r"(cookie2?\W{1,5})(?=[\w.-]{1,100}=)[^\r\n\"}]+", re.IGNORECASE)
# Tokens that services begin with letters of their own: Hugging Face, GitHub, Slack, AWS, signed JSON.
_BEGINNING = r"\b(?:hf_|gh[opsru]_|github_pat_|sk[-_]|xox[abprs]-|AKIA|eyJ)"
_TOKEN = re.compile(rf"{_BEGINNING}[A-Za-z0-9_.-]{{16,}}")
# In a text without any of these there is nothing to hide.
_SUSPECT = re.compile(rf"[{_MARKS}]|authorization|\bx-|{_BEGINNING}", re.IGNORECASE)
_PODCAST_LINK = re.compile(r"(feed|itpc|pcast|podcast)(s?):(?://|(https?://))", re.IGNORECASE)
_MAIL = ("mailto", "acct", "sip", "sips", "xmpp", "email")
_ENCODINGS = 4  # most levels of percent-encoding of a URL within a URL
_KEPT = "!#$%&'()*+,/:;=?@[]\\~{}|^`"  # not encoded again


def web_address(url: str) -> str:
    """Return the http or https URL of a podcast link (feed:, itpc:, pcast:, podcast:); any other text unchanged.

    The scheme is http, as in podcast programs, since servers redirect to https themselves; https where a password
    would be sent in clear and no port is given.

    >>> web_address("feed://example.org/rss"), web_address("pcast:https://example.org/rss")
    ('http://example.org/rss', 'https://example.org/rss')
    """
    match = _PODCAST_LINK.match(url)
    if not match:
        return url
    if match[3]:
        return url[match.start(3) :]
    rest = url[match.end() :]
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    is_secret = "@" in authority and ":" not in authority.rpartition("@")[2]
    return f"{'https' if match[2] or is_secret else 'http'}://{rest}"


def public_url(url: str) -> str:
    """Return a URL without userinfo, fragment, and all but harmless query parameters.

    A text without a scheme is treated as a path, where `?` and `#` may be ordinary characters.

    >>> public_url("https://ann:s3cret@example.org/feed?id=3&key=FEEDKEY#t=10")
    'https://example.org/feed?id=3'
    """
    plain = _without_secrets(url)
    decoded = _decoded(plain)
    if decoded != plain and (public := _without_secrets(decoded)) != decoded:
        return quote(public, safe=_KEPT)  # a percent-encoded URL within the URL
    return plain


def without_secrets(text: str) -> str:
    """Return a text with `public_url` applied to each URL in it, and to `user:password@host` without a scheme.

    >>> without_secrets("GET https://ann:s3cret@example.org/1.mp3?token=abc: HTTP 403")
    'GET https://example.org/1.mp3: HTTP 403'
    """
    if not _SUSPECT.search(text):
        return text
    return _TOKEN.sub(HIDDEN, _WORD.sub(_public_word, _without_headers(text)))


def _without_headers(text: str) -> str:
    """A text without the values of headers that hold logins."""
    return _COOKIE.sub(rf"\1{HIDDEN}", _HEADER.sub(rf"\1{HIDDEN}", text))


def public_values(value: Any, public: Callable[[str], str] = without_secrets) -> Any:
    """Return nested JSON-like values with `public` applied to every string and key."""
    if isinstance(value, str):
        return public(value)
    if isinstance(value, Mapping):
        return {public_values(key, public): public_values(part, public) for key, part in value.items()}
    return [public_values(part, public) for part in value] if isinstance(value, list | tuple) else value


def _public_word(match: re.Match[str]) -> str:
    word = match[0]
    if not any(mark in word for mark in _MARKS):
        return word
    address = word.rstrip(_AFTER)
    return public_url(address) + word[len(address) :]


def _decoded(text: str) -> str:
    for _ in range(_ENCODINGS):
        if "%" not in text or (decoded := unquote(text)) == text:
            break
        text = decoded
    return text


def _without_secrets(address: str) -> str:
    has_scheme = _SCHEME_END.search(address) is not None
    mark = re.search("[?#]", address) if has_scheme else _QUERY.search(address)
    base, rest = (address[: mark.start()], address[mark.start() :]) if mark else (address, "")
    query = rest[1:].partition("#")[0] if rest.startswith("?") else ""
    ends = [0, *(end.end() for end in _SCHEME_END.finditer(base)), len(base)]
    pieces = [base[first:last] for first, last in itertools.pairwise(ends)]
    public = _public_path(pieces[0])
    for piece in pieces[1:]:
        authority = piece[: end.start()] if (end := _AUTHORITY_END.search(piece)) else piece
        host = authority.rpartition("@")[2]
        if not re.fullmatch(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::[0-9]*)?", host):
            return public + HIDDEN  # not a port, so it is part of a password with odd characters
        public += host + _public_path(piece[len(authority) :])
    kept = [pair for pair in _SEPARATOR.split(query) if _is_harmless(pair)]
    return public + ("?" + "&".join(kept) if kept else "")


def _is_harmless(pair: str) -> bool:
    name, equals, value = pair.partition("=")
    value = _decoded(value)
    is_short = len(value) <= MAX_VALUE_CHARS and not any(mark in value for mark in "@:&=?#")
    return bool(equals) and name.lower() in HARMLESS and is_short and not _is_key_like(value)


def _is_key_like(value: str) -> bool:
    """Whether a value looks like a key or a hash: long, of letters and digits, or of letters in mixed case."""
    return any(
        (re.search("[0-9]", run) and re.search("[A-Za-z]", run)) or len(re.findall("[a-z][A-Z]", run)) > len(run) // 6
        for run in _KEY_LIKE.findall(value)
    )


def _is_short_key(segment: str) -> bool:
    """Whether a segment behind a word such as `token` looks like a key: there, eight characters suffice."""
    is_mixed = re.search("[0-9]", segment) and re.search("[A-Za-z]", segment)
    return _is_key_like(segment) or (len(segment) >= 8 and "." not in segment and is_mixed is not None)


def _public_path(path: str) -> str:
    """Path without `user:password@`, parameters of segments, and keys, such as those after a segment `token`."""
    segments = path.split("/")
    for index, segment in enumerate(segments):
        before, at, after = segment.rpartition("@")
        if at and ":" in before and not _is_mail(before):
            user = before.partition(":")[0]
            segment = before[: max(user.rfind(mark) for mark in "=,([{'|") + 1] + after
        name, *parameters = segment.split(";")
        segment = ";".join([name, *(pair for pair in parameters if "=" not in pair or _is_harmless(pair))])
        name, equals, value = segment.partition("=")
        is_named = equals and (_SECRET_NAME.search(name) or _is_key_like(value))
        is_announced = index and _SECRET_WORD.fullmatch(segments[index - 1]) and _is_short_key(segment)
        if is_named or is_announced:
            segment = HIDDEN
        segments[index] = segment
    return "/".join(segments)


def _is_mail(before: str) -> bool:
    scheme, _, name = before.partition(":")
    return ":" not in name and re.split("[^a-z]", scheme[-8:].lower())[-1] in _MAIL
