"""`recover` transcribes speech once, before it cuts: clips are whole sentences, with parts of that text."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hibari import Hibari
from speechmill.fetch import model_folder

from tests.commandline import RATE, Speechmill, fingerprint, flags

SENTENCES = (
    ("The river rises in the hills above the village,", "and turns the wheel of the mill."),
    ("When the summer is dry, the miller waits for rain,", "and mends the sails of the windmill."),
    ("In the autumn the wind comes from the sea.",),
    ("It carries the smell of salt as far as the orchards,", "which lie behind the old church."),
    ("Children run along the dyke with paper kites,", "while their parents watch them from the bench."),
)
IN_SENTENCE_S, BETWEEN_S = 0.7, 0.3  # a reader who rests in mid-sentence, and hurries on to the next
RECOVER = ("segment.profile=recover", "tokenise.checkpoint=null", "thresholds.edge_ratio=null")
UNLICENSED = ("licences.local=unknown",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording whose longest pauses are inside its sentences."""
    place, voice, noise = tmp_path_factory.mktemp("sentences"), Hibari(), np.random.default_rng(0)
    parts = [noise.normal(0, 3e-4, RATE)]
    for sentence in SENTENCES:
        for clause in sentence:
            wave = np.asarray(voice(clause, seed=1), np.float64)
            wave = np.trim_zeros(np.where(np.abs(wave) < 1e-3, 0, wave))
            parts += [wave, noise.normal(0, 3e-4, round(IN_SENTENCE_S * RATE))]
        parts[-1] = parts[-1][: round(BETWEEN_S * RATE)]
    soundfile.write(place / "reading.flac", np.concatenate([*parts, noise.normal(0, 3e-4, RATE)]), RATE)
    return place


