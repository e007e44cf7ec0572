"""The demo podcast holds what its truth says it does, and its server behaves as a feed's server should."""

import json
import shutil
import socket
import sys
from collections.abc import Iterator
from email.utils import formatdate
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen
from uuid import UUID
from xml.etree import ElementTree

import av
import feedparser
import numpy as np
import pytest
from numpy.typing import NDArray
from speechmill.core.config_errors import ConfigError
from speechmill.sources.demo.podcast import make_podcast, serve

RATE = 44_100
FRAME = RATE // 100
EPISODES = ("episode-1.mp3", "episode-2.mp3", "episode-3.mp3")
TUNE = bytes(range(256)) * 4

Passages = list[dict[str, Any]]


@pytest.fixture(scope="session")
def passages(podcast: Path) -> Passages:
    """All that was planted, each passage with its sound and that of the pause after it."""
    truth: dict[str, Passages] = json.loads((podcast / "truth.json").read_text())
    return [passage for name in EPISODES for passage in _with_sound(_decode(podcast / name), truth[name])]


def test_every_passage_is_where_the_truth_says(passages: Passages) -> None:
    for passage in passages:
        edges = passage["sound"][: 5 * FRAME], passage["sound"][-5 * FRAME :]
        assert min(_dbfs(edge) for edge in edges) > -60, passage["text"]
        assert -75 < _dbfs(passage["pause"]) < -65, passage["text"]


def test_durations_agree_between_file_feed_and_truth(podcast: Path) -> None:
    truth = json.loads((podcast / "truth.json").read_text())
    entries = feedparser.parse((podcast / "feed.xml").read_bytes()).entries
    for name, entry in zip(EPISODES, entries, strict=True):
        seconds = len(_decode(podcast / name)) / RATE
        assert seconds == pytest.approx(truth[name][-1]["end_s"] + 1.0, abs=0.3)
        assert seconds == pytest.approx(float(entry.itunes_duration), abs=0.6)
        assert 75 <= seconds <= 115


def test_lengths_exercise_the_segmenter(passages: Passages) -> None:
    seconds = np.array([p["end_s"] - p["start_s"] for p in passages])
    assert (seconds < 5).sum() == 3
    assert (seconds > 20).sum() == 1
    assert all(6 <= s <= 16 for s in seconds if 5 <= s <= 20)
    assert max(_longest_pause_s(p["sound"]) for p in passages) < 0.5


def test_each_defect_is_planted_twice(passages: Passages) -> None:
    planted = [p["defect"] for p in passages if p["defect"]]
    twice = dict.fromkeys(("noise", "overlap", "telephone", "music", "reverb"), 2)
    assert {d: planted.count(d) for d in planted} == twice | {"duplicate": 1}


def test_the_duplicate_is_what_an_earlier_episode_says(passages: Passages) -> None:
    (again,) = [p for p in passages if p["defect"] == "duplicate"]
    (first,) = [p for p in passages if p["text"] == again["text"] and p is not again]
    assert abs(len(first["sound"]) - len(again["sound"])) <= 2
    one, other = (p["sound"][FRAME:-FRAME] for p in (first, again))
    assert np.corrcoef(one[: len(other)], other[: len(one)])[0, 1] > 0.9


def test_the_first_episode_has_a_transcript_in_its_feed(podcast: Path) -> None:
    with serve(podcast) as base:
        entry = feedparser.parse(_get(f"{base}/feed.xml")[2]).entries[0]
        status, headers, body = _get(entry.podcast_transcript["url"])
    assert (status, headers["Content-Type"]) == (200, "text/vtt; charset=utf-8")
    truth = json.loads((podcast / "truth.json").read_text())["episode-1.mp3"]
    assert body.decode().count(" --> ") == len(truth)
    assert all(passage["text"] in body.decode() for passage in truth)


def test_only_the_phone_has_no_treble(passages: Passages) -> None:
    for passage in passages:
        assert (_treble_db(passage["sound"]) < -40) == (passage["defect"] == "telephone"), passage["text"]


@pytest.mark.parametrize(("defect", "most_db"), [("noise", 20), ("music", 20), ("reverb", 30), ("overlap", 35)])
def test_a_background_fills_the_gaps_between_words(passages: Passages, defect: str, most_db: float) -> None:
    long = [p for p in passages if p["end_s"] - p["start_s"] > 5]
    assert min(_dynamics_db(p["sound"]) for p in long if p["defect"] is None) > 40
    assert max(_dynamics_db(p["sound"]) for p in long if p["defect"] == defect) < most_db


