"""Two voices over three recordings: who is who, what conditions whom, and that no voice is in both splits."""

import json
import shutil
from collections import defaultdict
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import soxr
from hibari import Hibari

from tests.commandline import RATE, fingerprint, flags, summary

SAID = {
    "one.flac": (
        "The river rises in the hills above the village and turns the wheel of the mill all through the winter.",
        "When the summer is dry, the miller waits for rain and mends the sails of the old windmill on the ridge.",
        "Children run along the dyke with paper kites while their grandparents watch them from the bench.",
    ),
    "two.flac": (
        "A letter came on Monday morning, but it was addressed to somebody who had moved away many years ago.",
        "Nobody had repaired the little bridge since the flood of last year, and so the carts went round by the ford.",
        "Seven geese walked along the road as if it belonged to them, and the postman had to get off his bicycle.",
    ),
    "three.flac": (
        "Snow is the quietest weather of all, for it fills the ditches and the furrows and softens every edge.",
        "In the evening the gate is shut, and the wheel turns a little longer before everything is silent.",
        "Grain comes in by the back door, in sacks as heavy as a grown man, and is weighed before it is ground.",
    ),
}
RECORDINGS = {"one.flac": "high", "two.flac": "low", "three.flac": "high"}
SETTINGS = ("speakers.model=campplus", "publish.validation_share=0.4")


def recorded(name: str, seed: int) -> np.ndarray:
    """The three sentences a second apart; the low voice is the same one through a larger mouth."""
    noise, voice = np.random.default_rng(seed), Hibari()
    parts = [noise.normal(0, 3e-4, RATE)]
    for text in SAID[name]:
        said = np.asarray(voice(text, seed=seed), np.float32)
        parts += [said if RECORDINGS[name] == "high" else soxr.resample(said, 0.8, 1.0), noise.normal(0, 3e-4, RATE)]
    return np.concatenate(parts).astype(np.float32)


@pytest.fixture(scope="module")
def voices(speechmill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("voices")
    (place / "in").mkdir()
    for seed, name in enumerate(RECORDINGS):
        soundfile.write(place / "in" / name, recorded(name, seed), RATE)
    speechmill("run", *flags(place / "in", place / "corpus", *SETTINGS))
    return place


def rows(corpus: Path) -> list[dict]:
    columns = "clip_id, source_url, speaker_id, speaker_purity, conditioning_clip_ids"
    found = duckdb.sql(
        f"select {columns}, filename from read_parquet('{corpus}/data/*.parquet', filename=true)"
    ).fetchall()
    names = [*columns.split(", "), "file"]
    return [dict(zip(names, row, strict=True)) for row in found]


def test_a_voice_has_one_name_in_all_recordings_and_two_voices_have_two(voices: Path) -> None:
    named = defaultdict(set)
    for row in rows(voices / "corpus"):
        named[RECORDINGS[row["source_url"]]].add(row["speaker_id"])
        assert row["speaker_purity"] > 0.9
    assert {kind: len(names) for kind, names in named.items()} == {"high": 1, "low": 1}
    assert named["low"] != named["high"]


def test_conditioning_is_of_the_same_voice_and_never_the_clip_itself(voices: Path) -> None:
    found = {row["clip_id"]: row for row in rows(voices / "corpus")}
    for name, row in found.items():
        others = row["conditioning_clip_ids"]
        assert len(others) == min(3, sum(one["speaker_id"] == row["speaker_id"] for one in found.values()) - 1) > 0
        assert name not in others
        assert {found[other]["speaker_id"] for other in others} == {row["speaker_id"]}
        if RECORDINGS[row["source_url"]] == "high":  # the other recording has three clips of the voice
            assert all(found[other]["source_url"] != row["source_url"] for other in others)


def test_no_voice_is_in_both_splits(voices: Path, speechmill) -> None:
    splits = defaultdict(set)
    for row in rows(voices / "corpus"):
        splits[Path(row["file"]).name.partition("-")[0]].add(RECORDINGS[row["source_url"]])
    assert splits == {"train": {"high"}, "validation": {"low"}}
    done = speechmill("verify", voices / "corpus", "--json")
    assert json.loads(done.stdout)["checks"]["speakers"]["checked"] == len(rows(voices / "corpus"))


def test_verify_tells_of_a_voice_in_both_splits(voices: Path, speechmill, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(voices / "corpus", tmp_path / "corpus"))
    names = {row["speaker_id"] for row in rows(copy)}
    (held_out,) = (copy / "data").glob("validation-*.parquet")
    table = duckdb.sql(f"select * from '{held_out}'").to_arrow_table()
    (wrong,) = names - set(table["speaker_id"].to_pylist())
    at = table.schema.get_field_index("speaker_id")
    pq.write_table(table.set_column(at, "speaker_id", pa.array([wrong] * table.num_rows)), held_out)
    found = json.loads(speechmill("verify", copy, "--json", code=1).stdout)["checks"]["speakers"]
    assert any("is in both splits" in problem for problem in found["problems"])


def test_another_threshold_names_speakers_anew_and_runs_no_model(voices: Path, speechmill, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(voices / "corpus", tmp_path / "corpus"))
    assert "nothing to do" in speechmill("run", "--output", copy).stdout
    before = fingerprint(copy)
    speechmill("select", copy, "--set", "thresholds.snr_db=99")
    assert not list(copy.glob("data/*.parquet"))
    back = speechmill("select", copy, "--set", "thresholds.snr_db=15", "--json")
    assert not summary(back)["stages"]["embed"]
    assert fingerprint(copy) == before


def test_a_speaker_that_somebody_named_has_a_speaker_of_its_own(voices: Path, speechmill, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(voices / "corpus", tmp_path / "corpus"))
    before = {row["clip_id"]: row["speaker_id"] for row in rows(copy)}
    high = [row["clip_id"] for row in rows(copy) if row["source_url"] == "one.flac"]
    line = {"decision": "speaker", "speaker": "the guest"}
    (copy / "decisions.jsonl").write_text("".join(json.dumps({"clip_id": clip_id, **line}) + "\n" for clip_id in high))
    speechmill("select", copy)
    after = {row["clip_id"]: row for row in rows(copy)}
    (guest,) = {after[clip_id]["speaker_id"] for clip_id in high}
    assert guest not in before.values()
    assert "guest" not in guest  # names stay with whoever gave them
    assert all(set(after[clip_id]["conditioning_clip_ids"]) < set(high) for clip_id in high)
    others = after.keys() - set(high)
    assert len({after[clip_id]["speaker_id"] for clip_id in others}) == 2
    speechmill("verify", copy)


def test_speakers_without_the_package_name_the_fix(voices: Path, speechmill, tmp_path: Path) -> None:
    done = speechmill("run", *flags(voices / "in", tmp_path / "out", "speakers.model=nowhere.pt"), code=2)
    assert done.stderr.startswith("speechmill: speakers.model: nowhere.pt: No such file")
    unmeasured = speechmill("run", *flags(voices / "in", tmp_path / "out", f"speakers.model={tmp_path}"), code=2)
    assert "speakers.threshold, speakers.slope: not known" in unmeasured.stderr
    (tmp_path / "weights.pt").write_bytes(b"something else")
    broken = speechmill("run", *flags(voices / "in", tmp_path / "out", f"speakers.model={tmp_path}/weights.pt"), code=2)
    assert broken.stderr.splitlines()[-1].startswith("speechmill: speakers.model: not weights of CAM++")
