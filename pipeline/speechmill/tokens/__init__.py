"""Mel tokens: a clip's mel spectrogram as integers, as TTS models like TorToiSe predict them."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from speechmill.core.config import Tokenise
from speechmill.core.config_errors import ConfigError

if TYPE_CHECKING:
    from speechmill.tokens.encode import MelTokenizer

# TorToiSe's own dvae.pth, which its author published by accident and withdrew; and its codes for silence, which
# TorToiSe's api.py has as constants: the one within it, and the last three.
TORTOISE_SHA256 = "a990825371506c16bcf0e8167bf24ccf82f65bb6a1dbcbfcf058d76f9b197e35"


MEL_TOKENS = Path(__file__).parent / "weights" / "mel-tokens.safetensors"
TEXT_TOKENS = MEL_TOKENS.with_name("text-tokens.json")


def dvae_files(chosen: Tokenise) -> tuple[Path, Path | None]:
    """Paths of the dVAE that a config names, and of its mel norms if it has its own."""
    checkpoint = MEL_TOKENS if chosen.checkpoint == "shipped" else Path(chosen.checkpoint or "").expanduser()
    return checkpoint, Path(chosen.norms).expanduser() if chosen.norms else None


def text_tokenizer_file(chosen: Tokenise) -> Path:
    """Path of the text tokenizer that a config names."""
    return TEXT_TOKENS if chosen.text_tokenizer == "shipped" else Path(chosen.text_tokenizer).expanduser()


@dataclass(frozen=True, slots=True)
class Silence:
    """A dVAE's codes of digital silence: the one inside it, and the last three."""

    within: int
    last: tuple[int, ...]


TORTOISE_SILENCE = Silence(83, (45, 45, 248))


@lru_cache(maxsize=1)  # loaded once a process and shared by its threads
def load(checkpoint: Path, norms: Path | None, device: str) -> "MelTokenizer":
    """Load the dVAE of a run on `device`, cpu or cuda. Raises ConfigError for a file that holds none."""
    from speechmill.tokens import dvae, mel
    from speechmill.tokens.encode import MelTokenizer

    try:
        return MelTokenizer(dvae.load(checkpoint), mel.NORMS if norms is None else mel.load_norms(norms), device)
    except (ValueError, OSError) as error:
        raise ConfigError(f"tokenise.checkpoint: {error}; give a dVAE in TorToiSe's layout, or leave it out") from None


def describe(checkpoint: Path, norms: Path | None) -> str:
    """Describe a dVAE by its SHA-256 and its codes for three seconds of silence.

    Raises ConfigError for a file that holds none, or that is TorToiSe's and does not give TorToiSe's codes.
    """
    tokenizer = load(checkpoint, norms, "cpu")
    silence = tokenizer.silence()
    with checkpoint.open("rb") as file:
        is_tortoise = hashlib.file_digest(file, "sha256").hexdigest() == TORTOISE_SHA256
    if is_tortoise and silence.within != TORTOISE_SILENCE.within:
        fix = "its norms are others than TorToiSe's" if norms else "please report it"
        raise ConfigError(f"tokenise.checkpoint: TorToiSe's dVAE gives {silence.within} for silence, not 83; {fix}")
    kind = "TorToiSe's dVAE by its SHA-256" if is_tortoise else "not TorToiSe's dVAE by its SHA-256"
    ends = "as TorToiSe's" if silence == TORTOISE_SILENCE else "where TorToiSe's has 83, 45 45 248"
    last = " ".join(map(str, silence.last))
    return f"{kind}; {tokenizer.codes:,} codes, silence is {silence.within}, its end {last}, {ends}"
