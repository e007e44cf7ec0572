"""Lists a video, playlist or channel at a web address with yt-dlp, and resolves the address of each one's audio.

Media addresses are valid for hours only, so `resolve` finds them just before the media are fetched.
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
from speechmill.sources.videos.fields import LINKS, PLAYLISTS, described, licence_of, positive, subtitles
from speechmill.sources.videos.library import Library, Log, asking, needs_tool

MAX_ENTRIES, MAX_ON_PAGE, MAX_DEPTH = 100_000, 1_000, 5
# Names of extractors for lists, where yt-dlp's tests do not say whether they give one video or many.
OF_MANY = re.compile(r"(?:Tab|Playlist|Channel|User|Album|Series|Season|Show|Category|Search)$")
FRAGMENTED = {
    "m3u8": "HLS (m3u8)",
    "m3u8_native": "HLS (m3u8)",
    "http_dash_segments": "DASH",
    "ism": "Smooth Streaming",
}


def check(source: Input) -> None:
    """Raise ConfigError for anything but a web address, and for a missing archive."""
    address = rest_of(source.address, "ytdlp")
    if not re.match(r"https?://[^\s/?#]", address, re.IGNORECASE):
        raise ConfigError(f"inputs: no web address: {plain_text(address)}; write it as ytdlp:https://...")
    if source.archive is not None and not Path(source.archive).is_file():
        raise ConfigError(f"inputs: archive: no such file: {source.archive}; give the path of yt-dlp's, or none")


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    """List the recordings at an address, by the metadata in the site's lists.

    Raises RejectedError where the address, or the rest of a list, cannot be read.
    """
    check(source)
    return _Listing(source, config, store).of(rest_of(source.address, "ytdlp"))


def resolve(
    recording: Recording, config: RunConfig, store: Store, *, stopping: Callable[[], bool] = never
) -> tuple[Recording, str]:
    """Find the current address of a recording's audio, and add metadata that its page has beyond the list.

    Args:
        recording: As it was listed.
        config: Of the run.
        store: Cache of fetched documents.
        stopping: Whether the run stops.

    Raises:
        RejectedError: It cannot be had; NEEDS_TOOL where it takes more than a download.
        StoppedError: The run stops.
    """
    library = Library(store, config.fetch, stopping, noplaylist=True)
    with asking(library):
        info = library.extract_info(recording.media_url, download=False, process=False)
        info = library.process_ie_result(_entry_of(info, recording.guid, library), download=False)
    if not info or info.get("_type", "video") != "video":
        raise _is_a_list(recording.media_url)
    if info.get("is_live") or info.get("live_status") == "is_upcoming":
        raise RejectedError(Reason.NOT_FOUND, "a live broadcast that is not over", retry=True)
    format_ = _chosen(info, library.log)
    return _enriched(recording, info, library), format_["url"]


# --- listing ---


class _Listing:
    """Lists the recordings at an address, and of the lists that it leads to."""

    def __init__(self, source: Input, config: RunConfig, store: Store) -> None:
        self._library = Library(store, config.fetch)
        self._licence = {"licence": source.licence, "licence_evidence": "inputs.licence"} if source.licence else {}
        lines = Path(source.archive).read_text("utf-8", "replace").splitlines() if source.archive else ()
        self._archive = {line.strip() for line in lines}
        self._seen: set[str] = set()
        self._followed: set[str] = set()
        self._count = 0

    def of(self, url: str, key: str | None = None, depth: int = 0) -> Iterator[Listed]:
        """List the recordings at an address; `key` names the extractor for it."""
        self._followed.add(url)
        info = self._at(url, key)
        if info["_type"] in PLAYLISTS:
            yield from self._entries(info, depth)
        elif recording := self._listed(info, info):
            yield recording

    def _at(self, url: str, key: str | None) -> dict[str, Any]:
        with asking(self._library):
            info = self._library.extract_info(url, download=False, process=False, ie_key=key)
            while info and info.get("_type") in LINKS:
                info = self._library.extract_info(info["url"], download=False, process=False, ie_key=info.get("ie_key"))
        if not info:
            raise RejectedError(Reason.NOT_AUDIO, f"yt-dlp finds no audio or video at {url[:200]}")
        return {"_type": "video", **info}

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
            elif recording := self._listed(entry, playlist):
                yield recording

    def _next(self, entries: Iterator[tuple[int, Any]]) -> dict[str, Any] | None:
        """The next entry, None after the last; makes a request only for the first of each page."""
        with asking(self._library):
            return next((entry for _, entry in entries if _is_whole(entry)), None)

    def _nested(self, entry: dict[str, Any], depth: int) -> Iterator[Listed]:
        """List a nested list; one that cannot be read costs a row."""
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
        return next(
            extractor for extractor in extractors.values() if extractor.suitable(url)
        )  # the generic extractor is, for any address

    def _is_list(self, entry: dict[str, Any]) -> bool:
        """Whether an entry leads to a list, as far as is known without a request."""
        if entry.get("_type") not in LINKS:
            return False
        extractor = self._extractor_of(entry, entry["url"])
        is_single = extractor.is_single_video(entry["url"])
        return is_single is False or (is_single is None and bool(OF_MANY.search(extractor.ie_key())))

    def _listed(self, entry: dict[str, Any], playlist: dict[str, Any]) -> Listed | None:
        """Make a recording of an entry; None if it is in the archive, or was listed before."""
        link, smuggled = _unsmuggled(entry.get("url" if entry.get("_type") in LINKS else "webpage_url"))
        page = link or _unsmuggled(playlist["webpage_url"])[0]
        key, video_id = entry.get("extractor_key") or playlist["extractor_key"], entry.get("id")
        if entry.get("_type") in LINKS:
            extractor = self._extractor_of(entry, page)
            key, video_id = extractor.ie_key(), video_id or smuggled.get("force_videoid") or extractor.get_temp_id(page)
        archived = make_archive_id(key, video_id) if video_id else None
        is_known_by_id = video_id and self._library.gives_ids(key)
        identity = (key, str(video_id)) if is_known_by_id else (key, page) if link else (key, page, str(video_id))
        recording_id = stable_id("ytdlp", *identity)
        archive_ids = {archived, *(entry.get("_old_archive_ids") or ())}
        if recording_id in self._seen or not self._archive.isdisjoint(archive_ids):
            return None
        self._seen.add(recording_id)
        fields: dict[str, Any] = (
            self._licence | described(_with_shared(entry, playlist), self._library) | licence_of(entry, key)
        )
        fields |= {"source": "ytdlp", "media_url": page, "page_url": page, "guid": plain_text(archived)}
        if playlist is not entry:
            fields["feed_url"] = _unsmuggled(playlist["webpage_url"])[0]
        return Listed(recording=Recording(recording_id=recording_id, **fields))


def _is_whole(entry: object) -> bool:
    return isinstance(entry, dict) and (entry.get("_type") not in LINKS or isinstance(entry.get("url"), str))


def _with_shared(entry: dict[str, Any], playlist: dict[str, Any]) -> dict[str, Any]:
    """An entry with the fields that its list has for all entries."""
    shared = {key: playlist.get(key) for key in ("extractor", "extractor_key", "webpage_url", "uploader", "channel")}
    return shared | {key: value for key, value in entry.items() if value is not None}


def _unsmuggled(url: object) -> tuple[str, dict[str, Any]]:
    """A plain address, and the data that yt-dlp's extractors pass in its fragment."""
    try:
        plain, smuggled = unsmuggle_url(str(url or ""), {})
    except (ValueError, LookupError):
        plain, smuggled = str(url).partition("#__youtubedl_smuggle")[0], {}
    return plain_text(plain) or "", smuggled if isinstance(smuggled, dict) else {}


