"""An unfinished download: its bytes and their origin, so that it can continue after a crash."""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from speechmill.core.records import stable_id
from speechmill.fetch.addresses import origin_of
from speechmill.fetch.coding import layers

if TYPE_CHECKING:
    import urllib3


@dataclass(slots=True)
class Part:
    """The bytes received so far and, in a JSON file beside them, their origin and version.

    `origin` is the server that sent them, after redirects; validators are sent to no other.
    """

    path: Path
    url: str
    origin: str = ""
    etag: str = ""
    last_modified: str = ""
    total: int | None = None

    @classmethod
    def open(cls, path: Path, url: str) -> Self:
        """Resume what an earlier run left of the same URL; anything else is deleted, of a link the link."""
        _drop_shared(path, cls._sidecar(path), cls._sidecar(path).with_suffix(".json.tmp"))
        try:
            facts = json.loads(cls._sidecar(path).read_bytes())
            if facts.pop("source") == stable_id("part", url) and path.exists():
                return cls(path, url, **facts)
        except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
            pass  # missing, incomplete, or from another version
        part = cls(path, url)
        part.clear()
        return part

    @staticmethod
    def _sidecar(path: Path) -> Path:
        return path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """Bytes received."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str:
        """Validator that identifies the version of the bytes; a weak ETag does not (RFC 9110, 13.1.5)."""
        return self.last_modified if self.etag.startswith("W/") else self.etag or self.last_modified

    @property
    def is_whole(self) -> bool:
        """Whether all announced bytes were received."""
        return self.total is not None and 0 < self.total == self.size

    def begin(self, response: "urllib3.BaseHTTPResponse") -> None:
        """Start from nothing with the version in a response."""
        self.clear()
        self.path.touch()
        self.origin = origin_of(response.url or self.url)
        # A compressed body has neither a known length nor a position to continue from.
        plain = not layers(response)
        self.etag = validator(response, "ETag") if plain else ""
        self.last_modified = validator(response, "Last-Modified") if plain else ""
        length = response.headers.get("Content-Length", "")
        self.total = int(length) if plain and re.fullmatch("[0-9]{1,18}", length) else None
        temporary = self.path.with_name(f"{self.path.name}.json.tmp")
        facts = {name: value for name, value in asdict(self).items() if name not in ("path", "url")}
        temporary.write_text(json.dumps({"source": stable_id("part", self.url), **facts}))  # the URL may hold a secret
        os.replace(temporary, self._sidecar(self.path))

    def clear(self) -> None:
        """Delete all bytes."""
        self.path.unlink(missing_ok=True)
        self._sidecar(self.path).unlink(missing_ok=True)
        self.origin, self.etag, self.last_modified, self.total = "", "", "", None


def validator(response: "urllib3.BaseHTTPResponse", name: str) -> str:
    """An ETag or date that can be sent back; empty if its characters would break the request."""
    value = response.headers.get(name, "")
    return value if re.fullmatch(r"[\x20-\x7e]{1,500}", value) else ""


def _drop_shared(*places: Path) -> None:
    """Delete symbolic and hard links: writing to them would change other files."""
    for place in places:
        if place.is_symlink() or (place.is_file() and place.stat().st_nlink > 1):
            place.unlink()
