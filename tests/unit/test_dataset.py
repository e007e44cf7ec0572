"""The torch dataset of a corpus: every clip once, in any number of shares, resumable, and a GPT learns from it."""

from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from speechmill.audio import encode_flac
from speechmill.corpus import dataset
from speechmill.corpus.dataset import Clips, clvp_batch, gpt_batch
from speechmill.tokens import Silence, mel
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

ROWS, GROUP, RECORDINGS = 60, 7, 6
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores, on purpose


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A corpus of sixty short clips of six recordings in row groups of seven; two that TorToiSe cannot take."""
    folder = tmp_path_factory.mktemp("many")
    rng, rows = np.random.default_rng(1), []
    for at in range(ROWS):
        tone = (8_000 * np.sin(np.arange(14_000 + 500 * at) * (0.01 + at / 500))).astype(np.int16)
        tokens = len(tone) * 22_050 // 24_000 // 1_024 + 1
        rows.append(
            {
                "clip_id": f"clip{at:02}",
                "recording_id": f"recording{at * RECORDINGS // ROWS}",
                "start": 5,
                "end": 5 + len(tone),
                "audio": {"bytes": encode_flac(tone, 24_000), "path": ""},
                "sampling_rate": 24_000,
                "mel_profile": "abc",
                "text_tokens": rng.integers(3, 255, 4 + at % 9).tolist(),
                "mel_tokens": rng.integers(0, 8_192, tokens).tolist(),
                "tortoise_ok": at not in (10, 44),
            }
        )
    (folder / "data").mkdir()
    for number, part in enumerate((rows[:35], rows[35:])):
        path = folder / "data" / f"train-{number:05}-of-00002.parquet"
        pq.write_table(pa.Table.from_pylist(part), path, row_group_size=GROUP)
    return folder


def ids(samples) -> list[str]:
    return [sample["clip_id"] for sample in samples]


def loaded(clips: Clips, workers: int, size: int = 4) -> list[dict]:
    loader = DataLoader(clips, batch_size=size, num_workers=workers, collate_fn=gpt_batch)
    return list(loader)


def test_every_clip_comes_once_an_epoch_in_another_order(many):
    clips = Clips(many)
    first = ids(clips)
    clips.begin(1)
    second = ids(clips)
    expected = {f"clip{at:02}" for at in range(ROWS) if at not in (10, 44)}
    assert set(first) == set(second) == expected
    assert len(first) == len(clips) == len(expected)
    assert first != second != sorted(second)
    assert first == ids(Clips(many)) != ids(Clips(many, seed=2))
    assert len(ids(Clips(many, only_tortoise=False))) == ROWS


@pytest.mark.parametrize(("ranks", "workers"), [(1, 3), (2, 0), (3, 2)])
def test_shares_are_equal_and_have_nothing_in_common(many, ranks, workers):
    shares = [
        [name for batch in loaded(Clips(many, rank=rank, ranks=ranks), workers) for name in batch["clip_ids"]]
        for rank in range(ranks)
    ]
    told = [name for share in shares for name in share]
    assert len(told) == len(set(told)) > ROWS - 2 - ranks * max(workers, 1)
    assert len({len(share) for share in shares}) == 1


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("after", [1, 5])
def test_a_training_that_stopped_goes_on_where_it_was(many, monkeypatch, workers, after):
    monkeypatch.setattr(dataset, "BUFFER_ROWS", 10)  # so that some of what was seen need not be read
    clips = Clips(many)
    clips.begin(3)
    whole = loaded(clips, workers)
    clips.begin(3, after=after, batch_size=4)
    rest = loaded(clips, workers)
    assert [batch["clip_ids"] for batch in rest] == [batch["clip_ids"] for batch in whole[after:]]
    for ours, theirs in zip(rest, whole[after:], strict=True):
        torch.testing.assert_close(ours["conditioning"], theirs["conditioning"], rtol=0, atol=0)


def test_conditioning_is_of_other_clips_of_the_voice(many, monkeypatch):
    heard: list[tuple[str, str]] = []
    plain = Clips._conditioning_mel

    def noted(self, row, rng):
        heard.append((row["clip_id"], row["recording_id"]))
        return plain(self, row, rng)

    monkeypatch.setattr(Clips, "_conditioning_mel", noted)
    for sample in Clips(many, conditioning=3):
        chosen, heard[:] = list(heard), []
        assert not sample["conditioning_is_self"]
        assert sample["conditioning"].shape == (3, 80, 172)
        assert len(chosen) == 3
        assert sample["clip_id"] not in {clip_id for clip_id, _ in chosen}
        own = int(sample["clip_id"][4:]) * RECORDINGS // ROWS
        assert {recording for _, recording in chosen} == {f"recording{own}"}


def test_a_voice_with_one_clip_is_conditioned_on_itself_and_says_so(many, tmp_path):
    (tmp_path / "data").mkdir()
    table = pq.read_table(many / "data").slice(0, 2)
    alone = table.set_column(table.column_names.index("recording_id"), "recording_id", pa.array(["a", "b"]))
    pq.write_table(alone, tmp_path / "data" / "train-00000-00000.parquet")
    assert all(sample["conditioning_is_self"] for sample in Clips(tmp_path))


def test_speakers_tell_voices_apart_where_they_are_known(many, tmp_path):
    (tmp_path / "data").mkdir()
    table = pq.read_table(many / "data").slice(0, 4)
    known = table.append_column("speaker_id", pa.array(["x", "y", "x", "z"]))
    pq.write_table(known, tmp_path / "data" / "train-00000-00000.parquet")
    alone = {sample["clip_id"]: sample["conditioning_is_self"] for sample in Clips(tmp_path)}
    assert alone == {"clip00": False, "clip01": True, "clip02": False, "clip03": True}


def test_a_batch_for_the_gpt(many):
    samples = list(islice(Clips(many), 5))
    batch = gpt_batch(samples)
    longest = max(len(sample["codes"]) for sample in samples)
    assert batch["mel"].shape == (5, longest + 2)
    for row, sample in enumerate(samples):
        size = len(sample["codes"])
        assert sample["samples"] // 1_024 + 1 == size
        assert batch["mel"][row, 0] == 8_192
        assert batch["mel"][row, 1 : size + 1].tolist() == sample["codes"].tolist()
        assert set(batch["mel"][row, size + 1 :].tolist()) == {8_193}
        assert batch["mel_lengths"][row] == size + 2
        assert batch["wav_lengths"][row] == sample["samples"]
        text = len(sample["text"])
        assert batch["text_lengths"][row] == text
        assert batch["text"][row, :text].tolist() == sample["text"].tolist()
        assert not batch["text"][row, text:].any()
    assert batch["mel"].dtype == batch["text"].dtype == torch.int64
    assert batch["conditioning"].shape == (5, 2, 80, 172)


def test_a_batch_for_clvp_goes_on_as_silence(many):
    samples = list(islice(Clips(many), 6))
    speech = clvp_batch(samples, Silence(83, (45, 45, 248)))["speech"]
    assert speech.max() < 8_192
    for row, sample in zip(speech.tolist(), samples, strict=True):
        size, free = len(sample["codes"]), len(row) - len(sample["codes"])
        assert row[:size] == sample["codes"].tolist()
        if free >= 3:
            assert row[-3:] == [45, 45, 248]
            assert set(row[size:-3]) <= {83}


def test_conditioning_is_the_spectrogram_of_the_stored_sound(many):
    sample = next(iter(Clips(many)))
    logs = sample["conditioning"][0] * torch.tensor(mel.NORMS)[:, None]
    assert logs.max() > 0  # a tone at a quarter of full scale
    assert logs.min() == pytest.approx(np.log(1e-5), abs=1e-4)


def test_what_cannot_be_read_is_told(many, tmp_path):
    with pytest.raises(ValueError, match="a split that it has"):
        Clips(many, split="test")
    (tmp_path / "data").mkdir()
    table = pq.read_table(many / "data").drop_columns(["text_tokens", "tortoise_ok"])
    pq.write_table(table, tmp_path / "data" / "train-00000-00000.parquet")
    with pytest.raises(ValueError, match="no text_tokens, tortoise_ok: make the corpus with"):
        Clips(tmp_path)


def test_tokens_of_two_dvaes_do_not_go_together(many, tmp_path):
    (tmp_path / "data").mkdir()
    table = pq.read_table(many / "data").slice(0, 2)
    mixed = table.set_column(table.column_names.index("mel_profile"), "mel_profile", pa.array(["a", "b"]))
    pq.write_table(mixed, tmp_path / "data" / "train-00000-00000.parquet")
    with pytest.raises(ValueError, match="2 profiles"):
        Clips(tmp_path)


# --- an example: a tiny GPT of TorToiSe's kind ---


class TinyGpt(nn.Module):
    """Conditioning, text and mel tokens in one sequence; predicts the next mel token."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.text, self.mel = nn.Embedding(256, width), nn.Embedding(8_194, width)
        self.voice, self.place = nn.Linear(80, width), nn.Embedding(2_048, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, batch: dict) -> torch.Tensor:
        """Mean cross-entropy of the mel tokens, those that fill up left out."""
        voice = self.voice(batch["conditioning"].mean((1, 3)))[:, None]
        x = torch.cat([voice, self.text(batch["text"]), self.mel(batch["mel"][:, :-1])], 1)
        x = x + self.place.weight[: x.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        made = self.layers(x, mask=mask, is_causal=True)[:, -batch["mel"].shape[1] + 1 :] @ self.mel.weight.T
        due = batch["mel"][:, 1:].clone()
        due[torch.arange(due.shape[1])[None] >= batch["mel_lengths"][:, None] - 1] = -1
        return functional.cross_entropy(made.flatten(0, 1) / 96**0.5, due.flatten(), ignore_index=-1)


def test_a_tiny_gpt_learns_from_a_real_corpus(finished_corpus):
    torch.manual_seed(1)
    clips, gpt, losses = Clips(finished_corpus), TinyGpt(), []
    optimizer = torch.optim.AdamW(gpt.parameters(), 3e-3)
    for epoch in range(12):
        clips.begin(epoch)
        for batch in DataLoader(clips, batch_size=4, collate_fn=gpt_batch):
            loss = gpt(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert np.log(8_194) * 0.8 < losses[0] < np.log(8_194) * 1.5  # as one who knows nothing
    assert np.mean(losses[-3:]) < 0.7 * losses[0]
