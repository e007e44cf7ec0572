"""Attacks on purpose: commands that take longer than a test may. docs/reliability.md has what they saw."""
