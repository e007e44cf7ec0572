"""The one error of this package."""


class UnreadableError(ValueError):
    """A text, or a part of it, has no certain reading. The message is the reason, for a column."""
