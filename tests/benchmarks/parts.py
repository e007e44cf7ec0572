"""Single stages against bare library calls and the original's way, in one process: segment, measure, transcribe."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import soxr
from speechmill import asr
from speechmill.audio.measures import measure
from speechmill.core.config import Asr
from speechmill.fetch import model_folder

from tests.benchmarks import bare
from tests.benchmarks.material import Clips, segment
from tests.benchmarks.timing import Cost, Figure, Stopwatch, ratio, speed, take_turns


def segmenting(clips: Clips, *, audio_s: float, rounds: int) -> list[Figure]:
    """Decode, segment and FLAC of MP3 files: the segment stage, the bare loop, its parts alone, pydub."""
    watches = [Stopwatch() for _ in range(rounds)]
    waiting = iter(watches)

    def stage() -> None:
        with tempfile.TemporaryDirectory() as folder:
            segment(list(clips), Path(folder))

    def bare_loop() -> None:
        watch = next(waiting)
        for path, positions in clips.items():
            bare.segment(path, positions, watch)

    def pydub() -> None:
        for path in clips:
            bare.segment_with_pydub(path)

    costs = take_turns(rounds, stage=stage, bare=bare_loop, pydub=pydub)
    parts = [sum(watch.parts.values(), Cost(0, 0)) for watch in watches]
    return [
        speed("segment", "segment stage", costs["stage"], audio_s),
        speed("segment", "bare loop", costs["bare"], audio_s),
        speed("segment", "parts alone, together", parts, audio_s),
        *(speed("segment", f"  {name}", [w.parts[name] for w in watches], audio_s) for name in watches[0].parts),
        speed("segment", "pydub", costs["pydub"], audio_s),
        ratio("segment", "speed over that of the bare loop", costs["bare"], costs["stage"]),
        ratio("segment", "speed over that of its parts alone", parts, costs["stage"], limit=0.9),
        ratio("segment", "speed over that of pydub", costs["pydub"], costs["stage"], limit=3),
    ]


def measuring(clips: Clips, *, rounds: int) -> list[Figure]:
    """The signal measures, which have no bare rival: they are arithmetic of our own."""
    cut = _cut(clips)
    costs = take_turns(rounds, measure=lambda: measure(cut, bare.RATE))
    return [speed("measure", "five measures of each clip", costs["measure"], _seconds(cut))]


def transcribing(clips: Clips, *, audio_s: float, rounds: int, threads: int) -> list[Figure]:
    """Whisper tiny.en in int8: our transcriber, CTranslate2 and no more, the batched pipeline, and clip after clip."""
    from speechmill.asr.whisper import window_of

    cut = sorted(_upto(_cut(clips), audio_s), key=lambda clip: -clip.size)
    waves = [soxr.resample(np.float32(clip / 32_768), bare.RATE, bare.VAD_RATE, quality="HQ") for clip in cut]
    ours = asr.load(str(model_folder("tiny.en")), Asr(), "cpu", "int8")
    model = bare.load_model(threads)
    windows = [window_of(wave) for wave in waves]
    costs = take_turns(
        rounds,
        ours=lambda: ours.transcribe(waves),
        calls=lambda: bare.call_ctranslate2(model, waves, windows),
        batched=lambda: bare.transcribe(model, waves),
        sequence=lambda: bare.transcribe_in_sequence(model, waves),
    )
    return [
        speed("transcribe", "ours, batches of 8", costs["ours"], _seconds(cut)),
        speed("transcribe", "CTranslate2 alone, same batches", costs["calls"], _seconds(cut)),
        speed("transcribe", "faster-whisper, batched", costs["batched"], _seconds(cut)),
        speed("transcribe", "faster-whisper, clip after clip", costs["sequence"], _seconds(cut)),
        ratio("transcribe", "speed over that of CTranslate2 alone", costs["calls"], costs["ours"], limit=0.9),
        ratio("transcribe", "speed over that of the batched pipeline", costs["batched"], costs["ours"]),
        ratio("transcribe", "speed over that of clip after clip", costs["sequence"], costs["ours"], limit=2),
    ]


def _cut(clips: Clips) -> list[bare.Int16]:
    return [samples for path, positions in clips.items() for samples, _ in bare.segment(path, positions)]


def _upto(cut: list[bare.Int16], audio_s: float) -> list[bare.Int16]:
    ends = itertools.accumulate(clip.size / bare.RATE for clip in cut)
    return [clip for clip, end in zip(cut, ends, strict=True) if end <= audio_s]


def _seconds(cut: list[bare.Int16]) -> float:
    return sum(clip.size for clip in cut) / bare.RATE
