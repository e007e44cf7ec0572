"""Shares of a run, for machines that know nothing of each other: some of its recordings, or its first stages."""

import hashlib
import re
from dataclasses import dataclass

from speechmill.core.config_errors import ConfigError

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What of a run is done: the recordings of one shard, and the stages up to one. Nothing is published of a part.

    >>> share = read_share("2/16")
    >>> share.shard, share.shards, share.is_whole
    (2, 16, False)
    """

    shard: int = 1
    """Number of the shard, from 1."""
    shards: int = 1
    until: str | None = None
    """Name of the last stage; None: all."""

    @property
    def is_whole(self) -> bool:
        """Whether it is all of a run."""
        return self.shards == 1 and self.until is None

    @property
    def name(self) -> str:
        """Name for files that only this share uses; empty for a whole run."""
        return "" if self.shards == 1 else f"-{self.shard}-of-{self.shards}"

    def has(self, recording_id: str) -> bool:
        """Whether a recording is in this shard: by a hash of its id, so that shards are even and stay the same."""
        digest = hashlib.sha256(recording_id.encode()).digest()
        return int.from_bytes(digest[:8]) % self.shards == self.shard - 1


WHOLE = Share()


def read_share(shard: str | None, until: str | None = None) -> Share:
    """Read a shard `i/n`, from 1/n to n/n; None is all. Raises ConfigError."""
    match = _SHARD.fullmatch(shard or "1/1")
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--shard: {shard} is none; give i/n, from 1/n to n/n, such as 3/16")
    return Share(shard=int(match[1]), shards=int(match[2]), until=until)
