"""One run from start to end: the Beam graph, the log, progress."""
