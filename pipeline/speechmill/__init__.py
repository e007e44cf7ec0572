"""speechmill: mills hours of audiobooks and podcasts into a speech corpus for text-to-speech models.

    >>> import speechmill
    >>> config = speechmill.load_config(inputs=["recordings"], output="new-corpus", asr={"model": "tiny.en"})
    >>> speechmill.run(config, quiet=True).exit_code
    0
    >>> clips = speechmill.Corpus("new-corpus").clips().to_table(columns=["clip_id", "duration_s", "text"])

The names are those of `__init__.pyi`, each imported when it is used, so that `speechmill --help` answers at once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
