"""Text as it is spoken: normal form, numbers and signs in words."""
