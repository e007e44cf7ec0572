"""The same work without the pipeline: bare calls of the same libraries, and the way it was done before with pydub.

The bare calls hold a recording in memory, check nothing, survive nothing and are told where the clips are. What
the pipeline costs over them is the price of its promises.

    python -m tests.benchmarks.bare CLIPS.json OUTPUT.parquet     a whole run, for the benchmark of whole runs
"""

import contextlib
import importlib.util
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from tests.benchmarks.timing import Stopwatch

RATE, VAD_RATE = 24_000, 16_000
FRAME_BYTES = 2 * VAD_RATE // 100
MIN_CLIP_S, MAX_CLIP_S = 5, 20
Int16 = npt.NDArray[np.int16]
Float32 = npt.NDArray[np.float32]
Positions = list[tuple[int, int]]


def segment(path: Path, clips: Positions, watch: Stopwatch | None = None) -> list[tuple[Int16, bytes]]:
    """Decode, resample, detect speech, and encode the given clips: samples and FLAC of each."""
    import webrtcvad

    part = watch.part if watch else lambda _: contextlib.nullcontext()
    with part("decode"):
        source, rate = decode(path)
    mono = source.mean(axis=0) if len(source) > 1 else source[0]
    with part("resample"):
        audio = soxr.resample(mono, rate, RATE, quality="HQ")
    with part("resample for the detector"):
        heard = soxr.resample(audio, RATE, VAD_RATE, quality="LQ")
    pcm, speech = to_int16(audio), to_int16(heard).tobytes()
    with part("detect"):
        is_speech = webrtcvad.Vad(2).is_speech
        _ = [is_speech(speech[i : i + FRAME_BYTES], VAD_RATE) for i in range(0, len(speech) - FRAME_BYTES, FRAME_BYTES)]
    with part("encode"):
        return [(pcm[start:end], flac(pcm[start:end], RATE)) for start, end in clips]


def decode(path: Path) -> tuple[Float32, int]:
    """A whole file as float32[channels, samples], and its rate."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        return np.concatenate(frames, axis=1), container.streams.audio[0].rate


def to_int16(samples: Float32) -> Int16:
    """Samples in [-1, 1] as 16 bits."""
    return np.clip(samples * 32_768, -32_768, 32_767).astype(np.int16)


def flac(samples: Int16, rate: int) -> bytes:
    """Samples as FLAC."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def segment_with_pydub(path: Path) -> None:
    """The original's way, through an ffmpeg binary (`pip install imageio-ffmpeg`), as pydub does it.

    Without one PyAV and soundfile stand in, which is two or three times as fast: pydub starts a process a clip.
    """
    from pydub import AudioSegment
    from pydub.silence import split_on_silence

    has_ffmpeg = _find_ffmpeg()
    sound = AudioSegment.from_file(path, "mp3") if has_ffmpeg else _as_pydub(*decode(path))
    chunks = split_on_silence(sound, min_silence_len=600, silence_thresh=-40, seek_step=100, keep_silence=50)
    with tempfile.TemporaryDirectory() as folder:
        for i, chunk in enumerate(chunks):
            if not MIN_CLIP_S <= chunk.duration_seconds <= MAX_CLIP_S:
                continue
            if has_ffmpeg:
                chunk.export(f"{folder}/{i}.flac", format="flac").close()
            else:
                samples = np.array(chunk.get_array_of_samples()).reshape(-1, chunk.channels)
                Path(folder, f"{i}.flac").write_bytes(flac(samples, chunk.frame_rate))


def _find_ffmpeg() -> bool:
    from pydub import AudioSegment, audio_segment

    if importlib.util.find_spec("imageio_ffmpeg") is None:
        return False
    import imageio_ffmpeg

    AudioSegment.converter = imageio_ffmpeg.get_ffmpeg_exe()
    audio_segment.mediainfo_json = lambda *_, **__: {}  # what ffprobe says of a file; pydub can do without
    return True


def _as_pydub(source: Float32, rate: int) -> Any:
    from pydub import AudioSegment

    return AudioSegment(to_int16(source.T).tobytes(), sample_width=2, frame_rate=rate, channels=len(source))


