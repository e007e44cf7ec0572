"""A source, a stage and an ASR backend for speechmill."""
