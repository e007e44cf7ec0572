from .core.config_errors import ConfigError as ConfigError
from .core.config_file import load_config as load_config
from .core.version import __version__ as __version__
from .corpus.reader import Corpus as Corpus
from .runner.run import run as run

__all__ = ["ConfigError", "Corpus", "__version__", "load_config", "run"]
