"""What the sections of a config are made of."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator

from speechmill.core.config_errors import QUOTE
from speechmill.core.languages import language_code


def no_truth(value: Any) -> Any:
    """Refuse what YAML makes of yes, no, on and off. Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError(f"must not be {str(value).lower()}; {QUOTE}")
    return value


class Section(BaseModel):
    """Keys and values of a part of a config: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads yes, no, on and off as true and false, which Python would take for 1 and 0."""
        kind = cls.model_fields[info.field_name or ""].annotation
        return value if kind is bool else no_truth(value)


def _as_language(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if (code := language_code(value)) is None:
        raise ValueError(
            "not a language; give a code of ISO 639-1 such as en, a tag such as en-US, or its English name"
        )
    return code


Language = Annotated[str, BeforeValidator(_as_language)]
