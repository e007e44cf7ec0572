"""Decodes recordings to mono samples at the corpus sample rate, and encodes samples as FLAC."""

from speechmill.audio.decoding import Decoding, declared_duration_s
from speechmill.audio.mixdown import Mix
from speechmill.audio.mixdown import name_of as mixdown_name
from speechmill.audio.opening import DECODER_BYTES
from speechmill.audio.samples import INT16_STEPS, Float32, Int16, decode_flac, encode_flac, resample, to_int16
from speechmill.audio.skipping import Skipping, UnskippableError

__all__ = [
    "DECODER_BYTES",
    "INT16_STEPS",
    "Decoding",
    "Float32",
    "Int16",
    "Mix",
    "Skipping",
    "UnskippableError",
    "declared_duration_s",
    "decode_flac",
    "encode_flac",
    "mixdown_name",
    "resample",
    "to_int16",
]
