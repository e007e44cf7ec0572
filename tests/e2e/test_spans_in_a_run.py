"""A manifest of stretches becomes a corpus of just these, which balances, is verified, and says where each begins."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from tests.commandline import TEXTS, Speechmill


def test_a_manifest_of_nemo(folder: Path, tmp_path: Path, speechmill: Speechmill) -> None:
    name, text = "wind.mp3", TEXTS["wind.mp3"][0]
    lines = [
        {"audio_filepath": str(folder / name), "offset": 0.5, "duration": 9.0, "text": text, "mood": "calm"},
        {"audio_filepath": str(folder / name), "offset": 30.0, "duration": 3.0, "text": "Not there."},
        {"audio_filepath": str(folder / name), "offset": 9.5, "duration": None, "speaker": "ann"},
        {"audio_filepath": str(folder / "river.flac"), "offset": "1", "duration": 3.0},
        {"audio_filepath": str(folder / name), "offset": 0.5, "duration": 9.0, "text": text},
    ]
    path = tmp_path / "manifest.json"
    path.write_bytes(json.dumps(lines).encode("utf-16"))
    chosen = ["asr.model=tiny.en", "tokenise.checkpoint=null", "defects.weights=null", "max_failed_ratio=1"]
    settings = [part for one in chosen for part in ("--set", one)]
    corpus = tmp_path / "corpus"
    planned = speechmill("plan", "--input", path, "--output", corpus, *settings, "--json")
    assert json.loads(planned.stdout)["listed_twice"] == 1
    assert json.loads(planned.stdout)["recordings"] == 3
    ran = speechmill("run", "--input", path, "--output", corpus, *settings).stdout
    assert "keys that are not used: mood" in ran
    rows = [row for row in pq.read_table(corpus / "recordings.parquet").to_pylist() if row["status"] != "left_out"]
    found = {(row["start_s"], row["end_s"]): (row["status"], row["reason"]) for row in rows}
    assert found == {
        (0.5, 9.5): ("ok", None), (30.0, 33.0): ("failed", "bad_span"), (9.5, None): ("ok", None),
        (None, None): ("failed", "bad_span"),
    }  # fmt: skip
    first = next(row for row in rows if row["start_s"] == 0.5)
    assert first["decoded_samples"] == 9 * 24_000
    assert first["declared_duration_s"] == 9.0
    clips = pq.read_table(corpus / "pool.parquet").to_pylist()
    assert {clip["recording_id"] for clip in clips} == {row["recording_id"] for row in rows if row["status"] == "ok"}
    assert all(0 <= clip["start"] < clip["end"] for clip in clips)
    (kept,) = [
        row for row in pq.read_table(corpus / "data").to_pylist() if row["recording_id"] == first["recording_id"]
    ]
    assert kept["reference_text"] == text
    assert kept["reference_url"] == "manifest.json"
    speechmill("verify", corpus)
    assert "nothing to do" in speechmill("run", "--output", corpus).stdout
    speechmill("prune", corpus)
    speechmill("verify", corpus)
    speechmill("remove", corpus, "--recording", first["recording_id"], "--reason", "asked for")
    left = pq.read_table(corpus / "pool.parquet").to_pylist()
    assert {clip["recording_id"] for clip in left} == {row["recording_id"] for row in rows if row["start_s"] == 9.5}
    speechmill("verify", corpus)
