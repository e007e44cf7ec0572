"""ASR models that can be had by a name: what they cost, and what they know.

Sizes are those of the files in CTranslate2 format, as Systran publishes them (float16) and the package has it;
parameters and relative speeds are from the table in OpenAI's README of Whisper.
"""

from dataclasses import dataclass

TINY_SPEED = 30.0  # x real time of one process on a CPU, int8
PACKAGED = "tiny.en"  # comes with the extra `demo`
DEFAULT = "base"  # of `asr.model`


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A Whisper that `asr.model` may name."""

    name: str
    parameters_millions: int
    download_mb: int
    cost: float
    """Time for the same audio, relative to `tiny`."""
    is_english_only: bool = False

    @property
    def languages(self) -> str:
        """Languages that it knows."""
        return "English" if self.is_english_only else "99"

    @property
    def speed(self) -> float:
        """Usual speed of one process on a CPU, in multiples of real time."""
        return TINY_SPEED / self.cost


KNOWN_MODELS = (
    KnownModel(name="tiny.en", parameters_millions=39, download_mb=78, cost=1.0, is_english_only=True),
    KnownModel(name="tiny", parameters_millions=39, download_mb=78, cost=1.0),
    KnownModel(name="base.en", parameters_millions=74, download_mb=148, cost=10 / 7, is_english_only=True),
    KnownModel(name="base", parameters_millions=74, download_mb=148, cost=10 / 7),
    KnownModel(name="small.en", parameters_millions=244, download_mb=486, cost=10 / 4, is_english_only=True),
    KnownModel(name="small", parameters_millions=244, download_mb=486, cost=10 / 4),
    KnownModel(name="medium", parameters_millions=769, download_mb=1530, cost=10 / 2),
    KnownModel(name="large-v3-turbo", parameters_millions=809, download_mb=1620, cost=10 / 8),
    KnownModel(name="large-v3", parameters_millions=1550, download_mb=3090, cost=10.0),
)


def known_model(name: str) -> KnownModel | None:
    """A known model by its name; None for any other.

    >>> known_model("small").download_mb
    486
    """
    return next((model for model in KNOWN_MODELS if model.name == name), None)


def instead_of_default() -> str:
    """What is said where the packaged model takes the place of the default one.

    >>> "tiny.en" in instead_of_default()
    True
    """
    better = ", ".join(
        f"{model.name} ({model.download_mb} MB, {TINY_SPEED / model.cost:.0f} x real time)"
        for model in KNOWN_MODELS
        if model.name in (DEFAULT, "small")
    )
    return (
        f"asr.model: {DEFAULT} cannot be had here, so the packaged {PACKAGED} transcribes, which knows English only "
        f"and makes more errors; better, where the hub answers or from a folder: --set asr.model=NAME with {better}"
    )
