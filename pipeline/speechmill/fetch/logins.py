"""Users, passwords and tokens: where they come from, and to which hosts they are sent.

From the address itself (`https://user:password@host/`), for its origin only; then from `fetch.credentials`, whose
values are in environment variables; then from `~/.netrc`, or the file that $NETRC names. The latter two are sent
by https, and by http only to hosts in `fetch.allow_hosts`: no feed can have a password sent unencrypted
by naming an address. Basic and Bearer are supported, not Digest.
"""

import base64
import logging
import netrc
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from speechmill.core.config_errors import ConfigError
from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.core.urls import web_address
from speechmill.fetch.addresses import host_of, is_allowed, origin_of

_log = logging.getLogger("speechmill")


@dataclass(frozen=True, slots=True)
class Logins:
    """Authorization headers by origin: `own` from addresses, the others from the config and the user's netrc file."""

    config: Fetch
    own: dict[str, str] = field(default_factory=dict, repr=False)

    def beside(self, url: str, userinfo: str) -> Self:
        """These logins and the one in an address, if there is any."""
        login = of_userinfo(userinfo)
        return type(self)(self.config, {**self.own, origin_of(url): login}) if login else self

    def of(self, origin: str) -> str | None:
        """Authorization for an origin; None where there is none. Raises RejectedError where a variable is not set."""
        if origin in self.own:
            return self.own[origin]
        host, port = host_of(origin)
        if origin.startswith("http:") and not is_allowed(host, port, self.config.allow_hosts):
            return None
        return of_config(self.config, host, port) or _of_netrc(host)


def logins_of(config: Fetch, *urls: str | None) -> Logins:
    """Logins for requests that belong to these addresses, such as an episode's to its feed's."""
    logins = Logins(config)
    for url in urls:
        try:
            logins = logins.beside(*without_userinfo(web_address(url or "")))
        except RejectedError:
            pass  # an invalid address has no login
    return logins


def of_config(config: Fetch, host: str, port: int) -> str | None:
    """Authorization for a host by `fetch.credentials`. Raises RejectedError where a variable is not set."""
    for key in (f"{host}:{port}", host, _as_written(host)):
        if key in config.credentials:
            try:
                return _of_environment(key, config)
            except ConfigError as error:
                raise RejectedError(Reason.FORBIDDEN, str(error), retry=True) from None
    return None


def without_userinfo(url: str) -> tuple[str, str]:
    """Split a URL into the URL without user and password, and these as written; raises as `host_of` does."""
    from urllib3.util import parse_url

    if "@" not in url:
        return url, ""
    host_of(url)
    parts = parse_url(url)
    return (parts._replace(auth=None, fragment=None).url, parts.auth) if parts.auth else (url, "")


def of_userinfo(userinfo: str) -> str | None:
    """Authorization for `user:password` in an address; None for an empty string."""
    user, _, password = userinfo.partition(":")
    return basic(unquote(user), unquote(password)) if userinfo else None


def check(config: Fetch) -> None:
    """Raise ConfigError where a variable that `fetch.credentials` names is not set."""
    for host in config.credentials:
        _of_environment(host, config)


def basic(user: str, password: str) -> str:
    """Basic authorization of user and password (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _as_written(host: str) -> str:
    """A host in its own script, as a config may have it."""
    try:
        return host.encode().decode("idna")
    except UnicodeError:
        return host


def _of_environment(key: str, config: Fetch) -> str:
    login = config.credentials[key]
    if login.env is None:
        return basic(_variable(key, login.user_env or ""), _variable(key, login.password_env or ""))
    user, colon, password = _variable(key, login.env).partition(":")
    return basic(user, password) if colon else f"Bearer {user.removeprefix('Bearer ').strip()}"


def _variable(key: str, name: str) -> str:
    value = os.environ.get(name, "")
    if not value or not value.isprintable():
        fix = f"export {name}='user:password', or a token" if value == "" else "it has characters that cannot be sent"
        raise ConfigError(f"fetch.credentials.{key}: the environment variable {name} is not set; {fix}")
    return value


def _of_netrc(host: str) -> str | None:
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None
    login = _netrc(path, facts.st_mtime_ns, facts.st_mode & 0o077).get(host)
    return basic(*login) if login else None


@lru_cache(maxsize=1)
def _netrc(path: Path, _changed_ns: int, others: int) -> dict[str, tuple[str, str]]:
    """User and password by host. An entry for all hosts is ignored, since a feed can name any host."""
    if others:
        _log.warning("%s can be read by others; mend it with: chmod 600 %s", path, path)
    try:
        hosts = netrc.netrc(str(path)).hosts
    except (OSError, ValueError, netrc.NetrcParseError) as error:
        cause = f"line {error.lineno}" if isinstance(error, netrc.NetrcParseError) else type(error).__name__
        _log.warning("%s cannot be read (%s): no login is taken from it", path, cause)
        return {}
    return {host.lower(): (user, password or "") for host, (user, _, password) in hosts.items() if host != "default"}
