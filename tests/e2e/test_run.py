"""The main job as a user does it: inputs of every kind, settings, second runs, and what they cost."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from tests.commandline import TEXTS, fingerprint, flags, start, summary
from tests.forked import Forked
from tests.server import ScriptedServer, ok


def counts(done) -> dict[str, dict[str, int]]:
    return summary(done)["stages"]


def test_a_folder_becomes_a_corpus(corpus: Path) -> None:
    rows = duckdb.sql(f"select text, duration_s, licence, language from '{corpus}/data/*.parquet'").fetchall()
    said = {sentence for texts in TEXTS.values() for sentence in texts if len(sentence) > 20}
    assert len(rows) == len(said)
    heard = " ".join(text for text, *_ in rows).lower()
    for word in ("village", "windmill", "barley", "stones", "orchards", "grandparents"):
        assert word in heard
    assert all(5 <= duration <= 20 for _, duration, *_ in rows)
    assert {licence for *_, licence, _ in rows} == {"LicenseRef-local"}
    assert {language for *_, language in rows} == {"en"}
    kinds = duckdb.sql(f"select kind, count(*) from '{corpus}/ledger.parquet' group by kind").fetchall()
    assert dict(kinds)["too_short"] == 1  # "Yes."
    assert json.loads((corpus / "run.json").read_text())["config"]["asr"]["model"] == "tiny.en"
    for name in ("README.md", "report.html", "stats.json", "croissant.json"):
        assert (corpus / name).stat().st_size


def test_the_ledger_balances_to_the_sample(corpus: Path) -> None:
    lengths = duckdb.sql(f"""
        select r.decoded_samples, sum(l."end" - l.start), min(l.start), max(l."end")
        from '{corpus}/ledger.parquet' l join '{corpus}/recordings.parquet' r using (recording_id) group by all
    """).fetchall()
    assert len(lengths) == 3
    for decoded, covered, first, last in lengths:
        assert (decoded, 0) == (covered, first)
        assert decoded == last


def test_a_second_run_does_nothing_and_says_so(corpus: Path, folder: Path, speechmill, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    before = (copy / "run.json").read_bytes()
    done = speechmill("run", *flags(folder, copy))
    assert "nothing to do" in done.stdout
    assert (copy / "run.json").read_bytes() == before
    assert fingerprint(copy) == fingerprint(corpus)
    stages = counts(speechmill("run", "--output", copy, "--json"))  # goes on with the stored config
    assert {stage for stage, found in stages.items() if found} == {"fetch"}, "a stage was asked for what is complete"
    assert "done" not in stages["fetch"]


@pytest.mark.parametrize("stage", ["segment", "score", "dedup", "transcribe", "assess"])
def test_what_is_missing_in_a_finished_corpus_is_made_again(
    corpus: Path, folder: Path, speechmill, tmp_path: Path, stage: str
) -> None:
    copy = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    missing = sorted((copy / "work" / stage).rglob("*.parquet"))[0]
    missing.unlink()
    speechmill("run", *flags(folder, copy))
    assert missing.exists()
    assert fingerprint(copy) == fingerprint(corpus)


def test_a_threshold_runs_no_model(corpus: Path, folder: Path, speechmill, tmp_path: Path) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    snr = duckdb.sql(f"select snr_db from '{corpus}/data/*.parquet' order by 1").fetchall()
    limit = (snr[0][0] + snr[-1][0]) / 2

    strict = speechmill("run", *flags(folder, copy, f"thresholds.snr_db={limit}"), "--json")
    for stage in ("fetch", "segment", "score", "transcribe"):
        assert "done" not in counts(strict)[stage], "a stage worked although only a threshold changed"
    kept = summary(strict)["stats"]["clips"]
    assert 0 < kept["kept"] < len(snr)
    assert "low_snr" in summary(strict)["stats"]["rejected_by_reason"]

    loose = speechmill("select", copy, "--set", "thresholds.snr_db=15", "--json")
    assert all(not counts(loose)[stage] for stage in ("fetch", "segment", "score", "transcribe"))
    assert fingerprint(copy) == fingerprint(corpus)


def test_what_people_decide_wins_over_thresholds_and_verifies(
    corpus: Path, folder: Path, speechmill, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    clips = duckdb.sql(f"select clip_id, snr_db from '{corpus}/data/*.parquet' order by 2").fetchall()
    (quiet, low), (clear, _) = clips[0], clips[-1]
    lines = (
        {"clip_id": quiet, "decision": "keep", "who": "ann"},
        {"clip_id": clear, "decision": "text", "text": "It is half past ten."},
        {"clip_id": "0" * 32, "decision": "drop"},
    )
    (copy / "decisions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    said = speechmill("select", copy, "--set", f"thresholds.snr_db={low + 0.01}").stdout
    assert "1 clips that decisions.jsonl decides about are not in this corpus" in said
    rows = duckdb.sql(f"select clip_id, text, text_normalized, text_source from '{copy}/data/*.parquet'").fetchall()
    assert (clear, "It is half past ten.", "it is half past ten.", "manual") in rows
    assert quiet in [clip_id for clip_id, *_ in rows]
    found = duckdb.sql(f"select decision, reasons from '{copy}/ledger.parquet' where clip_id = '{quiet}'").fetchall()
    assert found == [("kept", ["manual"])]
    speechmill("verify", copy)
    speechmill("run", *flags(folder, copy, f"thresholds.snr_db={low + 0.01}"))
    assert quiet in [row[0] for row in duckdb.sql(f"select clip_id from '{copy}/data/*.parquet'").fetchall()]


def test_a_looser_threshold_transcribes_only_what_is_new(
    corpus: Path, folder: Path, speechmill, tmp_path: Path
) -> None:
    output = tmp_path / "corpus"
    snr = duckdb.sql(f"select snr_db from '{corpus}/data/*.parquet' order by 1").fetchall()
    limit = f"thresholds.snr_db={(snr[0][0] + snr[-1][0]) / 2}"
    speechmill("run", *flags(folder, output, limit))
    few = summary(speechmill("select", output, "--set", "thresholds.snr_db=15", "--json"))["stats"]
    assert few["rejected_by_reason"]["not_transcribed"]["clips"]

    done = counts(speechmill("run", *flags(folder, output), "--json"))
    assert "done" not in done["segment"] | done["score"]
    assert done["transcribe"]["done"] >= 1
    assert fingerprint(output) == fingerprint(corpus)


def test_files_manifest_feed_and_config_give_the_same_clips(
    corpus: Path, folder: Path, speechmill, tmp_path: Path
) -> None:
    def clips(output: Path) -> list[tuple]:
        query = f"select clip_id, audio.bytes from '{output}/data/*.parquet' order by 1"
        return duckdb.sql(query).fetchall()

    files = [part for name in TEXTS for part in ("--input", str(folder / name))]
    speechmill("run", *files, *flags(folder, tmp_path / "files")[2:])
    assert fingerprint(tmp_path / "files") == fingerprint(corpus)

    manifest = tmp_path / "list.jsonl"
    lines = [{"path": str(folder / name), "title": f"Of {name}", "licence": "CC-BY-4.0"} for name in TEXTS]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = tmp_path / "corpus.yaml"
    config.write_text(
        f"inputs: [{manifest}]\noutput: {tmp_path}/manifest\nasr: {{model: null}}\nworkers: 1\n"
        "turns: {model: null}\nspeakers: {model: null}\n"
    )
    speechmill("run", config)
    assert clips(tmp_path / "manifest") == clips(corpus)
    licences = duckdb.sql(f"select distinct licence, title from '{tmp_path}/manifest/data/*.parquet' order by 2")
    assert licences.fetchall() == [("CC-BY-4.0", f"Of {name}") for name in sorted(TEXTS)]

    with ScriptedServer() as server:
        items = ""
        for name in TEXTS:
            url = server.script(f"/{name}", ok((folder / name).read_bytes()))
            items += f'<item><guid>{name}</guid><title>{name}</title><enclosure url="{url}" type="audio/x"/></item>'
        licence = '<podcast:license url="https://creativecommons.org/licenses/by/4.0/">cc-by-4.0</podcast:license>'
        feed = f'<rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0"><channel><title>t</title>{licence}{items}</channel></rss>'
        url = server.script("/feed.xml", ok(feed.encode()))
        speechmill("run", *flags(url, tmp_path / "feed", "fetch.allow_hosts=[127.0.0.1]", "asr.model=null"))
        assert clips(tmp_path / "feed") == clips(corpus)
        before = len(server.requests)
        speechmill("run", *flags(url, tmp_path / "feed", "fetch.allow_hosts=[127.0.0.1]", "asr.model=null"))
        assert [r.path for r in server.requests[before:]] == ["/feed.xml"], "media were fetched twice"


def test_same_bytes_under_two_names_are_one_recording(folder: Path, speechmill, tmp_path: Path) -> None:
    twice = tmp_path / "twice"
    twice.mkdir()
    shutil.copy(folder / "river.flac", twice / "a.flac")
    shutil.copy(folder / "river.flac", twice / "b.flac")
    speechmill("run", *flags(twice, tmp_path / "corpus", "asr.model=null"))
    rows = pq.read_table(tmp_path / "corpus/recordings.parquet").to_pylist()
    assert sorted((row["media_url"], row["status"]) for row in rows) == [("a.flac", "ok"), ("b.flac", "duplicate")]
    clips = duckdb.sql(f"select count(*), count(distinct clip_id) from '{tmp_path}/corpus/data/*.parquet'").fetchall()
    assert clips == [(2, 2)]


def test_files_of_one_name_in_two_folders_are_two_recordings(folder: Path, speechmill, tmp_path: Path) -> None:
    for place, name in (("one", "river.flac"), ("two", "wheel.wav")):
        (tmp_path / place).mkdir()
        shutil.copy(folder / name, tmp_path / place / "chapter.wav")
    arguments = [
        "--input",
        str(tmp_path / "one"),
        *flags(tmp_path / "two", tmp_path / "corpus", "asr.model=null"),
    ]
    speechmill("run", *arguments)
    rows = pq.read_table(tmp_path / "corpus/recordings.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["ok", "ok"]


def test_unlicensed_recordings_are_scored_but_not_published(folder: Path, speechmill, tmp_path: Path) -> None:
    speechmill("run", *flags(folder, tmp_path / "corpus", "licences.local=unknown"))
    pool = pq.read_table(tmp_path / "corpus/pool.parquet").to_pylist()
    assert pool
    assert all(row["reasons"] == ["licence"] and row["snr_db"] for row in pool)
    assert not list((tmp_path / "corpus").glob("data/*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "thresholds.nois=0.3"], "thresholds.nois: unknown key; did you mean 'noise'?"),
        (["--set", "asr.model=no/such/model"], "asr.model"),
        (["--input", "no-such-folder"], "no such file or folder: no-such-folder"),
        (["--set", "segment.min_length_s=25"], "min_length_s"),
        (["no-such.yaml"], "no-such.yaml"),
    ],
)
def test_bad_config_is_one_line_and_exit_2_before_any_request(
    arguments: list[str], said: str, speechmill, tmp_path: Path
) -> None:
    with ScriptedServer() as server:
        url = server.script("/feed.xml", ok(b"<rss/>"))
        done = speechmill("run", *flags(url, tmp_path / "corpus", "fetch.allow_hosts=[127.0.0.1]"), *arguments, code=2)
        assert said in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert not server.requests


def test_without_inputs_nothing_is_made(speechmill, tmp_path: Path) -> None:
    done = speechmill("run", "--output", tmp_path / "corpus", code=2)
    assert "inputs: there are none" in done.stderr
    assert not (tmp_path / "corpus").exists()


def test_select_needs_the_scores_only_not_the_inputs(corpus: Path, speechmill, tmp_path: Path) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    (copy / "work/models.json").unlink()  # nor the model
    run = json.loads((copy / "run.json").read_text())
    run["config"]["inputs"] = [{"address": str(tmp_path / "gone")}]
    (copy / "run.json").write_text(json.dumps(run))
    speechmill("select", copy, "--set", "thresholds.snr_db=15")
    assert fingerprint(copy) == fingerprint(corpus)


def test_select_refuses_what_needs_a_stage(corpus: Path, speechmill) -> None:
    done = speechmill("select", corpus, "--set", "segment.edge_s=0.05", code=2)
    assert "select: only thresholds" in done.stderr


def test_what_was_mended_is_no_failure_any_more(folder: Path, speechmill, tmp_path: Path) -> None:
    """A feed that could not be read, and a file that was empty, leave no row behind once they are well."""
    place, output = tmp_path / "in", tmp_path / "corpus"
    place.mkdir()
    (place / "a.flac").write_bytes(b"")
    with ScriptedServer() as server:
        media = server.script("/b.wav", ok((folder / "wheel.wav").read_bytes()))
        url = server.script("/feed.xml", ok(b"<html>maintenance</html>", etag='"v0"'))
        arguments = ["--input", url, *flags(place, output, "fetch.allow_hosts=[127.0.0.1]", "asr.model=null")]
        speechmill("run", *arguments, code=3)
        failed = pq.read_table(output / "recordings.parquet").to_pylist()
        assert sorted(row["reason"] for row in failed) == ["bad_feed", "empty"]

        shutil.copy(folder / "river.flac", place / "a.flac")
        feed = f'<rss version="2.0"><channel><item><guid>1</guid><enclosure url="{media}"/></item></channel></rss>'
        server.script("/feed.xml", ok(feed.encode()))
        speechmill("run", *arguments)
        mended = pq.read_table(output / "recordings.parquet").to_pylist()
        assert [row["status"] for row in mended] == ["ok", "ok"]


def test_too_many_failures_end_with_exit_3(folder: Path, speechmill, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    (mixed / "page.mp3").write_bytes(b"<!doctype html><title>404</title>" * 50)
    speechmill("run", *flags(mixed, tmp_path / "corpus", "max_failed_ratio=0.3", "asr.model=null"))
    rows = pq.read_table(tmp_path / "corpus/recordings.parquet").to_pylist()
    assert [(r["media_url"], r["reason"]) for r in rows if r["status"] == "failed"] == [("page.mp3", "not_audio")]
    speechmill("run", *flags(mixed, tmp_path / "corpus", "max_failed_ratio=0.1", "asr.model=null"), code=3)


def test_interrupt_drains_exits_130_and_goes_on_later(corpus: Path, folder: Path, speechmill, tmp_path: Path) -> None:
    output = tmp_path / "corpus"
    process = start("run", *flags(folder, output), stderr=subprocess.PIPE)
    log = output / "work/log.jsonl"
    while not log.exists() or '"segment"' not in log.read_text():
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert not (output / "run.json").exists()
    speechmill("run", *flags(folder, output))
    assert fingerprint(output) == fingerprint(corpus)


def test_fault_07_a_second_run_at_once_is_refused(folder: Path, speechmill, tmp_path: Path) -> None:
    output = tmp_path / "corpus"
    first = Forked("run", *flags(folder, output))
    while not (output / "work/config.json").exists():  # written under the lock
        time.sleep(0.02)
    second = speechmill("run", *flags(folder, output), code=1)
    assert "another run is at work" in second.stderr
    assert first.wait() == 0
