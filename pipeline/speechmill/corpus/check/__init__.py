"""`speechmill check`: somebody else's corpus, scored by the pipeline of a run, with a list of what to leave out."""