def test_the_voices_differ_in_pitch(passages: Passages) -> None:
    miller, narrator, guest = (
        [_pitch_hz(p["sound"]) for p in passages if p["voice"] == voice and p["defect"] is None]
        for voice in ("miller", "narrator", "guest")
    )
    assert max(miller) < 0.9 * np.median(narrator)
    assert np.median(guest) > 1.08 * np.median(narrator)


def test_an_unfinished_podcast_is_made_again_to_the_same_bytes(podcast: Path, tmp_path: Path) -> None:
    shutil.copy(podcast / "episode-1.mp3", tmp_path)
    made = make_podcast(tmp_path)
    assert [p.read_bytes() for p in made] == [(podcast / p.name).read_bytes() for p in made]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in made)


def test_a_finished_podcast_is_left_alone(podcast: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    before = [p.stat().st_mtime_ns for p in make_podcast(podcast)]
    assert [p.stat().st_mtime_ns for p in make_podcast(podcast)] == before


def test_without_the_voice_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    with pytest.raises(ConfigError, match=r"pip install 'speechmill\[demo\]'"):
        make_podcast(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_feed_reads_as_a_podcast(podcast: Path) -> None:
    with serve(podcast) as base:
        feed = feedparser.parse(_get(f"{base}/feed.xml")[2])
        assert not feed.bozo
        assert feed.feed.language == "en"
        assert feed.feed.podcast_license["url"] == "https://creativecommons.org/publicdomain/zero/1.0/"
        assert [e.id for e in feed.entries] == [f"speechmill-demo-episode-{n}" for n in (1, 2, 3)]
        for entry in feed.entries:
            (enclosure,) = entry.enclosures
            status, headers, body = _get(enclosure.href)
            assert (status, headers["Content-Type"]) == (200, enclosure.type)
            assert len(body) == int(enclosure.length)


def test_the_feed_states_its_licence_and_identity(podcast: Path) -> None:
    tree = ElementTree.parse(podcast / "feed.xml")
    space = "{https://podcastindex.org/namespace/1.0}"
    assert tree.findtext(f"channel/{space}license") == "cc0-1.0"
    assert UUID(tree.findtext(f"channel/{space}guid")).version == 5


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """Base URL of a folder with a tune and a feed."""
    folder = tmp_path / "site"
    folder.mkdir()
    (tmp_path / "secret").write_text("not for you")
    (folder / ".hidden").write_text("nor this")
    (folder / "tune.mp3").write_bytes(TUNE)
    (folder / "feed.xml").write_text('<a url="{base}/tune.mp3"/>')
    with serve(folder, port=0) as base:
        yield base


def test_a_feed_names_the_server_it_came_from(site: str) -> None:
    status, headers, body = _get(f"{site}/feed.xml")
    assert (status, body.decode()) == (200, f'<a url="{site}/tune.mp3"/>')
    assert headers["Content-Type"].startswith("application/rss+xml")


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("0-9", 0, 10), ("1000-", 1000, 1024), ("-24", 1000, 1024), ("1023-9999", 1023, 1024), ("-9999", 0, 1024)],
)
def test_a_range_is_answered_with_that_part(site: str, asked: str, start: int, stop: int) -> None:
    status, headers, body = _get(f"{site}/tune.mp3", Range=f"bytes={asked}")
    assert (status, body) == (206, TUNE[start:stop])
    assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/1024"


@pytest.mark.parametrize("asked", ["1024-", "5000-6000", "-0"])
def test_a_range_outside_the_file_is_refused(site: str, asked: str) -> None:
    status, headers, body = _get(f"{site}/tune.mp3", Range=f"bytes={asked}")
    assert (status, headers["Content-Range"], body) == (416, "bytes */1024", b"")


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "bytes=-", "lines=0-1", "bytes=a-b"])
def test_a_range_not_understood_is_ignored(site: str, asked: str) -> None:
    status, _, body = _get(f"{site}/tune.mp3", Range=asked)
    assert (status, body) == (200, TUNE)


