"""Makes media files of every kind, whole and broken, as bytes."""

import hashlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
from speechmill.audio import Decoding
from speechmill.core.build import Build
from speechmill.core.config import Audio, RunConfig
from speechmill.core.reasons import Reason
from speechmill.core.store import Store
from speechmill.stages.profiles import plan_build
from speechmill.stages.segment import segment_media
from speechmill.stages.work import WorkItem

RATE = 24_000
Sound = npt.NDArray[np.floating]


def wav(sound: npt.NDArray, rate: int = RATE, *, subtype: str = "PCM_16", kind: str = "WAV") -> bytes:
    """Encode [n] or [n, channels] with libsndfile."""
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def riff(
    data: bytes, *, rate: int = RATE, channels: int = 1, bits: int = 16, tag: int = 1, size: int | None = None
) -> bytes:
    """A WAV file by hand, so that its header may say anything; tag 1 is integer, 3 float."""
    frame = channels * bits // 8
    layout = struct.pack("<HHIIHH", tag, channels, rate, rate * frame % 2**32, frame, bits)
    declared = len(data) if size is None else size
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", declared) + data
    return b"RIFF" + struct.pack("<I", min(declared + 36, 2**32 - 1)) + chunks


def encode(
    container: str, codec: str, sound: Sound, rate: int = RATE, *, channels: int = 1, start: int = 0, **options: str
) -> bytes:
    """Encode mono [n] with FFmpeg, the same in each of one or two channels; options are the muxer's or the codec's.

    start: timestamp of the first sample.
    """
    buffer = io.BytesIO()
    layout = "stereo" if channels == 2 else "mono"
    pcm = np.repeat((np.clip(sound, -1, 1) * 32_767).astype(np.int16), channels).reshape(1, -1)
    with av.open(buffer, "w", format=container, options=options) as target:
        stream = target.add_stream(codec, rate=rate, options={"strict": "experimental", **options})
        stream.layout = layout
        for frame in _framed(pcm, rate, layout, stream.codec_context, start):
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return buffer.getvalue()


def _framed(
    pcm: npt.NDArray, rate: int, layout: str, context: av.AudioCodecContext, start: int
) -> Iterator[av.AudioFrame]:
    whole = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
    whole.sample_rate, whole.pts = rate, start
    context.open(strict=False)
    resampler = av.AudioResampler(format=context.format.name, layout=layout, rate=rate, frame_size=context.frame_size)
    yield from resampler.resample(whole)
    yield from resampler.resample(None)


def decode(data: bytes, rate: int = RATE, **limits: object) -> tuple[Decoding, npt.NDArray[np.float32]]:
    """Decode a whole file; raises RejectedError."""
    decoding = Decoding(io.BytesIO(data), rate, Audio.model_validate(limits))
    return decoding, np.concatenate([*decoding, np.zeros(0, np.float32)])


def tone(hertz: float, seconds: float, rate: int = RATE, *, peak: float = 0.5) -> Sound:
    """A sine."""
    return peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def flipped(data: bytes, count: int, *, after: int, seed: int = 0) -> bytes:
    """Change `count` bytes somewhere after the header."""
    random, broken = np.random.default_rng(seed), bytearray(data)
    for at in random.choice(np.arange(after, len(data)), count, replace=False):
        broken[at] ^= int(random.integers(1, 256))
    return bytes(broken)


def a_build(folder: Path, **config: Any) -> Build:
    """A build that segments into a folder and transcribes nothing."""
    settings = RunConfig.model_validate(
        {"output": str(folder), "asr": {"model": None}, "turns": {"model": None}, "speakers": {"model": None}, **config}
    )
    return plan_build(settings, Store(str(folder)), find_model=Path)


def work_for(media: Path) -> WorkItem:
    """The work that fetching a local file makes."""
    content = hashlib.sha256(media.read_bytes()).hexdigest()
    return WorkItem(
        recording_id=content, content_id=content, media=str(media), is_local=True, allowed=True, order=("", "", "")
    )


def segmented(data: bytes, folder: Path, **config: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Segment a file; its artifact's facts and spans."""
    folder.mkdir(parents=True, exist_ok=True)
    build, media = a_build(folder, **config), folder / "media"
    media.write_bytes(data)
    work = work_for(media)
    segment_media(work, build)
    name = build.segments(work.content_id)
    return build.store.footer(name), build.store.read(name).to_pylist()


def assert_accounted(facts: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Rows that balance to the sample, or a reason and no rows."""
    if facts["status"] != "ok":
        assert rows == []
        assert Reason(facts["reason"]) is not Reason.INTERNAL_ERROR
        return
    bounds = [(row["start"], row["end"]) for row in rows]
    assert [start for start, _ in bounds] == [0, *(end for _, end in bounds[:-1])]
    assert bounds[-1][1] == facts["decoded_samples"] > 0
    assert all(row["flac"] is not None for row in rows if row["kind"] == "clip")
    assert all(row["flac"] is None for row in rows if row["kind"] in {"silence", "corrupt"})
