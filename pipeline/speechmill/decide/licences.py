"""Decides by licence whether a recording may be published."""

import re

from speechmill.core.config import Licences
from speechmill.core.reasons import Reason

# SPDX ids that forbid derivatives: a clip is one.
FORBIDDING = re.compile(r"-ND(-|$)|^LicenseRef-(proprietary|all-rights-reserved)$", re.IGNORECASE)


def licence_allowed(licence: str, rules: Licences) -> bool:
    """Whether recordings with an SPDX licence id may be published."""
    if rules.allow is not None:
        return licence in rules.allow
    return licence != "unknown" and not FORBIDDING.search(licence)


def reasons_by_licence(licence: str, rules: Licences, *, ai_generated: bool) -> list[Reason]:
    """Reasons for which clips of a recording may not be published; empty if they may."""
    by_licence = [] if licence_allowed(licence, rules) else [Reason.LICENCE]
    return by_licence + ([Reason.AI_GENERATED] if ai_generated and rules.ai_generated == "reject" else [])
