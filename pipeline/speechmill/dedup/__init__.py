"""Finds sound that is in the corpus already."""
