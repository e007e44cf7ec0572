"""Base class of the sections of a config, and types of their values."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator

from speechmill.core.config_errors import QUOTE
from speechmill.core.languages import language_code


def reject_bool(value: Any) -> Any:
    """Return a value; raise ValueError for a bool, which YAML makes of yes, no, on and off."""
    if isinstance(value, bool):
        raise ValueError(f"must not be {str(value).lower()}; {QUOTE}")
    return value


class Section(BaseModel):
    """A section of a config: frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _reject_bool(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a bool in the place of a number: pydantic would take it for 1 or 0."""
        kind = cls.model_fields[info.field_name or ""].annotation
        return value if kind is bool else reject_bool(value)


def _as_language(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if (code := language_code(value)) is None:
        raise ValueError(
            "not a language; give a code of ISO 639-1 such as en, a tag such as en-US, or its English name"
        )
    return code


Language = Annotated[str, BeforeValidator(_as_language)]
