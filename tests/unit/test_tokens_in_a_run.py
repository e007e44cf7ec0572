"""Mel tokens in a run: every kept clip has them, from its stored samples alone, with whatever dVAE the config names."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from speechmill import tokens
from speechmill.audio import decode_flac, resample
from speechmill.core import config_file, state
from speechmill.core.config_errors import ConfigError
from speechmill.corpus import status
from speechmill.runner.run import run
from speechmill.text.normal_form import normalise
from speechmill.tokens import MEL_TOKENS, TEXT_TOKENS, mel
from speechmill.tokens.dvae import DVAE, Sizes, save
from speechmill.tokens.text import load as load_text

from tests.unit.test_verify import edit, failing, shard

POOL = "pool.parquet/part-00000.parquet"


def again(corpus: Path, *settings: str, only_publish: bool = False):
    stored = state.stored_config(str(corpus), required=True)
    return run(config_file.load(None, settings, stored, output=str(corpus)), only_publish=only_publish, quiet=True)


def rows_of(corpus: Path) -> list[dict]:
    return [row for path in sorted((corpus / "data").iterdir()) for row in pq.read_table(path).to_pylist()]


def rejected(corpus: Path) -> dict[str, int]:
    reasons = [reason for row in pq.read_table(corpus / POOL).to_pylist() for reason in row["reasons"]]
    return {reason: reasons.count(reason) for reason in set(reasons)}


def tokens_made(corpus: Path) -> dict[str, str]:
    files = (corpus / "work" / "tokenise").rglob("*.parquet")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_tokens_of_a_clip_are_those_of_its_stored_samples_alone(corpus: Path) -> None:
    tokenizer = tokens.load(MEL_TOKENS, None, "cpu")
    rows = rows_of(corpus)
    assert rows
    for row in rows:
        wave = resample(decode_flac(row["audio"]["bytes"]), 24_000, mel.RATE)
        assert len(row["mel_tokens"]) == len(wave) // 1_024 + 1
        assert row["mel_tokens"] == tokenizer.encode([wave])[0].tolist()
        assert row["mel_profile"] == tokenizer.profile
        assert row["fits_11s6"] == (len(wave) <= 255_995)


def test_text_is_there_as_its_normal_form_and_as_tokens(corpus: Path) -> None:
    for row in rows_of(corpus):
        assert row["text_normalized"] == normalise(row["text"], row["language"])
        assert row["text_tokens"] == load_text(TEXT_TOKENS).encode(row["text_normalized"])
        assert row["tortoise_ok"]


def test_counts_are_told_and_the_pool_is_without_tokens(corpus: Path) -> None:
    codes = np.concatenate([row["mel_tokens"] for row in rows_of(corpus)])
    told = json.loads((corpus / "stats.json").read_text())["mel_tokens"]
    assert told["tokens"] == len(codes) == sum(told["histogram"])
    assert told["codes_used"] == len(np.unique(codes))
    assert told["histogram"][codes[0]] == int((codes == codes[0]).sum())
    assert 0.3 < told["error_nats"] < 1.5
    assert not {"mel_tokens", "text_tokens", "text_normalized", "mel_profile"} & set(
        pq.read_schema(corpus / POOL).names
    )
    page = (corpus / "report.html").read_text()
    assert f"<b>{len(codes):,}</b><span>tokens</span>" in page


def test_a_looser_threshold_makes_only_the_missing_tokens(corpus: Path) -> None:
    before = tokens_made(corpus)
    again(corpus, "thresholds.snr_db=null", "thresholds.noise=null", "thresholds.music=null", only_publish=True)
    assert rejected(corpus)["not_transcribed"] > 0
    again(corpus)
    after = tokens_made(corpus)
    assert before.items() < after.items()
    assert "not_tokenised" not in rejected(corpus)
    assert failing(corpus, rows=3) == {}


def test_without_transcripts_clips_that_lack_tokens_say_so(corpus: Path) -> None:
    again(corpus, "asr.model=null")
    assert "text_tokens" not in pq.read_schema(shard(corpus)).names
    again(corpus, "thresholds.snr_db=null", "thresholds.noise=null", "thresholds.music=null", only_publish=True)
    assert rejected(corpus)["not_tokenised"] > 0
    again(corpus)
    assert "not_tokenised" not in rejected(corpus)


def test_no_checkpoint_leaves_the_columns_out(corpus: Path) -> None:
    again(corpus, "tokenise.checkpoint=null")
    names = pq.read_schema(shard(corpus)).names
    assert not {"mel_tokens", "mel_profile", "fits_11s6", "tortoise_ok"} & set(names)
    assert "text_tokens" in names
    assert json.loads((corpus / "stats.json").read_text())["mel_tokens"] is None
    assert failing(corpus, rows=1) == {}


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A user's dVAE: another size, random weights."""
    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("own") / "dvae.pth"
    save(DVAE(Sizes(codes=300, code_dim=20, hidden=16, blocks=3)), path)
    torch.save(torch.linspace(-9, -2, 80), path.with_name("norms.pth"))
    return path