# --- resolving ---


def _entry_of(info: dict[str, Any] | None, guid: str | None, library: Library) -> dict[str, Any]:
    """The entry of a recording at its page; if the page has several, the one that was listed."""
    if not info or info.get("_type", "video") not in PLAYLISTS:
        return info or {"_type": "playlist", "entries": []}
    items = PlaylistEntries(library, info).get_requested_items()
    entries = [_with_shared(entry, info) for _, entry in islice(items, MAX_ON_PAGE) if _is_whole(entry)]
    matching = [entry_ for entry_ in entries if make_archive_id(entry_["extractor_key"], entry_.get("id")) == guid]
    if len(matching or entries) != 1:
        raise _is_a_list(info["webpage_url"])
    return (matching or entries)[0]


def _is_a_list(url: str) -> RejectedError:
    plain = _unsmuggled(url)[0]
    return RejectedError(Reason.NOT_AUDIO, f"not one recording, but a list; give ytdlp:{plain[:200]} as an input")


def _chosen(info: dict[str, Any], log: Log) -> dict[str, Any]:
    """Choose the format to fetch: the best with audio only, else the smallest with audio. Raises RejectedError."""
    formats: list[dict[str, Any]] = info.get("formats") or [info]  # the best last, as yt-dlp sorts them
    with_audio = [format_ for format_ in formats if format_.get("acodec") != "none"]
    whole = [
        format_
        for format_ in with_audio
        if format_.get("protocol") in ("http", "https") and not format_.get("fragments")
    ]
    if whole:
        audio_only = [format_ for format_ in whole if format_.get("vcodec") == "none"]
        return audio_only[-1] if audio_only else min(whole, key=_size)
    if with_audio:
        protocols = sorted({str(format_.get("protocol")) for format_ in with_audio})
        names = ", ".join(dict.fromkeys(FRAGMENTED.get(protocol, protocol) for protocol in protocols))
        raise needs_tool(f"only as {names}, not as one file", log)
    if log.missing:
        raise needs_tool("nothing with sound", log)
    raise RejectedError(Reason.NOT_AUDIO, "nothing with sound")


def _size(format_: Mapping[str, Any]) -> tuple[float, ...]:
    sizes = (format_.get("height"), format_.get("filesize") or format_.get("filesize_approx"), format_.get("tbr"))
    return tuple(positive(value) or math.inf for value in sizes)


def _enriched(recording: Recording, info: dict[str, Any], library: Library) -> Recording:
    """Add fields that are missing. A licence that the page states takes precedence over one from the config."""
    fields = described(info, library) | {"attachments": subtitles(info)}
    missing = {key: value for key, value in fields.items() if not getattr(recording, key)}
    return replace(recording, **missing, **licence_of(info, info["extractor_key"]))
