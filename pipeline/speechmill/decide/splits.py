"""Splits of recordings in corpora without speaker clustering."""

import hashlib

TRAIN, VALIDATION = "train", "validation"


def split_of(recording_id: str, validation_share: float) -> str:
    """Split of a recording by the hash of its id, which never changes; `validation_share` is in [0, 1]."""
    position = int(hashlib.sha256(recording_id.encode()).hexdigest()[:8], 16) / 16**8
    return VALIDATION if position < validation_share else TRAIN
