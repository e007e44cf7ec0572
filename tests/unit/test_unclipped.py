"""Utterances that became no clip: some of their sound is stored, and the report plays those nearest to a limit."""

from pathlib import Path

import numpy as np
import pytest
from speechmill.audio import decode_flac
from speechmill.core.records import Recording, SpanKind
from speechmill.publish.report.unclipped import Utterance, _distance
from speechmill.publish.sounds import read_example
from speechmill.stages.segment import EXAMPLE_S, EXAMPLES, segment_media

from tests.media import a_build, wav, work_for

RATE = 24_000


@pytest.mark.parametrize(("limits", "kind"), [((20, 25), "too_short"), ((1, 3), "too_long")])
def test_the_sound_of_the_first_of_each_kind_is_stored(
    limits: tuple[float, float], kind: str, speech: np.ndarray, tmp_path: Path
) -> None:
    build, media = a_build(tmp_path, segment={"min_length_s": limits[0], "max_length_s": limits[1]}), tmp_path / "a.wav"
    media.write_bytes(wav(speech))
    work = work_for(media)
    segment_media(work, build)
    rows = build.store.read(build.segments(work.content_id)).to_pylist()
    missed = [row for row in rows if row["kind"] == kind]
    assert len(missed) > EXAMPLES
    assert [row["flac"] is not None for row in missed] == [True] * EXAMPLES + [False] * (len(missed) - EXAMPLES)
    for row in missed[:EXAMPLES]:
        sound = decode_flac(read_example(work.content_id, row["start"], build) or b"")
        end = min(row["end"], row["start"] + round(EXAMPLE_S * RATE))
        whole = np.round(speech[row["start"] : end] * 32_767)
        np.testing.assert_allclose(sound, whole, atol=2)
    assert read_example(work.content_id, missed[-1]["start"], build) is None
    assert read_example(work.content_id, 1, build) is None


def test_those_nearest_to_their_limit_come_first() -> None:
    recording = Recording(recording_id="r", source="local", media_url="a.wav", licence="CC0-1.0")

    def of(kind: SpanKind, seconds: float) -> Utterance:
        return Utterance(kind=kind, start=0, end=round(seconds * RATE), recording=recording)

    short = sorted((of(SpanKind.TOO_SHORT, seconds) for seconds in (1, 4.9, 3)), key=_distance)
    long = sorted((of(SpanKind.TOO_LONG, seconds) for seconds in (40, 20.1, 30)), key=_distance)
    assert [round(one.end / RATE, 1) for one in short] == [4.9, 3, 1]
    assert [round(one.end / RATE, 1) for one in long] == [20.1, 30, 40]
