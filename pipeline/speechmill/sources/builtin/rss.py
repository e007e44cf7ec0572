"""Lists the episodes of podcast feeds: of one feed by URL or path, of all feeds in an OPML file, or of a page's feed.

A feed is followed to its new address, and through the pages of its older items. It is identified by its
podcast:guid, else by the address that was given, wherever it moved to. The address of a media file is one recording.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError, Status
from speechmill.core.store import Store
from speechmill.core.urls import web_address
from speechmill.fetch import MAX_FEED_BYTES, forget_document, get_document, look_at_page
from speechmill.sources import Listed, failed, plain_text, rest_of
from speechmill.sources.feeds.feed import Feed
from speechmill.sources.feeds.media_paths import path_inside, placed
from speechmill.sources.feeds.single import feed_of_page, is_media, is_page, look, single
from speechmill.sources.files.places import place_of
from speechmill.sources.licences import by_terms, spdx_of

URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
MAX_MOVES, MAX_OPML_DEPTH = 5, 5
MAX_PAGES, MAX_FEED_TOTAL_BYTES = 2_000, 1_000_000_000  # of one feed
MAX_DOCUMENTS = 200_000  # of one input
_log = logging.getLogger("speechmill")


def check(source: Input) -> None:
    """Raise ConfigError if a feed given by path is not there."""
    address = _address(source)
    if not URL.match(address) and not Path(address).is_file():
        raise ConfigError(
            f"inputs: no such file: {plain_text(address) or repr(address)}; give the URL or the path of a feed"
        )


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    """List the episodes of a feed or an OPML file given by URL or, after `rss:`, by local path.

    Raises RejectedError if it cannot be fetched or read, ConfigError if a local file is missing.
    """
    check(source)
    address = _address(source)
    if URL.match(address):
        return _Reader(config, store, source.licence).input(address)
    path = Path(address)
    return _Reader(config, store, source.licence, str(path.parent)).input(path.name)


def _address(source: Input) -> str:
    address = web_address(rest_of(source.address, "rss"))
    return address if URL.match(address) else place_of(address)


class _Reader:
    """Reads feeds with the settings of one input; `licence` is for items without a stated licence.

    `folder` is the folder of a local input: addresses without a scheme must be in it or below.
    """

    def __init__(self, config: RunConfig, store: Store, licence: str | None, folder: str | None = None) -> None:
        self._config, self._store, self._licence, self._folder = config, store, licence, folder
        self._listed, self._documents, self._bytes = set[str](), 0, 0

    def input(self, address: str) -> Iterator[Listed]:
        """List what is at the address of an input."""
        if URL.match(address):
            answer = look(address, self._store, self._config.fetch)
            if answer.is_media:
                yield single(address, answer.name, self._licence)
                return
        yield from self._at(address, None, 0)

    def _at(self, address: str, beside: str | None, depth: int) -> Iterator[Listed]:
        """List what is at an address: a feed, a list of feeds, a page that links a feed, or a media file."""
        self._listed.add(address)
        self._bytes = 0
        raw = self._get(address, beside)
        with self._forgetting(address):
            if is_media(raw):
                yield self._file(address)
                return
            if is_page(raw):
                yield from self._at_page(address, raw, beside, depth)
                return
            feed = Feed(raw, address)
            outlines = feed.outlines
        yield from self.episodes(feed, address) if outlines is None else self._all_of(outlines, address, depth + 1)

    def _file(self, address: str) -> Listed:
        recording = single(address, None, self._licence)
        return recording if URL.match(address) else placed(recording, self._folder)

    def _at_page(self, address: str, raw: bytes, beside: str | None, depth: int) -> Iterator[Listed]:
        if depth > MAX_OPML_DEPTH or not URL.match(address):
            raise RejectedError(Reason.BAD_FEED, "a web page, not a feed")
        look_at_page(address, self._store, self._config.fetch)  # which may forbid the use of what it links
        feed = feed_of_page(raw, address)
        if feed in self._listed:
            raise RejectedError(Reason.BAD_FEED, f"a web page that leads to itself as a feed: {feed}")
        yield from self._at(feed, beside or address, MAX_OPML_DEPTH + 1)

    def read(self, url: str, beside: str | None = None) -> Feed:
        """Fetch and parse a feed, with the login of the feed `beside` if their origins are the same.

        Raises RejectedError.
        """
        raw = self._get(url, beside)
        with self._forgetting(url):
            return Feed(raw, url)

    def _get(self, url: str, beside: str | None) -> bytes:
        self._documents += 1
        if self._documents > MAX_DOCUMENTS:
            raise RejectedError(Reason.TOO_BIG, f"more than {MAX_DOCUMENTS} documents in one input")
        url = web_address(url)
        if URL.match(url):
            raw = get_document(url, self._store, self._config.fetch, beside=beside)
        else:
            raw = self._read_file(url, beside)
        self._bytes += len(raw)
        return raw

    def _read_file(self, name: str, beside: str | None) -> bytes:
        if self._folder is None or (beside and URL.match(beside)):
            raise RejectedError(Reason.FORBIDDEN_ADDRESS, f"not a web address: {plain_text(name)}")
        try:
            path = Path(path_inside(name, self._folder))
            if not path.is_file():
                raise RejectedError(Reason.NOT_FOUND, f"no such file: {plain_text(name)}")
            if path.stat().st_size > MAX_FEED_BYTES:
                raise RejectedError(Reason.TOO_BIG, f"a feed of more than {MAX_FEED_BYTES} bytes")
            return path.read_bytes()
        except OSError as error:
            raise RejectedError(Reason.FORBIDDEN, f"{plain_text(name)}: {error.strerror}") from None

    @contextmanager
    def _forgetting(self, url: str) -> Iterator[None]:
        """Drop the cached copy of a document that could not be read, so that it is fetched anew."""
        try:
            yield
        except Exception:
            forget_document(web_address(url), self._store)
            raise

    def _all_of(self, urls: list[str], opml: str, depth: int) -> Iterator[Listed]:
        """List the feeds of an OPML; one that cannot be read costs a row, and none is listed twice."""
        if not urls:
            detail = "an OPML in which no outline has the address of a feed (xmlUrl or url); htmlUrl is that of a page"
            raise RejectedError(Reason.BAD_FEED, detail)
        if depth > MAX_OPML_DEPTH:
            raise RejectedError(Reason.BAD_FEED, f"an OPML that is named {MAX_OPML_DEPTH} lists deep")
        for url in (web_address(address) for address in urls):
            if url in self._listed:
                continue
            try:
                yield from self._at(url, opml, depth)
            except RejectedError as error:
                yield failed("rss", url, reason=error.reason, detail=error.detail, signals=error.signals)

    def episodes(self, feed: Feed, identity: str) -> Iterator[Listed]:
        """List the episodes of a feed on all of its pages; `identity` is the address that was given.

        A page without new items is the last, whatever page it names as the next.
        """
        feed = self._moved(feed)
        by_feed, refused = self._by_page(feed)
        seen, keys, ids = {feed.url}, set[int](), set[int]()
        while True:
            with self._forgetting(feed.url):
                for item in feed.recordings(identity=identity, by_feed=by_feed, refused=refused):
                    if (recording_hash := hash(item.recording.recording_id)) not in ids:
                        ids.add(recording_hash)
                        yield item if URL.match(feed.url) else placed(item, self._folder)
            page, is_new = feed.next_page, bool(feed.keys - keys)
            if page is None or page in seen or not is_new:
                return
            keys |= feed.keys
            seen.add(page)
            try:
                self._check_pages(len(seen))
                feed = self.read(page, feed.url if self._folder else identity)
            except RejectedError as error:
                yield failed("rss", page, reason=error.reason, detail=error.detail, signals=error.signals)
                return

    def _check_pages(self, pages: int) -> None:
        if pages > MAX_PAGES or self._bytes > MAX_FEED_TOTAL_BYTES:
            detail = f"a feed of more than {MAX_PAGES} pages or {MAX_FEED_TOTAL_BYTES} bytes; what follows is not read"
            raise RejectedError(Reason.TOO_BIG, detail)

    def _moved(self, feed: Feed) -> Feed:
        """Follow a feed to its new address; if that cannot be read, use the old one."""
        seen = {feed.url}
        while (url := feed.moved_to) and url not in seen and len(seen) <= MAX_MOVES:
            seen.add(url)
            try:
                feed = self.read(url, feed.url)
            except RejectedError as error:
                _log.warning("%s says that it moved to %s, which cannot be read: %s", feed.url, url, error)
                break
            _log.warning("the feed moved: put %s into inputs", url)
        return feed

    def _by_page(self, feed: Feed) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Licence fields from config or page, for items without a licence; and fields of all if the page refuses."""
        by_config = {"licence": self._licence, "licence_evidence": "inputs.licence"} if self._licence else {}
        url = feed.page if self._config.fetch.pages else None
        try:
            answer = look_at_page(url, self._store, self._config.fetch) if url else None
        except RejectedError as fault:
            refusal = {"reason": fault.reason, "reason_detail": fault.detail, "consent": fault.signals}
            return {}, {"status": Status.OPTED_OUT, **refusal}
        if by_config or answer is None or feed.speaks_of_licences:
            return by_config, {}
        page, permits = answer
        address = plain_text(page.licence)
        spdx = spdx_of(address)
        if spdx is None:
            return by_terms(permits), {}
        return {"licence": spdx, "licence_url": address, "licence_evidence": f"rel=license of {url}"}, {}
