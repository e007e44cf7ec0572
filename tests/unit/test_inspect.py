"""The reading commands tell what is there and leave it alone; prune takes only what nobody needs."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from speechmill.cli.console import to_text
from speechmill.core import config_file, state
from speechmill.core.config_errors import ConfigError
from speechmill.core.locks import BusyError
from speechmill.core.store import Store
from speechmill.corpus import plan, status
from speechmill.corpus.prune import prune
from speechmill.corpus.verify import verify
from speechmill.runner.run import run
from speechmill.runner.summary import Summary
from speechmill.stages import SEGMENT

from tests.commandline import Speechmill, fingerprint


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def again(corpus: Path, *settings: str, only_publish: bool = False) -> Summary:
    stored = state.stored_config(str(corpus), required=True)
    return run(config_file.load(None, settings, stored, output=str(corpus)), only_publish=only_publish, quiet=True)


def interrupt(corpus: Path) -> None:
    """Leave what an interrupted first run leaves: one content decoded, nothing published."""
    run_json = json.loads((corpus / "run.json").read_text())
    (corpus / "work" / "config.json").write_text(json.dumps(run_json["config"]))
    for name in ("run.json", "stats.json", "ledger.parquet", "recordings.parquet"):
        (corpus / name).unlink()
    first = sorted(path.stem for path in (corpus / "work" / "segment").rglob("*.parquet"))[0]
    for stage in ("score", "transcribe", "segment"):
        for path in list((corpus / "work" / stage).rglob(f"{first}*")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_the_stored_config_is_that_of_the_last_finish(corpus: Path) -> None:
    assert state.stored_config(str(corpus))["asr"]["model"] == "tiny.en"
    interrupt(corpus)
    assert state.stored_config(str(corpus), required=True)["asr"]["model"] == "tiny.en"


def test_no_corpus_no_config(tmp_path: Path) -> None:
    assert state.stored_config(None) is None
    assert state.stored_config(str(tmp_path / "none")) is None
    with pytest.raises(ConfigError, match="speechmill run --input"):
        state.stored_config(str(tmp_path / "none"), required=True)
    with pytest.raises(ConfigError, match="no corpus here"):
        status.status(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_status_of_a_finished_corpus(corpus: Path) -> None:
    before = tree(corpus)
    found = status.status(str(corpus))
    assert tree(corpus) == before
    assert found["recordings"] == {"seen": 3, "ok": 2, "failed": 1, "failed_by_reason": {"not_audio": 1}}
    assert found["contents"] == {"fetched": 3, "decoded": 3, "score": 2, "transcribe": 2, "pitch": 2, "tokenise": 2}
    stats = json.loads((corpus / "stats.json").read_text())
    assert found["published"]["clips_kept"] == stats["clips"]["kept"] > 0
    assert found["bytes"]["work/media"] == sum(
        path.stat().st_size for path in (corpus / "work/media").iterdir() if path.is_file()
    )
    every_file = sum(path.stat().st_size for path in corpus.rglob("*") if path.is_file())
    assert found["bytes_total"] == sum(found["bytes"].values()) == every_file
    assert "publish done" in found["log"][-1]
    assert not found["run_active"]
    (failure,) = found["last_failures"]
    assert failure.startswith("broken.mp3  not_audio")
    assert any(step.startswith(f"speechmill verify {corpus}") for step in found["next"])


def test_status_of_an_interrupted_corpus(corpus: Path) -> None:
    interrupt(corpus)
    before = tree(corpus)
    found = status.status(str(corpus))
    assert tree(corpus) == before
    assert found["published"] is None
    assert found["recordings"]["waiting"] == 1
    assert found["contents"]["fetched"] == 3
    assert found["contents"]["decoded"] == 2
    assert 0 < found["contents"]["transcribe"] == found["contents"]["score"] < 3
    assert found["next"][0].startswith(f"speechmill run --output {corpus}  (it was never finished: 1 recordings wait")


def test_status_says_what_decides_next(corpus: Path) -> None:
    clip = pq.read_table(corpus / "pool.parquet", columns=["clip_id"])["clip_id"][0].as_py()
    (corpus / "decisions.jsonl").write_text(json.dumps({"clip_id": clip, "decision": "drop"}) + "\n")
    assert status.status(str(corpus))["next"][0].startswith(f"speechmill select {corpus}  (decisions.jsonl has changed")
    place = corpus / f"work/progress/{os.getpid()}.json"
    place.parent.mkdir()
    each = {"stage": "segment", "names": {"title": "One"}, "done_s": 90.0, "total_s": 300.0}
    place.write_text(json.dumps({"bytes": 0, "pulses": [each]}))
    with Store(str(corpus)).locked():
        told = status.status(str(corpus))
    assert told["next"] == ["wait: a run is at work on it"]
    assert told["at_work"] == ["segment One, 1.5 of 5.0 min"]


def test_status_and_a_dry_run_import_nothing_heavy(corpus: Path) -> None:
    code = (
        "import sys; from speechmill.cli.main import cli; cli(sys.argv[1:], standalone_mode=False); "
        "print(sorted({'apache_beam', 'torch', 'pandas', 'av', 'rapidfuzz'} & sys.modules.keys()))"
    )
    for words in (["status", str(corpus)], ["select", str(corpus), "--dry-run"]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"


def test_status_without_work_tells_what_was_published(corpus: Path) -> None:
    shutil.rmtree(corpus / "work")
    found = status.status(str(corpus))
    assert found["recordings"] == {"seen": 3, "ok": 2, "failed": 1, "failed_by_reason": {"not_audio": 1}}
    assert not (corpus / "work").exists()


def test_a_dry_run_of_select_says_what_adds_up_and_writes_nothing(corpus: Path, speechmill: Speechmill) -> None:
    pool = pq.read_table(corpus / "pool.parquet", columns=["clip_id", "decision"]).to_pylist()
    kept = [row["clip_id"] for row in pool if row["decision"] == "kept"]
    (rejected, *_) = (row["clip_id"] for row in pool if row["decision"] != "kept")
    lines = [(kept[0], "drop"), (kept[1], "keep"), (rejected, "drop"), ("none", "drop")]
    decisions = [json.dumps({"clip_id": clip, "decision": decision}) for clip, decision in lines]
    (corpus / "decisions.jsonl").write_text("\n".join(decisions))
    for path in (corpus / "work/assess").rglob("*.parquet"):  # as if it came after the tables
        os.utime(path)
    before = tree(corpus)
    told = json.loads(speechmill("select", corpus, "--set", "thresholds.music=0.9", "--dry-run", "--json").stdout)
    assert tree(corpus) == before
    assert told["settings"]["thresholds.music"] == 0.9
    assert told["decisions"] == {"kept": 0, "dropped": 1, "text": 0, "anyway": 2, "not_here": 1}
    done = json.loads(speechmill("select", corpus, "--set", "thresholds.music=0.9", "--json", "--quiet").stdout)
    assert {key: done[key] for key in ("kept", "rejected", "settings", "decisions")} == told
    assert done["kept"]["clips"]["then"] == done["stats"]["clips"]["kept"]
    later = speechmill("select", corpus, "--quiet").stdout
    assert "thresholds.music=0.9" in later  # of the command before
    assert "nothing to do" in later


def test_a_run_that_holds_the_output_is_seen(corpus: Path) -> None:
    with Store(str(corpus)).locked():
        assert status.status(str(corpus))["run_active"]
        with pytest.raises(BusyError):
            prune(str(corpus), dry_run=True)
    assert not status.is_active(Store(str(corpus)))


def test_a_plan_of_nothing_is_refused_as_a_run_is() -> None:
    with pytest.raises(ConfigError, match="inputs: there are none; name a file"):
        plan.plan(config_file.load(settings=["inputs=[]"]))


def test_a_plan_counts_hours_and_licences_and_creates_nothing(podcast: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(podcast / "episode-1.mp3", tmp_path / "in")
    (tmp_path / "in" / "broken.mp3").write_text("no audio")
    (tmp_path / "bad.xml").write_text("<html>no feed</html>")
    inputs = (str(tmp_path / "in"), str(tmp_path / "in" / "episode-1.mp3"), str(tmp_path / "bad.xml"))
    chosen = config_file.load(
        None,
        ("workers=1", "asr.model=null", "tokenise.checkpoint=null", "turns.model=null", "speakers.model=null"),
        inputs=inputs,
        output=str(tmp_path / "new"),
    )
    before = tree(tmp_path)
    found = plan.plan(chosen)
    assert tree(tmp_path) == before
    assert (found["recordings"], found["without_a_length"], found["listed_twice"]) == (2, 1, 1)
    assert found["hours"] == pytest.approx(88 / 3600, rel=0.05)
    assert found["licences"]["LicenseRef-local"]["published"]
    assert found["without_a_length_first"] == ["broken.mp3"]
    assert "bad_feed" in found["inputs"][inputs[2]]["error"]
    seconds = found["forecast"]["seconds"]
    assert seconds.keys() == {"fetch", "segment", "score", "pitch", "total"}  # no models, no transcripts and no tokens
    assert seconds["fetch"] == 0  # local files are read in place
    assert seconds["segment"] == pytest.approx(2 * 3600 * found["hours"] / SEGMENT.typical_speed)


def test_a_licence_that_is_not_allowed_is_told_in_the_plan(podcast: Path, tmp_path: Path) -> None:
    settings = ("licences.allow=[CC0-1.0]",)
    chosen = config_file.load(None, settings, inputs=(str(podcast / "episode-1.mp3"),), output=str(tmp_path / "new"))
    assert not plan.plan(chosen)["licences"]["LicenseRef-local"]["published"]


def test_a_plan_warns_of_what_will_not_be_published(podcast: Path, tmp_path: Path) -> None:
    lines = [
        {"path": str(podcast / f"episode-{n}.mp3"), "licence": licence}
        for n, licence in ((1, "CC0-1.0"), (2, "unknown"))
    ]
    (tmp_path / "all.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    chosen = config_file.load(None, (), inputs=(str(tmp_path / "all.jsonl"),), output=str(tmp_path / "new"))
    (remark,) = plan.plan(chosen)["remarks"]
    assert remark.startswith("will be fetched but not published: recordings 1 under unknown; licences.allow")


def test_a_plan_for_a_finished_corpus_has_nothing_to_do(corpus: Path) -> None:
    before = tree(corpus)
    found = plan.plan(config_file.load(None, (), state.stored_config(str(corpus)), output=str(corpus)))
    assert tree(corpus) == before
    assert (found["recordings"], found["already_fetched"], found["already_decoded"]) == (3, 3, 3)
    assert found["forecast"]["seconds"]["total"] == 0
    assert found["forecast"]["speeds"].startswith("as the last run")


def test_after_pruning_a_run_does_nothing_and_select_still_works(corpus: Path) -> None:
    old_id = "0123456789ab" * 5 + "cdef"
    for name in (
        f"work/segment/0123456789ab/{old_id}.parquet",
        f"work/transcribe/0123456789ab-0123456789ab/{old_id}/0123456789abcdef.parquet",
        "work/tmp/tmpa1b2c3_d",
        "work/fetch/v1/.c.1-2-0123abcd.tmp",
    ):
        (corpus / name).parent.mkdir(parents=True, exist_ok=True)
        (corpus / name).write_bytes(b"1234")
    young, old = corpus / "work/media/.parts" / f"{'a' * 32}.part", corpus / "work/media/.parts" / f"{'b' * 32}.part"
    for part in (young, old):
        part.write_bytes(b"12345")
    os.utime(old, (0, 0))
    before = tree(corpus)
    told = prune(str(corpus), dry_run=True)
    assert tree(corpus).keys() == before.keys()
    done = prune(str(corpus), dry_run=False)
    assert done["bytes"] == told["bytes"]
    assert (done["bytes"]["work/segment"], done["bytes"]["work/transcribe"], done["bytes"]["unfinished files"]) == (
        4,
        4,
        9,
    )
    assert done["bytes"]["work/media"] > 1_000_000
    assert (young.exists(), old.exists()) == (True, False)
    assert prune(str(corpus), dry_run=False)["total_bytes"] == 0

    second = again(corpus)
    assert not second.changed
    counted = {stage: counts.get("done", 0) for stage, counts in second.stages.items()}
    assert set(counted.values()) == {0}, second.stages
    kept = second.stats["clips"]["kept"]
    stricter = again(corpus, "thresholds.snr_db=1000", only_publish=True)
    assert stricter.stats["clips"].get("kept", 0) == 0
    assert again(corpus, "thresholds.snr_db=15", only_publish=True).stats["clips"]["kept"] == kept
    assert verify(str(corpus), rows=0)["ok"]


def test_pruning_takes_nothing_that_is_not_ours_and_follows_no_link(corpus: Path, tmp_path: Path) -> None:
    content, victim = "c" * 64, tmp_path / "victim"
    theirs = (
        "work/segment/old/a.parquet", "work/segment/0123456789ab/notes.txt", "work/tmp/notes.txt", "work/mine/a.wav",
        "work/publish/draft.md", f"work/media/{content}.wav", "work/.notes.tmp", "work/media/.parts/mine.part",
    )  # fmt: skip
    for name in theirs:
        (corpus / name).parent.mkdir(parents=True, exist_ok=True)
        (corpus / name).write_text("mine")
        os.utime(corpus / name, (0, 0))
    victim.mkdir()
    (victim / content).write_text("private")
    (victim / f"{content}.parquet").write_text("private")
    (corpus / "work/segment/aaaaaaaaaaaa").symlink_to(victim)
    (corpus / "work/media" / content).symlink_to(victim / content)
    (corpus / "work/tmp/deep").symlink_to(victim)
    prune(str(corpus), dry_run=False)
    assert {(corpus / name).read_text() for name in theirs} == {"mine"}
    assert {path.read_text() for path in victim.iterdir()} == {"private"}
    assert len(list(victim.iterdir())) == 2

    shutil.rmtree(corpus / "work/documents", ignore_errors=True)
    (corpus / "work/documents").symlink_to(victim)
    with pytest.raises(ConfigError, match="documents: is a link"):
        prune(str(corpus), dry_run=False)
    assert len(list(victim.iterdir())) == 2


def test_pruning_refuses_what_is_not_finished(corpus: Path) -> None:
    run_json = json.loads((corpus / "run.json").read_text())
    run_json["config"]["segment"]["min_silence_s"] = 0.4
    (corpus / "work" / "config.json").write_text(json.dumps(run_json["config"]))
    with pytest.raises(ConfigError, match="a run with other settings is not finished"):
        prune(str(corpus), dry_run=False)
    interrupt(corpus)
    with pytest.raises(ConfigError, match="not finished yet"):
        prune(str(corpus), dry_run=False)


def test_words_have_units_marks_and_no_control_characters() -> None:
    value = {
        "output": "a\x1b[31mb",
        "hours": 1.5,
        "bytes": {"data": 3_400_000, "work": 12},
        "seconds": {"total": 3700.0, "all": 200_000.0},
        "nothing": {},
        "checks": {
            "files": {"ok": True, "checked": 4, "of": 1600, "failed": 0, "note": "n"},
            "a": {"ok": False, "problems": ["x"], "fix": "y"},
        },
        "licences": {"CC0-1.0": {"recordings": 1200, "hours": 0.25, "published": True}},
    }
    assert to_text(value) == (
        "output    a[31mb\nhours     1.50 h\nbytes     data 3.4 MB, work 12 B\n"
        "seconds   total 1 h 02 min, all 2 d 8 h\n"
        "nothing   none\n\nchecks\n  files  ok      checked 4 of 1,600; n\n"
        "  a      FAILED\n    - x\n    - fix: y\n\n"
        "licences\n  CC0-1.0  recordings 1,200, 15.0 min, published yes"
    )
    assert to_text({"hours": 0.004, "log": ["one two three four"], "a": {"b": 1, "cc": 22}}, 14).splitlines() == [
        "hours  14 s", "", "log", "  one two", "      three", "      four", "", "a      b 1,", "       cc 22",
    ]  # fmt: skip


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_corpus_of_the_version_before_is_refused_in_one_line_that_names_it(
    corpus: Path, speechmill: Speechmill, *, is_finished: bool
) -> None:
    name = "run.json" if is_finished else "work/config.json"
    record = json.loads((corpus / name).read_text())
    config = record["config"] if is_finished else record
    config["transcribe"] = config.pop("asr")
    config["thresholds"]["phone"] = config["thresholds"].pop("telephone")
    (corpus / name).write_text(json.dumps(record))
    if not is_finished:
        (corpus / "run.json").unlink()
    before = fingerprint(corpus)
    removal = ("remove", corpus, "--person", "Ann", "--reason", "asked for")
    for command in (("status", corpus), ("select", corpus), ("run", "--output", corpus), removal):
        said = speechmill(*command, code=2).stderr
        assert said.count("\n") == 1
        assert f"{corpus}: made by speechmill 0.1" in said
    assert fingerprint(corpus) == before


def test_keys_of_json_are_snake_case_and_documented(corpus: Path, speechmill: Speechmill) -> None:
    """Every key of a result, but for names of data, stands in docs/commands.md."""
    text = (Path(__file__).parents[2] / "docs/commands.md").read_text()
    documented = set(re.findall(r"`([a-z0-9_]+)`", text))
    names = {"checks", "bytes", "contents", "failed_by_reason", "inputs", "licences", "refused", "left_out", "rejected"}

    def keys(value: object, key: str = "") -> Iterator[str]:
        if isinstance(value, dict):
            for name, inner in value.items():
                yield from () if key in names else (name,)
                if name not in ("settings", "stats", "stages", "seconds"):
                    yield from keys(inner, name if key not in names else "")

    commands = (["status"], ["verify", "--rows", "0"], ["select", "--dry-run"], ["prune", "--dry-run"])
    results = [json.loads(speechmill(word, corpus, *options, "--json").stdout) for word, *options in commands]
    stored = config_file.load(None, (), state.stored_config(str(corpus)), output=str(corpus))
    found = {key for result in (*results, plan.plan(stored)) for key in keys(result)}
    assert len(found) > 40
    statuses = {"ok", "failed", "waiting", "duplicate", "opted_out", "removed"}
    assert found - documented - statuses == set()