def test_what_the_client_has_is_not_sent_again(site: str) -> None:
    _, headers, _ = _get(f"{site}/tune.mp3")
    tag, date = headers["ETag"], headers["Last-Modified"]
    for condition in ({"If-None-Match": tag}, {"If-None-Match": f'"x", W/{tag}'}, {"If-Modified-Since": date}):
        status, again, body = _get(f"{site}/tune.mp3", **condition)
        assert (status, again["ETag"], body) == (304, tag, b"")


def test_what_the_client_has_not_is_sent(site: str) -> None:
    _, headers, _ = _get(f"{site}/tune.mp3")
    stale = {"If-None-Match": '"old"', "If-Modified-Since": headers["Last-Modified"]}
    for condition in (stale, {"If-Modified-Since": formatdate(0, usegmt=True)}, {"If-Modified-Since": "yesterday"}):
        assert _get(f"{site}/tune.mp3", **condition)[0] == 200


def test_a_part_is_resumed_only_of_the_same_file(site: str) -> None:
    tag = _get(f"{site}/tune.mp3")[1]["ETag"]
    assert _get(f"{site}/tune.mp3", Range="bytes=9-", **{"If-Range": tag})[0] == 206
    assert _get(f"{site}/tune.mp3", Range="bytes=9-", **{"If-Range": '"old"'})[0] == 200


def test_head_tells_the_length_without_the_body(site: str) -> None:
    connection = HTTPConnection(urlsplit(site).netloc)
    for _ in range(2):  # on one connection: a body sent by mistake would spoil the second answer
        connection.request("HEAD", "/tune.mp3")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Length"], answer.read()) == (200, "1024", b"")
    connection.close()


@pytest.mark.parametrize("path", ["/", "/none.mp3", "/../secret", "/%2e%2e%2fsecret", "/.hidden"])
def test_nothing_else_is_served(site: str, path: str) -> None:
    connection = HTTPConnection(urlsplit(site).netloc)
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()


def test_a_taken_port_is_not_fought_over(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with serve(tmp_path, port=taken) as base:
            assert urlsplit(base).port not in (None, taken)


def test_the_server_is_silent_and_ends_with_the_block(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serve(tmp_path, port=0) as base:
        _get(f"{base}/none.mp3")
        with socket.create_connection(("127.0.0.1", urlsplit(base).port or 0)) as rude:
            rude.sendall(b"GET /none HTTP/1.1\r\nHost")
    with pytest.raises(OSError, match="refused"):
        urlopen(base, timeout=5)
    assert capfd.readouterr() == ("", "")


def _get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", urlsplit(url).path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def _decode(path: Path) -> NDArray[np.float32]:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def _with_sound(sound: NDArray[np.float32], truth: Passages) -> Iterator[dict[str, Any]]:
    following = [p["start_s"] for p in truth[1:]] + [len(sound) / RATE]
    for passage, next_s in zip(truth, following, strict=True):
        start, end = round(passage["start_s"] * RATE), round(passage["end_s"] * RATE)
        pause = sound[end + RATE // 4 : round(next_s * RATE) - RATE // 4]
        yield passage | {"sound": sound[start:end], "pause": pause}


def _dbfs(sound: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(sound.astype(float) ** 2) + 1e-12))


def _levels_db(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    frames = sound[: len(sound) // FRAME * FRAME].astype(float).reshape(-1, FRAME)
    return np.asarray(10 * np.log10((frames**2).mean(axis=1) + 1e-12))


def _dynamics_db(sound: NDArray[np.float32]) -> float:
    return float(np.subtract(*np.percentile(_levels_db(sound), [95, 5])))


def _longest_pause_s(sound: NDArray[np.float32]) -> float:
    levels = _levels_db(sound)
    loud = np.flatnonzero(levels > levels.max() - 35)
    return float(np.diff(loud).max() / 100)


def _treble_db(sound: NDArray[np.float32]) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float(10 * np.log10(power[round(4_200 * len(sound) / RATE) :].sum() / power.sum()))


def _pitch_hz(sound: NDArray[np.float32]) -> float:
    """Median pitch of the loud frames, from the peak of the autocorrelation between 80 and 400 Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 2_048)[::FRAME]
    loud = frames[(frames**2).mean(axis=1) > 0.3 * (sound**2).mean()]
    lags = np.fft.irfft(np.abs(np.fft.rfft(loud, 4_096)) ** 2)[:, RATE // 400 : RATE // 80]
    return float(RATE / (np.median(lags.argmax(axis=1)) + RATE // 400))
