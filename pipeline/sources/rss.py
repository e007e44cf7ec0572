"""Lists the episodes of podcast feeds: one feed by URL or path, or all that an OPML file names.

A feed is followed where it says that it moved, and through the pages of its older items. It is known by its
podcast:guid, or else by the address that was given, wherever it moved to.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.config import ConfigError, Input, RunConfig
from pipeline.fetch import MAX_FEED_BYTES, forget_document, get_document, look_at_page
from pipeline.records import Reason, Rejected, Status
from pipeline.sources import Listed, failed, plain_text, rest_of
from pipeline.sources._feed import Feed
from pipeline.sources._licences import by_terms, spdx_of
from pipeline.sources._places import place_of
from pipeline.store import Store

URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
MAX_MOVES, MAX_PAGES = 5, 10_000
_log = logging.getLogger("speechmill")


def check(source: Input) -> None:
    """Raise ConfigError if a feed given by path is not there."""
    address = place_of(rest_of(source.address, "rss"))
    if not URL.match(address) and not Path(address).is_file():
        raise ConfigError(f"inputs: no such file: {plain_text(address)}; give the URL or the path of a feed")


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    """List the episodes of a feed or an OPML file given by URL or, after `rss:`, by local path.

    Raises Rejected if it cannot be had or read, ConfigError if a local file is missing.
    """
    address = place_of(rest_of(source.address, "rss"))
    reader = _Reader(config, store, source.licence)
    if URL.match(address):
        feed = reader.read(address)
    else:
        check(source)
        path = Path(address)
        if path.stat().st_size > MAX_FEED_BYTES:
            raise Rejected(Reason.TOO_BIG, f"a feed of more than {MAX_FEED_BYTES} bytes")
        feed = Feed(path.read_bytes(), path.name)
    outlines = feed.outlines
    return reader.episodes(feed, feed.url) if outlines is None else reader.all_of(outlines)


class _Reader:
    """Reads feeds with the settings of one input; `licence` is that of items for which a feed states none."""

    def __init__(self, config: RunConfig, store: Store, licence: str | None) -> None:
        self._config, self._store, self._licence = config, store, licence

    def read(self, url: str, beside: str | None = None) -> Feed:
        """Get and read a feed, with the login of the one `beside` if their origins are the same. Raises Rejected."""
        raw = get_document(url, self._store, self._config.fetch, beside=beside)
        with self._forgetting(url):
            return Feed(raw, url)

    @contextmanager
    def _forgetting(self, url: str) -> Iterator[None]:
        """Keep no copy of what could not be read, whatever the error: it is got anew, as the source then has it."""
        try:
            yield
        except Exception:
            forget_document(url, self._store)
            raise

    def all_of(self, urls: list[str]) -> Iterator[Listed]:
        """List the episodes of many feeds; one that cannot be read costs a row."""
        for url in urls:
            try:
                yield from self.episodes(self.read(url), url)
            except Rejected as error:
                yield failed("rss", url, reason=error.reason, detail=error.detail, signals=error.signals)

    def episodes(self, feed: Feed, identity: str) -> Iterator[Listed]:
        """List the episodes of a feed on all of its pages; `identity` is the address that was given."""
        feed = self._moved(feed)
        by_feed, refused = self._by_page(feed)
        seen = {feed.url}
        while True:
            with self._forgetting(feed.url):
                yield from feed.recordings(identity=identity, by_feed=by_feed, refused=refused)
            page = feed.next_page
            if page is None or page in seen or len(seen) >= MAX_PAGES:
                return
            seen.add(page)
            try:
                feed = self.read(page, identity)
            except Rejected as error:
                yield failed("rss", page, reason=error.reason, detail=error.detail, signals=error.signals)
                return

    def _moved(self, feed: Feed) -> Feed:
        """Follow a feed to where it says that it is now; one that is not there is read where it was."""
        seen = {feed.url}
        while (url := feed.moved_to) and url not in seen and len(seen) <= MAX_MOVES:
            seen.add(url)
            try:
                feed = self.read(url, feed.url)
            except Rejected as error:
                _log.warning("%s says that it moved to %s, which cannot be read: %s", feed.url, url, error)
                break
            _log.warning("the feed moved: put %s into inputs", url)
        return feed

    def _by_page(self, feed: Feed) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Licence of items for which the feed states none, by config or page; and fields of all if the page says no."""
        by_config = {"licence": self._licence, "licence_evidence": "inputs.licence"} if self._licence else {}
        url = feed.page if self._config.fetch.pages else None
        try:
            seen = look_at_page(url, self._store, self._config.fetch) if url else None
        except Rejected as fault:
            words = {"reason": fault.reason, "reason_detail": fault.detail, "consent": fault.signals}
            return {}, {"status": Status.OPTED_OUT, **words}
        if by_config or seen is None or feed.speaks_of_licences:
            return by_config, {}
        page, permits = seen
        address = plain_text(page.licence)
        spdx = spdx_of(address)
        if spdx is None:
            return by_terms(permits), {}
        return {"licence": spdx, "licence_url": address, "licence_evidence": f"rel=license of {url}"}, {}
