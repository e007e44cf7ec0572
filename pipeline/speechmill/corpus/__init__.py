"""Commands on a corpus (status, plan, preview, verify, prune, remove), and the reader of a finished one."""
