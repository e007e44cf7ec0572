"""Handles addresses that are no feed: a media file, which is one recording, and a page that links a feed."""

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
from speechmill.sources.files.beside import has_media_suffix
from speechmill.sources.files.probe import verdict

HEAD_BYTES = 64 * 1024  # enough to recognise a document
MEDIA_TYPE = re.compile(r"(?:audio|video)/(?!\S*(?:mpegurl|scpls|dash))|application/ogg", re.IGNORECASE)
BINARY_TYPE = re.compile(r"(?:application|binary)/(?:octet-stream|download|force-download)?|", re.IGNORECASE)
MAX_NAMED = 5  # feeds in an error
_PAGE = re.compile(rb"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
_ROOT = re.compile(rb"<(?:[\w.-]+:)?(?:rss|feed|rdf|opml)[\s>]", re.IGNORECASE)
_COMMENTS = re.compile(r"comments?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether an address is a media file by its headers, and its file name."""

    is_media: bool
    name: str | None = None


def look(url: str, store: Store, config: Fetch) -> Answer:
    """Request the headers of an address; if they are inconclusive and its name has a media suffix, its first bytes.

    Raises RejectedError(OPTED_OUT); other faults are left to the full request.
    """
    visit = Visit(store, config, max_bytes=MAX_FEED_BYTES)
    try:
        head = visit.look(url, headers={})
        kind = head.headers.get("Content-Type", "").strip() if head else ""
        name = _file_name(head.headers.get("Content-Disposition", "")) if head else None
        if MEDIA_TYPE.match(kind):
            return Answer(is_media=True, name=name)
        file_name = name or urlsplit(url).path
        if BINARY_TYPE.fullmatch(kind.partition(";")[0].strip()) and has_media_suffix(file_name):
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
    """Whether a document is an HTML page and no feed."""
    page, root = _PAGE.search(raw, 0, HEAD_BYTES), _ROOT.search(raw, 0, HEAD_BYTES)
    return page is not None and (root is None or page.start() < root.start())


def single(url: str, name: str | None, licence: str | None) -> Listed:
    """The recording at an address that is a media file; `licence` is the one stated for the input."""
    stated: dict[str, Any] = {"licence": licence, "licence_evidence": "inputs.licence"} if licence else {}
    file_name = name or unquote(PurePosixPath(urlsplit(url).path).name)
    title = plain_text(PurePosixPath(file_name).stem if has_media_suffix(file_name) else file_name)
    recording_id = stable_id("url", url)
    return Listed(recording=Recording(recording_id=recording_id, source="rss", media_url=url, title=title, **stated))


def feed_of_page(raw: bytes, url: str) -> str:
    """Address of the only feed that a page links. Raises RejectedError(BAD_FEED) where it links none or several."""
    links = page.read(raw.decode("utf-8", "replace"), ()).feeds
    is_comment_feed: dict[str, bool] = {}
    for address, title in links:
        try:
            is_comment_feed.setdefault(urljoin(url, address), bool(_COMMENTS.search(f"{title} {address}")))
        except ValueError:
            continue
    feeds = [address for address, is_comments in is_comment_feed.items() if not is_comments] or list(is_comment_feed)
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
    """File name in a Content-Disposition header (RFC 6266), without folders."""
    message = Message()
    try:
        message["Content-Disposition"] = disposition[:2000].replace("\r", " ").replace("\n", " ")
        name = message.get_filename()
    except (ValueError, LookupError):
        return None
    return plain_text(name.replace("\\", "/").rpartition("/")[2]) if name else None
