"""Lists audio of the Internet Archive, by its JSON APIs.

`archive:IDENTIFIER` is one item; `archive:QUERY`, with a colon or a space in it, is all audio items that match, e.g.
`archive:collection:librivoxaudio AND language:ger`.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, stable_id
from speechmill.core.store import Store
from speechmill.sources import Listed, failed, plain_text, rest_of
from speechmill.sources.api import Api, language_of, seconds
from speechmill.sources.files.probe import SUFFIXES
from speechmill.sources.licences import spdx_of

HOST = "https://archive.org"
PAGE = 1_000  # identifiers of one answer
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,100}")


def check(source: Input) -> None:
    """Raise ConfigError for an empty address."""
    if not rest_of(source.address, "archive").strip():
        raise ConfigError("inputs: archive: names no item; give an identifier or a query, e.g. archive:collection:...")


def list_recordings(source: Input, config: RunConfig, store: Store) -> Iterator[Listed]:
    """List the audio files of an item, or of all items that match a query. Raises RejectedError."""
    address, api = rest_of(source.address, "archive").strip(), Api(config, store)
    if IDENTIFIER.fullmatch(address):
        return _files(api.get(f"{HOST}/metadata/{address}"), address, source.licence)
    return _items(address, api, source.licence)


def _items(query: str, api: Api, licence: str | None) -> Iterator[Listed]:
    """List the items that match a query; an item that cannot be read costs a row."""
    parameters = {"q": f"({query}) AND mediatype:audio", "fields": "identifier", "count": str(PAGE)}
    cursor: str | None = ""
    while cursor is not None:
        answer = api.get(
            f"{HOST}/services/search/v1/scrape?{urlencode(parameters | ({'cursor': cursor} if cursor else {}))}"
        )
        if not isinstance(answer, dict) or "items" not in answer:
            raise RejectedError(Reason.BAD_FEED, f"archive.org: {plain_text(str(answer))}"[:300])
        for item in answer["items"]:
            identifier = str(item.get("identifier", ""))
            try:
                yield from _files(api.get(f"{HOST}/metadata/{quote(identifier)}"), identifier, licence)
            except RejectedError as error:
                yield failed("archive", identifier, reason=error.reason, detail=error.detail, signals=error.signals)
        cursor = answer.get("cursor")


def _files(item: Any, identifier: str, licence: str | None) -> Iterator[Listed]:
    """List an item's original audio files, without the Archive's derivatives."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(metadata, dict) or item.get("is_dark"):
        raise RejectedError(Reason.NOT_FOUND, f"archive.org has no item {identifier}, or it was taken down")
    shared = {
        "source": "archive",
        "page_url": f"{HOST}/details/{quote(identifier)}",
        "author": _text(metadata.get("creator")),
        "language": language_of(_text(metadata.get("language"))),
        "published": _date(metadata.get("publicdate") or metadata.get("date")),
        **_licence(metadata, licence),
    }
    for file in item.get("files") or ():
        name = file.get("name") if isinstance(file, dict) else None
        if not isinstance(name, str) or not name.lower().endswith(SUFFIXES):
            continue
        if file.get("source") == "derivative" or str(file.get("private")).lower() == "true":
            continue
        title = " – ".join(
            filter(None, (_text(metadata.get("title")), plain_text(file.get("title")) or plain_text(name)))
        )
        yield Listed(
            recording=Recording(
                recording_id=stable_id("archive", identifier, name),
                media_url=f"{HOST}/download/{quote(identifier)}/{quote(name)}",
                guid=f"{identifier}/{plain_text(name)}",
                title=title,
                checksum=_checksum(file),
                declared_duration_s=seconds(file.get("length")),
                **shared,
            )
        )


def _licence(metadata: dict[str, Any], configured: str | None) -> dict[str, Any]:
    url = _text(metadata.get("licenseurl"))
    if url:
        spdx = spdx_of(url)
        evidence = "licenseurl of the item" if spdx else f"licenseurl of the item: {url[:200]}"
        return {"licence": spdx or "unknown", "licence_url": url, "licence_evidence": evidence}
    return {"licence": configured, "licence_evidence": "inputs.licence"} if configured else {}


def _checksum(file: dict[str, Any]) -> str | None:
    return next((f"{name}:{file[name]}" for name in ("sha1", "md5") if isinstance(file.get(name), str)), None)


def _text(value: object) -> str | None:
    """Text of a field that may be a list, as one line."""
    texts = value if isinstance(value, list) else [value]
    return ", ".join(text for part in texts if (text := plain_text(part))) or None


def _date(value: object) -> str | None:
    """Convert `2008-01-31 07:45:21` or `2008-01-31` to ISO 8601; None for anything else."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)Z?)?", str(value))
    return f"{match[1]}T{match[2] or '00:00:00'}Z" if match else None
