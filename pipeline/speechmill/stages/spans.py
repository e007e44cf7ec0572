"""Recordings that are stretches of a media file: the file is fetched once, and decoded from near their start."""

import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO

import numpy as np

from speechmill import fetch
from speechmill.audio import Decoding, Float32, Mix, Skipping
from speechmill.core.build import Build
from speechmill.core.config import Audio
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, stable_id
from speechmill.fetch import Fetched

FOLDER = "work/spans"  # digests of media with several stretches, by address
BEYOND_S = 0.1  # tolerance for a stretch that ends after its media: manifests round, and encoders differ
MIN_SKIPPED_S = 10.0  # audio before a stretch that is worth skipping: decoding less is as fast
MAX_DIGESTS = 256  # results for local files that are cached
_turns = tuple(threading.Lock() for _ in range(64))  # so that one stretch fetches the media while others wait
_fetched: dict[tuple[object, ...], Fetched] = {}


def fetch_once(recording: Recording, media_path: str | None, build: Build) -> Fetched:
    """Fetch the media of a recording with fetch.fetch_media, but only once for several stretches of them."""
    if recording.start_s is None:
        return _fetch(recording, media_path, build)
    with _turns[zlib.crc32(os.fsencode(media_path or recording.media_url)) % len(_turns)]:
        if media_path is None:
            return _from_web(recording, build)
        key = _stamp(media_path)
        if key not in _fetched:
            while len(_fetched) >= MAX_DIGESTS:
                _fetched.pop(next(iter(_fetched)))
            _fetched[key] = _fetch(recording, media_path, build)
        return _fetched[key]


def _fetch(recording: Recording, media_path: str | None, build: Build) -> Fetched:
    return fetch.fetch_media(
        recording, build.store, build.config.fetch, media_path=media_path, stopping=build.is_stopping
    )


def _from_web(recording: Recording, build: Build) -> Fetched:
    """Fetch media from the web, unless another stretch of them was fetched."""
    store, name = build.store, f"{FOLDER}/{stable_id(recording.media_url)}.json"
    known = store.read_json(name)
    if known and store.exists(f"work/media/{known['sha256']}"):
        return Fetched(**known, path=store.path(f"work/media/{known['sha256']}"))
    media = _fetch(recording, None, build)
    store.write_json(name, {"content_id": media.content_id, "sha256": media.sha256, "bytes": media.bytes})
    return media


def _stamp(path: str) -> tuple[object, ...]:
    """Cache key of a local file, which changes with it."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return (path,)
    return (path, facts.st_ino, facts.st_size, facts.st_mtime_ns)


def decoding_of(file: IO[bytes], limits: Audio, mixes: tuple[Mix, ...] = (), *, from_s: float = 0.0) -> Decoding:
    """Decode a file from shortly before `from_s` seconds on.

    Iteration may raise UnskippableError, before any block, if `from_s` is not 0.
    """
    if from_s < MIN_SKIPPED_S:
        return Decoding(file, limits.sample_rate, limits, mixes=mixes)
    return Skipping(file, limits.sample_rate, limits, mixes=mixes, from_s=from_s)


@dataclass
class Stretch:
    """A stretch of media that is being decoded: iterates over float32[n] mono blocks, some of them empty.

    `span` are its start and end in seconds; None for all of the media. Counts are complete when the iteration ends.
    Iteration raises RejectedError like `Decoding`, and RejectedError(BAD_SPAN) for a stretch beyond the media.
    """

    decoding: Decoding
    span: tuple[float, float | None] | None = None
    samples: int = 0  # of the stretch, at the rate of the decoding
    is_cut: bool = False  # whether decoding stopped before the end of the media
    _first: int = field(default=0, init=False)  # first sample of the stretch
    _begin: int = field(default=0, init=False)  # first decoded sample

    def __iter__(self) -> Iterator[Float32]:
        start_s, end_s = self.span or (0.0, None)
        rate, at = self.decoding.rate, 0
        self._first = round(start_s * rate)
        last = None if end_s is None else round(end_s * rate)
        with closing(iter(self.decoding)) as blocks:  # type: ignore[type-var]
            for number, block in enumerate(blocks):
                if number == 0 and isinstance(self.decoding, Skipping):
                    at = self._begin = round(self.decoding.first_s * rate)
                part = block[max(self._first - at, 0) : None if last is None else max(last - at, 0)]
                at += block.size
                self.samples += part.size
                yield part
                self.is_cut = last is not None and at >= last
                if self.is_cut:
                    return
        if isinstance(self.decoding, Skipping):
            at = round(self.decoding.end_s * rate)
        short = last is not None and last - at > BEYOND_S * rate
        if short or not self.samples:
            wanted = f"{start_s:g} to {'its end' if end_s is None else f'{end_s:g} s'}"
            raise RejectedError(Reason.BAD_SPAN, f"from {wanted}, and the recording has {at / rate:.3f} s")

    @property
    def breaks(self) -> list[int]:
        """Positions in the stretch, in samples, where audio is missing."""
        positions = np.asarray(self.decoding.breaks, np.int64) + self._begin - self._first
        return [int(at) for at in positions if 0 <= at <= self.samples]
