"""Which split a recording is in, where nobody has told its speakers."""

import hashlib

TRAIN, VALIDATION = "train", "validation"


def split_of(recording_id: str, validation_share: float) -> str:
    """Split of a recording, by its hash: it never moves, and no recording is in two splits."""
    position = int(hashlib.sha256(recording_id.encode()).hexdigest()[:8], 16) / 16**8
    return VALIDATION if position < validation_share else TRAIN