def test_a_users_dvae_takes_the_place_of_the_shipped_one(corpus: Path, own: Path) -> None:
    profile = rows_of(corpus)[0]["mel_profile"]
    told = again(corpus, f"tokenise.checkpoint={own}")
    rows = rows_of(corpus)
    assert {row["mel_profile"] for row in rows} == {tokens.load(own, None, "cpu").profile} != {profile}
    assert max(max(row["mel_tokens"]) for row in rows) < 300
    assert "not TorToiSe's dVAE by its SHA-256; 300 codes" in told.notes[-1]
    assert failing(corpus, rows=3) == {}


def test_norms_of_its_own_go_with_it(corpus: Path, own: Path) -> None:
    again(corpus, f"tokenise.checkpoint={own}", f"tokenise.norms={own.with_name('norms.pth')}")
    expected = tokens.load(own, own.with_name("norms.pth"), "cpu").profile
    assert {row["mel_profile"] for row in rows_of(corpus)} == {expected} != {tokens.load(own, None, "cpu").profile}


def test_a_corpus_whose_dvae_is_gone_can_be_looked_at_and_decided_again(
    corpus: Path, own: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.pth"
    mine.write_bytes(own.read_bytes())
    again(corpus, f"tokenise.checkpoint={mine}")
    mine.unlink()
    assert status.status(str(corpus))["contents"]["tokenise"] == 2
    assert failing(corpus, rows=1) == {}
    assert again(corpus, "thresholds.snr_db=16", only_publish=True).exit_code == 0
    with pytest.raises(ConfigError, match=r"tokenise\.checkpoint: .*No such file"):
        again(corpus)


@pytest.mark.parametrize(
    ("content", "key"),
    [(None, "checkpoint"), (b"no weights", "checkpoint"), (b"", "checkpoint"), (None, "norms"), (b"none", "norms"),
     (None, "text_tokenizer"), (b"{}", "text_tokenizer")],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_told_before_anything_is_fetched(podcast, tmp_path, content, key) -> None:
    path = tmp_path / "given.pth"
    if content is not None:
        path.write_bytes(content)
    settings = (f"tokenise.{key}={path}", "asr.model=tiny.en")
    inputs = (str(podcast / "episode-1.mp3"),)
    with pytest.raises(ConfigError, match="tokenise"):
        run(config_file.load(None, settings, inputs=inputs, output=str(tmp_path / "new")), quiet=True)
    assert not (tmp_path / "new" / "work" / "fetch").exists()


def test_norms_must_be_eighty_numbers_to_divide_by(tmp_path: Path) -> None:
    for at, norms in enumerate([torch.zeros(80), torch.ones(79), torch.full((80,), float("nan")), {"a": 1}]):
        torch.save(norms, tmp_path / f"{at}.pth")
        with pytest.raises(ConfigError, match="80 numbers"):
            tokens.load(MEL_TOKENS, tmp_path / f"{at}.pth", "cpu")


# --- verify ---


def test_one_code_that_the_audio_does_not_give(corpus: Path) -> None:
    edit(shard(corpus), lambda row: row["mel_tokens"].__setitem__(5, (row["mel_tokens"][5] + 1) % 8_192))
    problems = failing(corpus, rows=1)
    assert problems.keys() == {"files", "mel_tokens"}
    assert "mel_tokens differ" in problems["mel_tokens"][0]


def test_a_code_too_few(corpus: Path) -> None:
    edit(shard(corpus), lambda row: row["mel_tokens"].pop())
    assert failing(corpus, rows=1).keys() == {"files", "mel_tokens"}


def test_text_tokens_and_limits_that_do_not_follow(corpus: Path) -> None:
    edit(shard(corpus), lambda row: row.update(text_tokens=[1, 2], fits_11s6=not row["fits_11s6"]))
    assert "fits_11s6" in failing(corpus, rows=1)["mel_tokens"][0]
    assert "text_tokens" in failing(corpus, rows=1)["mel_tokens"][0]


def test_a_profile_that_is_not_that_of_the_dvae(corpus: Path) -> None:
    edit(shard(corpus), lambda row: row.update(mel_profile="0" * 16))
    assert "mel_profile is 0000" in failing(corpus, rows=1)["mel_tokens"][0]


# --- what a dVAE is ---


def test_tortoises_own_is_known_by_its_hash_and_must_give_83(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TorToiSe's file is not ours to have: a stand-in takes its hash."""
    monkeypatch.setattr(tokens, "TORTOISE_SHA256", hashlib.sha256(own.read_bytes()).hexdigest())
    with pytest.raises(ConfigError, match="for silence, not 83"):
        tokens.describe(own, None)
    found = tokens.load(own, None, "cpu").silence()
    monkeypatch.setattr(tokens, "TORTOISE_SILENCE", found)
    assert tokens.describe(own, None).startswith("TorToiSe's dVAE by its SHA-256; 300 codes")
