"""All export formats: a class in each file of `formats/`, and those of plug-ins."""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from functools import lru_cache

from speechmill.core import plugins
from speechmill.core.config_errors import ConfigError
from speechmill.export import formats
from speechmill.export.base import Exporter


@lru_cache(maxsize=1)
def exporters() -> Mapping[str, Exporter]:
    """Exporters by name, sorted.

    >>> exporters()["ljspeech"].sample_rate
    22050
    """
    own = {exporter.name: exporter for exporter in _own()}
    for plugin in plugins.load(plugins.EXPORTERS):
        if not isinstance(plugin.value, Exporter):
            plugins.leave_out(plugin, "is no Exporter")
        elif plugin.value.name in own:
            plugins.leave_out(plugin, f"it redefines the format {plugin.value.name}")
    plugged = {plugin.value.name: plugin.value for plugin in plugins.load(plugins.EXPORTERS)}
    return dict(sorted((own | plugged).items()))


def _own() -> list[Exporter]:
    modules = [
        importlib.import_module(f"{formats.__name__}.{name}") for _, name, _ in pkgutil.iter_modules(formats.__path__)
    ]
    classes = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exporter) and value.__module__ == module.__name__
    ]
    return [exporter() for exporter in classes if not inspect.isabstract(exporter)]


def find(names: tuple[str, ...]) -> tuple[Exporter, ...]:
    """Exporters by name, each once. Raises ConfigError for an unknown name, or without one."""
    if not names:
        raise ConfigError("--to: no format; give one or more, such as --to ljspeech")
    known = exporters()
    for name in names:
        if name not in known:
            raise ConfigError(f"--to {name}: no such format; give one of {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(names))
