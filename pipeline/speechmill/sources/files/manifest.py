"""Lists the recordings of a manifest, one per line; a faulty line costs only that line."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from speechmill.core.config import Input, RunConfig
from speechmill.core.filenames import readable
from speechmill.core.known_corpora import Layout
from speechmill.core.manifest import PATHS, SPAN_KEYS, from_lhotse, lines, path_of
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError
from speechmill.sources import Listed, failed, left_out, plain_text
from speechmill.sources.files.about import described
from speechmill.sources.files.beside import shelf_of
from speechmill.sources.files.recording import Licence, identity_of, recording_of, stated_text, timed
from speechmill.sources.files.spans import span_of

USED = {
    *PATHS, "url", "title", "author", "language", "lang", "licence", "license", "licence_url", "license_url",
    "published", "page_url", "speaker", "speaker_id", "text", *SPAN_KEYS,
}  # fmt: skip


@dataclass
class Manifest:
    """A manifest, or the index of a known corpus; `listed` yields its recordings, and what could not be used."""

    path: str
    source: Input
    config: RunConfig
    default: Licence
    roots: tuple[str, ...]
    layout: Layout | None = None  # of the known corpus whose index this is
    unused: set[str] = field(default_factory=set)

    def listed(self) -> Iterator[Listed]:
        """List the recordings line by line. Raises RejectedError where the file cannot be opened."""
        name = os.path.basename(self.path)
        for number, line in self._lines():
            try:
                if isinstance(line, Exception):
                    raise line
                yield self._recording(line)
            except RejectedError as error:
                yield failed(
                    "local", f"{name} line {number}", reason=error.reason, detail=f"line {number}: {error.detail}"
                )
            except (ValueError, RecursionError) as error:
                cause = plain_text(str(error)) or "nested too deeply"
                yield failed("local", f"{name} line {number}", reason=Reason.BAD_FEED, detail=f"line {number}: {cause}")
        if self.unused:
            keys = ", ".join(sorted(self.unused)[:20])
            yield left_out("local", name, reason=Reason.UNUSED_KEYS, detail=f"keys that are not used: {keys}")

    def _lines(self) -> Iterator[tuple[int, Any]]:
        try:
            yield from lines(self.path) if self.layout is None else self.layout.rows(self.path)
        except OSError as error:
            raise RejectedError(Reason.FORBIDDEN, f"{plain_text(self.path)}: {error.strerror}") from None

    def _recording(self, line: Any) -> Listed:
        if not isinstance(line, dict):
            raise ValueError('not an object such as {"path": "a.flac"}')
        line = from_lhotse(line)
        if self.layout is None:
            self.unused |= {plain_text(key) or "" for key in line.keys() - USED}
        path, url = path_of(line), plain_text(line.get("url"))
        licence = plain_text(line.get("licence")) or plain_text(line.get("license"))
        if isinstance(path, str) and path and "\0" not in path:
            return self._file(path, line, licence)
        if path is not None or url is None:
            raise ValueError("neither a path nor a url that can be used")
        # The default for local files is about the user's own recordings, not those from the web.
        default = (self.source.licence, "inputs.licence") if self.source.licence else ("unknown", None)
        spdx, evidence = (licence, "manifest") if licence else default
        metadata, span = described(line), span_of(line, None, self.config)
        text = stated_text(line, readable(os.path.basename(self.path)), metadata.get("language"))
        recording = Recording(
            recording_id=identity_of("url", url, span), source="local", media_url=url, licence=spdx,
            licence_evidence=evidence, attachments=tuple(text), **metadata, **timed(span),
        )  # fmt: skip
        return Listed(recording=recording)

    def _file(self, path: str, line: dict[str, Any], licence: str | None) -> Listed:
        os.fsencode(path)  # raises UnicodeEncodeError, a ValueError, for what is no name
        folder = os.path.dirname(self.path)
        whole = os.path.join(folder, os.path.expanduser(path))
        below = os.path.relpath(whole, folder or ".")
        line = line | {"licence": licence}
        default = (licence, "manifest") if licence else self.default
        beside = shelf_of(whole).of(os.path.basename(whole))
        return recording_of(
            whole, below, beside, roots=self.roots, default=default, line=line, span=span_of(line, whole, self.config),
            where=readable(os.path.basename(self.path)),
        )  # fmt: skip
