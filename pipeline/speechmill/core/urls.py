"""What of an address may be published, printed and logged: neither user and password nor a token.

A token cannot be recognised, so a query parameter stays only if its name is known to be harmless and its value does not
look like a key. The whole address, which is needed to fetch again, belongs in `work/` alone. All work is linear in the
length of the text, which others choose.
"""

import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

# Names of query parameters that say which episode, page or language is meant.
HARMLESS = {
    "cat", "category", "ep", "episode", "feed", "file", "filename", "format", "id", "lang", "language", "list", "n",
    "name", "p", "page", "paged", "podcast", "season", "show", "t", "title", "type", "v",
}  # fmt: skip
MAX_VALUE_CHARS = 100
HIDDEN = "***"
_SECRET_NAME = re.compile(r"token|key|auth(?!or)|sig|secret|pass|hmac|hdn|sess|jwt|cred|policy", re.IGNORECASE)
_SECRET_WORD = re.compile(r"(?:.*[._-])?(?:private|token|(?:api)?key|auth|secret|signed|jwt)s?", re.IGNORECASE)
_KEY_LIKE = re.compile(r"[A-Za-z0-9+]{16,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}", re.IGNORECASE)
_WORD = re.compile(r"[^\s\"<>]+")  # a URL in a text, JSON or markup ends before these
_AFTER = ".,;:!)]}'`\\"  # punctuation of the text around a URL
_SCHEME_END = re.compile(r":(?:\\{0,4}/){2}")  # also as JSON may escape it: `:\/\/`
_AUTHORITY_END = re.compile(r"(?<!\\)\\*+/")
_SEPARATOR = re.compile(r"&amp;|&#38;|\\u0026|[&;]")
_QUERY = re.compile(r"[?#](?=[^?#]*?=)")  # without a scheme, only what has the form of a query
_AUTHORIZATION = re.compile(r"(authorization\W{1,5})(?:basic|bearer|digest)\s+[^\s\"',}]+", re.IGNORECASE)
_PODCAST_LINK = re.compile(r"(feed|itpc|pcast|podcast)(s?):(?://|(https?://))", re.IGNORECASE)
_MAIL = ("mailto", "acct", "sip", "sips", "xmpp", "email")
_ENCODINGS = 4  # how often an address may be percent-encoded within another
_KEPT = "!#$%&'()*+,/:;=?@[]\\~{}|^`"  # not encoded again


def web_address(url: str) -> str:
    """Return the http or https address that a link for podcast programs means; any other text as it is.

    It is http, as these programs read it, from where servers lead to https themselves; https where a password would go
    in clear and no port is named.

    >>> web_address("feed://example.org/rss"), web_address("pcast:https://example.org/rss")
    ('http://example.org/rss', 'https://example.org/rss')
    """
    found = _PODCAST_LINK.match(url)
    if not found:
        return url
    if found[3]:
        return url[found.start(3) :]
    place = url[found.end() :]
    authority = re.split("[/?#]", place, maxsplit=1)[0]
    is_secret = "@" in authority and ":" not in authority.rpartition("@")[2]
    return f"{'https' if found[2] or is_secret else 'http'}://{place}"


def public_url(url: str) -> str:
    """Return an address without userinfo, fragment, and all query parameters but harmless ones.

    What has no scheme is taken for a path or a name, in which `?` and `#` may be letters like others.

    >>> public_url("https://ann:s3cret@example.org/feed?id=3&key=FEEDKEY#t=10")
    'https://example.org/feed?id=3'
    """
    plain = _without_secrets(url)
    decoded = _decoded(plain)
    if decoded != plain and (public := _without_secrets(decoded)) != decoded:
        return quote(public, safe=_KEPT)  # an address within the address
    return plain


def without_secrets(text: str) -> str:
    """Return a text with each address in it as `public_url` gives it; also `user:password@host` without a scheme.

    >>> without_secrets("GET https://ann:s3cret@example.org/1.mp3?token=abc: HTTP 403")
    'GET https://example.org/1.mp3: HTTP 403'
    """
    return _WORD.sub(_public_word, _AUTHORIZATION.sub(rf"\1{HIDDEN}", text))


def public_values(value: Any, public: Callable[[str], str] = without_secrets) -> Any:
    """Return JSON, or what is like it, with every text and every key as `public` gives it."""
    if isinstance(value, str):
        return public(value)
    if isinstance(value, Mapping):
        return {public_values(key, public): public_values(part, public) for key, part in value.items()}
    return [public_values(part, public) for part in value] if isinstance(value, list | tuple) else value


def _public_word(found: re.Match[str]) -> str:
    word = found[0]
    if not any(mark in word for mark in "@?#%=:"):
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
            return public + HIDDEN  # no port: what stands here is part of a password with odd characters
        public += host + _public_path(piece[len(authority) :])
    kept = [pair for pair in _SEPARATOR.split(query) if _is_harmless(pair)]
    return public + ("?" + "&".join(kept) if kept else "")


def _is_harmless(pair: str) -> bool:
    name, equals, value = pair.partition("=")
    value = _decoded(value)
    is_short = len(value) <= MAX_VALUE_CHARS and not any(mark in value for mark in "@:&=?#")
    return bool(equals) and name.lower() in HARMLESS and is_short and not _is_key_like(value)


def _is_key_like(value: str) -> bool:
    """Whether a value has the look of a key or a hash: long, of letters and digits, or of letters in odd cases."""
    return any(
        (re.search("[0-9]", run) and re.search("[A-Za-z]", run)) or len(re.findall("[a-z][A-Z]", run)) > len(run) // 6
        for run in _KEY_LIKE.findall(value)
    )


def _public_path(path: str) -> str:
    """Path without `user:password@`, parameters of segments, and keys where the segment before announces one."""
    segments = path.split("/")
    for index, segment in enumerate(segments):
        before, at, after = segment.rpartition("@")
        if at and ":" in before and not _is_mail(before):
            user = before.partition(":")[0]
            segment = before[: max(user.rfind(mark) for mark in "=,([{'|") + 1] + after
        name, *parameters = segment.split(";")
        segment = ";".join([name, *(one for one in parameters if "=" not in one or _is_harmless(one))])
        name, equals, value = segment.partition("=")
        is_named = equals and (_SECRET_NAME.search(name) or _is_key_like(value))
        is_announced = index and _SECRET_WORD.fullmatch(segments[index - 1]) and _is_key_like(segment)
        if is_named or is_announced:
            segment = HIDDEN
        segments[index] = segment
    return "/".join(segments)


def _is_mail(before: str) -> bool:
    scheme, _, name = before.partition(":")
    return ":" not in name and re.split("[^a-z]", scheme[-8:].lower())[-1] in _MAIL
