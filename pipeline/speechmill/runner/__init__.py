"""A run from start to end: the Beam graph, the log, the progress display."""
