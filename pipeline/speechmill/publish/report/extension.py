"""What a server may add to the report."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """Script and style that a server adds to the report, which may then speak to that server, and to no other.

    The script runs before the report's own; `web/src/seam.js` says what it may set, and what the report offers it.

    >>> Extension(script="window.speechmill = {sound: (clipId) => `sound/${clipId}.flac`};").style
    ''
    """

    script: str
    style: str = ""
