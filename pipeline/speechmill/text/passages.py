"""Keys of what a text says, by which two texts with the same passage are found, however each was cut.

Overlapping runs of words (shingles: Broder, 1997), without case and punctuation. A shingle is hashed; of a large corpus
only those whose hash is divisible by a number are kept, the same ones in every text.
"""

import hashlib
import re
import unicodedata

import numpy as np
import numpy.typing as npt

SHINGLE_WORDS = 8  # fewer are common phrases
MIN_WORDS = 4  # of a text, for a key of all of it: shorter ones, such as "Yes, of course", are said everywhere
# A character of a script without spaces is a word: Thai, kana, and the unified ideographs of Chinese and Japanese.
_WORD = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_]+")

Keys = npt.NDArray[np.int64]


def words_of(text: str) -> list[str]:
    """Words without case and punctuation.

    >>> words_of("It's *ten* o’clock, Ann-Marie!")
    ['its', 'ten', 'oclock', 'ann', 'marie']
    """
    plain = (
        unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    )
    return _WORD.findall(plain)


def passage_keys(text: str, *, one_in: int = 1) -> Keys:
    """Keys of a text: one of all of it, and those of its shingles.

    Args:
        text: Any text.
        one_in: Keep a shingle of so many; all by default. Texts share keys only if they are made with the same.

    Returns:
        int64[n], sorted, each once; empty for a text of fewer than MIN_WORDS words.

    >>> first = passage_keys("In the beginning the river was young and the hills were old.")
    >>> second = passage_keys("She read: in the beginning the river was young, and the hills")
    >>> len(np.intersect1d(first, second))
    3
    """
    words = words_of(text)
    if len(words) < MIN_WORDS:
        return np.zeros(0, np.int64)
    shingles = (words[at : at + SHINGLE_WORDS] for at in range(len(words) - SHINGLE_WORDS + 1))
    keys = {key for key in map(_key, shingles) if key % one_in == 0}
    return np.array(sorted(keys | {_key(words)}), np.int64)


def _key(words: list[str]) -> int:
    digest = hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
