"""The documentation: that it builds, and that what it shows works."""
