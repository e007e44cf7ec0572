"""Duplicate detection: finds sound that is already in the corpus."""
