"""The one error of this package."""


class UnreadableError(ValueError):
    """Raised for a text without a certain reading. The message is the reason, for a column."""
