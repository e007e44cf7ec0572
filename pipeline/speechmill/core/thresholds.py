"""Section `thresholds` of the configuration."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from speechmill.core import plugins
from speechmill.core.config_errors import ConfigError, renamed_key, unknown_key
from speechmill.core.section import Section, reject_bool


class Thresholds(Section):
    """Limits that a clip must satisfy to be kept. null switches a test off. Changing them runs no model."""

    # Keys of plug-ins are allowed too; their defaults are in the columns that they test.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[float | None, BeforeValidator(reject_bool)]]

    noise: float | None = Field(0.8, ge=0, le=1)
    """Highest probability of background noise."""
    music: float | None = Field(0.75, ge=0, le=1)
    """Highest probability of music."""
    telephone: float | None = Field(0.8, ge=0, le=1)
    """Highest probability of band-limited or coded speech."""
    overlap: float | None = Field(0.85, ge=0, le=1)
    """Highest probability of several voices at once."""
    voices: float | None = Field(1, ge=1)
    """Most voices in turns."""
    turn: float | None = Field(0.5, ge=0, le=1)
    """Highest probability of half a second or more of a second voice in turns."""
    reverb: float | None = Field(0.75, ge=0, le=1)
    """Highest probability of reverberation."""
    snr_db: float | None = 15.0
    """Lowest speech level over background, dB."""
    c50_db: float | None = None
    """Lowest clarity, dB."""
    bandwidth_hz: float | None = Field(5_000.0, ge=0)
    """Lowest bandwidth, Hz."""
    loudness_lufs: float | None = -45.0
    """Lowest loudness, LUFS."""
    clipped_ratio: float | None = Field(0.005, ge=0, le=1)
    """Highest share of clipped samples."""
    edge_ratio: float | None = Field(0.5, ge=0, le=1)
    """Loudest that an end of a clip may be, between the levels of its pauses, 0, and of its speech, 1."""
    repeated_ratio: float | None = Field(0.3, ge=0, le=1)
    """Highest share of a clip that repeats the sound of an earlier one: re-encoded, cut anew, or an advert."""
    no_speech: float | None = Field(0.8, ge=0, le=1)
    """Highest probability, by the ASR model, that there is no speech under the text."""
    language_probability: float | None = Field(0.5, ge=0, le=1)
    """Lowest probability of the language, where it was detected."""
    asr_confidence: float | None = Field(0.7, ge=0, le=1)
    """Lowest mean word probability."""
    text_confidence: float | None = Field(0.81, ge=0, le=1)
    """Lowest share of words that are likely right, by the probabilities of Whisper."""
    asr_agreement: float | None = Field(0.8, ge=0, le=1)
    """Lowest agreement of the transcript with a cross-check or a reference text, where there is one."""

    @model_validator(mode="after")
    def _known(self) -> "Thresholds":
        for key, value in (self.__pydantic_extra__ or {}).items():
            if (name := renamed_key(f"thresholds.{key}", value)) is not None:
                raise ConfigError(f"thresholds.{key}: has another name since 0.2; write {name}")
            if key not in (known := plugins.threshold_keys()):
                raise ConfigError(unknown_key(f"thresholds.{key}", {*type(self).model_fields, *known}))
        return self
