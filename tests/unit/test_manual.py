"""decisions.jsonl: what people decide about clips wins over thresholds in every later run, and the ledger says so."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from speechmill.core import ownership
from speechmill.core.build import Build
from speechmill.core.config_errors import ConfigError
from speechmill.core.manual import Entry, ManualDecisions, append_entries, read_entries
from speechmill.core.reasons import Reason
from speechmill.core.store import Store
from speechmill.stages.selection import select_clips
from speechmill.stages.work import WorkItem

from tests.decisions import decided
from tests.tiny_corpus import publish_tiny

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(publish_tiny(tmp_path_factory.mktemp("by-hand"))[0].store.path(""))


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return publish_tiny(tmp_path)[0]


def with_lines(build: Build, lines: Lines) -> Build:
    build.store.write_text(ownership.DECISIONS_FILE, "".join(f"{json.dumps(line)}\n" for line in lines))
    return replace(build, by_hand=ManualDecisions.load(build.store))


def clips_of(build: Build) -> dict[str, dict[str, Any]]:
    return {clip["clip_id"]: clip for one in decided(build) for clip in one.clips}


def by_reasons(build: Build) -> Callable[..., str]:
    """Find a clip by its reasons."""
    clips = clips_of(build)
    return lambda *reasons: next(name for name, clip in clips.items() if clip["reasons"] == list(reasons))


def test_a_dropped_clip_is_gone_and_a_kept_one_is_there_whatever_the_thresholds_say(build: Build) -> None:
    find = by_reasons(build)
    kept, quiet = find(), find(Reason.LOW_SNR)
    hand = with_lines(build, [{"clip_id": kept, "decision": "drop"}, {"clip_id": quiet, "decision": "keep"}])
    clips = clips_of(hand)
    assert (clips[kept]["decision"], clips[kept]["reasons"]) == ("rejected", [Reason.MANUAL])
    assert clips[quiet]["reasons"] == [Reason.NOT_TRANSCRIBED]  # the next run transcribes it, since it is selected
    work = WorkItem(recording_id="r1", content_id="c1", media="", is_local=True, allowed=True, order=())
    assert {*select_clips(work, build)} - {*select_clips(work, hand)} == {kept}
    assert {*select_clips(work, hand)} - {*select_clips(work, build)} == {quiet}


def test_a_licence_wins_over_people(build: Build) -> None:
    unlicensed = by_reasons(build)(Reason.LICENCE)
    clips = clips_of(with_lines(build, [{"clip_id": unlicensed, "decision": "keep"}]))
    assert clips[unlicensed]["reasons"] == [Reason.LICENCE]


def test_a_text_by_hand_takes_the_place_of_the_one_that_was_written_with_all_that_follows_from_it(build: Build) -> None:
    kept = by_reasons(build)()
    before = clips_of(build)
    clips = clips_of(with_lines(build, [{"clip_id": kept, "decision": "text", "text": " It is 5 p.m. "}]))
    assert clips[kept]["text"] == "It is 5 p.m."
    assert clips[kept]["text_source"] == "manual"
    assert clips[kept]["asr_agreement"] is None
    assert clips[kept]["text_normalized"] == "it is five p.m."
    assert clips[kept]["text_tokens"] != before[kept]["text_tokens"]
    assert clips[kept]["reasons"] == []
    assert {name: clip for name, clip in clips.items() if name != kept} == {
        name: clip for name, clip in before.items() if name != kept
    }


def test_a_defect_that_somebody_denies_rejects_no_clip_and_one_that_somebody_heard_does(build: Build) -> None:
    find = by_reasons(build)
    kept, quiet, both = find(), find(Reason.LOW_SNR), find(Reason.LOW_SNR, Reason.BAND_LIMITED)
    hand = with_lines(
        build,
        [
            {"clip_id": kept, "decision": "defect", "defect": "music", "present": True},
            {"clip_id": quiet, "decision": "defect", "defect": "low_snr", "present": False},
            {"clip_id": both, "decision": "defect", "defect": "low_snr", "present": False},
        ],
    )
    clips = clips_of(hand)
    assert (clips[kept]["decision"], clips[kept]["reasons"]) == ("rejected", [Reason.MUSIC])
    assert clips[quiet]["reasons"] == [Reason.NOT_TRANSCRIBED]
    assert clips[both]["reasons"] == [Reason.BAND_LIMITED]
    work = WorkItem(recording_id="r1", content_id="c1", media="", is_local=True, allowed=True, order=())
    assert {*select_clips(work, build)} ^ {*select_clips(work, hand)} == {kept, quiet}


def test_the_last_line_counts_a_text_stays_and_auto_takes_all_back() -> None:
    def of(*lines: tuple[str, str] | tuple[str, str, str]) -> ManualDecisions:
        return ManualDecisions.from_entries(
            Entry(clip_id=line[0], decision=line[1], text=(*line, None)[2]) for line in lines
        )  # type: ignore[arg-type]

    assert of(("a", "keep"), ("a", "drop")) == ManualDecisions(dropped=frozenset("a"))
    assert of(("a", "text", "One."), ("a", "keep")) == ManualDecisions(kept=frozenset("a"), texts={"a": "One."})
    assert of(("a", "text", "One."), ("a", "text", "Two.")) == ManualDecisions(texts={"a": "Two."})
    assert of(("a", "text", "One."), ("a", "drop"), ("a", "auto")) == ManualDecisions()
    assert of(("a", "keep"), ("a", "drop"), ("a", "undo")) == ManualDecisions(kept=frozenset("a"))
    assert of(("a", "text", "One."), ("a", "auto"), ("b", "keep"), ("a", "undo"), ("b", "undo"), ("b", "undo")) == (
        ManualDecisions(texts={"a": "One."})
    )
    assert of(("a", "keep")).digest() != of(("a", "drop")).digest()


def test_what_is_taken_back_of_speakers_and_defects_is_as_if_it_had_never_been() -> None:
    named = Entry(clip_id="a", decision="speaker", speaker=" Ann ")
    heard = Entry(clip_id="a", decision="defect", defect="music", present=True)
    undo = Entry(clip_id="a", decision="undo")
    both = ManualDecisions(speakers={"a": "Ann"}, defects={"music": {"a": True}})
    assert ManualDecisions.from_entries([named, heard]) == both
    assert both.clip_ids == {"a"}
    assert ManualDecisions.from_entries([named, heard, undo]) == ManualDecisions(speakers={"a": "Ann"})
    assert ManualDecisions.from_entries([named, heard, undo, undo]).digest() == ManualDecisions().digest()


def test_what_is_appended_leaves_older_lines_as_they_are(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    older = '{"decision":"keep",  "clip_id": "a", "tool": 1}'  # as somebody wrote it, without an end
    store.write_text(ownership.DECISIONS_FILE, older)
    append_entries(store, [Entry(clip_id="b", decision="text", text="Käse."), Entry(clip_id="c", decision="drop")])
    lines = Path(store.path(ownership.DECISIONS_FILE)).read_text().splitlines()
    assert lines[0] == older
    assert lines[1:] == [
        '{"clip_id": "b", "decision": "text", "text": "Käse."}',
        '{"clip_id": "c", "decision": "drop"}',
    ]
    assert [entry.clip_id for entry in read_entries(store)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "line 2: .*JSON"),
        ('{"clip_id": "a"}', "line 2: decision: "),
        ('{"clip_id": "a", "decision": "maybe"}', "line 2: decision: .*keep"),
        ('{"clip_id": "", "decision": "keep"}', "line 2: clip_id: "),
        ('{"clip_id": "a", "decision": "text"}', "line 2: .*text"),
        ('{"clip_id": "a", "decision": "keep", "text": "x"}', "line 2: .*text"),
        ('{"clip_id": "a", "decision": "text", "text": " "}', "line 2: text: "),
        ('{"clip_id": "a", "decision": "defect", "defect": "music"}', "line 2: .*`defect` and `present`"),
        ('{"clip_id": "a", "decision": "speaker", "speaker": "x", "present": true}', "line 2: .*present"),
        ("[1]", "line 2: "),
    ],
)
def test_a_line_that_is_none_is_named_with_its_fault(tmp_path: Path, line: str, fault: str) -> None:
    store = Store(str(tmp_path))
    store.write_text(ownership.DECISIONS_FILE, f'{{"clip_id": "a", "decision": "keep"}}\n{line}\n')
    with pytest.raises(ConfigError, match=fault):
        ManualDecisions.load(store)


def test_more_keys_and_empty_lines_are_no_fault(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    told = {
        "clip_id": "a",
        "decision": "drop",
        "who": "ann",
        "when": "2026-11-29T12:00:00Z",
        "why": "a door",
        "tool": 1,
    }
    store.write_text(ownership.DECISIONS_FILE, f"\n{json.dumps(told)}\n\n")
    assert ManualDecisions.load(store).dropped == {"a"}


def test_select_publishes_by_it_keeps_the_file_and_a_dry_run_only_says_so(
    corpus: Path, tmp_path: Path, speechmill: Any
) -> None:
    copy = shutil.copytree(corpus, tmp_path / "corpus")
    pool = pq.read_table(copy / "pool.parquet").to_pylist()
    kept = next(clip["clip_id"] for clip in pool if clip["decision"] == "kept")
    published = {path: path.read_bytes() for path in copy.glob("[!w]*/*.parquet")}
    line = json.dumps({"clip_id": kept, "decision": "drop", "who": "ann"}) + "\n"
    (copy / "decisions.jsonl").write_text(line)
    would = json.loads(speechmill("select", copy, "--dry-run", "--json").stdout)
    assert would["kept"]["clips"] == {"now": 3, "then": 2}
    assert would["rejected"]["manual"] == {"now": 0, "then": 1}
    assert "manual" in speechmill("select", copy, "--dry-run").stdout
    assert {path: path.read_bytes() for path in published} == published
    speechmill("select", copy, code=3)
    assert kept not in pq.read_table(copy / "data")["clip_id"].to_pylist()
    rows = [row for row in pq.read_table(copy / "ledger.parquet").to_pylist() if row["clip_id"] == kept]
    assert [row["reasons"] for row in rows] == [["manual"]]
    assert (copy / "decisions.jsonl").read_text() == line
    (copy / "decisions.jsonl").unlink()
    speechmill("select", copy, code=3)
    assert kept in pq.read_table(copy / "data")["clip_id"].to_pylist()
