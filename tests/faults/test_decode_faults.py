"""Faults 11 to 26: media that are broken, that lie, or that bring the decoder down; and a folder of odd files."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import soundfile
from speechmill.audio.measures import measure
from speechmill.core import processes
from speechmill.core.config import RunConfig
from speechmill.core.footers import DecodeFooter
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.runner import run
from speechmill.stages import SEGMENT
from speechmill.stages.flow import STAGES
from speechmill.stages.segment import segment_media

from tests.crashes import CrashingSegment, write_flac, write_vorbis
from tests.media import (
    RATE,
    a_build,
    assert_accounted,
    decode,
    encode,
    flipped,
    riff,
    segmented,
    tone,
    wav,
    work_for,
)  # fmt: skip

Sound = npt.NDArray[np.float32]
PEAK_KIB = 600 * 1024  # of a process with all libraries loaded: they take about 200 MB

# Segments a file in a process of its own, and tells the facts, the number of clips and the peak of memory.
MEASURED = """
import json, os, re, sys
from pathlib import Path
from tests.media import a_build, work_for
from speechmill.core.footers import DecodeFooter
from speechmill.stages.segment import segment_media
media, folder, settings = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
build, work = a_build(folder, **settings), work_for(media)
segment_media(work, build)
name = build.segments(work.content_id)
rows = build.store.read(name, ["start", "end", "kind"]).to_pylist()
peak = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])  # ru_maxrss is inherited
print(json.dumps([build.store.footer(name, DecodeFooter).to_json(), rows, peak]), flush=True)
os._exit(0)  # as the workers of a run end: a thread of some library was seen to abort the exit, once
"""


def reason_for(data: bytes, **limits: object) -> Reason:
    with pytest.raises(RejectedError) as caught:
        decode(data, **limits)
    return caught.value.reason


def start_measured(media: Path, **settings: Any) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable,
        "-c",
        MEASURED,
        str(media),
        str(media.parent / f"{media.name}-out"),
        json.dumps(settings),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])


def finish_measured(process: "subprocess.Popen[bytes]") -> tuple[DecodeFooter, list[dict[str, Any]], int]:
    out, _ = process.communicate()
    assert process.returncode == 0
    footer, rows, peak_kib = json.loads(out)
    return DecodeFooter.from_json(footer), rows, peak_kib


@pytest.fixture(scope="module")
def mp3(speech: Sound) -> bytes:
    return encode("mp3", "libmp3lame", speech)


def test_fault_11_half_an_mp3_is_truncated_and_most_of_one_is_flagged(mp3: bytes, tmp_path: Path) -> None:
    assert reason_for(mp3[: len(mp3) // 2]) is Reason.TRUNCATED
    facts, rows = segmented(mp3[: round(len(mp3) * 0.75)], tmp_path)
    assert_accounted(facts, rows)
    assert facts.decoded_samples / RATE == pytest.approx(0.75 * facts.declared_duration_s, rel=0.02)
    assert facts.detail.startswith("decoded 45.")
    assert rows[-1]["kind"] in ("corrupt", "silence")  # no clip ends where the file does


def test_fault_12_flipped_bytes_are_counted_and_cost_the_clips_they_are_in(speech: Sound, tmp_path: Path) -> None:
    for name, (container, codec) in {
        "mp3": ("mp3", "libmp3lame"),
        "flac": ("flac", "flac"),
        "ogg": ("ogg", "libopus"),
    }.items():
        whole = encode(container, codec, speech)
        _, clean = segmented(whole, tmp_path / name / "whole")
        facts, rows = segmented(
            flipped(whole, 3 if name == "ogg" else 40, after=8_000, seed=3), tmp_path / name / "broken"
        )
        assert_accounted(facts, rows)
        assert any(row["kind"] == "corrupt" for row in rows), name
        if name == "flac":  # what is kept is what was there, to the bit
            assert {row["flac"] for row in rows if row["clip_id"]} < {row["flac"] for row in clean if row["clip_id"]}
    assert reason_for(flipped(encode("adts", "aac", speech), 2_000, after=100)) is Reason.CORRUPT


def test_fault_12_an_mp3_with_200_flipped_bytes_keeps_most_of_its_audio(mp3: bytes) -> None:
    broken, _ = decode(flipped(mp3, 200, after=3_000))
    whole, _ = decode(mp3)
    assert 0 < broken.bad_packets < 0.05 * broken.packets
    assert broken.samples > 0.9 * whole.samples


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.mp3", bytes(5_000))
    return buffer.getvalue()


def picture() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="apng") as target:
        stream = target.add_stream("apng", rate=1)
        stream.width = stream.height = 64
        stream.pix_fmt = "rgb24"
        target.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        target.mux(stream.encode(None))
    return buffer.getvalue()


NOT_AUDIO = {
    "html": b"<!DOCTYPE html><html><head><title>404 Not Found</title></head><body>No.</body></html>" * 9,
    "zip": archive(),
    "png": picture(),
    "json": b'{"error": "not found"}',
    "pdf": b"%PDF-1.7\n" + bytes(500),
    "text": b"The quick brown fox. " * 300,
    "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "zeros": bytes(100_000),
}


@pytest.mark.parametrize("kind", NOT_AUDIO)
def test_fault_13_what_is_not_audio_is_told_by_its_content(kind: str) -> None:
    assert reason_for(NOT_AUDIO[kind]) is Reason.NOT_AUDIO


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF"])
def test_fault_14_a_file_without_sound_is_empty(kind: str) -> None:
    assert reason_for(b"") is Reason.EMPTY
    assert reason_for(riff(b"")) is Reason.EMPTY
    assert reason_for(wav(np.zeros(0, np.int16), kind=kind)) is Reason.EMPTY


@pytest.mark.parametrize("header", [{"rate": 0}, {"channels": 0}, {"channels": 255}, {"rate": 2**31 - 1}, {"rate": 1}])
def test_fault_15_headers_that_cannot_be_are_rejected(header: dict[str, int]) -> None:
    assert reason_for(riff(bytes(51_000), **header)) is Reason.BAD_HEADER


def test_fault_16_eight_channels_at_192_khz_come_out_right_in_bounded_memory(tmp_path: Path, speech: Sound) -> None:
    frames = 192_000 * 60 + 77
    one = np.resize(speech.repeat(8), frames)
    with soundfile.SoundFile(tmp_path / "big.wav", "w", 192_000, 8, "PCM_24") as file:
        for at in range(0, frames, 192_000):
            file.write(np.repeat(one[at : at + 192_000, None], 8, axis=1))
    facts, rows, peak_kib = finish_measured(start_measured(tmp_path / "big.wav"))
    assert (facts.source_channels, facts.source_sample_rate) == (8, 192_000)
    assert abs(facts.decoded_samples - frames / 8) <= 1
    assert rows[-1]["end"] == facts.decoded_samples
    assert peak_kib < PEAK_KIB  # the file is 276 MB


def test_fault_17_a_header_that_promises_gigabytes_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "liar.wav").write_bytes(riff(bytes(1_024), size=4_000_000_000))
    facts, rows, peak_kib = finish_measured(start_measured(tmp_path / "liar.wav"))
    assert (facts.reason, rows) == (Reason.TRUNCATED, [])
    assert peak_kib < PEAK_KIB


@pytest.mark.parametrize("size", [2**32 - 1, 2**32 - 45, 2**31 - 1, 2**31 - 4_060])
def test_fault_17_a_writer_that_could_not_know_the_size_did_not_lie(size: int) -> None:
    decoding, _ = decode(riff(bytes(2 * RATE), size=size))
    assert decoding.samples == RATE


def test_fault_17_a_wav_of_which_the_end_is_missing_is_truncated(tmp_path: Path, speech: Sound) -> None:
    whole = wav(speech)
    assert reason_for(whole[: len(whole) * 2 // 5]) is Reason.TRUNCATED
    facts, _ = segmented(whole[: len(whole) * 3 // 4], tmp_path)
    assert facts.detail == "decoded 45.3 s of 60.4 s declared"


def test_fault_18_an_hour_takes_the_memory_of_ten_minutes(tmp_path: Path, speech: Sound) -> None:
    minute = np.resize(speech, 60 * RATE)
    for minutes in (10, 60):
        with soundfile.SoundFile(tmp_path / f"{minutes}.flac", "w", RATE, 1, "PCM_16") as file:
            for _ in range(minutes):
                file.write(minute)
    running = [start_measured(tmp_path / f"{minutes}.flac") for minutes in (10, 60)]
    (_, _, small_kib), (facts, rows, large_kib) = map(finish_measured, running)
    assert large_kib - small_kib < 100 * 1024
    assert facts.decoded_samples == 3_600 * RATE
    clips = [(row["start"], row["end"]) for row in rows if row["kind"] == "clip"]
    assert clips[-1][0] > 3_590 * RATE  # right near the end
    assert len(clips) >= 60 * 8 - 1


def test_fault_19_a_decompression_bomb_is_stopped_while_it_streams(tmp_path: Path) -> None:
    silence = np.zeros((48_000, 8), np.int16)
    with soundfile.SoundFile(tmp_path / "bomb.flac", "w", 48_000, 8, "PCM_16") as file:
        for _ in range(300):
            file.write(silence)
    (tmp_path / "bomb.ogg").write_bytes(encode("ogg", "libopus", np.zeros(48_000 * 120), 48_000))
    for name in ("bomb.flac", "bomb.ogg"):
        assert (tmp_path / name).stat().st_size < 2_000_000
        facts, rows, peak_kib = finish_measured(start_measured(tmp_path / name, audio={"max_duration_s": 60}))
        assert (facts.reason, rows) == (Reason.TOO_LONG, [])
        assert peak_kib < PEAK_KIB


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_fault_20_samples_that_are_no_numbers_are_rejected(subtype: str) -> None:
    for poison in (np.nan, np.inf, -np.inf):
        sound = tone(200, 3, 44_100)
        sound[100_000] = poison
        assert reason_for(wav(sound, 44_100, subtype=subtype)) is Reason.NOT_FINITE
        assert reason_for(wav(sound, RATE, subtype=subtype)) is Reason.NOT_FINITE
    decoding, got = decode(wav(np.full(48_000, 1e-40), subtype=subtype))  # denormals are numbers
    assert (decoding.samples, float(np.abs(got).max()) < 1e-30) == (48_000, True)


def test_fault_21_silence_and_tones_give_no_clips(tmp_path: Path) -> None:
    for name, sound in {
        "silence": np.zeros(30 * RATE),
        "tone": tone(440, 30),
        "offset": np.full(30 * RATE, 0.3),
    }.items():
        facts, rows = segmented(wav(sound), tmp_path / name)
        assert facts.status == "ok"
        assert {row["kind"] for row in rows} == {"silence"}, name


def test_fault_21_clipping_and_an_offset_do_not_hide_speech_and_are_measured(tmp_path: Path, speech: Sound) -> None:
    for name, sound in {"clipped": np.clip(8 * speech, -1, 1), "offset": speech * 0.5 + 0.3}.items():
        _, rows = segmented(wav(sound), tmp_path / name)
        clips = [decode(row["flac"])[1] for row in rows if row["kind"] == "clip"]
        assert len(clips) == 8
        pcm = [np.rint(clip * 32_767).astype(np.int16) for clip in clips]
        assert (measure(pcm, RATE)["clipped_ratio"] > 0.005).all() == (name == "clipped")
    quiet = measure([np.zeros(6 * RATE, np.int16)], RATE)
    assert not any(np.isinf(values).any() for values in quiet.values())
    assert np.isnan(quiet["loudness_lufs"][0])


@pytest.mark.parametrize("seconds", [0.001, 0.1, 0.399])
def test_fault_22_a_clip_too_short_for_the_loudness_meter_has_none(seconds: float) -> None:
    pcm = np.rint(tone(300, seconds) * 32_767).astype(np.int16)
    found = measure([pcm], RATE)
    assert np.isnan(found["loudness_lufs"][0])
    assert not any(np.isinf(values).any() for values in found.values())


@pytest.mark.parametrize("profile", ["tortoise", "recover"])
def test_fault_23_speech_without_a_pause_is_never_a_clip_of_over_twenty_seconds(
    profile: str, tmp_path: Path, speech: Sound
) -> None:
    loud = np.convolve(np.abs(speech) > 0.02, np.ones(RATE // 20), "same") > 0  # cuts all pauses over 50 ms
    facts, rows = segmented(wav(np.tile(speech[loud], 2)[: 60 * RATE]), tmp_path, segment={"profile": profile})
    assert_accounted(facts, rows)
    longest = max(rows, key=lambda row: row["end"] - row["start"])
    assert (longest["kind"], longest["end"] - longest["start"] > 50 * RATE) == ("too_long", True)
    assert all(row["end"] - row["start"] <= 20 * RATE for row in rows if row["kind"] == "clip")


def test_fault_24_an_mp3_of_varying_rate_without_a_header_has_its_length(speech: Sound) -> None:
    varying = {"flags": "+qscale", "global_quality": str(4 * 118), "write_xing": "0"}
    uneven = np.concatenate([np.zeros(40 * RATE), speech[: 20 * RATE]])
    decoding, _ = decode(encode("mp3", "libmp3lame", uneven, **varying))
    assert decoding.declared_duration_s is None
    assert decoding.samples == pytest.approx(uneven.size, abs=3_000)  # the encoder's delay is in no header


def test_fault_24_edit_lists_and_start_offsets_neither_add_nor_lose(speech: Sound) -> None:
    sound = speech[: 20 * RATE]
    for container, codec in (("mp4", "aac"), ("mp4", "alac"), ("matroska", "aac")):
        for start in (0, 5 * RATE):
            decoding, _ = decode(encode(container, codec, sound, start=start))
            assert decoding.samples == pytest.approx(sound.size, abs=2_048)
            assert decoding.breaks == []


def test_fault_24_a_chained_ogg_is_decoded_to_its_end(speech: Sound) -> None:
    for codec in ("libopus", "flac"):
        part = encode("ogg", codec, speech[: 10 * RATE])
        other = encode("ogg", codec, speech[10 * RATE : 25 * RATE])
        assert decode(part + other)[0].samples == pytest.approx(25 * RATE, abs=1_000)


def test_fault_24_a_rate_that_changes_midway_keeps_the_duration() -> None:
    low, high = (encode("adts", "aac", tone(440, 5, rate), rate) for rate in (24_000, 48_000))
    decoding, got = decode(low + high)
    assert decoding.samples == pytest.approx(10 * RATE, abs=4_000)
    for second in (2, 7):  # the tone stays where it is
        spectrum = np.abs(np.fft.rfft(got[second * RATE : (second + 1) * RATE]))
        assert abs(int(spectrum.argmax()) - 440) <= 1


def test_fault_25_a_decoder_that_crashes_or_hangs_costs_its_own_recording(
    tmp_path: Path, speech: Sound, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for name, data in {"a": b"ABORT", "d": b"SEGV!", "g": b"SLEEP"}.items():
        (tmp_path / "in" / f"{name}.mp3").write_bytes(data * 100)
    for i, name in enumerate("bcefh"):
        (tmp_path / "in" / f"{name}.wav").write_bytes(wav(speech[i * RATE : (i + 12) * RATE]))
    crashing = tuple(CrashingSegment() if stage is SEGMENT else stage for stage in STAGES)
    monkeypatch.setattr("speechmill.runner.beam.graph.STAGES", crashing)
    config = RunConfig.model_validate(
        {"inputs": [str(tmp_path / "in")], "output": str(tmp_path / "out"), "asr": {"model": None},
         "defects": {"weights": None}, "tokenise": {"checkpoint": None}, "audio": {"stall_timeout_s": 5.0},
         "workers": 2}
    )  # fmt: skip
    run.run(config, quiet=True)
    table = pq.read_table(tmp_path / "out" / "recordings.parquet").to_pylist()
    found = {Path(row["media_url"]).stem: row["reason"] for row in table}
    crashed, hung = Reason.DECODER_CRASHED, Reason.DECODER_HUNG
    assert found == {"a": crashed, "d": crashed, "g": hung} | dict.fromkeys("bcefh")


def test_fault_26_an_encoder_crash_is_contained_and_flac_does_not_crash() -> None:
    pool = processes.Pool(2)
    try:
        futures = [pool.submit(write_flac, 60), pool.submit(write_vorbis, 60), pool.submit(write_flac, 300)]
        with pytest.raises(processes.DiedError):  # if this fails, libsndfile was repaired
            processes.result(futures[1])
        assert all(processes.result(futures[i])[0] > 0 for i in (0, 2))
    finally:
        pool.close()


# Libraries open them, but they have no samples, an impossible rate, or less than half of what their header promises.
HOLLOW = {"test1_empty.wav", "mono.zero.wav", "data__null.wav", "data__awful.wav"}
HOLLOW |= {"vbri.mp3", "issue_29.wma", "variable-block.flac"}


def segment_file(path: str, folder: str) -> tuple[DecodeFooter, list[dict[str, Any]]]:
    build, work = a_build(Path(folder)), work_for(Path(path))
    segment_media(work, build)
    name = build.segments(work.content_id)
    return build.store.footer(name, DecodeFooter), build.store.read(name).to_pylist()


@pytest.mark.shared_data
def test_odd_files_from_the_wild_give_rows_or_a_reason(shared_data: Path, tmp_path: Path) -> None:
    entries = [json.loads(line) for line in (shared_data / "manifest.jsonl").read_text().splitlines()]
    odd = [entry for entry in entries if entry["group"] == "edge"]
    pool = processes.Pool(2)
    try:
        futures = [pool.submit(segment_file, str(shared_data / entry["file"]), str(tmp_path)) for entry in odd]
        results = [processes.result(future)[0] for future in futures]
    finally:
        pool.close()
    for entry, (facts, rows) in zip(odd, results, strict=True):
        assert_accounted(facts, rows)
        decodes = not entry["decode"].startswith("fails") and Path(entry["file"]).name not in HOLLOW
        assert (facts.status == "ok") == decodes, entry["file"]
        if decodes:
            assert facts.decoded_samples / RATE == pytest.approx(entry["duration_s"], abs=0.06), entry["file"]
    assert sum(entry["decode"].startswith("fails") for entry in odd) == 42
