"""Decides which clips are kept, from stored scores and texts. Runs no model, reads no audio."""
