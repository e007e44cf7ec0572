"""Imports Apache Beam without its warning that libraries for Google Cloud are not there.

It warns by the root logger, which, where a program has not set it up, prints messages of all libraries from then on.
"""

import logging

_level, _handler = logging.root.level, logging.NullHandler()
logging.root.addHandler(_handler)
logging.root.setLevel(logging.ERROR)
try:
    import apache_beam  # noqa: F401
finally:
    logging.root.setLevel(_level)
    logging.root.removeHandler(_handler)
