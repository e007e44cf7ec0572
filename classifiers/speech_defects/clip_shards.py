"""Writes shards of labelled clips for training. Nothing here imports torch, so that a process of a pool starts soon."""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from speech_defects import Defect
from speech_defects.degrade import Degrader, Sources

SHARD_CLIPS = 128


def write_shard(sources: Sources, seed: tuple[int, int], seconds: float, folder: Path, shard: int) -> None:
    """Write the clips of one shard, which are a function of its number.

    Args:
        sources: Recordings to make them from.
        seed: Of the run and of this set of clips.
        seconds: Length of the clips.
        folder: Folder to write to.
        shard: Its number.
    """
    degrader = _degrader(sources, seed)
    clips = [degrader.clip(shard * SHARD_CLIPS + i, seconds) for i in range(SHARD_CLIPS)]
    waves = np.stack([np.clip(np.round(clip.wave * 32_767), -32_768, 32_767).astype(np.int16) for clip in clips])
    np.save(folder / f"{shard:05}.npy", waves)
    unfinished = folder / f"{shard:05}.tmp.npz"
    np.savez(
        unfinished,
        labels=np.array([[clip.defects[defect] for defect in Defect] for clip in clips], np.float32),
        frames=np.stack([clip.frames for clip in clips]),
        targets=np.array([[clip.snr_db, clip.c50_db] for clip in clips], np.float32),
    )
    os.replace(unfinished, folder / f"{shard:05}.npz")


@lru_cache(maxsize=2)
def _degrader(sources: Sources, seed: tuple[int, int]) -> Degrader:
    """The degrader of this process, with its decoded recordings, kept for the next shard."""
    return Degrader(sources, seed)