@pytest.fixture(scope="module")
def corpus(folder: Path, speechmill: Speechmill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "corpus"
    speechmill("run", *flags(folder, output, *RECOVER))
    return output


def rows_of(output: Path, stage: str) -> list[dict[str, Any]]:
    """Rows of all artifacts of a stage, without sound."""
    files = sorted((output / "work" / stage).rglob("*.parquet"))
    keep = [name for name in pq.read_schema(files[0]).names if name not in ("flac", "levels", "speech")]
    return pa.concat_tables([pq.read_table(file, columns=keep) for file in files]).to_pylist()


def clips(output: Path) -> list[dict[str, Any]]:
    rows = pq.read_table(output / "data", columns=["start", "end", "text", "words", "duration_s"]).to_pylist()
    return sorted(rows, key=lambda row: row["start"])


def test_clips_are_whole_sentences(corpus: Path) -> None:
    texts = [row["text"] for row in clips(corpus)]
    assert len(texts) >= 2
    assert all(text[0].isupper() and text[-1] in ".?!" for text in texts), texts


def test_without_the_words_it_cuts_at_the_longest_pauses(folder: Path, tmp_path: Path, speechmill: Speechmill) -> None:
    """So that the test above cannot pass by chance."""
    speechmill("run", *flags(folder, tmp_path / "corpus", *RECOVER, "segment.sentences=false"))
    texts = [row["text"] for row in clips(tmp_path / "corpus")]
    assert not all(text[-1] in ".?!" and text[0].isupper() for text in texts), texts
    assert not (tmp_path / "corpus/work/passages").exists()


def test_no_word_is_lost_or_said_twice(corpus: Path) -> None:
    passages = sorted((row for row in rows_of(corpus, "passages") if row["clip_id"]), key=lambda row: row["start"])
    texts = {row["clip_id"]: row for row in rows_of(corpus, "passage_texts")}
    words = [word["word"] for passage in passages for word in texts[passage["clip_id"]]["words"]]
    assert [word["word"] for row in clips(corpus) for word in row["words"]] == words
    assert (
        " ".join(row["text"] for row in clips(corpus)).split()
        == " ".join(texts[passage["clip_id"]]["text"] for passage in passages).split()
    )
    for row in clips(corpus):
        assert all(0 <= w["start_s"] <= w["end_s"] <= row["duration_s"] + 0.01 for w in row["words"])
        assert [w["start_s"] for w in row["words"]] == sorted(w["start_s"] for w in row["words"])


def test_the_asr_model_runs_once(corpus: Path) -> None:
    """Passages take its time; the transcripts of clips take none."""
    stages = json.loads((corpus / "run.json").read_text())["stages"]
    assert stages["transcribe"]["wall_ms"] < 0.1 * stages["passage_texts"]["wall_ms"]
    assert len(rows_of(corpus, "transcribe")) == len(clips(corpus))


def test_the_sound_of_a_clip_is_that_of_the_recording(folder: Path, corpus: Path) -> None:
    whole, _ = soundfile.read(folder / "reading.flac", dtype="int16")
    for row in pq.read_table(corpus / "data", columns=["start", "end", "audio"]).to_pylist():
        own = soundfile.read(pa.BufferReader(row["audio"]["bytes"]), dtype="int16")[0]
        assert np.array_equal(own, whole[row["start"] : row["end"]])


def test_it_is_verified_and_a_second_run_has_nothing_to_do(
    corpus: Path, tmp_path: Path, speechmill: Speechmill
) -> None:
    copy = shutil.copytree(corpus, tmp_path / "corpus")
    speechmill("verify", copy)
    assert "nothing to do" in speechmill("run", "--output", copy).stdout + speechmill("status", copy).stdout
    assert fingerprint(copy) == fingerprint(corpus)
    speechmill("prune", copy)
    assert fingerprint(copy) == fingerprint(corpus)


def test_other_limits_are_cut_from_stored_passages(
    folder: Path, corpus: Path, tmp_path: Path, speechmill: Speechmill
) -> None:
    """Nothing is decoded or transcribed again, and the bytes are those of a run from the start."""
    copy = shutil.copytree(corpus, tmp_path / "copy")
    other = ("segment.max_length_s=12",)
    speechmill("run", *flags(folder, copy, *RECOVER, *other))
    stages = json.loads((copy / "run.json").read_text())["stages"]
    assert stages["passages"]["reused"] == stages["passage_texts"]["reused"] == 1
    assert stages["segment"]["done"] == 1
    speechmill("run", *flags(folder, tmp_path / "fresh", *RECOVER, *other))
    assert fingerprint(copy) == fingerprint(tmp_path / "fresh")


def test_a_licence_that_comes_later_gives_the_same_corpus(
    folder: Path, corpus: Path, tmp_path: Path, speechmill: Speechmill
) -> None:
    """Without a licence nothing is transcribed, and the cuts are others: they are made again."""
    speechmill("run", *flags(folder, tmp_path / "corpus", *RECOVER, *UNLICENSED))
    assert rows_of(tmp_path / "corpus", "passages")
    assert not (tmp_path / "corpus/work/passage_texts").exists()
    speechmill("run", *flags(folder, tmp_path / "corpus", *RECOVER))
    assert fingerprint(tmp_path / "corpus") == fingerprint(corpus)


def test_a_recording_that_does_not_decode_has_its_reason(tmp_path: Path, speechmill: Speechmill) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/broken.mp3").write_bytes(b"ID3" + bytes(5_000))
    speechmill("run", *flags(tmp_path / "in", tmp_path / "corpus", *RECOVER), code=3)
    (row,) = pq.read_table(tmp_path / "corpus/recordings.parquet").to_pylist()
    assert (row["status"], row["reason"]) == ("failed", "not_audio")
    speechmill("run", *flags(tmp_path / "in", tmp_path / "corpus", *RECOVER, "segment.max_length_s=12"), code=3)
    assert pq.read_table(tmp_path / "corpus/recordings.parquet").to_pylist()[0]["reason"] == "not_audio"


def test_words_that_the_cross_check_disputes_are_cut_off(
    folder: Path, corpus: Path, tmp_path: Path, speechmill: Speechmill
) -> None:
    """A cross-check that says the same changes no clip; where it disputes the last words, they are a span of their own.

    Switched off again, it leaves the corpus of before, and makes nothing twice.
    """
    other = shutil.copytree(model_folder("tiny.en"), tmp_path / "other")
    copy = shutil.copytree(corpus, tmp_path / "copy")
    checked = flags(folder, copy, *RECOVER, f"asr.cross_check={other}")
    speechmill("run", *checked)
    assert [(row["start"], row["end"], row["text"]) for row in clips(copy)] == [
        (row["start"], row["end"], row["text"]) for row in clips(corpus)
    ]
    stages = json.loads((copy / "run.json").read_text())["stages"]
    assert stages["passage_cross_check"]["done"] >= 1
    assert {word["agreement"] for row in clips(copy) for word in row["words"]} == {1.0}

    dispute_the_last_sentence(copy)
    speechmill("run", *checked)
    assert "from the sea. It carries" in clips(corpus)[-1]["text"]
    assert clips(copy)[-1]["text"].endswith("from the sea.")
    rejected = pq.read_table(copy / "pool.parquet", filters=[("decision", "=", "rejected")]).to_pylist()
    assert [row["reasons"] for row in rejected] == [["disagreement"]]
    speechmill("verify", copy)

    speechmill("run", *flags(folder, copy, *RECOVER, "asr.cross_check=null"))
    assert fingerprint(copy) == fingerprint(corpus)
    assert json.loads((copy / "run.json").read_text())["stages"]["passage_texts"]["reused"] == 1


def dispute_the_last_sentence(output: Path) -> None:
    """Put another word in place of the last sentence that the cross-check wrote, in a file of another name."""
    (name,) = (output / "work" / "passage_cross_check").rglob("*.parquet")
    (row,) = (rows := pq.read_table(name)).to_pylist()
    first = [word["word"] for word in row["words"]].index("children")
    row["words"] = [*row["words"][:first], row["words"][first] | {"word": "Zzz."}]
    row["text"] = " ".join(word["word"] for word in row["words"])
    pq.write_table(pa.Table.from_pylist([row], schema=rows.schema), name.with_stem("0" * 16))
    name.unlink()
