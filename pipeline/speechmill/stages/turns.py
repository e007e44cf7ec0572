"""Turns: the voices of a recording, found while it is segmented, since clips are cut where one voice ends."""

import functools
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import soxr

from speechmill import speakers
from speechmill.audio import INT16_STEPS, Float32
from speechmill.core import pulse
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.models import FindModel, ModelRef, model_file
from speechmill.core.records import TURNS_ARTIFACT
from speechmill.core.store import Store
from speechmill.speakers.turns import (
    STEP,
    OverlapDetector,
    Statistics,
    TurnDetector,
    Voices,
    pauses_before,
    speech_steps,
)
from speechmill.stages.base import Stage
from speechmill.stages.decode import share_of_turns

TYPICAL_SPEED = 42.0  # × real time of one process on a CPU
STEPS = 300  # steps of PCM that are read at a time


class Turns(Stage):
    """Voices of a recording. `segment` makes them, and reads them when a recording is cut anew."""

    name = "turns"
    models_are_local = True
    version = 2  # speakers/, and audio/, as of segment
    artifact = TURNS_ARTIFACT
    is_in_graph = False

    def settings(self, config: RunConfig) -> Any:
        """The decoded audio and its speech decide, beside the model."""
        if config.turns.model is None:
            return None
        return config.audio.model_dump(exclude={"stall_timeout_s"}, mode="json"), config.segment.vad

    def models(self, config: RunConfig, store: Store, find_model: FindModel) -> tuple[ModelRef, ...]:
        """The speaker model."""
        name, overlap = str(config.turns.model), config.turns.overlap
        model = model_file("turns.model", name, *speakers.files_of(name))
        return (model, model_file("turns.overlap", overlap, speakers.overlap_file(overlap))) if overlap else (model,)


def detect_turns(pcm: IO[bytes], marks: npt.NDArray[np.bool_], content_id: str, build: Build) -> Voices | None:
    """Find the voices of decoded PCM, int16 at the corpus rate, with VAD marks bool[frames]; None if it is off.

    They are stored: the same recording with the same speech is not processed again.
    """
    if not build.runs(Turns.name):
        return None
    if (voices := stored_turns(content_id, build)) is not None:
        return voices
    import torch  # here, since workers that cut without turns need not load it

    statistics, overlap = _load(str(build.config.turns.model), build.config.turns.overlap)
    detector = TurnDetector(statistics)
    speech = speech_steps(marks)
    pauses = pauses_before(marks, speech)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # other recordings are on the other cores
    try:
        for first, wave in _waves(pcm, speech.size, build.config.audio.sample_rate):
            part = slice(first, first + wave.size // STEP)
            several = overlap.probabilities(wave) if overlap is not None and speech[part].any() else None
            detector.feed(wave, speech[part], pauses[part], several)
            pulse.add(wave.size / speakers.SAMPLE_RATE_HZ * share_of_turns())
    finally:
        torch.set_num_threads(threads)
    voices = detector.finish()
    table = pa.table({"voice": voices.labels, "cosine": voices.cosines}, schema=TURNS_ARTIFACT)
    build.store.write_table(build.artifact(Turns.name, content_id), table)
    return voices


def stored_turns(content_id: str, build: Build) -> Voices | None:
    """The voices of a recording that were found before; None if it is off or not done."""
    if not build.runs(Turns.name) or not build.store.is_done(build.artifact(Turns.name, content_id)):
        return None
    table = build.store.read(build.artifact(Turns.name, content_id))
    return Voices(table["voice"].to_numpy(), table["cosine"].to_numpy())


def with_turns(speed: float, config: RunConfig) -> float:
    """Speed of a stage, in multiples of real time, that detects turns on the way."""
    return speed if config.turns.model is None else 1 / (1 / speed + 1 / TYPICAL_SPEED)


@functools.lru_cache(maxsize=1)
def _load(model: str, overlap: str | None) -> tuple[Statistics, OverlapDetector | None]:
    """Load the models. Raises ConfigError, which ends a run, for files that are none."""
    try:
        return speakers.load_statistics(model), None if overlap is None else speakers.load_overlap(overlap)
    except (ImportError, OSError, ValueError) as error:
        raise ConfigError(f"turns: {error}") from None


def _waves(pcm: IO[bytes], steps: int, rate: int) -> Iterator[tuple[int, Float32]]:
    """First step, and float32[whole steps] at 16 kHz, of successive parts of a recording; silence fills the last."""
    resampler = soxr.ResampleStream(rate, speakers.SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    pcm.seek(0)
    at, rest = 0, np.zeros(0, np.float32)
    while at < steps:
        block = np.frombuffer(pcm.read(2 * rate * STEPS // 10), np.int16)
        is_last = not block.size
        resampled = resampler.resample_chunk(block.astype(np.float32) / np.float32(INT16_STEPS), last=is_last)
        rest = np.concatenate([rest, resampled])
        if is_last:
            rest = np.pad(rest, (0, max(0, (steps - at) * STEP - rest.size)))
        whole = min(rest.size // STEP, steps - at)
        if whole:
            yield at, rest[: whole * STEP]
        at, rest = at + whole, rest[whole * STEP :]
