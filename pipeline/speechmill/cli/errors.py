"""Errors that a user can mend: each is told in one line, and has an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager


def exit_codes() -> dict[type[Exception], int]:
    """Exit code of each error that is told in one line. Imports what raises them, so call it once one was raised."""
    from speechmill.core.config_errors import ConfigError
    from speechmill.core.filesystem import object_store_errors
    from speechmill.core.store import BusyError, OutOfSpaceError
    from speechmill.publish import WithheldError

    return {ConfigError: 2, BusyError: 1, OutOfSpaceError: 1, WithheldError: 1} | dict.fromkeys(
        object_store_errors(), 1
    )


@contextmanager
def config_errors() -> Iterator[None]:
    """Raise ConfigError in place of a missing package, an unreadable file or a wrong value."""
    from speechmill.core.config_errors import ConfigError

    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{error}; pip install 'speechmill[train]'") from None
    except OSError as error:
        raise ConfigError(f"{error.filename or error}: {error.strerror or 'cannot be read'}") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
