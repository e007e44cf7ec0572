"""Verbalisation: numbers, signs and abbreviations in words, where a language has only one reading.

Text with several readings, or one that depends on uncertain grammar, raises UnreadableError: a text without a
normal form costs a clip its text tokens, but a wrong word would be wrong training data.
"""

from speechmill.text.verbalise.errors import UnreadableError
from speechmill.text.verbalise.sentence import verbalise
from speechmill.text.verbalise.tables import LANGUAGES

__all__ = ["LANGUAGES", "UnreadableError", "verbalise"]
