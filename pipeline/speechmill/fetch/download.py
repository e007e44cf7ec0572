"""Downloads a whole file, with as many requests as it takes; each continues where the previous one ended."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechmill.core import pulse
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.fetch.addresses import PassingError, broken
from speechmill.fetch.client import Client, verdict
from speechmill.fetch.coding import body, layers
from speechmill.fetch.limits import Limits
from speechmill.fetch.parts import Part, validator

if TYPE_CHECKING:
    import urllib3


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditional headers for one origin, and no other on the way."""

    headers: dict[str, str]
    origin: str


def complete(part: Part, client: Client, conditions: Conditions | None = None) -> bool:
    """Complete a download. Returns False if it was not modified, by `conditions`."""
    limits, failures, most = client.limits, 0, part.size
    while not part.is_whole:
        limits.check()
        try:
            if not _receive(part, client, conditions):
                return False
            break
        except PassingError as fault:
            # Only bytes beyond the furthest so far are progress, or a server without ranges would be asked forever.
            failures, most = (1, part.size) if part.size > most else (failures + 1, most)
            limits.back_off(failures, fault)
    if part.size == 0:
        raise RejectedError(Reason.EMPTY, "the server sent no bytes")
    return True


def _receive(part: Part, client: Client, conditions: Conditions | None) -> bool:
    """Make one request and append its body to the part. Returns False if not modified."""
    import urllib3

    sent = conditions
    if part.size and part.validator:
        sent = Conditions({"Range": f"bytes={part.size}-", "If-Range": part.validator}, part.origin)
    elif part.size:
        part.clear()
    headers, origin = (sent.headers, sent.origin) if sent else ({}, None)
    try:
        with client.opened("GET", part.url, headers, origin=origin) as response:
            if response.status == 304 and conditions:
                return False
            if _begin(part, response):
                client.limits.check_bytes(part.total or 0)
                _append(part, response, client.limits)
    except urllib3.exceptions.HTTPError as error:
        raise broken(error) from None
    return True


def _begin(part: Part, response: "urllib3.BaseHTTPResponse") -> bool:
    """Prepare the part for the response's body. Returns False if nothing is missing."""
    if response.status == 200:
        part.begin(response)
        return True
    if response.status == 206 and part.size:
        if _continues(part, response):
            return True
        part.clear()
        raise PassingError("the server answered with another range or version")
    if response.status == 416 and part.size:
        total = re.fullmatch(r"bytes \*/([0-9]+)", response.headers.get("Content-Range", ""))
        if total and int(total[1]) == part.size:
            part.total = part.size
            return False
        part.clear()
        raise PassingError("the server has less than it sent before")
    raise verdict(response)


def _continues(part: Part, response: "urllib3.BaseHTTPResponse") -> bool:
    """Whether a 206 response continues the same version of the file."""
    range_ = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", response.headers.get("Content-Range", ""))
    if not range_ or int(range_[1]) != part.size or layers(response):
        return False
    if range_[2] != "*" and part.total not in (None, int(range_[2])):
        return False
    return validator(response, "ETag") in ("", part.etag)


def _append(part: Part, response: "urllib3.BaseHTTPResponse", limits: Limits) -> None:
    size = part.size
    with open(part.path, "ab") as file:
        for chunk in body(response, limits):
            size += len(chunk)
            limits.check_bytes(size)
            file.write(chunk)
            pulse.add_bytes(len(chunk))
    if part.total is not None and size != part.total:
        if size > part.total:
            part.clear()
        raise PassingError(f"{size} bytes came of {part.total}")
