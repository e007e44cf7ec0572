"""Headers of an answer that reserve it or name its terms of use."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from speechmill.fetch.consent import usage

if TYPE_CHECKING:
    import urllib3

NO_AI = ("noai", "noimageai", "noml")
# Directives of X-Robots-Tag with a value after a colon; any other word before a colon is the name of a robot.
WITH_VALUE = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")
RSL_TYPE = "application/rsl+xml"


def objections(headers: "urllib3.HTTPHeaderDict", agents: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each header that forbids training on the answer."""
    for value in headers.getlist("X-Robots-Tag"):
        if refusal := robots_forbid(value, agents):
            yield "X-Robots-Tag", refusal
    if any(value.strip(" \t\"'") == "1" for line in headers.getlist("TDM-Reservation") for value in line.split(",")):
        yield "TDM-Reservation", "1"
    if refusal := usage.usage_forbids(",".join(headers.getlist("Content-Usage"))):
        yield "Content-Usage", refusal
    if refusal := usage.signal_forbids(",".join(headers.getlist("Content-Signal"))):
        yield "Content-Signal", refusal


def robots_forbid(directives: str, agents: tuple[str, ...]) -> str | None:
    """The directive against training for all robots or for us; None if there is none."""
    robot = ""
    for part in re.split("[,;]", directives.lower()):
        name, colon, rest = part.strip().partition(":")
        if colon and name.strip() not in WITH_VALUE:
            robot, part = name.strip(), rest  # from here on, directives are this robot's
        if robot in ("", "*", *agents) and (words := [word for word in part.split() if word in NO_AI]):
            return words[0]
    return None


def licences(headers: "urllib3.HTTPHeaderDict") -> Iterator[str]:
    """Yield addresses of RSL documents in `Link` headers with rel=license."""
    for value in headers.getlist("Link"):
        for link in value.split("<")[1:]:
            address, _, rest = link.partition(">")
            parameters = dict(
                _parameter(part) for part in reversed(rest.split(";"))
            )  # of repeated ones the first counts
            if "license" in parameters.get("rel", "").lower().split() and is_rsl(parameters.get("type", "")):
                yield address.strip()


def is_rsl(media_type: str) -> bool:
    """Whether a media type is that of RSL documents."""
    return media_type.partition(";")[0].strip().lower() == RSL_TYPE


def _parameter(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip().lower(), value.strip().rstrip(",").strip().strip('"')
