"""Which recordings may be published, by their licence."""

import re

from speechmill.core.config import Licences
from speechmill.core.reasons import Reason

# SPDX ids that forbid derivatives: a clip is one.
FORBIDDING = re.compile(r"-ND(-|$)|^LicenseRef-(proprietary|all-rights-reserved)$", re.IGNORECASE)


def licence_allowed(licence: str, rules: Licences) -> bool:
    """Whether recordings under an SPDX id may be published."""
    if rules.allow is not None:
        return licence in rules.allow
    return licence != "unknown" and not FORBIDDING.search(licence)


def reasons_by_licence(licence: str, rules: Licences, *, ai_generated: bool) -> list[Reason]:
    """Why no clip of a recording may be published; empty where they may."""
    by_licence = [] if licence_allowed(licence, rules) else [Reason.LICENCE]
    return by_licence + ([Reason.AI_GENERATED] if ai_generated and rules.ai_generated == "reject" else [])
