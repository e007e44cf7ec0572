"""Recognises licences: slugs, SPDX ids, Creative Commons addresses, and RSL terms."""

import re
from collections.abc import Iterable
from typing import Any

from speechmill.fetch import Permit

# The ids that podcast:license uses, by their lower-case slugs.
CC_IDS = [f"CC-BY{kind}-{version}" for kind in ("", "-SA", "-NC", "-NC-SA", "-ND", "-NC-ND") for version in
          ("1.0", "2.0", "2.5", "3.0", "4.0")]  # fmt: skip
OTHER_IDS = ["CC0-1.0", "CC-PDM-1.0", "CC-PDDC", "Apache-2.0", "MIT", "Unlicense", "ODC-By-1.0", "ODbL-1.0", "PDDL-1.0"]
SPDX = {spdx.lower(): spdx for spdx in (*CC_IDS, *OTHER_IDS)}
CC_URL = re.compile(
    r"(?:https?:)?//(?:www\.)?creativecommons\.org/(?:"
    r"licenses/(?P<kind>by(?:-nc|-nd|-sa)*)/(?P<version>\d\.\d)(?:/(?P<place>[a-z]{2,4})(?![\w.]))?"
    r"|(?P<zero>publicdomain/zero/1\.0)|(?P<mark>publicdomain/mark/1\.0)|(?P<old>licenses/publicdomain))(?![\w.])",
    re.IGNORECASE | re.ASCII,
)
YOUTUBE_CC = re.compile(r"creative commons attribution licen[cs]e \(reuse allowed\)", re.IGNORECASE)
YOUTUBE_CC_URL = "https://creativecommons.org/licenses/by/3.0/"  # where YouTube's own link leads


def spdx_of(text: str | None) -> str | None:
    """SPDX id of a slug, an id or a Creative Commons URL; None if unknown."""
    if not text:
        return None
    if text.lower() in SPDX:
        return SPDX[text.lower()]
    if not (match := CC_URL.match(text)):
        return None
    if match["kind"]:
        parts = set(match["kind"].lower().split("-"))
        kind = "".join(f"-{part.upper()}" for part in ("nc", "sa", "nd") if part in parts)
        spdx = f"CC-BY{kind}-{match['version']}"
        # Not all of the many national versions are on the SPDX list.
        return f"LicenseRef-{spdx}-{match['place'].upper()}" if match["place"] else spdx
    return "CC0-1.0" if match["zero"] else "CC-PDM-1.0" if match["mark"] else "CC-PDDC"


def of_words(text: str | None) -> tuple[str | None, str | None]:
    """SPDX id and address of a licence as a site words it, None each where unknown."""
    if text is None:
        return None, None
    if YOUTUBE_CC.fullmatch(text):
        return "CC-BY-3.0", YOUTUBE_CC_URL
    return spdx_of(text) or spdx_of(text.replace(" ", "-")), text if CC_URL.match(text) else None


def by_terms(permits: Iterable[Permit]) -> dict[str, Any]:
    """Licence fields from the first terms that permit training; empty where there are none."""
    for permit in permits:
        licence = spdx_of(permit.standard) or "LicenseRef-RSL"
        evidence = f"RSL {permit.signal.url}: {permit.signal.value}"
        url = permit.standard if spdx_of(permit.standard) else permit.signal.url
        return {"licence": licence, "licence_url": url, "licence_evidence": evidence, "consent": (permit.signal,)}
    return {}
