"""Reads the body of an answer in pieces and decompresses it; some servers compress without being asked.

Each layer of compression is a generator over the pieces of the outer one. All yield pieces of at most CHUNK_BYTES,
and at least one, perhaps empty, for each input piece: so decompression bombs and endless
empty output both meet the limits on the way.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.fetch.addresses import PassingError
from speechmill.fetch.limits import Limits

if TYPE_CHECKING:
    import urllib3

CHUNK_BYTES = 64 * 1024
MAX_LAYERS = 4
UNSUPPORTED = ("zstd", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip")
GZIP, ZLIB, RAW = 31, 15, -15  # zlib's numbers for the three forms of deflate
GZIP_MAGIC = b"\x1f"
Pieces = Iterator[bytes]


def body(response: "urllib3.BaseHTTPResponse", limits: Limits) -> Pieces:
    """Yield the body in pieces as they arrive; waiting for full pieces would delay the check of the time.

    Raises as `Limits.check` does, RejectedError(TOO_BIG) for too many bytes on the wire, and PassingError
    where the body does not match its headers.
    """
    pieces = _received(response, limits)
    for layer in reversed(layers(response)):
        pieces = DECODERS[layer](pieces)
    try:
        for piece in pieces:
            limits.check()
            yield piece
    except zlib.error as error:
        raise PassingError(f"compressed body: {error}") from None


def layers(response: "urllib3.BaseHTTPResponse") -> list[str]:
    """Compressions in Content-Encoding, the innermost first. Unknown words, such as a charset, are ignored."""
    names = [name.strip().lower() for name in response.headers.get("Content-Encoding", "").split(",")]
    if unsupported := sorted({name for name in names if name in UNSUPPORTED}):
        raise RejectedError(Reason.UNREACHABLE, f"sent as {unsupported[0]}, which was not asked for", retry=True)
    known = [name for name in names if name in DECODERS]
    if len(known) > MAX_LAYERS:
        raise RejectedError(Reason.UNREACHABLE, f"compressed {len(known)} times")
    return known


def _received(response: "urllib3.BaseHTTPResponse", limits: Limits) -> Pieces:
    count = 0
    while piece := response.read1(CHUNK_BYTES, decode_content=False):
        count += len(piece)
        limits.check_bytes(count)
        yield piece


def _deflate(pieces: Pieces) -> Pieces:
    """Decompress `deflate`: zlib's form, or raw deflate, which some servers send instead."""
    first = b""
    for piece in pieces:
        first += piece
        if len(first) > 1:
            break
    has_header = first[:1] and first[0] & 15 == 8 and int.from_bytes(first[:2], "big") % 31 == 0
    return _inflated(_with(first, pieces), ZLIB if has_header else RAW)


def _gzip(pieces: Pieces) -> Pieces:
    return _inflated(pieces, GZIP)


def _inflated(pieces: Pieces, form: int) -> Pieces:
    """Decompress one stream; of gzip also those that follow. Other trailing bytes are padding."""
    inflate, is_padding, size = zlib.decompressobj(form), False, 0
    for piece in pieces:
        yield b""
        size += len(piece)
        while piece and not is_padding:
            if inflate.eof:
                is_padding = form != GZIP or piece[:1] != GZIP_MAGIC
                inflate = inflate if is_padding else zlib.decompressobj(form)
                continue
            yield inflate.decompress(piece, CHUNK_BYTES)
            piece = inflate.unconsumed_tail or inflate.unused_data
    while rest := inflate.decompress(b"", CHUNK_BYTES) if not inflate.eof else b"":
        yield rest
    if size and not inflate.eof:
        raise PassingError("the compressed body ended early")


def _brotli(pieces: Pieces) -> Pieces:
    import brotli

    inflate, size = brotli.Decompressor(), 0
    try:
        for piece in pieces:
            yield b""
            size += len(piece)
            while not inflate.is_finished() and (out := inflate.process(piece, output_buffer_limit=CHUNK_BYTES)):
                yield out
                piece = b""
    except brotli.error as error:
        raise PassingError(f"compressed body: {error}") from None
    if size and not inflate.is_finished():
        raise PassingError("the compressed body ended early")


def _with(first: bytes, pieces: Pieces) -> Pieces:
    yield first
    yield from pieces


DECODERS: dict[str, Callable[[Pieces], Pieces]] = {
    "gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "br": _brotli,
}  # fmt: skip
