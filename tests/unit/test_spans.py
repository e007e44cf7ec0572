"""A line of a manifest may name a stretch of a file: it is a recording of its own, cut out to the sample."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from speechmill.audio import Decoding, Skipping, UnskippableError, decode_flac
from speechmill.core import config_file
from speechmill.core.build import Build
from speechmill.core.config import Audio, Input, RunConfig
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, RejectedError, Status, content_id_of, recording_from
from speechmill.core.removals import RemovalRequest, Removals
from speechmill.core.store import Store
from speechmill.corpus.prune import _decoded_media
from speechmill.sources import Listed, list_recordings
from speechmill.stages.fetch import fetch_recording
from speechmill.stages.profiles import plan_build
from speechmill.stages.segment import segment_media
from speechmill.stages.spans import Stretch, decoding_of

from tests.media import RATE, encode, tone, wav
from tests.server import ScriptedServer, ok

SECONDS = 10.0


def listing(folder: Path, *lines: dict[str, Any] | str) -> list[Recording]:
    path = folder / "list.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    given = Input(address=str(path))
    return [one.recording for one in list_recordings(given, RunConfig(inputs=(given,)), Store("memory://unused"))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.wav").write_bytes(wav(tone(440, SECONDS)))
    (tmp_path / "a.flac").write_bytes(wav(tone(440, SECONDS), kind="FLAC"))
    (tmp_path / "a.opus").write_bytes(encode("ogg", "libopus", tone(440, SECONDS, 48_000), 48_000))
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    return tmp_path


@pytest.mark.parametrize(("told", "span"), [
    ({"start_s": 2, "end_s": 5.5}, (2.0, 5.5)), ({"offset": 2.0, "duration": 3.0}, (2.0, 5.0)),
    ({"start_s": 2}, (2.0, None)), ({"offset": 2, "duration": None}, (2.0, None)), ({"end_s": 4}, (0.0, 4.0)),
    ({"start_s": 1, "duration": 2}, (1.0, 3.0)), ({"start_s": 1, "end_s": 2, "offset": 5, "duration": 9}, (1.0, 2.0)),
    ({"duration": 4}, (0.0, 4.0)), ({"offset": 0, "duration": 4}, (0.0, 4.0)),
    ({"duration": SECONDS}, None), ({"offset": 0.0, "duration": SECONDS}, None), ({"duration": SECONDS - 0.004}, None),
    ({"duration": 99}, None), ({"start_s": 0}, None), ({"start_s": 0, "end_s": SECONDS}, None), ({}, None),
    ({"start_s": 0, "end_s": 99}, (0.0, 99.0)),
])  # fmt: skip
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.opus"])
def test_keys_of_a_stretch(folder: Path, name: str, told: dict[str, Any], span: tuple[float, float] | None) -> None:
    (row,) = listing(folder, {"audio_filepath": name, **told})
    assert (row.start_s, row.end_s) == (span or (None, None))
    assert row.recording_id != listing(folder, {"path": name})[0].recording_id or span is None
    assert row.declared_duration_s == (span[1] - span[0] if span and span[1] is not None else None)


def test_lines_of_lhotse(folder: Path) -> None:
    whole = {"id": "a", "sources": [{"type": "file", "channels": [0], "source": "a.wav"}], "sampling_rate": RATE,
             "num_samples": 240_000, "duration": SECONDS, "channel_ids": [0]}  # fmt: skip
    said = {"id": "a-1", "start": 0, "duration": 3.0, "text": "Hello there.", "speaker": "ann", "language": "en"}
    cut = {"id": "a-cut", "start": 2.0, "duration": 3.0, "channel": 0, "supervisions": [said], "recording": whole,
           "type": "MonoCut"}  # fmt: skip
    one, two = listing(folder, whole, cut)
    assert (one.media_url, one.start_s, one.end_s) == ("a.wav", None, None)
    assert (two.media_url, two.start_s, two.end_s, two.persons) == ("a.wav", 2.0, 5.0, ("ann",))
    assert (two.attachments[0].text, two.language) == ("Hello there.", "en")


@pytest.mark.parametrize("told", [
    '"start_s": 5, "end_s": 2', '"start_s": 2, "end_s": 2', '"offset": -1, "duration": 2',
    '"offset": 1, "duration": -2',
    '"offset": NaN, "duration": 2', '"start_s": 1, "end_s": Infinity', '"start_s": "2"', '"offset": [], "duration": 3',
    '"duration": 0', '"start_s": true', '"start_s": 1' + "0" * 400, '"offset": 1, "duration": {}',
])  # fmt: skip
def test_a_stretch_that_cannot_be_costs_its_line(folder: Path, told: str) -> None:
    bad, good = listing(folder, f'{{"path": "a.wav", {told}}}', {"path": "a.wav", "start_s": 1})
    assert (bad.status, bad.reason) == (Status.FAILED, Reason.BAD_SPAN)
    assert (bad.reason_detail or "").startswith("line 1: ")
    assert good.status is Status.OK


def test_stretches_of_one_file_are_recordings_of_their_own(folder: Path) -> None:
    rows = listing(
        folder,
        {"path": "a.wav", "start_s": 1, "end_s": 2, "text": "One.", "speaker": "Ann", "language": "en"},
        {"path": "a.wav", "start_s": 2, "end_s": 3, "text": " "},
        {"path": "a.wav", "offset": 1.0000000001, "duration": 1},
        {"url": "https://example.org/a.wav", "start_s": 1, "end_s": 2, "text": "Web."},
        {"path": "broken.wav", "duration": 3},
    )
    assert len({row.recording_id for row in rows}) == 4
    assert rows[0].recording_id == rows[2].recording_id
    assert [(one.text, one.url, one.language) for one in rows[0].attachments] == [("One.", "list.jsonl", "en")]
    assert not rows[1].attachments
    assert rows[3].attachments[0].text == "Web."


@pytest.mark.parametrize("rate", [RATE, 16_000])
@pytest.mark.parametrize("span", [(0.0, 1.0), (2.345678, 7.1), (9.0, None), (0.0, None), (4.0, 10.05)])
def test_a_stretch_has_the_very_samples(rate: int, span: tuple[float, float | None]) -> None:
    sound = wav(np.random.default_rng(0).normal(0, 0.1, round(SECONDS * RATE)))
    whole = np.concatenate([*Decoding(io.BytesIO(sound), rate, Audio())])
    stretch = Stretch(Decoding(io.BytesIO(sound), rate, Audio()), span)
    got = np.concatenate([*stretch])
    start, end = (None if at is None else round(at * rate) for at in span)
    np.testing.assert_array_equal(got, whole[start:end])
    assert stretch.samples == got.size


@pytest.mark.parametrize(("container", "codec", "apart_ms", "span"), [
    ("wav", "pcm_s16le", 0, (27.0, None)), ("flac", "flac", 0, (21.234, 23.5)),
    ("mp3", "libmp3lame", 0, (21.234, 23.5)),
    ("ogg", "libopus", 0, (27.0, None)), ("mp4", "aac", 0, (21.234, 23.5)), ("matroska", "libopus", 1, (21.234, 23.5)),
    ("adts", "aac", 0, (21.234, 23.5)), ("mpegts", "mp2", 0, (21.234, 23.5)), ("ogg", "vorbis", 0, (21.234, 23.5)),
])  # fmt: skip
def test_a_late_stretch_is_the_same_without_decoding_what_comes_before(
    container: str, codec: str, apart_ms: float, span: tuple[float, float | None]
) -> None:
    rate, at = 48_000, np.arange(30 * 48_000) / 48_000
    sound = encode(container, codec, 0.3 * np.sin(2 * np.pi * (100 + 60 * at) * at), rate, channels=2)
    whole = np.concatenate([*Decoding(io.BytesIO(sound), rate, Audio())])
    stretch = late(io.BytesIO(sound), span, rate)
    got = np.concatenate([*stretch])
    wanted = whole[round(span[0] * rate) : None if span[1] is None else round(span[1] * rate)]
    assert isinstance(stretch.decoding, Skipping)
    assert stretch.decoding.source_frames < 12 * rate
    assert not stretch.breaks
    apart = round(apart_ms * rate / 1000)
    assert abs(got.size - wanted.size) <= apart
    errors = [np.abs(got[100:40_000] - wanted[100 + by : 40_000 + by]).max() for by in range(-apart, apart + 1)]
    assert min(errors) < 0.01


def test_media_that_cannot_be_passed_over_are_decoded_from_the_start(tmp_path: Path) -> None:
    parts = [encode("ogg", "libopus", tone(hertz, 30.0, 48_000), 48_000) for hertz in (200, 500, 900)]
    chained = b"".join(parts)
    whole = np.concatenate([*Decoding(io.BytesIO(chained), RATE, Audio())])
    (tmp_path / "a.ogg").write_bytes(chained)
    build, (row,) = build_at(tmp_path / "corpus"), listing(tmp_path, {"path": "a.ogg", "start_s": 65, "end_s": 70})
    work = fetch_recording(Listed(recording=row, media_path=str(tmp_path / "a.ogg")), build).work
    assert work is not None
    assert segment_media(work, build).reason is None
    try:
        got = np.concatenate([*late(io.BytesIO(chained), (65.0, 70.0), RATE)])
        assert got.size == 5 * RATE
        np.testing.assert_allclose(got[1000:], whole[65 * RATE + 1000 : 70 * RATE], atol=0.02)
    except UnskippableError:
        pass


@pytest.mark.parametrize("span", [(10.0, 11.0), (9.0, 10.2), (50.0, None), (11.0, 12.0)])
def test_a_stretch_beyond_the_end_is_refused(span: tuple[float, float | None]) -> None:
    with pytest.raises(RejectedError, match=r"bad_span: from .*, and the recording has 10\.000 s"):
        list(Stretch(Decoding(io.BytesIO(wav(tone(440, SECONDS))), RATE, Audio()), span))
    with pytest.raises(RejectedError, match=r"bad_span: from .*, and the recording has 10\.000 s"):
        list(late(io.BytesIO(wav(tone(440, SECONDS))), span, RATE))


def late(file: io.BytesIO, span: tuple[float, float | None], rate: int) -> Stretch:
    return Stretch(decoding_of(file, Audio(sample_rate=rate), from_s=span[0]), span)


def build_at(folder: Path, *settings: str, **base: Any) -> Build:
    chosen = config_file.load(None, settings, {"asr": {"model": None}, **base}, inputs=("x",), output=str(folder))
    return plan_build(chosen, Store(chosen.output), find_model=Path)


def spoken(seconds: float) -> bytes:
    """Six seconds of a voice-like buzz, a second of silence, and so on."""
    at = np.arange(round(seconds * RATE)) / RATE
    buzz = np.sign(np.sin(2 * np.pi * 120 * at)) * (0.2 + 0.1 * np.sin(2 * np.pi * 4 * at))
    return wav(np.where(at % 7 < 6, buzz, 1e-4 * np.sin(at)))


def test_stretches_are_decoded_from_media_that_are_fetched_once(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/a.wav", ok(spoken(21)))
    build = build_at(tmp_path, fetch={"allow_hosts": [server.host], "retries": 0})
    spans = [(0.0, 7.0), (7.0, 14.0), (14.0, 60.0), (None, None)]
    rows = [
        Recording(recording_id=f"r{at}", source="local", media_url=server.url("/a.wav"), start_s=start, end_s=end)
        for at, (start, end) in enumerate(spans)
    ]
    works = [fetch_recording(Listed(recording=row), build).work for row in rows]
    assert len([one for one in server.asked("/a.wav") if one.method == "GET"]) == 2  # one for all, one for the whole
    assert len({work.content_id for work in works if work}) == 4
    assert len({work.sha256 for work in works if work}) == 1
    outcomes = [segment_media(work, build) for work in works if work]
    assert [one.reason for one in outcomes] == [None, None, Reason.BAD_SPAN, None]
    for work, (start, _) in list(zip(works, spans, strict=True))[:2]:
        assert work is not None
        table, facts = (
            build.store.read(build.segments(work.content_id)),
            build.store.footer(build.segments(work.content_id)),
        )
        assert facts["decoded_samples"] == 7 * RATE == table["end"].to_pylist()[-1]
        assert facts["declared_duration_s"] is None
        clips = [row for row in table.to_pylist() if row["clip_id"]]
        assert clips
        whole = np.concatenate([*Decoding(io.BytesIO(spoken(21)), RATE, Audio())])
        for row in clips:
            place = slice(round((start or 0) * RATE) + row["start"], round((start or 0) * RATE) + row["end"])
            np.testing.assert_array_equal(decode_flac(row["flac"]), np.rint(whole[place] * 32_768).astype(np.int16))
    assert [name for _, name, _ in _decoded_media(build)] == [f"work/media/{works[0].sha256 if works[0] else ''}"]


def test_media_stay_while_a_stretch_of_them_waits(server: ScriptedServer, tmp_path: Path) -> None:
    server.script("/a.wav", ok(spoken(14)))
    build = build_at(tmp_path, fetch={"allow_hosts": [server.host], "retries": 0})
    rows = [
        Recording(recording_id=f"r{at}", source="local", media_url=server.url("/a.wav"), start_s=at, end_s=at + 6)
        for at in (0, 7)
    ]
    first, second = [fetch_recording(Listed(recording=row), build).work for row in rows]
    assert first is not None
    assert second is not None
    segment_media(first, build)
    assert not [*_decoded_media(build)]
    segment_media(second, build)
    assert [*_decoded_media(build)]


def test_whoever_removes_media_removes_their_stretches() -> None:
    sha = "0" * 64
    part = Recording(
        recording_id="r",
        source="local",
        media_url="a.wav",
        start_s=1.0,
        content_id=content_id_of(sha, 1.0, None),
        sha256=sha,
    )
    request = RemovalRequest(kind="recording", value="other", reason="", when="", contents=(sha,))
    assert Removals((request,)).match(part)
    other = RemovalRequest(
        kind="recording", value="other", reason="", when="", contents=(content_id_of(sha, 2.0, None),)
    )
    assert not Removals((other,)).match(part)


def test_local_stretches_share_a_file(folder: Path) -> None:
    build = build_at(folder / "corpus")
    (folder / "a.wav").write_bytes(spoken(14))
    rows = listing(
        folder, {"path": "a.wav", "start_s": 0, "end_s": 7}, {"path": "a.wav", "start_s": 7, "text": "Hello."}
    )
    for row in rows:
        work = fetch_recording(Listed(recording=row, media_path=str(folder / "a.wav")), build).work
        assert work is not None
        assert work.content_id == content_id_of(work.sha256 or "", row.start_s, row.end_s)
        segment_media(work, build)
        assert build.store.footer(build.segments(work.content_id))["decoded_samples"] == 7 * RATE
    stored = recording_from(build.store.read(build.fetched(rows[1].recording_id)).to_pylist()[0])
    assert (stored.start_s, stored.end_s, stored.attachments[0].text) == (7.0, None, "Hello.")
    assert len(build.store.footer(build.fetched(rows[1].recording_id))["documents"]) == 1
    (folder / "a.wav").write_bytes(spoken(21))  # another file in its place
    changed = fetch_recording(Listed(recording=rows[0], media_path=str(folder / "a.wav")), build).work
    assert changed is not None
    assert changed.sha256 != stored.sha256
