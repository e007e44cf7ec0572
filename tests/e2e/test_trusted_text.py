"""Which texts are published: what two recognisers agree on, in a language that they know, of clips that cut no word."""

import json
import shutil
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from speech_defects.packages import ensure_torchaudio
from speechmill.fetch import model_folder

from tests.commandline import flags, summary


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A recogniser under another name."""
    return Path(shutil.copytree(model_folder("tiny.en"), tmp_path / "other"))


def opinions(corpus: Path) -> list[tuple]:
    return duckdb.sql(
        f"select clip_id, text_source, asr_agreement from '{corpus}/data/*.parquet' order by 1"
    ).fetchall()


def test_what_two_recognisers_disagree_on_is_not_published(
    corpus: Path, folder: Path, other: Path, speechmill, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    assert {found[1:] for found in opinions(copy)} == {("asr", None)}
    settings = flags(folder, copy, f"asr.cross_check={other}")
    stages = summary(speechmill("run", *settings, "--json"))["stages"]
    assert stages["cross_check"]["done"] >= 1
    assert "done" not in stages["transcribe"]  # what was heard before is not heard again
    assert {found[1:] for found in opinions(copy)} == {("asr", 1.0)}
    assert "nothing to do" in speechmill("run", *settings).stdout
    speechmill("verify", copy)
    assert "cross-check | `other`, SHA-256" in (copy / "README.md").read_text()

    kept = [clip_id for clip_id, *_ in opinions(copy)]
    for name in (copy / "work" / "cross_check").rglob("*.parquet"):
        table = pq.read_table(name)
        rows = zip(table["clip_id"].to_pylist(), table["text"].to_pylist(), strict=True)
        texts = pa.array(["Something else, as it seems." if clip_id == kept[0] else text for clip_id, text in rows])
        table = table.set_column(table.schema.get_field_index("text"), table.schema.field("text"), texts)
        pq.write_table(table, name)
    shutil.rmtree(copy / "work" / "assess")  # which knows transcripts by their names, and no run writes one anew
    speechmill("run", *settings)
    assert [clip_id for clip_id, *_ in opinions(copy)] == kept[1:]
    pool = f"'{copy}/pool.parquet/*.parquet'"
    found = duckdb.sql(f"select reasons, asr_agreement < 0.5 from {pool} where clip_id = '{kept[0]}'").fetchall()
    assert found == [(["disagreement"], True)]
    speechmill("select", copy, "--set", "thresholds.asr_agreement=0")
    assert [clip_id for clip_id, *_ in opinions(copy)] == kept


def test_a_second_opinion_must_be_another_one(folder: Path, speechmill, tmp_path: Path) -> None:
    same = speechmill("run", *flags(folder, tmp_path / "out", "asr.cross_check=tiny.en"), code=2)
    assert "asr: cross_check is the same as model" in same.stderr
    none = speechmill("run", *flags(folder, tmp_path / "out", "asr.cross_check=base", "asr.model=null"), code=2)
    assert "name a model too" in none.stderr
    missing = speechmill("run", *flags(folder, tmp_path / "out", f"asr.cross_check={tmp_path}"), code=2)
    assert missing.stderr.startswith("speechmill: asr.cross_check: no model.bin")


def test_what_only_the_second_opinion_needs_goes_when_it_is_not_wanted_any_more(
    corpus: Path, folder: Path, other: Path, speechmill, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    speechmill("run", *flags(folder, copy, f"asr.cross_check={other}"))
    speechmill("prune", copy)
    assert list((copy / "work" / "cross_check").rglob("*.parquet"))
    speechmill("run", *flags(folder, copy, "asr.cross_check=null"))
    speechmill("prune", copy)
    assert not list((copy / "work" / "cross_check").rglob("*.parquet"))
    assert {found[1:] for found in opinions(copy)} == {("asr", None)}


def test_what_the_source_declares_as_foreign_is_not_heard_as_english(folder: Path, speechmill, tmp_path: Path) -> None:
    lines = [{"path": str(folder / "river.flac"), "language": "de-AT"}, {"path": str(folder / "wind.mp3")}]
    manifest, output = tmp_path / "books.jsonl", tmp_path / "corpus"
    manifest.write_text("\n".join(map(json.dumps, lines)))
    speechmill("run", *flags(manifest, output))
    told = duckdb.sql(f"""
        select r.language, spoken_language, decision, reasons
        from '{output}/pool.parquet/*.parquet' p join '{output}/recordings.parquet' r using (recording_id) group by all
    """).fetchall()
    assert sorted(told, key=str) == [("de-AT", None, "rejected", ["language"]), (None, "en", "kept", [])]
    speechmill("run", *flags(manifest, output, "asr.language=en"))  # the user knows better
    assert duckdb.sql(f"select distinct decision from '{output}/pool.parquet/*.parquet'").fetchall() == [("kept",)]


def test_a_clip_that_begins_in_a_word_is_not_published(folder: Path, speechmill, tmp_path: Path) -> None:
    wave, rate = soundfile.read(folder / "river.flac")
    spoken = np.convolve(np.square(wave), np.ones(rate // 20), "same")
    middle = int(spoken[: 3 * rate].argmax())
    place, output = tmp_path / "recordings", tmp_path / "corpus"
    place.mkdir()
    soundfile.write(place / "talk.wav", wave[middle:], rate)
    speechmill("run", *flags(place, output, "asr.model=null"))
    pool = duckdb.sql(f"select reasons, edge_ratio from '{output}/pool.parquet/*.parquet' order by start").fetchall()
    assert [reasons for reasons, _ in pool] == [["cut_word"], []]
    assert pool[0][1] > 0.5 > pool[1][1]


def test_a_network_with_a_ctc_head_can_have_the_second_opinion(
    corpus: Path, folder: Path, speechmill, tmp_path: Path
) -> None:
    network = make_network(tmp_path / "network")
    copy = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    stages = summary(speechmill("run", *flags(folder, copy, f"asr.cross_check={network}"), "--json"))["stages"]
    assert stages["cross_check"]["done"] >= 1
    pool = f"'{copy}/pool.parquet/*.parquet'"
    found = duckdb.sql(f"select reasons, asr_agreement from {pool}").fetchall()
    assert found
    assert all(reasons == ["disagreement"] and agreed < 0.3 for reasons, agreed in found)  # it knows nothing yet
    (heard,) = [pq.read_table(path) for path in (copy / "work/cross_check").rglob("*.parquet")][:1]
    assert heard["error"].null_count == heard.num_rows
    assert "nothing to do" in speechmill("run", *flags(folder, copy, f"asr.cross_check={network}")).stdout


def make_network(folder: Path) -> Path:
    """A small wav2vec 2.0 with random weights, as transformers saves one."""
    ensure_torchaudio()  # which transformers imports
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder.mkdir()
    characters = ["<pad>", "<unk>", "|", *"ABCabc.,"]
    (folder / "vocab.json").write_text(json.dumps({c: at for at, c in enumerate(characters)}))
    Wav2Vec2CTCTokenizer(str(folder / "vocab.json"), bos_token=None, eos_token=None).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=False).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=len(characters), conv_dim=(16,) * 7, num_conv_pos_embedding_groups=2, pad_token_id=0, **sizes
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder
