"""Licences of a corpus in the terms of others: ids of the Hub, addresses, and conditions of use in ODRL and DUO.

Licences come from feeds and manifests, which may hold anything: only what looks like an SPDX id is shown.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

UNNAMED_LICENCE = "not an SPDX id"
SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")
# Of the ids that the Hub knows (https://huggingface.co/docs/hub/repositories-licenses), those for works of speech.
HUB_LICENCES = {
    "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0",
    "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "pddl", "odc-by", "odbl", "mit", "apache-2.0", "gfdl", "unlicense",
}  # fmt: skip
UNRESTRICTED = {"CC0-1.0", "CC-PDDC", "CC-PDM-1.0", "PDDL-1.0", "Unlicense", "LicenseRef-public-domain"}
CREATIVE_COMMONS = re.compile(r"CC-BY(-NC)?(-SA|-ND)?-[0-9]\.[0-9](-[A-Z]+)?")
# Actions of Creative Commons' vocabulary (https://creativecommons.org/ns), which ODRL's takes over.
USES, DERIVATIVES = ("cc:Reproduction", "cc:Distribution"), "cc:DerivativeWorks"
NOTICE, SHARE_ALIKE, COMMERCIAL = ("cc:Notice", "cc:Attribution"), "cc:ShareAlike", "cc:CommercialUse"
# Data Use Ontology (http://purl.obolibrary.org/obo/duo.owl): the two terms that a licence of a recording can have.
NO_RESTRICTION, NON_COMMERCIAL = ("DUO_0000004", "no restriction"), ("DUO_0000018", "non-commercial use only")


def licence_samples(stats: dict[str, Any]) -> Counter[str]:
    """Kept samples by licence; what is no SPDX id is counted under UNNAMED_LICENCE."""
    samples_by: Counter[str] = Counter()
    for licence, samples in stats["kept_samples_by"].get("licence", {}).items():
        samples_by[licence if SPDX.fullmatch(licence) else UNNAMED_LICENCE] += samples
    return samples_by


def hub_licence(stats: dict[str, Any]) -> tuple[str, str | None]:
    """The Hub's id of the corpus' only licence; `other` and a name if there are several, none, or an unknown one.

    >>> hub_licence({"kept_samples_by": {"licence": {"CC-BY-4.0": 5}}})
    ('cc-by-4.0', None)
    """
    ids = [name.lower() for name in licence_samples(stats)]
    if len(ids) == 1 and ids[0] in HUB_LICENCES:
        return ids[0], None
    name = re.sub(r"[^a-z0-9.+-]+", "-", ids[0]) if len(ids) == 1 else "several" if ids else "none"
    return "other", name


def licence_address(licence: str) -> str:
    """Address of the text of an SPDX licence; what SPDX does not list is returned as it is.

    >>> licence_address("CC-BY-4.0"), licence_address("LicenseRef-local")
    ('https://spdx.org/licenses/CC-BY-4.0', 'LicenseRef-local')
    """
    is_listed = licence != UNNAMED_LICENCE and licence != "unknown" and not licence.startswith("LicenseRef-")
    return f"https://spdx.org/licenses/{licence}" if is_listed else licence


def usage_info(names: Iterable[str], clips_under: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
    """Conditions of use of a corpus with these licences, as values of `usageInfo`; of unknown licences none.

    Each licence gives an `odrl:Offer`. A term of DUO says what holds for the whole corpus.

    Args:
        names: SPDX ids, sorted.
        clips_under: Returns the `odrl:AssetCollection` of the clips with a licence.

    >>> [term["@type"] for term in usage_info(["CC-BY-NC-4.0"], lambda licence: {})]
    [['CreativeWork', 'odrl:Offer'], 'DefinedTerm']
    """
    licences = list(names)
    offers = [offer for name in licences for offer in _offers(name, clips_under(name))]
    if licences and all(name in UNRESTRICTED for name in licences):
        return [*offers, _term(*NO_RESTRICTION)]
    matches = [CREATIVE_COMMONS.fullmatch(name) for name in licences]
    return [*offers, *([_term(*NON_COMMERCIAL)] if any(match and match[1] for match in matches) else [])]


def _offers(licence: str, rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The offer of a licence; empty for a licence whose terms are not known here."""
    if licence in UNRESTRICTED:
        return [_offer(licence, rows, permitted=[*USES, DERIVATIVES])]
    match = CREATIVE_COMMONS.fullmatch(licence)
    if match is None:
        return []
    duties = [*NOTICE, *([SHARE_ALIKE] if match[2] == "-SA" else [])]
    permitted = [*USES, *([] if match[2] == "-ND" else [DERIVATIVES])]
    return [_offer(licence, rows, permitted=permitted, duties=duties, prohibited=[COMMERCIAL] if match[1] else [])]


def _offer(
    licence: str, rows: dict[str, Any], *, permitted: Sequence[str], duties: Sequence[str] = (),
    prohibited: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    permission: dict[str, Any] = {"@type": "odrl:Permission", "odrl:action": _references(permitted)}
    if duties:
        permission["odrl:duty"] = {"@type": "odrl:Duty", "odrl:action": _references(duties)}
    offer = {
        "@type": ["CreativeWork", "odrl:Offer"],
        "name": f"clips under {licence}",
        "url": licence_address(licence),
        "odrl:target": rows,
        "odrl:permission": permission,
    }
    if prohibited:
        offer["odrl:prohibition"] = {"@type": "odrl:Prohibition", "odrl:action": _references(prohibited)}
    return offer


def _references(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"@id": name} for name in names]


def _term(code: str, name: str) -> dict[str, str]:
    return {"@type": "DefinedTerm", "name": name, "termCode": code, "url": f"http://purl.obolibrary.org/obo/{code}"}
