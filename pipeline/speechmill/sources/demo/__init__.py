"""The demo podcast: its script, its sound, and a server for it on the loopback address."""