def load_model(threads: int) -> Any:
    """The Whisper that comes in a package, as the pipeline runs it on a CPU."""
    from faster_whisper import WhisperModel
    from speechmill.fetch import model_folder

    return WhisperModel(str(model_folder("tiny.en")), device="cpu", compute_type="int8", cpu_threads=threads)


def transcribe(model: Any, waves: list[Float32], batch: int = 8) -> list[Any]:
    """Waves at 16 kHz through faster-whisper's batched pipeline, long to short; one segment each."""
    from faster_whisper import BatchedInferencePipeline

    pipeline = BatchedInferencePipeline(model)
    found: list[Any] = []
    ordered = sorted(waves, key=lambda wave: -wave.size)
    for group in (ordered[i : i + batch] for i in range(0, len(ordered), batch)):
        ends = np.cumsum([wave.size for wave in group]) / VAD_RATE
        bounds = [{"start": a, "end": b} for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        options: dict[str, Any] = {"language": "en", "beam_size": 5, "word_timestamps": True}
        segments, _ = pipeline.transcribe(np.concatenate(group), clip_timestamps=bounds, batch_size=batch, **options)
        found += segments
    return found


def call_ctranslate2(model: Any, waves: list[Float32], windows: list[int], batch: int = 8) -> list[Any]:
    """The calls of CTranslate2 and nothing else, for waves heard in windows of so many frames: text tokens, times."""
    from faster_whisper.tokenizer import Tokenizer

    tokenizer = Tokenizer(model.hf_tokenizer, False, task="transcribe", language="en")
    prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
    found: list[Any] = []
    for window in sorted(set(windows)):
        group = sorted((wave for wave, own in zip(waves, windows, strict=True) if own == window), key=np.size)
        for part in (group[i : i + batch] for i in range(0, len(group), batch)):
            padded = [np.pad(wave, (0, window * 160 - wave.size)) for wave in part]
            features = np.stack([model.feature_extractor(wave)[:, :window] for wave in padded])
            encoded = model.encode(features)
            texts = model.model.generate(encoded, [prompt] * len(part), beam_size=5, return_no_speech_prob=True)
            ids, frames = [text.sequences_ids[0] for text in texts], [wave.size // 160 for wave in part]
            found += zip(ids, model.model.align(encoded, tokenizer.sot_sequence, ids, frames), strict=True)
    return found


def transcribe_in_sequence(model: Any, waves: list[Float32]) -> list[Any]:
    """The same, one wave after the other."""
    options: dict[str, Any] = {"language": "en", "beam_size": 5, "word_timestamps": True}
    return [list(model.transcribe(wave, **options)[0]) for wave in waves]


def whole_run(clips: dict[Path, Positions], output: Path, threads: int) -> None:
    """What a run does to recordings, as a script would: one Parquet file of clips, measures and texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import speech_defects
    from speechmill.audio.measures import measure

    cut = [clip for path, positions in clips.items() for clip in segment(path, positions)]
    cut.sort(key=lambda clip: -clip[0].size)
    measures = dict(measure([samples for samples, _ in cut], RATE))
    waves = [samples.astype(np.float32) / 32_768 for samples, _ in cut]
    measures |= {
        f"score_{name}": scores for name, scores in speech_defects.load(device="cpu").score(waves, RATE).items()
    }
    waves = [soxr.resample(np.float32(samples / 32_768), RATE, VAD_RATE, quality="HQ") for samples, _ in cut]
    texts = transcribe(load_model(threads), waves) if waves else []
    words = [[(word.word, word.start, word.end) for word in text.words] for text in texts]
    columns = {"flac": [data for _, data in cut], "text": [text.text for text in texts], "words": map(str, words)}
    pq.write_table(pa.table({key: list(column) for key, column in columns.items()} | measures), output)


if __name__ == "__main__":
    positions = json.loads(Path(sys.argv[1]).read_text())
    whole_run({Path(path): found for path, found in positions.items()}, Path(sys.argv[2]), threads=2)
