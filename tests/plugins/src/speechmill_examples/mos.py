import contextlib
import io
from functools import lru_cache

import pyarrow as pa
import torch
from pydantic import Field
from speech_defects.packages import ensure_torchaudio
from speechmill.audio import resample
from speechmill.core.build import Build
from speechmill.core.columns import Column, at_least, steps
from speechmill.core.section import Section
from speechmill.stages import ClipStage
from speechmill.stages.base import Clips, Row


class Settings(Section):
    longest_s: float = Field(30.0, gt=0)
    """Seconds of a clip that are judged, from its beginning."""


class Mos(ClipStage):
    """How good a clip sounds."""

    name = "mos"
    section = Settings
    columns = (
        Column("mos", pa.float32(), "mean opinion score, 1 to 5, as DistillMOS estimates it", "", steps(1, 5, 0.25),
               at_least("mos", "low_mos", 1.5, meaning="listeners would call it bad")),
    )  # fmt: skip
    typical_speed = 5.0

    def rows(self, clips: Clips, build: Build) -> list[Row]:
        model, rate = load(), build.config.audio.sample_rate
        samples = round(16_000 * self.settings(build.config).longest_s)
        rows: list[Row] = []
        for clip_id, clip in clips.items():
            wave = torch.from_numpy(resample(clip, rate, 16_000)[:samples])
            with torch.inference_mode():
                rows.append({"clip_id": clip_id, "mos": round(model(wave[None]).item(), 3)})
        return rows


@lru_cache(maxsize=1)
def load() -> torch.nn.Module:
    ensure_torchaudio()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights are
        from distillmos import ConvTransformerSQAModel

        return ConvTransformerSQAModel().eval()
