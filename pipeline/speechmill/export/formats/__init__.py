"""Export formats, one file each: a new file in this folder adds one."""
