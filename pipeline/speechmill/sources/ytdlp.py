"""Lists what yt-dlp finds at a web address, a video, a playlist or a channel, and says where the sound of each is.

Addresses of media are good for hours only, so they are looked up by `resolve`, just before the media are fetched.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from yt_dlp.utils import PlaylistEntries, make_archive_id, unsmuggle_url

from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, stable_id
from speechmill.core.store import Store
from speechmill.fetch import never
from speechmill.sources import Listed, failed, plain_text, rest_of
from speechmill.sources._ytdlp import Library, Log, asking, needs_tool
from speechmill.sources._ytdlp_fields import LINKS, PLAYLISTS, described, licence_of, positive, subtitles

MAX_ENTRIES, MAX_ON_PAGE, MAX_DEPTH = 100_000, 1_000, 5
# Extractors whose tests leave open whether they give one video or many, and that by their names give many.
OF_MANY = re.compile(r"(?:Tab|Playlist|Channel|User|Album|Series|Season|Show|Category|Search)$")
FRAGMENTED = {
    "m3u8": "HLS (m3u8)",
    "m3u8_native": "HLS (m3u8)",
    "http_dash_segments": "DASH",
    "ism": "Smooth Streaming",
}


def check(source: Input) -> None:
    """Raise ConfigError for what is no web address, and for an archive that is not there."""
    address = rest_of(source.address, "ytdlp")
    if not re.match(r"https?://[^\s/?#]", address, re.IGNORECASE):
        raise ConfigError(f"inputs: no web address: {plain_text(address)}; write it as ytdlp:https://...")
    if source.archive is not None and not Path(source.archive).is_file():
        raise ConfigError(f"inputs: archive: no such file: {source.archive}; give the path of yt-dlp's, or none")


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    """List what is at an address, as it is asked for, by what the lists of the site say of it.

    Raises RejectedError where the address, or the rest of a list, cannot be read.
    """
    check(source)
    return _Listing(source, config, store).of(rest_of(source.address, "ytdlp"))


def resolve(
    recording: Recording, config: RunConfig, store: Store, *, stopping: Callable[[], bool] = never
) -> tuple[Recording, str]:
    """Say where the sound of a listed recording is now, and what its page tells beyond what was listed.

    Raises RejectedError, with NEEDS_TOOL where it takes more than a download, and StoppedError.
    """
    library = Library(store, config.fetch, stopping, noplaylist=True)
    with asking(library):
        found = library.extract_info(recording.media_url, download=False, process=False)
        found = library.process_ie_result(_one_of(found, recording.guid, library), download=False)
    if not found or found.get("_type", "video") != "video":
        raise _of_many(recording.media_url)
    if found.get("is_live") or found.get("live_status") == "is_upcoming":
        raise RejectedError(Reason.NOT_FOUND, "a live broadcast that is not over", retry=True)
    chosen = _chosen(found, library.log)
    return _enriched(recording, found, library), chosen["url"]


# --- listing ---


class _Listing:
    """Goes through what is at an address, and through the lists that it leads to."""

    def __init__(self, source: Input, config: RunConfig, store: Store) -> None:
        self._library = Library(store, config.fetch)
        self._licence = {"licence": source.licence, "licence_evidence": "inputs.licence"} if source.licence else {}
        lines = Path(source.archive).read_text("utf-8", "replace").splitlines() if source.archive else ()
        self._archive = {line.strip() for line in lines}
        self._seen: set[str] = set()
        self._followed: set[str] = set()
        self._count = 0

    def of(self, url: str, key: str | None = None, depth: int = 0) -> Iterator[Listed]:
        """List what is at an address; `key` names the extractor for it."""
        self._followed.add(url)
        found = self._at(url, key)
        if found["_type"] in PLAYLISTS:
            yield from self._entries(found, depth)
        elif one := self._listed(found, found):
            yield one

    def _at(self, url: str, key: str | None) -> dict[str, Any]:
        with asking(self._library):
            found = self._library.extract_info(url, download=False, process=False, ie_key=key)
            while found and found.get("_type") in LINKS:
                found = self._library.extract_info(
                    found["url"], download=False, process=False, ie_key=found.get("ie_key")
                )
        if not found:
            raise RejectedError(Reason.NOT_AUDIO, f"yt-dlp finds no audio or video at {url[:200]}")
        return {"_type": "video", **found}

    def _entries(self, playlist: dict[str, Any], depth: int) -> Iterator[Listed]:
        with asking(self._library):
            entries = PlaylistEntries(self._library, playlist).get_requested_items()
        while entry := self._next(entries):
            self._library.requests, self._count = 0, self._count + 1
            if self._count > MAX_ENTRIES:
                raise RejectedError(Reason.TOO_BIG, f"a list of more than {MAX_ENTRIES} entries")
            if entry.get("_type") in PLAYLISTS and depth < MAX_DEPTH:
                yield from self._entries(_with_shared(entry, playlist), depth + 1)
            elif entry.get("_type") in PLAYLISTS or self._is_list(entry):
                yield from self._nested(entry, depth + 1)
            elif one := self._listed(entry, playlist):
                yield one

    def _next(self, entries: Iterator[tuple[int, Any]]) -> dict[str, Any] | None:
        """The next entry, which takes a request only where it is the first of a page; None after the last."""
        with asking(self._library):
            return next((entry for _, entry in entries if _is_whole(entry)), None)

    def _nested(self, entry: dict[str, Any], depth: int) -> Iterator[Listed]:
        """List what a list leads to; one that cannot be read costs a row."""
        url = str(entry.get("url"))
        if url in self._followed:
            return
        try:
            if depth > MAX_DEPTH:
                raise RejectedError(Reason.BAD_FEED, f"a list {depth} lists deep")
            yield from self.of(url, entry.get("ie_key"), depth)
        except RejectedError as error:
            yield failed("ytdlp", _unsmuggled(url)[0], reason=error.reason, detail=error.detail, signals=error.signals)

    def _extractor_of(self, entry: dict[str, Any], url: str) -> Any:
        extractors = self._library._ies
        if entry.get("ie_key") in extractors:
            return extractors[entry["ie_key"]]
        return next(one for one in extractors.values() if one.suitable(url))  # the generic one is, for any

    def _is_list(self, entry: dict[str, Any]) -> bool:
        """Whether an entry leads to a list, as far as is known without a request."""
        if entry.get("_type") not in LINKS:
            return False
        extractor = self._extractor_of(entry, entry["url"])
        is_single = extractor.is_single_video(entry["url"])
        return is_single is False or (is_single is None and bool(OF_MANY.search(extractor.ie_key())))

    def _listed(self, entry: dict[str, Any], playlist: dict[str, Any]) -> Listed | None:
        """Make a recording of an entry; None for one that is in the archive, or was listed before."""
        link, smuggled = _unsmuggled(entry.get("url" if entry.get("_type") in LINKS else "webpage_url"))
        page = link or _unsmuggled(playlist["webpage_url"])[0]
        key, own = entry.get("extractor_key") or playlist["extractor_key"], entry.get("id")
        if entry.get("_type") in LINKS:
            extractor = self._extractor_of(entry, page)
            key, own = extractor.ie_key(), own or smuggled.get("force_videoid") or extractor.get_temp_id(page)
        archived = make_archive_id(key, own) if own else None
        is_known_by_id = own and self._library.gives_ids(key)
        identity = (key, str(own)) if is_known_by_id else (key, page) if link else (key, page, str(own))
        recording_id = stable_id("ytdlp", *identity)
        names = {archived, *(entry.get("_old_archive_ids") or ())}
        if recording_id in self._seen or not self._archive.isdisjoint(names):
            return None
        self._seen.add(recording_id)
        told: dict[str, Any] = (
            self._licence | described(_with_shared(entry, playlist), self._library) | licence_of(entry, key)
        )
        told |= {"source": "ytdlp", "media_url": page, "page_url": page, "guid": plain_text(archived)}
        if playlist is not entry:
            told["feed_url"] = _unsmuggled(playlist["webpage_url"])[0]
        return Listed(recording=Recording(recording_id=recording_id, **told))


def _is_whole(entry: object) -> bool:
    return isinstance(entry, dict) and (entry.get("_type") not in LINKS or isinstance(entry.get("url"), str))


def _with_shared(entry: dict[str, Any], playlist: dict[str, Any]) -> dict[str, Any]:
    """An entry with what its list says for all of them."""
    shared = {key: playlist.get(key) for key in ("extractor", "extractor_key", "webpage_url", "uploader", "channel")}
    return shared | {key: value for key, value in entry.items() if value is not None}


def _unsmuggled(url: object) -> tuple[str, dict[str, Any]]:
    """An address as the web has it, and what one extractor of yt-dlp tells another in its fragment."""
    try:
        plain, told = unsmuggle_url(str(url or ""), {})
    except (ValueError, LookupError):
        plain, told = str(url).partition("#__youtubedl_smuggle")[0], {}
    return plain_text(plain) or "", told if isinstance(told, dict) else {}


# --- resolving ---


def _one_of(found: dict[str, Any] | None, guid: str | None, library: Library) -> dict[str, Any]:
    """What was found at the page of a recording; of several on one page the one that was listed."""
    if not found or found.get("_type", "video") not in PLAYLISTS:
        return found or {"_type": "playlist", "entries": []}
    items = PlaylistEntries(library, found).get_requested_items()
    entries = [_with_shared(entry, found) for _, entry in islice(items, MAX_ON_PAGE) if _is_whole(entry)]
    same = [one for one in entries if make_archive_id(one["extractor_key"], one.get("id")) == guid]
    if len(same or entries) != 1:
        raise _of_many(found["webpage_url"])
    return (same or entries)[0]


def _of_many(url: str) -> RejectedError:
    plain = _unsmuggled(url)[0]
    return RejectedError(Reason.NOT_AUDIO, f"not one recording, but a list; give ytdlp:{plain[:200]} as an input")


def _chosen(info: dict[str, Any], log: Log) -> dict[str, Any]:
    """The format to fetch: the best that is sound alone, else the smallest that has sound. Raises RejectedError."""
    formats: list[dict[str, Any]] = info.get("formats") or [info]  # the best last, as yt-dlp sorts them
    sounding = [one for one in formats if one.get("acodec") != "none"]
    whole = [one for one in sounding if one.get("protocol") in ("http", "https") and not one.get("fragments")]
    if whole:
        alone = [one for one in whole if one.get("vcodec") == "none"]
        return alone[-1] if alone else min(whole, key=_size)
    if sounding:
        protocols = sorted({str(one.get("protocol")) for one in sounding})
        names = ", ".join(dict.fromkeys(FRAGMENTED.get(protocol, protocol) for protocol in protocols))
        raise needs_tool(f"only as {names}, not as one file", log)
    if log.missing:
        raise needs_tool("nothing with sound", log)
    raise RejectedError(Reason.NOT_AUDIO, "nothing with sound")


def _size(one: Mapping[str, Any]) -> tuple[float, ...]:
    told = (one.get("height"), one.get("filesize") or one.get("filesize_approx"), one.get("tbr"))
    return tuple(positive(value) or math.inf for value in told)


def _enriched(recording: Recording, info: dict[str, Any], library: Library) -> Recording:
    """Add what was not told before. A licence that the page states counts more than one from the config."""
    told = described(info, library) | {"attachments": subtitles(info)}
    missing = {key: value for key, value in told.items() if not getattr(recording, key)}
    return replace(recording, **missing, **licence_of(info, info["extractor_key"]))
