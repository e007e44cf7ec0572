"""The section `fetch` of a config: how media are downloaded, and which host gets which login."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from speechmill.core.config_errors import ConfigError
from speechmill.core.section import Section
from speechmill.core.version import __version__

USER_AGENT = f"speechmill/{__version__} (+https://github.com/speechmill/speechmill)"


class Login(Section):
    """Names of the environment variables that hold a login, so that no secret is in a config."""

    env: str | None = None
    """Variable with `user:password`, or with a token."""
    user_env: str | None = None
    """Variable with the user's name, where `password_env` has the password."""
    password_env: str | None = None
    """Variable with the password."""


VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def _logins(value: Any, host: str = "") -> Any:
    """Logins by host, from nested sections too: `--set fetch.credentials.example.org=NAME` makes one for each dot.

    Unlike other errors, these do not show the wrong value: it may be the secret itself.
    """
    if isinstance(value, Login):
        return {host: value}
    if isinstance(value, str) and host:
        value = {"env": value}
    if not isinstance(value, Mapping) or not (value or not host) or set("/@ ") & set(host):
        fix = "write HOST: NAME, with the host alone and the name of an environment variable"
        raise ConfigError(f"fetch.credentials: not a variable by host; {fix}")
    if host and set(value) <= set(Login.model_fields):
        names = {key: name for key, name in value.items() if name is not None}
        if set(names) not in ({"env"}, {"user_env", "password_env"}):
            raise ConfigError(f"fetch.credentials.{host}: give env, or user_env and password_env")
        if not all(isinstance(name, str) and VARIABLE.fullmatch(name) for name in names.values()):
            fix = f"export NAME='user:password' and write {host}: NAME"
            raise ConfigError(f"fetch.credentials.{host}: not the name of an environment variable; {fix}")
        return {host: names}
    nested = {f"{host}{host and '.'}{key}".lower(): part for key, part in value.items()}
    return {name: login for key, part in nested.items() for name, login in _logins(part, key).items()}


def _proxy(value: Any) -> Any:
    if isinstance(value, str) and "@" in value:  # not shown: it is a secret
        raise ConfigError(
            "fetch.proxy: leave user and password out; fetch.credentials names, for its host, their variable"
        )
    return value


class Fetch(Section):
    """How media are downloaded."""

    user_agent: str = Field(USER_AGENT, min_length=1)
    """User-Agent header of every request. Put an address in it where you can be reached."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be contacted although their address is private or loopback."""
    credentials: Annotated[dict[str, Login], BeforeValidator(_logins)] = Field({})
    """By host, or host:port, the environment variable that holds its login: `user:password`, or a token."""
    proxy: Annotated[str, BeforeValidator(_proxy), Field(pattern=r"^(environment|https?://[^/@\s]+/?)$")] | None = None
    """HTTP proxy, as http://host:port; `environment` takes the one of HTTPS_PROXY, HTTP_PROXY and NO_PROXY."""
    max_bytes: int = Field(4 * 2**30, gt=0)
    """Largest media file in bytes."""
    max_seconds: float = Field(3600.0, gt=0)
    """Longest time for one file."""
    timeout_s: float = Field(30.0, gt=0)
    """Seconds to wait for a connection or for the next bytes."""
    retries: int = Field(4, ge=0, le=20)
    """How often a failed request is repeated."""
    backoff_s: float = Field(1.0, ge=0)
    """Seconds before the first repetition; doubled, with jitter, for each further one."""
    concurrency: int = Field(16, ge=1, le=256)
    """Simultaneous downloads, all hosts together."""
    per_host: int = Field(2, ge=1, le=64)
    """Simultaneous requests to one host."""
    host_workers: int = Field(1, ge=1, le=64)
    """Workers that share the limits of a host: each has its part of per_host, and waits as many times longer between
    requests. A run on other machines sets it to per_host, so that not one of them fetches all of a host."""
    delay_s: float = Field(0.0, ge=0)
    """Least seconds between requests to one host; longer where its robots.txt asks for it."""
    wave_hours: float | None = Field(20.0, gt=0)
    """Hours of audio in a wave, for each core or worker: while the stages work on one, the next is fetched. The first
    waves are shorter. null: all is fetched first. Runners on other machines have no waves. No result depends on it."""
    keep_media: bool = True
    """false: delete fetched media once their clips are stored, so that the disk holds those of two waves; other
    settings of audio or segment then fetch them again."""
    listing_max_s: float = Field(3600.0, gt=0)
    """Longest time in seconds for the listing of one input: a feed with all its pages, an OPML file, a channel."""
    ask_again_s: float = Field(7 * 24 * 3600.0, ge=0)
    """Seconds after which a recording that was not found, forbidden or opted out is requested again."""
    transcripts: bool = True
    """Also get publishers' transcripts, subtitles and the texts of books."""
    pages: bool = True
    """Also read the web pages of a feed and of its episodes: they may forbid training."""

    @property
    def per_host_here(self) -> int:
        """Simultaneous requests of this worker to one host."""
        return max(self.per_host // self.host_workers, 1)
