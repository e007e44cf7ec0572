"""The kinds of source, one module each; a new file adds a kind."""
