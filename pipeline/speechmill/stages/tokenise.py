"""Tokenise: from selected clips to mel tokens, of the stored samples."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from speechmill import tokens
from speechmill.core.build import Build
from speechmill.core.columns import Column
from speechmill.core.config import RunConfig
from speechmill.core.models import FindModel, ModelRef, model_file
from speechmill.core.reasons import Reason
from speechmill.core.records import TOKEN_ARTIFACT
from speechmill.core.store import Store
from speechmill.stages.base import Clips, ClipStage, InProcess, Row
from speechmill.tokens.text import MEL_RATE, MOST_SAMPLES


class Tokenise(ClipStage):
    """Mel tokens: codes of a dVAE."""

    name = "tokenise"
    artifact = TOKEN_ARTIFACT
    columns = (
        Column("mel_tokens", pa.list_(pa.uint16()),
               "dVAE codes, one for each 1,024 samples at 22,050 Hz begun, and one", in_pool=False),
        Column("mel_profile", pa.string(), "hash of resampler, front end and weights that made mel_tokens",
               in_pool=False),
        Column("fits_11s6", pa.bool_(), "at most 255,995 samples at 22,050 Hz, as trainers of TorToiSe and XTTS ask",
               in_pool=False),
    )  # fmt: skip
    reasons = (Reason.NOT_TOKENISED,)
    typical_speed = 150.0
    execution = InProcess(on_gpu=True)

    def settings(self, config: RunConfig) -> Any:
        """No settings: the model determines the result."""
        return None if config.tokenise.checkpoint is None else ()

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The dVAE, and its file of norms if it has one."""
        section = config.tokenise
        checkpoint, norms = tokens.dvae_files(section)
        dvae = model_file("tokenise.checkpoint", str(section.checkpoint), checkpoint)
        return (dvae,) if norms is None else (dvae, model_file("tokenise.norms", str(section.norms), norms))

    def description(self, build: Build, stored: str | None = None) -> str | None:
        """Whose codes the mel tokens are, for `run.json`; None without mel tokens.

        Args:
            build: The build.
            stored: What the last run said; without it, a dVAE that the config names is loaded.

        Raises:
            ConfigError: for unusable files.
        """
        section = build.config.tokenise
        if not build.runs(self.name):
            return None
        if section.checkpoint == "shipped" and not section.norms:
            return "speechmill's own dVAE, whose codes are not TorToiSe's"
        return stored or f"files that the config names: {tokens.describe(*tokens.dvae_files(section))}"

    def rows(self, clips: Clips, build: Build) -> list[Row]:
        """Rows with the codes of each clip and the reconstruction error of its spectrogram in nats."""
        tokenizer = tokens.load(*tokens.dvae_files(build.config.tokenise), build.device)
        encoded = tokenizer.encode_clips(list(clips.values()), build.config.audio.sample_rate)
        return [
            {"clip_id": clip_id, "mel_tokens": codes, "mel_profile": tokenizer.profile, "error_nats": error}
            for clip_id, (codes, error) in zip(clips, encoded, strict=True)
        ]


def fits_trainers(samples: npt.NDArray[np.int64], rate: int) -> npt.NDArray[np.bool_]:
    """Which clips trainers of TorToiSe and XTTS take: int64[clips], their samples at `rate` Hz, to bool[clips]."""
    fits: npt.NDArray[np.bool_] = np.round(samples * MEL_RATE / rate) <= MOST_SAMPLES
    return fits
