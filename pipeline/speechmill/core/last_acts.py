"""What is still to be done when a process is ended early: to store what is done, and to leave the terminal in order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_acts: list[Callable[[], object]] = []


@contextmanager
def before_exit(act: Callable[[], object]) -> Iterator[None]:
    """Have a function called if the process is ended while the block runs. It may be called from another thread.

    >>> with before_exit(lambda: print("stored")):
    ...     run_all()
    stored
    """
    _acts.append(act)
    try:
        yield
    finally:
        _acts.remove(act)


def run_all() -> None:
    """Call all functions, the last one first. Their errors are dropped: the process ends."""
    for act in reversed(list(_acts)):
        with suppress(Exception):
            act()
