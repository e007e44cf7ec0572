"""A run in waves gives the bytes of one that fetches all first, keeps few media, and can be stopped anywhere."""

from pathlib import Path

import pytest
from speechmill.core.config import RunConfig
from speechmill.core.records import Recording
from speechmill.core.store import Store
from speechmill.runner import waves
from speechmill.runner.waves import waves_of
from speechmill.sources import Listed
from speechmill.stages.profiles import build_up_to_scores

from tests.commandline import fingerprint, flags

HOURS = 9 / 3600  # in a wave, for each core: each recording is one


def test_waves_give_the_bytes_of_one_run(corpus: Path, folder: Path, speechmill, tmp_path: Path) -> None:
    for name, value in (("waves", str(HOURS)), ("none", "null")):
        output = tmp_path / name
        arguments = flags(folder, output, f"fetch.wave_hours={value}")
        speechmill("run", *arguments)
        assert fingerprint(output) == fingerprint(corpus)
        assert "nothing to do" in speechmill("run", *arguments).stdout


def listed(name: str, hours: float | None, published: str, *, start_s: float | None = None, url: str = "") -> Listed:
    recording = Recording(
        recording_id=name, source="rss", media_url=url or f"https://example.org/{name}", published=published,
        declared_duration_s=hours and hours * 3600, start_s=start_s,
    )  # fmt: skip
    return Listed(recording=recording)


@pytest.fixture
def names(tmp_path: Path):
    def divided(hours: float, *recordings: Listed) -> list[list[str]]:
        config = RunConfig.model_validate({"output": str(tmp_path), "workers": 2, "fetch": {"wave_hours": hours / 2}})
        build = build_up_to_scores(config, Store(str(tmp_path)))
        return [[one.recording.recording_id for one in wave] for wave in waves_of(recordings, build)]

    return divided


def test_the_first_waves_are_short_and_the_oldest_recordings_come_first(names) -> None:
    hours = [listed(f"{number:02}", 1.0, f"20{40 - number:02}") for number in range(40)]
    assert [len(wave) for wave in names(16.0, *hours)] == [2, 4, 8, 16, 10]
    assert [name for wave in names(16.0, *hours) for name in wave] == [f"{number:02}" for number in reversed(range(40))]


def test_a_recording_longer_than_a_wave_is_one(names) -> None:
    assert names(1.0, listed("a", 30.0, "2001"), listed("b", 30.0, "2002")) == [["a"], ["b"]]
    assert names(1.0) == [[]]


def test_what_declares_no_length_is_as_long_as_the_others(names) -> None:
    some = [listed("a", 4.0, "2001"), listed("b", None, "2002"), listed("c", None, "2003")]
    assert names(8 * waves.FIRST_SHARE, *some) == [["a", "b"], ["c"]]
    assert names(waves.FIRST_SHARE, *some[1:]) == [["b", "c"]]


def test_parts_of_one_file_are_in_one_wave(names) -> None:
    parts = [listed(f"part {at}", 1.0, f"200{at}", start_s=at * 3600.0, url="https://example.org/all") for at in (0, 8)]
    assert names(8.0, *parts, listed("other", 1.0, "2004")) == [["part 0", "part 8"], ["other"]]
