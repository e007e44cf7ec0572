"""Text tokens: byte-pair encoding as in TorToiSe's `VoiceBpeTokenizer`, with its files or the shipped one."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from speechmill.core.config_errors import ConfigError

STOP, UNKNOWN, SPACE = "[STOP]", "[UNK]", "[SPACE]"  # ids 0, 1 and 2
ENTRIES = 255
LETTERS = "!'(),-./:;?abcdefghijklmnopqrstuvwxyz"
# Limits of TorToiSe's consumers: positions of its GPT, and the longest clip of its and XTTS's trainers.
MOST_TOKENS, MOST_MEL_TOKENS = 402, 604
MOST_SAMPLES, MEL_RATE, MEL_SAMPLES = 255_995, 22_050, 1_024  # 11.61 s; Hz; samples of a mel token


class TextTokenizer:
    """Encodes text in normal form (see `transcribe.text.normalise`)."""

    def __init__(self, path: Path) -> None:
        """Load a `tokenizer.json`. Raises ConfigError where it is none, or of another kind."""
        from tokenizers import Tokenizer

        try:
            self._bpe = Tokenizer.from_buffer(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"tokenise.text_tokenizer: {path} is no tokenizer.json ({error})") from None
        if [self._bpe.token_to_id(token) for token in (STOP, UNKNOWN, SPACE)] != [0, 1, 2]:
            fix = "give a tokenizer of TorToiSe's kind"
            raise ConfigError(f"tokenise.text_tokenizer: {path} has no {STOP}, {UNKNOWN}, {SPACE} as 0, 1, 2; {fix}")

    def encode(self, text: str) -> list[int]:
        """Encode a text as token ids. An id under 2 means that the tokenizer does not know a character."""
        return list(self._bpe.encode(text.replace(" ", SPACE)).ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids."""
        return "".join(self._bpe.id_to_token(token_id) or UNKNOWN for token_id in ids).replace(SPACE, " ")


def tortoise_takes(samples: int, rate: int, ids: Sequence[int] | None) -> bool:
    """Whether TorToiSe's GPT takes a clip of so many samples at `rate` Hz with these text tokens; None: without any."""
    has_text = ids is not None and 0 < len(ids) <= MOST_TOKENS and min(ids) > 1
    return has_text and round(samples * MEL_RATE / rate) // MEL_SAMPLES + 1 <= MOST_MEL_TOKENS


@lru_cache(maxsize=4)
def load(path: Path) -> TextTokenizer:
    """Load a tokenizer once a process."""
    return TextTokenizer(path)


def train(texts: Iterable[str], path: Path) -> int:
    """Train ENTRIES entries on texts in normal form, write a `tokenizer.json`, and return the number of its merges.

    The same texts give the same file. Raises ValueError where they are too few.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE(unk_token=UNKNOWN))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=ENTRIES, special_tokens=[STOP, UNKNOWN, SPACE], initial_alphabet=list(LETTERS),
        limit_alphabet=len(LETTERS), show_progress=False,
    )  # fmt: skip
    bpe.train_from_iterator(texts, trainer)
    if bpe.get_vocab_size() != ENTRIES:
        raise ValueError(f"the texts give {bpe.get_vocab_size()} entries, not {ENTRIES}; give more of them")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(bpe.to_str(pretty=True) + "\n", encoding="utf-8")
    return ENTRIES - len(LETTERS) - 3
