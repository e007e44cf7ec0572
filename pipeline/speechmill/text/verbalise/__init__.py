"""Written text as it is spoken: numbers, signs and abbreviations in words, where a language leaves one reading only.

What could be read in several ways, or depends on grammar that is not certain, raises UnreadableError: a text without a
normal form costs a clip its text tokens, a wrong word would teach a model something false.
"""

from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.sentence import verbalise
from speechmill.text.verbalise.tables import LANGUAGES

__all__ = ["LANGUAGES", "UnreadableError", "verbalise"]
