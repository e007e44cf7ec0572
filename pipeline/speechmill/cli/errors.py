"""Errors that a user can fix: each is reported in one line and has an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager


def exit_codes() -> dict[type[Exception], int]:
    """Exit code by type of error that is reported in one line. Imports heavy modules: call it after an error only."""
    from speechmill.core.arrow_files import DamagedError
    from speechmill.core.config_errors import ConfigError
    from speechmill.core.filesystem import object_store_errors
    from speechmill.core.locks import BusyError
    from speechmill.core.store import OutOfSpaceError
    from speechmill.export.finishing import ExportError
    from speechmill.fetch.hub import HubError
    from speechmill.publish import WithheldError

    return {ConfigError: 2} | dict.fromkeys(
        (BusyError, DamagedError, ExportError, HubError, OutOfSpaceError, WithheldError, *object_store_errors()), 1
    )


@contextmanager
def config_errors() -> Iterator[None]:
    """Turn ImportError, OSError and ValueError of the block into ConfigError."""
    from speechmill.core.config_errors import ConfigError

    try:
        yield
    except ImportError as error:
        raise ConfigError(f"{error}; pip install 'speechmill[train]'") from None
    except OSError as error:
        raise ConfigError(f"{error.filename or error}: {error.strerror or 'cannot be read'}") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
