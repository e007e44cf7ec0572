"""Finds the span of a file that a manifest line means, which may depend on the file's duration."""

from collections.abc import Mapping
from typing import Any

from speechmill.core.config import RunConfig
from speechmill.core.manifest import Span, is_whole_file, stated_span


def span_of(line: Mapping[str, Any], path: str | None, config: RunConfig) -> Span | None:
    """The span in a manifest line; None for the whole file. `path` is the file, None if it is remote.

    Raises RejectedError(BAD_SPAN) for an impossible span.
    """
    span = stated_span(line)
    if span is None or span[0] or path is None:
        return None if is_whole_file(span, line, None) else span
    from speechmill.audio.duration import duration_s  # brings decoders, which few lines need

    return None if is_whole_file(span, line, duration_s(path, config)) else span
