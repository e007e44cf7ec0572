"""Exports: what is written, that it is the same each time, and that nothing is left out silently."""

import csv
import io
import json
import random
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from speechmill.audio import decode_flac, resample
from speechmill.core.config_errors import ConfigError
from speechmill.core.store import Store
from speechmill.export import (
    Clip,
    Exporter,
    Limits,
    Part,
    encoding,
    engine,
    finishing,
    reading,
    registry,
    tars,
    without_pipes,
)
from speechmill.export.base import Audio
from speechmill.export.engine import export
from speechmill.export.options import Options

from tests.exportable import clip, contents, make_corpus, publish_again
from tests.tiny_corpus import RATE

BOTH = ("ljspeech", "webdataset")
SHARDS = {
    "train-00000-00000": [clip(number, 0.5 + number / 10) for number in range(8)],
    "train-00001-00000": [clip(8), clip(9, text=' "One|two",\r\nhe said.'), clip(10, text=None)],
    "validation-00000-00000": [clip(11, speaker_id=None)],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("exportable") / "corpus", SHARDS)


def rows_of(corpus: Path) -> dict[str, dict]:
    return {row["clip_id"]: row for path in sorted(corpus.glob("data/*")) for row in pq.read_table(path).to_pylist()}


def members(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
                found[member.name] = tar.extractfile(member).read()
    return found


def test_both_formats_have_the_clips_and_share_nothing_but_the_reading(corpus: Path, tmp_path: Path) -> None:
    result = export(str(corpus), str(tmp_path / "out"), BOTH)
    out, rows = tmp_path / "out", rows_of(corpus)
    lines = [line.split("|") for line in (out / "metadata.csv").read_text().splitlines()]
    held_out = [line.split("|") for line in (out / "metadata_validation.csv").read_text().splitlines()]
    assert [line[0] for line in lines] == [clip_id for clip_id in rows if clip_id not in (f"{10:032x}", f"{11:032x}")]
    assert held_out == [[f"{11:032x}", "This is clip 11.", "this is clip 11."]]
    assert lines[9] == [f"{9:032x}", "One two, he said.", "one two, he said."]
    for clip_id, *_ in lines + held_out:
        samples, rate = soundfile.read(out / f"wavs/{clip_id}.wav", dtype="float32")
        expected = resample(decode_flac(rows[clip_id]["audio"]["bytes"]), RATE, 22_050)
        assert rate == 22_050
        np.testing.assert_allclose(samples, expected, atol=1 / 32_768)
    assert len(list((out / "wavs").iterdir())) == 11
    tar = members(out)
    assert list(tar) == [f"{clip_id}.{end}" for clip_id in rows for end in ("flac", "json", "txt")]
    for clip_id, row in rows.items():
        assert tar[f"{clip_id}.flac"] == row["audio"]["bytes"]
        assert tar[f"{clip_id}.txt"].decode() == " ".join((row["text"] or "").split())
        facts = json.loads(tar[f"{clip_id}.json"])
        assert (facts["licence"], facts["snr_db"], facts["sampling_rate"]) == ("CC-BY-4.0", row["snr_db"], RATE)
    assert result["clips_of_the_corpus"] == result["clips"] == result["formats"]["webdataset"]["clips"] == 12
    assert result["formats"]["ljspeech"]["left_out"] == {"no_text": 1}
    assert (result["formats"]["ljspeech"]["texts_changed"], result["formats"]["webdataset"]["texts_changed"]) == (1, 1)


def test_every_clip_has_its_licence_and_every_file_its_hash(corpus: Path, tmp_path: Path) -> None:
    export(str(corpus), str(tmp_path / "out"), BOTH)
    out = tmp_path / "out"
    licences = list(csv.DictReader(io.StringIO((out / "LICENCES.csv").read_text())))
    assert [row["clip_id"] for row in licences] == list(rows_of(corpus))
    assert {row["title"] for row in licences} == {"A title, with a comma"}
    assert (out / "LEFT_OUT.csv").read_text() == f"clip_id,format,reason\n{10:032x},ljspeech,no_text\n"
    assert "| `CC-BY-4.0` | 12 |" in (out / "README.md").read_text()
    done = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    listed = [line.partition("  ")[2] for line in (out / "SHA256SUMS").read_text().splitlines()]
    assert sorted([*listed, "SHA256SUMS", "export.json"]) == list(contents(out))


def test_it_is_the_same_each_time_by_any_number_of_processes_and_in_any_order(corpus: Path, tmp_path: Path) -> None:
    export(str(corpus), str(tmp_path / "one"), BOTH, workers=1)
    export(str(corpus), str(tmp_path / "two"), BOTH[::-1], workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*")}
    assert export(str(corpus), str(tmp_path / "one"), BOTH)["state"] == "was there already"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*")} == times


@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.3])
def test_a_kill_changes_no_byte(tmp_path: Path, delay_s: float) -> None:
    shards = {f"train-{number:05}-00000": [clip(10 * number + at) for at in range(5)] for number in range(12)}
    corpus = make_corpus(tmp_path / "corpus", shards)
    export(str(corpus), str(tmp_path / "whole"), BOTH, workers=1)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "speechmill", "export", corpus, "--output", out, "--workers", "2", "--quiet"]
    process = subprocess.Popen([*command, "--to", "ljspeech", "--to", "webdataset"], stdout=subprocess.DEVNULL)
    while process.poll() is None and not list(out.glob(".speechmill/*.json")):
        time.sleep(0.002)
    time.sleep(delay_s * random.random())
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    process.wait()
    psutil.wait_procs(children, timeout=60)  # they may finish what they are at
    kept = {path: path.stat().st_mtime_ns for path in out.glob(".speechmill/*.json")}
    if kept:
        with pytest.raises(ConfigError, match="an unfinished export of other options"):
            export(str(corpus), str(out), BOTH, Options(max_seconds=1), workers=1)
    rewritten = []
    write = engine.write_part
    engine.write_part = lambda job, part, *rest: rewritten.append(part) or write(job, part, *rest)
    try:
        export(str(corpus), str(out), BOTH, workers=1)
    finally:
        engine.write_part = write
    assert len(rewritten) == (12 - len(kept) if kept else 0)
    assert contents(out) == contents(tmp_path / "whole")


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(corpus: Path, tmp_path: Path) -> None:
    export(str(corpus), str(tmp_path / "whole"), BOTH, workers=1)
    command = [sys.executable, "-m", "speechmill", "export", corpus, "--output", tmp_path / "out", "--workers", "1"]
    command += ["--quiet", "--to", "ljspeech", "--to", "webdataset"]
    limited = ["bash", "-c", 'ulimit -f 40; trap "" XFSZ; exec "$@"', "bash", *command]  # no file over 40 KiB
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no space left to write" in done.stderr
    subprocess.run(command, check=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_it_is_written_to_and_read_from_object_stores(corpus: Path, store: Store, tmp_path: Path) -> None:
    source = Store(f"{store.root}-source")
    for name, content in contents(corpus).items():
        with source.create(name) as file:
            file.write(content)
    target = Store(f"{store.root}-export")
    workers = 3 if store.root.startswith("s3") else 1  # a memory is of this process, the pool of three of that server
    export(source.root, target.root, BOTH, workers=workers)
    export(str(corpus), str(tmp_path / "local"), BOTH, workers=1)
    found = {entry.name: target.open(entry.name).read() for entry in target.files()}
    assert found == contents(tmp_path / "local")
    assert export(source.root, target.root, BOTH, workers=workers)["state"] == "was there already"
    export(source.root, target.root, ["ljspeech"], workers=workers)
    assert not [entry.name for entry in target.files() if entry.name.endswith(".tar")]


# --- options ---


def counted(result: dict) -> None:
    """Assert that each clip of the corpus is in each format or has a reason."""
    for counts in result["formats"].values():
        left_out = Counter(counts["left_out"]) + Counter(result["not_selected"])
        assert counts["clips"] + left_out.total() == result["clips_of_the_corpus"]


CASES = {
    "split": (Options(splits=("validation",)), [11]),
    "speaker": (Options(speakers=("s1",)), [1, 3, 5, 7, 9]),
    "min": (Options(min_seconds=1.0), [5, 6, 7, 8, 9, 10, 11]),
    "max": (Options(max_seconds=0.5), [0]),
    "where": (Options(where="snr_db >= 25 and speaker_id = 's0' and len(text) > 3"), [6, 8]),
    "null": (Options(where="text is null"), [10]),
}


@pytest.mark.parametrize("name", CASES)
def test_options_select(corpus: Path, tmp_path: Path, name: str) -> None:
    options, expected = CASES[name]
    planned = export(str(corpus), str(tmp_path / "out"), ["webdataset"], options, dry_run=True)
    assert not (tmp_path / "out").exists()
    result = export(str(corpus), str(tmp_path / "out"), ["webdataset"], options, workers=1)
    assert {**result, "bytes": 0} == {**planned, "bytes": 0}
    assert sorted({name.partition(".")[0] for name in members(tmp_path / "out")}) == [f"{n:032x}" for n in expected]
    counted(result)


def test_fewer_hours_are_among_more(corpus: Path, tmp_path: Path) -> None:
    names: list[set[str]] = []
    for seconds in (2, 5, 8, 1_000):
        out = tmp_path / str(seconds)
        result = export(str(corpus), str(out), ["webdataset"], Options(hours=seconds / 3600), workers=1)
        assert result["hours"] * 3600 <= seconds
        counted(result)
        names.append({name.partition(".")[0] for name in members(out)})
    assert names[0] < names[1] < names[2] < names[3] == set(rows_of(corpus))


def test_audio_and_text_are_as_asked(corpus: Path, tmp_path: Path) -> None:
    for kind, rate in (("wav", 16_000), ("flac", 16_000), ("opus", 24_000), ("opus", 48_000)):
        options = Options(audio=kind, sample_rate=rate, text="text_normalized", splits=("validation",))
        export(str(corpus), str(tmp_path / f"{kind}{rate}"), ["webdataset"], options)
        tar = members(tmp_path / f"{kind}{rate}")
        samples, found = soundfile.read(io.BytesIO(tar[f"{11:032x}.{kind}"]), dtype="float32")
        assert found == rate
        assert abs(len(samples) / rate - 1) < 1e-3
        assert np.corrcoef(samples[:rate], 0.2 * np.sin(2 * np.pi * 310 * np.arange(rate) / rate))[0, 1] > 0.99
        assert tar[f"{11:032x}.txt"] == b"this is clip 11."


def test_opus_is_the_same_each_time() -> None:
    tone = (8_000 * np.sin(np.arange(48_000) / 20)).astype(np.int16)
    assert encoding.opus(tone, 24_000) == encoding.opus(tone, 24_000)
    assert encoding.opus(tone, 24_000) != encoding.opus(tone // 2, 24_000)


def test_narrow_clips_and_dry_runs_are_reported(tmp_path: Path) -> None:
    rows = [clip(1, 2.0, bandwidth_hz=3_500.0), clip(2, 2.0)]
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": rows})
    planned = export(str(corpus), str(tmp_path / "out"), BOTH, dry_run=True)
    assert planned["notes"] == ["1 clips have a measured bandwidth of less than half of what the sample rate carries"]
    assert planned["formats"]["ljspeech"]["audio_bytes"] == 2 * (44 + 2 * 2 * 22_050)
    export(str(corpus), str(tmp_path / "out"), BOTH)
    for kind in ("wavs/*.wav",):
        assert sum(path.stat().st_size for path in (tmp_path / "out").glob(kind)) == 2 * (44 + 2 * 2 * 22_050)
    flac = sum(len(content) for name, content in members(tmp_path / "out").items() if name.endswith(".flac"))
    assert planned["formats"]["webdataset"]["audio_bytes"] == pytest.approx(flac, rel=0.01)


# --- limits of formats ---


class Picky(Exporter):
    """A format with every limit."""

    name = "picky"
    about = "for tests"
    limits: ClassVar[Limits] = Limits(min_seconds=0.6, max_samples=22_050, samples_rate=22_050, max_characters=20)
    columns = ("snr_db",)
    clips_per_file = 2
    shares_audio = False
    sorted_files = (".sorted",)
    clean = staticmethod(without_pipes)

    def reason(self, clip: Clip) -> str | None:
        return "odd" if clip.row["snr_db"] % 2 else None

    def add(self, clip: Clip, part: Part) -> None:
        part.line("list.sorted", f"{clip.seconds:.1f} {clip.id}")
        part.member(f"a-{part.file_number}.tar", f"{clip.id}.wav", part.sound(clip))
        part.member(f"b-{part.file_number}.tar", f"{clip.id}.txt", clip.text.encode())

    def header(self, file: str) -> str | None:
        return "seconds id"

    def finish(self, exported) -> None:
        with exported.create("count.txt") as file:
            file.write(f"{sum(1 for _ in exported.lines('list.sorted')) - 1}\n".encode())

    def read_back(self, exported) -> Iterator[str]:
        yield from (line.split()[1] for line in exported.lines("list.sorted") if not line.startswith("seconds"))


@pytest.fixture
def picky(monkeypatch: pytest.MonkeyPatch) -> Exporter:
    exporter = Picky()
    monkeypatch.setattr(registry, "exporters", lambda: {"picky": exporter, "ljspeech": known["ljspeech"]})
    return exporter


known = registry.exporters()


def test_what_does_not_fit_is_counted_by_reason_and_listed(tmp_path: Path, picky: Exporter) -> None:
    even = [clip(n, 0.9 - n / 100) for n in (0, 2, 4, 6, 8, 10)]
    rows = [*even, clip(1), clip(12, 0.5), clip(14, 1.1), clip(16, text="x" * 21), clip(18, text='"|"')]
    halves = {"train-00000-00000": rows[:7], "train-00001-00000": rows[7:], "validation-00000-00000": [clip(20, 0.7)]}
    corpus = make_corpus(tmp_path / "corpus", halves)
    result = export(str(corpus), str(tmp_path / "out"), ["picky", "ljspeech"], workers=1)
    out = tmp_path / "out"
    assert result["formats"]["picky"]["left_out"] == {
        "no_text": 1, "odd": 1, "text_too_long": 1, "too_long": 1, "too_short": 1,
    }  # fmt: skip
    counted(result)
    assert len((out / "LEFT_OUT.csv").read_text().splitlines()) == 1 + 5 + 1
    lines = (out / "list.sorted").read_text().splitlines()
    assert (lines[0], lines[1:]) == ("seconds id", sorted(lines[1:]))
    assert (out / "count.txt").read_text() == "7\n"
    assert sorted(path.name for path in out.glob("a-*")) == ["a-0.tar", "a-1.tar", "a-2.tar"]


def test_a_merge_of_many_parts_is_sorted(tmp_path: Path, picky: Exporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finishing, "MERGED", 2)
    shards = {f"train-{at:05}-00000": [clip(2 * at, 0.9 - at / 100), clip(2 * at + 40, 0.8)] for at in range(7)}
    corpus = make_corpus(tmp_path / "corpus", shards)
    export(str(corpus), str(tmp_path / "out"), ["picky"], workers=1)
    lines = (tmp_path / "out/list.sorted").read_text().splitlines()[1:]
    assert len(lines) == 14
    assert lines == sorted(lines)


def test_no_folder_of_an_earlier_process_stays(tmp_path: Path, picky: Exporter) -> None:
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": [clip(2, 0.9)]})
    (tmp_path / "out/.speechmill/00000/17").mkdir(parents=True)
    export(str(corpus), str(tmp_path / "out"), ["picky"], workers=1)
    assert not (tmp_path / "out/.speechmill").exists()


def test_an_export_that_a_reader_would_lose_clips_of_fails(
    corpus: Path, tmp_path: Path, picky: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Picky, "read_back", lambda self, exported: iter(["another"]))
    with pytest.raises(finishing.ExportError, match="picky: 1 clips can be read back, "):
        export(str(corpus), str(tmp_path / "out"), ["picky"], workers=1)
    assert not json.loads((tmp_path / "out/export.json").read_text())["finished"]


@given(st.text())
def test_a_sanitised_text_is_one_field_of_one_line_for_every_reader(text: str) -> None:
    line = f"id|{without_pipes(text)}|end"
    assert len(line.split("|")) == 3
    assert line.splitlines() == [line]
    assert next(csv.reader([line], delimiter="|")) == line.split("|")
    assert len(list(csv.reader(io.StringIO(f"{line}\nnext|x|y\n"), delimiter="|"))) == 2


# --- what is refused ---

REFUSED = {
    "format": (["wav"], Options(), r"--to wav: no such format; give one of .*ljspeech"),
    "none": ([], Options(), "--to: no format"),
    "split": (["ljspeech"], Options(splits=("test",)), "--split test: the corpus has train and validation"),
    "column": (["ljspeech"], Options(where="snr > 3"), r'--where snr > 3: .*"snr" not found'),
    "sql": (["ljspeech"], Options(where="1; drop"), r"--where 1; drop: "),
    "files": (["ljspeech"], Options(where="1 in (select 1 from read_text('/etc/passwd'))"), "--where 1 in"),
    "chance": (["ljspeech"], Options(where="random() < 0.5"), "--where selects other clips each time"),
    "nothing": (["ljspeech"], Options(where="false"), "no clip to export: --where 12"),
    "too little": (["ljspeech"], Options(hours=1e-9), "no clip to export: --hours"),
    "kind": (["ljspeech"], Options(audio="flac"), "--audio flac: ljspeech takes wav only"),
    "opus": (["webdataset"], Options(audio="opus", sample_rate=22_050), "--audio opus: has no 22050 Hz"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused_in_one_line(corpus: Path, tmp_path: Path, name: str) -> None:
    formats, options, message = REFUSED[name]
    with pytest.raises(ConfigError, match=message) as error:
        for attempt in range(20):  # chance may be kind
            export(str(corpus), str(tmp_path / f"out{attempt}"), formats, options, workers=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "condition",
    [
        "exists (select * from read_csv('{secret}'))",
        "exists (select * from '{secret}')",
        "(select content from read_text('{secret}')) is not null",
        "exists (select * from glob('{folder}/*'))",
        "exists (select * from sniff_csv('{secret}'))",
        "exists (select * from duckdb_secrets())",
        "true); copy (select 1) to '{folder}/written.csv'; --",
        "true; attach '{folder}/written.db'",
        "true; set enable_external_access = true",
        "getenv('HOME') is not null",
        "exists (select * from numbered)",
        "exists (select * from read_parquet('https://127.0.0.1:9/a'))",
    ],
)
def test_a_condition_reads_and_writes_nothing_but_the_columns(corpus: Path, tmp_path: Path, condition: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    where = condition.format(secret=secret, folder=tmp_path)
    with pytest.raises(ConfigError, match=r"--where .*(Permission|Parser|Catalog) Error") as error:
        export(str(corpus), str(tmp_path / "out"), ["ljspeech"], Options(where=where), dry_run=True, workers=1)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


@pytest.mark.parametrize(
    "values", [{"hours": 0}, {"hours": float("nan")}, {"min_seconds": 3, "max_seconds": 2}, {"sample_rate": 100},
               {"audio": "mp3"}, {"text": "title"}, {"min_seconds": float("nan")}],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(values: dict) -> None:
    with pytest.raises(ConfigError, match="--"):
        Options(**values)


def test_a_folder_of_somebody_else_is_left_alone(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("mine.txt", ".speechmill/mine.json", "export.json"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("{}")
        before = contents(out)
        with pytest.raises(ConfigError, match=r"no export and not empty|not a mark that speechmill made"):
            export(str(corpus), str(out), ["ljspeech"], workers=1)
        assert contents(out) == before
        (out / name).unlink()
    with pytest.raises(ConfigError, match="lies within the corpus"):
        export(str(corpus), str(corpus / "export"), ["ljspeech"])
    (out / ".DS_Store").write_text("")
    export(str(corpus), str(out), ["ljspeech"], workers=1)


def test_an_export_of_ours_is_replaced_unless_something_in_it_is_not(corpus: Path, tmp_path: Path) -> None:
    out, fresh, other = tmp_path / "out", tmp_path / "fresh", Options(where="snr_db > 25")
    export(str(corpus), str(out), BOTH, workers=1)
    (out / "notes.txt").write_text("mine")
    (out / "metadata.csv").write_text("mine")
    before = contents(out)
    with pytest.raises(ConfigError, match=r"not as speechmill wrote it: metadata\.csv, notes\.txt; move it"):
        export(str(corpus), str(out), ["ljspeech"], other, workers=1)
    assert contents(out) == before
    (out / "notes.txt").unlink()
    (out / "metadata.csv").unlink()
    planned = export(str(corpus), str(out), ["ljspeech"], other, dry_run=True, workers=1)
    done = export(str(corpus), str(out), ["ljspeech"], other, workers=1)
    assert planned["state"] == done["state"] == "in place of the export that was there"
    assert "state" not in export(str(corpus), str(fresh), ["ljspeech"], other, workers=1)
    assert contents(out) == contents(fresh)


def test_a_corpus_that_changed_is_exported_again(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": [clip(1)]})
    export(str(corpus), str(tmp_path / "out"), ["ljspeech"], workers=1)
    changed = make_corpus(tmp_path / "changed", {"train-00000-00000": [clip(1), clip(2)]})
    assert export(str(changed), str(tmp_path / "out"), ["ljspeech"], workers=1)["clips"] == 2


def test_decisions_that_were_not_published_are_not_ignored(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", {"train-00000-00000": [clip(1)]})
    (corpus / "decisions.jsonl").write_text(json.dumps({"clip_id": f"{1:032x}", "decision": "drop"}))
    with pytest.raises(ConfigError, match=r"decisions\.jsonl: changed since .*speechmill select"):
        export(str(corpus), str(tmp_path / "out"), ["ljspeech"], dry_run=True)


def test_a_damaged_corpus_is_an_error_in_one_line(tmp_path: Path) -> None:
    for name, row, message in (
        ("flac", clip(1, audio={"bytes": b"fLaC", "path": ""}), "its FLAC cannot be decoded"),
        ("null", clip(1, audio=None), "its FLAC cannot be decoded"),
        ("id", clip(1, clip_id="../../x"), "clip_id '../../x': cannot be the name of a file"),
    ):
        corpus = make_corpus(tmp_path / name, {"train-00000-00000": [row]})
        with pytest.raises(ConfigError, match=message) as error:
            export(str(corpus), str(tmp_path / f"{name}-out"), ["ljspeech"], workers=1)
        assert "\n" not in str(error.value)
    shard = corpus / "data/train-00000-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    publish_again(corpus)
    with pytest.raises(ConfigError, match="see `speechmill verify`"):
        export(str(corpus), str(tmp_path / "out"), ["ljspeech"], workers=1)
    with pytest.raises(ConfigError, match="no corpus here"):
        export(str(tmp_path / "nothing"), str(tmp_path / "out"), ["ljspeech"])


@pytest.mark.parametrize("name", ["a.txt", "x" * 100, "x" * 101, "b/" * 49 + "cd", "é.flac", "a\u0301" * 60])
@pytest.mark.parametrize("size", [0, 5, 8**11 - 1, 8**11])
def test_headers_of_members_are_those_of_tarfile(name: str, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    assert tars.header(name, size) == member.tobuf(tarfile.GNU_FORMAT)


def test_a_copy_of_flac_is_not_decoded() -> None:
    assert encoding.Sound(b"not decoded", RATE).encoded(Audio("flac", RATE, is_copy=True)) == b"not decoded"


def test_the_command_line(corpus: Path, tmp_path: Path, speechmill) -> None:
    done = speechmill(
        "export", corpus, "--to", "ljspeech", "--output", tmp_path / "out", "--json", "--quiet", "--workers", 1
    )
    assert json.loads(done.stdout)["formats"]["ljspeech"]["clips"] == 11
    assert "ljspeech" in speechmill("export", "--list").stdout
    done = speechmill("export", corpus, "--to", "ljspech", "--output", tmp_path / "new", code=2)
    assert done.stderr.startswith("speechmill: --to ljspech: no such format")
    speechmill("export", corpus, "--output", tmp_path / "new", code=2)


def test_columns_that_no_format_reads_are_not_read(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()

    def read_group(file: pq.ParquetFile, number: int, columns: list[str]) -> pa.Table:
        seen.update(columns)
        return file.read_row_group(number, columns)

    monkeypatch.setattr(reading, "read_group", read_group)
    export(str(corpus), str(tmp_path / "tars"), ["webdataset"], workers=1)
    assert "snr_db" in seen
    assert not seen & {"words", "mel_tokens", "text_tokens"}
    export(str(corpus), str(tmp_path / "both"), ["webdataset", "lhotse-shar"], workers=1)
    assert "words" in seen
    assert "mel_tokens" not in seen
