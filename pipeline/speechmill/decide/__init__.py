"""Which clips are kept and why, from stored scores and texts. Runs no model, reads no audio."""
