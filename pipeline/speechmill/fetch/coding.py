"""The body of an answer in pieces, as it was before the server compressed it, which some do although nobody asked.

Each layer of compression is a generator over the pieces of the one outside it. All yield pieces of at most CHUNK_BYTES,
and one, perhaps empty, for each that they take: a few bytes that inflate to a world, and an endless rest that inflates
to nothing, both meet the limits on the way.
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
GZIP, ZLIB, RAW = 31, 15, -15  # what zlib calls the three forms of deflate
GZIP_MAGIC = b"\x1f"
Pieces = Iterator[bytes]


def body(response: "urllib3.BaseHTTPResponse", limits: Limits) -> Pieces:
    """Yield the body in pieces as they arrive: waiting for full ones would hide the time.

    Raises as `Limits.check` does, RejectedError(TOO_BIG) for more bytes on the wire than may come, and PassingError
    where the body is not what its headers say.
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
    """Compressions by Content-Encoding, the innermost first. Words that name none, such as a charset, do not count."""
    names = [name.strip().lower() for name in response.headers.get("Content-Encoding", "").split(",")]
    if unsupported := sorted({name for name in names if name in UNSUPPORTED}):
        raise RejectedError(Reason.UNREACHABLE, f"sent as {unsupported[0]}, which was not asked for", retry=True)
    found = [name for name in names if name in DECODERS]
    if len(found) > MAX_LAYERS:
        raise RejectedError(Reason.UNREACHABLE, f"compressed {len(found)} times")
    return found


def _received(response: "urllib3.BaseHTTPResponse", limits: Limits) -> Pieces:
    count = 0
    while piece := response.read1(CHUNK_BYTES, decode_content=False):
        count += len(piece)
        limits.check_bytes(count)
        yield piece


def _deflate(pieces: Pieces) -> Pieces:
    """Inflate the form that the name means, which is zlib's, or raw deflate, which some take it for."""
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
    """One stream; of gzip also the next ones. What else follows is padding and gives nothing."""
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
