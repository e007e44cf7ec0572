"""Shared base of all folders: config, data types, the artifact store, file names, URLs and worker processes."""
