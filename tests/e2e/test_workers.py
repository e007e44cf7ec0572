"""Neither the number of workers nor the runner changes a byte: of matches, duplicates, scores, texts or tokens."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import soundfile

from tests.commandline import RATE, fingerprint, flags
from tests.e2e.test_duplicates import encoded, pool


def fates(corpus: Path) -> dict[str, str]:
    """Status of each recording by its id."""
    rows = pq.read_table(corpus / "recordings.parquet").to_pylist()
    return {row["recording_id"]: row["status"] for row in rows}


def test_more_workers_and_another_runner_give_the_same_bytes(folder: Path, speechmill, tmp_path: Path) -> None:
    """Of a corpus that grows by a folder whose files have the names, the bytes or the sound of earlier ones."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    for path, name in ((one / "a.flac", "river.flac"), (one / "b.flac", "wheel.wav"), (two / "a.flac", "wind.mp3")):
        soundfile.write(path, soundfile.read(folder / name)[0], RATE)
    shutil.copy(one / "a.flac", two / "c.flac")
    samples, rate = soundfile.read(folder / "river.flac")
    (two / "z-again.mp3").write_bytes(encoded(samples[7_001:] / 3, rate, "libmp3lame", "mp3", 48_000))
    corpus, other = tmp_path / "corpus", tmp_path / "other"
    speechmill("run", *flags(one, corpus))
    (one / "a.flac").rename(one / "z.flac")
    (one / "b.flac").rename(one / "a.flac")
    shutil.copytree(corpus, other)

    speechmill("run", "--input", one, *flags(two, corpus))
    options = ("--", "--direct_running_mode=multi_processing", "--direct_num_workers=2")
    speechmill("run", "--input", two, *flags(one, other, "workers=2"), *options)
    assert fingerprint(other) == fingerprint(corpus)
    assert fates(other) == fates(corpus)
    assert sorted(fates(other).values()) == ["duplicate", "ok", "ok", "ok", "ok"]
    assert [row[3] for row in pool(other) if row[0] == "z-again.mp3"] == [["duplicate"]] * 2
    texts = pq.read_table(other / "data", columns=["text", "mel_tokens", "score_noise"]).to_pylist()
    assert len(texts) == 6
    assert all(value is not None for row in texts for value in row.values())
