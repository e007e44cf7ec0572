"""The same sound is in a corpus once, whatever file it came in."""

import io
import json
import shutil
from pathlib import Path

import av
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.commandline import TEXTS, fingerprint, flags, summary

BARE = ("asr.model=null", "tokenise.checkpoint=null", "defects.weights=null")  # sounds are compared without them


def encoded(samples: np.ndarray, rate: int, codec: str, container: str, bits: int) -> bytes:
    """Samples, float in [-1, 1], as another encoder would store them."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = bits
        frame = av.AudioFrame.from_ndarray(np.round(samples * 32_767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = rate
        out.mux([*stream.encode(frame), *stream.encode(None)])
    return buffer.getvalue()


@pytest.fixture(scope="module")
def doubled(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three recordings, and one of them again: quieter, begun elsewhere, and as an MP3 of 48 kbit/s."""
    place = tmp_path_factory.mktemp("doubled")
    shutil.copytree(folder, place, dirs_exist_ok=True)
    samples, rate = soundfile.read(folder / "river.flac")
    (place / "z-again.mp3").write_bytes(encoded(samples[7_001:] / 3, rate, "libmp3lame", "mp3", 48_000))
    return place


def pool(corpus: Path) -> list[tuple]:
    query = f"""select source_url, clip_id, decision, reasons, repeated_ratio, duplicate_of
                from '{corpus}/pool.parquet/*.parquet' order by source_url, start"""
    return duckdb.sql(query).fetchall()


def test_a_copy_in_another_file_is_kept_out_and_says_of_what(doubled: Path, speechmill, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    arguments = flags(doubled, corpus, *BARE)
    done = summary(speechmill("run", *arguments, "--json"))
    first = [row for row in pool(corpus) if row[0] == "river.flac"]
    again = [row for row in pool(corpus) if row[0] == "z-again.mp3"]
    assert [row[2] for row in first] == ["kept", "kept"]
    assert [(row[2], row[3]) for row in again] == [("rejected", ["duplicate"])] * 2
    assert [row[5] for row in again] == [row[1] for row in first]
    assert all(0.3 < row[4] <= 1 for row in again)
    others = [row for row in pool(corpus) if row[0] != "z-again.mp3"]
    assert all((row[4], row[5]) == (0.0, None) for row in others)
    assert done["stats"]["rejected_by_reason"]["duplicate"]["clips"] == 2
    assert summary(speechmill("verify", corpus, "--json"))["ok"]

    assert "nothing to do" in speechmill("run", *arguments).stdout
    speechmill("select", corpus, "--set", "thresholds.repeated_ratio=null")
    assert all(row[2] == "kept" for row in pool(corpus))


def test_a_copy_that_comes_later_changes_nothing_of_the_first(doubled: Path, speechmill, tmp_path: Path) -> None:
    corpus, whole, place = tmp_path / "corpus", tmp_path / "whole", tmp_path / "in"
    place.mkdir()
    for name in (*TEXTS, "z-again.mp3"):
        shutil.copy(doubled / name, place / name)
        speechmill("run", *flags(place, corpus, *BARE))
    speechmill("run", *flags(doubled, whole, *BARE))
    assert fingerprint(corpus) == fingerprint(whole)


def test_with_a_recording_its_copies_are_removed_whatever_their_bytes(
    doubled: Path, speechmill, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    speechmill("run", *flags(doubled, corpus, *BARE))
    query = f"select media_url, recording_id from '{corpus}/recordings.parquet'"
    ids = dict(duckdb.sql(query).fetchall())
    said = summary(speechmill("remove", corpus, "--recording", ids["river.flac"], "--reason", "r", "--json"))
    assert said["removed"].keys() == {ids["river.flac"], ids["z-again.mp3"]}
    assert {row[0] for row in pool(corpus)} == {"wheel.wav", "wind.mp3"}
    speechmill("run", *flags(doubled, corpus, *BARE))
    assert {row[0] for row in pool(corpus)} == {"wheel.wav", "wind.mp3"}
    assert summary(speechmill("verify", corpus, "--json"))["ok"]


def test_verify_finds_a_duplicate_of_nothing(doubled: Path, speechmill, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    speechmill("run", *flags(doubled, corpus, *BARE))
    (name,) = [path for path in (corpus / "work/dedup").glob("*/*") if pq.read_table(path).num_rows]
    table = pq.read_table(name)
    nowhere = pa.array(["0" * 32] * table.num_rows)
    pq.write_table(table.set_column(2, "duplicate_of", nowhere), name)
    speechmill("select", corpus)
    said = summary(speechmill("verify", corpus, "--json", code=1))
    assert "which is not in pool.parquet" in said["checks"]["duplicates"]["problems"][0]


def test_a_clip_with_the_sound_of_what_was_removed_goes_but_not_its_whole_recording(
    folder: Path, speechmill, tmp_path: Path
) -> None:
    """An episode that plays 15 s of another one is not that other one."""
    place, corpus = tmp_path / "in", tmp_path / "corpus"
    shutil.copytree(folder, place)
    parts = [soundfile.read(folder / name)[0] for name in ("wheel.wav", "wind.mp3", "river.flac")]
    soundfile.write(place / "z-quotes.wav", np.concatenate([parts[0], parts[1], parts[2][: 8 * 24_000]]), 24_000)
    (place / "wheel.wav").unlink()
    (place / "wind.mp3").unlink()
    speechmill("run", *flags(place, corpus, *BARE))
    quoted = [row[1] for row in pool(corpus) if row[0] == "z-quotes.wav" and row[5]]
    assert len(quoted) == 1
    ids = dict(duckdb.sql(f"select media_url, recording_id from '{corpus}/recordings.parquet'").fetchall())
    said = summary(speechmill("remove", corpus, "--recording", ids["river.flac"], "--reason", "r", "--json"))
    assert said["removed"].keys() == {ids["river.flac"]}
    for _ in range(2):
        fates = {row[1]: (row[2], row[3]) for row in pool(corpus)}
        assert fates.pop(quoted[0]) == ("rejected", ["removed"])
        assert len(fates) >= 3
        assert all(fate == ("kept", []) for fate in fates.values())
        speechmill("run", *flags(place, corpus, *BARE))


def test_a_copy_that_may_not_be_published_hides_none_that_may(doubled: Path, speechmill, tmp_path: Path) -> None:
    lines = [{"path": str(doubled / "river.flac"), "licence": "unknown"}]
    lines += [{"path": str(doubled / "z-again.mp3"), "licence": "CC-BY-4.0"}]
    (tmp_path / "all.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    corpus = tmp_path / "corpus"
    speechmill("run", *flags(tmp_path / "all.jsonl", corpus, *BARE))
    fates = {row[0].rpartition("/")[2]: row[2] for row in pool(corpus)}
    assert fates == {"river.flac": "rejected", "z-again.mp3": "kept"}
