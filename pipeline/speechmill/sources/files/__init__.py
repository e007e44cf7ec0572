"""Local files: folders, manifests, known corpora, and what lies beside a recording."""
