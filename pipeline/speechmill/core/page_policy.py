"""Content security policy of the pages that are written: only the scripts and styles within them run."""

import base64
import hashlib
from collections.abc import Iterable


def policy(scripts: Iterable[str], styles: Iterable[str], *, is_served: bool = False) -> str:
    """Content security policy that allows these scripts and styles only, and images and audio inside the page.

    Args:
        scripts: Text of each script.
        styles: Text of each style sheet.
        is_served: Whether requests to the server that the page came from are allowed too.

    >>> policy(["let x;"], [""], is_served=True).split("; ")[0]
    "default-src 'none'"
    """
    own = " 'self'" if is_served else ""
    server = "'self'" if is_served else "'none'"
    return (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes(styles)}; img-src data:{own}; "
        f"media-src data:{own}; connect-src {server}; base-uri 'none'; form-action 'none'"
    )


def _hashes(texts: Iterable[str]) -> str:
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    return " ".join(f"'sha256-{digest}'" for digest in hashes) or "'none'"
