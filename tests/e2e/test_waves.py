"""A run in waves gives the bytes of one that fetches all first, keeps few media, and can be stopped anywhere."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from speechmill.core.build import Build
from speechmill.core.config import RunConfig
from speechmill.core.footers import Footer
from speechmill.core.records import SEGMENT_ARTIFACT, Recording
from speechmill.core.store import Store
from speechmill.runner import waves
from speechmill.runner.beam.waves import _thread
from speechmill.runner.waves import waves_of
from speechmill.sources import Listed
from speechmill.sources.demo.podcast import serve
from speechmill.stages.profiles import build_up_to_scores
from speechmill.stages.work import WorkItem

from tests.commandline import fingerprint, flags
from tests.media import a_build

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


def test_media_are_kept_for_two_waves_only(podcast: Path, speechmill, tmp_path: Path) -> None:
    """Over a network, stopped on the way: a run that drops media gives the same bytes and fetches nothing again."""
    with serve(podcast, 0) as url:
        bare = ("asr.model=null", "tokenise.checkpoint=null", "defects.weights=null", f"fetch.allow_hosts=[{url[7:]}]")
        kept, dropped = (flags(f"{url}/feed.xml", tmp_path / name, *bare) for name in ("kept", "dropped"))
        in_waves = ("--set", f"fetch.wave_hours={HOURS}", "--set", "fetch.keep_media=false")
        speechmill("run", *dropped, *in_waves, "--until", "segment")
        assert media(tmp_path / "dropped") == []
        speechmill("run", *dropped, *in_waves)
        speechmill("run", *kept)
    assert fingerprint(tmp_path / "dropped") == fingerprint(tmp_path / "kept")
    assert (len(media(tmp_path / "kept")), media(tmp_path / "dropped")) == (3, [])
    events = [json.loads(line) for line in (tmp_path / "dropped/work/log.jsonl").read_text().splitlines()]
    done = [event["stage"] for event in events if event.get("state") == "done"]
    assert done.count("fetch") == done.count("segment") == 3
    assert done.index("segment") < max(at for at, stage in enumerate(done) if stage == "fetch"), "beside each other"


def media(corpus: Path) -> list[str]:
    return [path.name for path in (corpus / "work/media").glob("*") if path.is_file()]


def test_an_error_ends_the_fetching_beside_it(tmp_path: Path) -> None:
    build = a_build(tmp_path)
    with pytest.raises(MemoryError), _thread(build) as beside:
        fetching = beside.submit(wait_for_stop, build)
        raise MemoryError
    assert fetching.result()


def wait_for_stop(build: Build) -> bool:
    while not build.is_stopping():
        time.sleep(0.01)
    return True


def test_media_that_are_needed_or_the_users_own_stay(tmp_path: Path) -> None:
    build = a_build(tmp_path / "corpus")
    own = tmp_path / "own.flac"
    own.write_bytes(b"own")
    works = [WorkItem(recording_id=name, content_id=name * 64, media="", is_local=False, allowed=True, order=("",))
             for name in "ab"]  # fmt: skip
    for work in works:
        build.store.write_text(f"work/media/{work.content_id}", "media")
    mine = replace(works[0], content_id="c" * 64, media=str(own), is_local=True)
    for content_id, retry in (("a" * 64, False), ("b" * 64, True), ("c" * 64, False)):
        build.store.write_table(build.segments(content_id), SEGMENT_ARTIFACT.empty_table(), Footer(retry=retry))
    waves.drop_media([*works, mine], build)
    assert media(tmp_path / "corpus") == ["b" * 64], "that of a failure which may pass"
    assert own.exists()
