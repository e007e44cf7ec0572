"""Podcast feeds: RSS, Atom and OPML, read from bytes however malformed."""
