"""Spares short commands the import of pandas, which takes half a second: pyarrow tries it at its first array."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec


class _NoPandas:
    """A finder by which pandas is not installed."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Refuse pandas, and leave all else to other finders."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not imported here", name=name)
        return None


@contextmanager
def _hidden() -> Iterator[None]:
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def spare_pandas() -> None:
    """Let pyarrow find no pandas. What asks it for a data frame later still gets one, after an import.

    Arrays are not made of pandas' series in this process; nothing here does so.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    with _hidden():
        pa.array([0])
