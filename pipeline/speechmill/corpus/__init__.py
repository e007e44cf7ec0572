"""Commands on a finished corpus, and its reader: status, plan, verify, prune, remove."""
