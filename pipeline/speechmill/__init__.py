"""speechmill: mills hours of audiobooks and podcasts into a speech corpus for text-to-speech models.

This package imports nothing, so that `speechmill --help` answers at once.
"""

__version__ = "0.2.0"
