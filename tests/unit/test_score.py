"""Scores of clips and passages, as the stages store them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from speechmill.core.config_errors import ConfigError
from speechmill.stages import score

from tests.media import a_build


def test_a_passage_too_short_for_the_defect_models_has_no_scores_and_costs_no_other(
    speech: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    build = a_build(tmp_path)
    rate = build.config.audio.sample_rate
    clip = (speech[: 6 * rate] * 32_000).astype(np.int16)
    alone, both = score.scores_of([clip], build), score.scores_of([clip[-rate // 3 :], clip], build)
    assert both.keys() == alone.keys() >= {"score_noise", "snr_db", "defect_spans"}
    for name, column in both.items():
        assert column[1].as_py() == alone[name][0].as_py(), name
    assert both["score_noise"][0].as_py() is None
    assert both["peak_dbfs"][0].as_py() is not None


def test_clips_too_short_for_the_defect_models_are_refused_before_a_run(tmp_path: Path) -> None:
    with pytest.raises((ConfigError, ValueError), match=r"min_length_s"):
        a_build(tmp_path, segment={"min_length_s": 0.3})
