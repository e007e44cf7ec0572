"""Addresses that are no feed: of a media file, which is one recording, and of a page that names a feed."""

import re
from dataclasses import dataclass
from email.message import Message
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, stable_id
from speechmill.core.store import Store
from speechmill.fetch import MAX_FEED_BYTES, Visit
from speechmill.fetch.consent import page
from speechmill.sources import Listed, plain_text
from speechmill.sources._beside import has_media_suffix
from speechmill.sources._probe import verdict

HEAD_BYTES = 64 * 1024  # in which a document says what it is
MEDIA_TYPE = re.compile(r"(?:audio|video)/(?!\S*(?:mpegurl|scpls|dash))|application/ogg", re.IGNORECASE)
BINARY_TYPE = re.compile(r"(?:application|binary)/(?:octet-stream|download|force-download)?|", re.IGNORECASE)
MAX_NAMED = 5  # feeds in an error
_PAGE = re.compile(rb"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
_ROOT = re.compile(rb"<(?:[\w.-]+:)?(?:rss|feed|rdf|opml)[\s>]", re.IGNORECASE)
_COMMENTS = re.compile(r"comments?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says of an address before its body is asked for: whether it is a media file, and its name."""

    is_media: bool
    name: str | None = None


def look(url: str, store: Store, config: Fetch) -> Answer:
    """Ask for the headers of an address; where they do not say what it is and its name says media, for its beginning.

    Raises RejectedError(OPTED_OUT); other faults are for whoever asks for all of it.
    """
    visit = Visit(store, config, max_bytes=MAX_FEED_BYTES)
    try:
        seen = visit.look(url, headers={})
        kind = seen.headers.get("Content-Type", "").strip() if seen else ""
        name = _file_name(seen.headers.get("Content-Disposition", "")) if seen else None
        if MEDIA_TYPE.match(kind):
            return Answer(is_media=True, name=name)
        named = name or urlsplit(url).path
        if BINARY_TYPE.fullmatch(kind.partition(";")[0].strip()) and has_media_suffix(named):
            body = visit.ask("GET", url, headers={})
            return Answer(is_media=body.fault is None and is_media(body.body.read(HEAD_BYTES)), name=name)
    except RejectedError as fault:
        if fault.reason is Reason.OPTED_OUT:
            raise
    finally:
        visit.close()
    return Answer(is_media=False)


def is_media(raw: bytes) -> bool:
    """Whether a document begins like audio or video."""
    return bool(raw) and verdict(raw[:HEAD_BYTES]) is None


def is_page(raw: bytes) -> bool:
    """Whether a document is a web page, and no feed."""
    found, root = _PAGE.search(raw, 0, HEAD_BYTES), _ROOT.search(raw, 0, HEAD_BYTES)
    return found is not None and (root is None or found.start() < root.start())


def single(url: str, name: str | None, licence: str | None) -> Listed:
    """The recording that an address itself is; `licence` is what the input states."""
    stated: dict[str, Any] = {"licence": licence, "licence_evidence": "inputs.licence"} if licence else {}
    named = name or unquote(PurePosixPath(urlsplit(url).path).name)
    title = plain_text(PurePosixPath(named).stem if has_media_suffix(named) else named)
    recording_id = stable_id("url", url)
    return Listed(recording=Recording(recording_id=recording_id, source="rss", media_url=url, title=title, **stated))


def feed_of_page(raw: bytes, url: str) -> str:
    """Address of the one feed that a page names. Raises RejectedError(BAD_FEED) where it names none or several."""
    named = page.read(raw.decode("utf-8", "replace"), ()).feeds
    found: dict[str, bool] = {}
    for address, title in named:
        try:
            found.setdefault(urljoin(url, address), bool(_COMMENTS.search(f"{title} {address}")))
        except ValueError:
            continue
    feeds = [address for address, is_of_comments in found.items() if not is_of_comments] or list(found)
    if len(feeds) == 1:
        return feeds[0]
    if not feeds:
        fix = f"give the address of a feed, or ytdlp:{url} if yt-dlp knows the site"
        raise RejectedError(Reason.BAD_FEED, f"a web page that names no feed; {fix}")
    others = f" and {len(feeds) - MAX_NAMED} more" if len(feeds) > MAX_NAMED else ""
    raise RejectedError(
        Reason.BAD_FEED, f"a web page that names several feeds; give one: {', '.join(feeds[:MAX_NAMED])}{others}"
    )


def _file_name(disposition: str) -> str | None:
    """File name of a Content-Disposition header (RFC 6266), without a path."""
    told = Message()
    try:
        told["Content-Disposition"] = disposition[:2000].replace("\r", " ").replace("\n", " ")
        found = told.get_filename()
    except (ValueError, LookupError):
        return None
    return plain_text(found.replace("\\", "/").rpartition("/")[2]) if found else None
