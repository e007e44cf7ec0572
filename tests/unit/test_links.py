"""Files that were put together: every link is decoded, whatever changes between them; a broken one costs itself."""

import struct
from pathlib import Path

import numpy as np
import pytest
from speechmill.audio import Skipping, UnskippableError
from speechmill.core.config import Audio

from tests.media import RATE, Sound, decode, encode, wav

SECONDS = 3
APE_TAG = b"APETAGEX" + struct.pack("<IIII", 2_000, 32, 0, 0xA0000000) + bytes(8)  # a head without items
APE_TAG += b"APETAGEX" + struct.pack("<IIII", 2_000, 32, 0, 0x80000000) + bytes(8)
LINKS = {
    "Ogg": lambda sound: wav(sound, kind="OGG", subtype="VORBIS"),
    "Ogg in stereo": lambda sound: wav(np.stack([sound, sound], axis=1), kind="OGG", subtype="VORBIS"),
    "Ogg at 48 kHz": lambda sound: wav(np.repeat(sound, 2), 48_000, kind="OGG", subtype="VORBIS"),
    "Opus": lambda sound: encode("ogg", "libopus", np.repeat(sound, 2), 48_000),
    "Opus in stereo": lambda sound: encode("ogg", "libopus", np.repeat(sound, 2), 48_000, channels=2),
    "Ogg FLAC": lambda sound: encode("ogg", "flac", sound),
    "WAV": wav,
    "WAV in stereo": lambda sound: wav(np.stack([sound, sound], axis=1)),
    "WAV at 48 kHz": lambda sound: wav(np.repeat(sound, 2), 48_000, subtype="PCM_24"),
    "AIFF": lambda sound: wav(sound, kind="AIFF"),
    "MP4": lambda sound: encode("mp4", "aac", sound),
    "MP4 in stereo": lambda sound: encode("mp4", "aac", sound, channels=2),
    "CAF": lambda sound: wav(sound, kind="CAF"),
    "CAF at 48 kHz": lambda sound: wav(np.repeat(sound, 2), 48_000, kind="CAF"),
    "W64": lambda sound: wav(sound, kind="W64"),
    "AU": lambda sound: wav(sound, kind="AU"),
    "AU at 48 kHz": lambda sound: wav(np.repeat(sound, 2), 48_000, kind="AU"),
    "WavPack": lambda sound: encode("wv", "wavpack", sound),
    "WavPack in stereo": lambda sound: encode("wv", "wavpack", sound, channels=2),
    "TTA": lambda sound: encode("tta", "tta", sound),
    "TTA with a tag": lambda sound: encode("tta", "tta", sound) + APE_TAG + b"TAG" + bytes(125),
    "fragments": lambda sound: encode("mp4", "aac", sound, movflags="frag_keyframe+empty_moov"),
}
CHAINS = [
    ("Ogg", "Ogg"), ("Ogg", "Ogg in stereo", "Ogg"), ("Ogg", "Ogg at 48 kHz"), ("Opus", "Opus in stereo"),
    ("Ogg", "Opus"), ("Ogg FLAC", "Ogg"), ("WAV", "WAV"), ("WAV", "WAV in stereo", "WAV at 48 kHz"),
    ("CAF", "CAF at 48 kHz", "CAF"), ("W64", "W64"), ("AU", "AU at 48 kHz"), ("TTA", "TTA"), ("TTA with a tag", "TTA"),
    ("WavPack", "WavPack"), ("WavPack", "WavPack in stereo", "WavPack"), ("AIFF", "AIFF"),
    ("MP4", "MP4"), ("MP4", "MP4 in stereo"), ("fragments", "fragments"),
]  # fmt: skip


@pytest.fixture(scope="module")
def tone() -> Sound:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(SECONDS * RATE) / RATE)


@pytest.mark.parametrize("chain", CHAINS, ids=" + ".join)
def test_all_links_are_decoded_at_their_level(chain: tuple[str, ...], tone: Sound) -> None:
    decoding, got = decode(b"".join(LINKS[name](tone) for name in chain))
    assert got.size / RATE == pytest.approx(SECONDS * len(chain), abs=0.15)
    assert decoding.bad_packets == 0
    levels = [np.sqrt(np.mean(part**2)) for part in np.array_split(got, len(chain))]
    assert levels == pytest.approx([0.5 / np.sqrt(2)] * len(chain), rel=0.1)


def test_a_link_that_is_broken_costs_itself(tone: Sound) -> None:
    good, bad = wav(tone), bytearray(wav(tone))
    bad[20:22] = b"\xaa\xaa"  # a codec that nobody knows
    decoding, got = decode(good + bytes(bad) + good)
    assert got.size == 2 * SECONDS * RATE
    assert decoding.bad_packets == 1
    assert decoding.breaks == [SECONDS * RATE]


def test_in_a_chain_nothing_is_skipped(tmp_path: Path, tone: Sound) -> None:
    path = tmp_path / "chain.ogg"
    path.write_bytes(LINKS["Ogg"](tone) * 2)
    with path.open("rb") as file, pytest.raises(UnskippableError):
        next(iter(Skipping(file, RATE, Audio(), from_s=4.0)))
