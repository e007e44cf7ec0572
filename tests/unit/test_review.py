"""A review: what its server answers and refuses, the order of clips, and what becomes of what people say."""

import http.client
import io
import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from speech_defects.degrade.takes import read_manifest as read_recordings
from speech_defects.evaluate.clips import read_manifest
from speechmill.audio import encode_flac
from speechmill.core.config_errors import ConfigError
from speechmill.core.locks import BusyError
from speechmill.core.manual import ManualDecisions
from speechmill.core.reasons import Reason
from speechmill.core.records import PASSAGE_ARTIFACT
from speechmill.core.store import Store
from speechmill.corpus.review.agreement import agreement, rate
from speechmill.corpus.review.clips import Clips, Threshold
from speechmill.corpus.review.labels import write_labels
from speechmill.corpus.review.queues import clip_ids, parse
from speechmill.corpus.review.ranges import RangeError, parse_range
from speechmill.corpus.review.server import MAX_BODY_BYTES, ReviewServer
from speechmill.corpus.review.session import Session

from tests.commandline import start
from tests.tiny_corpus import RATE, publish_tiny

JSON = {"Content-Type": "application/json"}
Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(publish_tiny(tmp_path_factory.mktemp("review"))[0].store.path(""))


@pytest.fixture
def corpus(published: Path, tmp_path: Path) -> Path:
    """A copy of the corpus that a test may do with as it likes."""
    return Path(shutil.copytree(published, tmp_path / "tiny"))


@pytest.fixture
def session(corpus: Path) -> Iterator[Session]:
    """A review of a copy."""
    with closing(Session(str(corpus), queue="doubtful", who="ann")) as session:
        yield session


@pytest.fixture(scope="module")
def server(published: Path) -> Iterator[ReviewServer]:
    """A server that many tests ask, and none may change: `decisions.jsonl` is looked for at the end."""
    with (
        closing(Session(str(published), queue="doubtful", who="ann")) as session,
        ReviewServer(session, host="127.0.0.1", port=0) as server,
    ):
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()
    assert not (published / "decisions.jsonl").exists()


@pytest.fixture
def ask(server: ReviewServer) -> Ask:
    """Send a request below the token, or to any `path`; returns status, headers and content."""

    def send(
        what: str, body: Any = None, *, path: str | None = None, method: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
        with closing(connection):
            content = json.dumps(body) if body is not None and not isinstance(body, str) else body
            given = JSON if body is not None else {}
            given = given | {name.replace("_", "-"): text for name, text in headers.items()}
            target = f"/{server.guard.token}/{what}" if path is None else path
            connection.request(method or ("GET" if body is None else "POST"), target, content, given)
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()

    return send


def first(session: Session) -> str:
    clip_id: str = session.state()["queue"]["clip_ids"][0]
    return clip_id


def written(corpus: Path) -> list[dict[str, Any]]:
    path = corpus / "decisions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# --- what is served ---


def test_every_clip_is_heard_kept_or_not(server: ReviewServer, ask: Ask) -> None:
    session = server.session
    build = session._snapshot.build
    stored = {
        row["clip_id"]: row["flac"] for content in ("c1", "c2", "c4")
        for row in build.store.read(build.segments(content)).to_pylist() if row["clip_id"]
    }  # fmt: skip
    assert len(stored) == 8
    for clip_id, flac in stored.items():
        status, headers, content = ask(f"sound/{clip_id}.flac")
        assert (status, content, headers["Content-Type"]) == (200, flac, "audio/flac")
    clip_id = first(session)
    whole = stored[clip_id]
    status, headers, content = ask(f"sound/{clip_id}.flac", Range="bytes=10-19")
    assert (status, content) == (206, whole[10:20])
    assert headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert ask(f"sound/{clip_id}.flac", Range="bytes=-7")[2] == whole[-7:]
    assert ask(f"sound/{clip_id}.flac", Range=f"bytes={len(whole)}-")[0] == 416
    assert ask(f"sound/{clip_id}.flac", method="HEAD")[1]["Content-Length"] == str(len(whole))


def test_surroundings_have_the_sound_that_is_stored_and_silence_elsewhere(server: ReviewServer, ask: Ask) -> None:
    session = server.session
    places = session._snapshot.clips.places.to_pylist()
    clip_id, place = next(
        (clip_id, place) for clip_id, place in zip(session._snapshot.clips.row, places, strict=True)
        if (place["content_id"], place["start"]) == ("c1", 2 * RATE)
    )  # fmt: skip
    told = json.loads(ask(f"api/clips/{clip_id}")[2])["surroundings"]
    assert (told["start_s"], told["end_s"]) == (0.0, 5.0)  # of a recording of five seconds
    assert [span["kind"] for span in told["spans"]] == ["clip", "silence"] * 5
    assert told["spans"][4]["clip_id"] == clip_id
    wave, rate_ = soundfile.read(io.BytesIO(ask(f"surroundings/{clip_id}.flac")[2]), dtype="int16")
    assert (wave.size, rate_) == (5 * RATE, RATE)
    own = soundfile.read(io.BytesIO(session.sound(clip_id)), dtype="int16")[0]
    assert np.array_equal(wave[place["start"] : place["end"]], own)
    assert not wave[3 * RATE // 4 : RATE].any()
    assert np.abs(wave[RATE : RATE + 100]).max() > 0


def test_surroundings_have_the_speech_between_clips_where_it_is_stored_in_passages(tmp_path: Path) -> None:
    build, _ = publish_tiny(tmp_path, segment={"profile": "recover"})
    tone = encode_flac(np.full(2 * RATE, 500, np.int16), RATE)
    rows = [{"start": RATE, "end": 3 * RATE, "clip_id": "a" * 32, "flac": tone, "speech": b"", "levels": b""}]
    passages = pa.Table.from_pylist(rows, schema=PASSAGE_ARTIFACT)
    build.store.write_table(build.artifact("passages", "c1"), passages)
    with closing(Session(build.store.path(""), queue="doubtful", who="ann")) as session:
        places = session._snapshot.clips.places
        clip_id = next(name for name, at in session._snapshot.clips.row.items() if places["start"][at].as_py() == RATE)
        wave = soundfile.read(io.BytesIO(session.surroundings(clip_id)), dtype="int16")[0]
    gap = RATE // 4  # after each clip
    assert (wave[2 * RATE - gap : 2 * RATE] == 500).all()
    assert (wave[3 * RATE - gap : 3 * RATE] == 500).all()
    assert not wave[RATE - gap : RATE].any()


def test_the_page_is_the_report_with_its_own_script_and_nothing_of_others(ask: Ask) -> None:
    status, headers, page = ask("")
    assert status == 200
    assert b"speechmill report</title>" in page
    assert b"api/judgements" in page
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"


# --- attacks ---


def test_who_does_not_know_the_address_gets_nothing(server: ReviewServer, ask: Ask) -> None:
    line = {"clip_id": first(server.session), "decision": "drop"}
    token = server.guard.token
    assert len(token) >= 43
    for path in ("/", "", "//", "/x/", f"/{token[:-1]}/", f"/{token}x/", "/api/state", "/?token=x", "/%00/"):
        assert ask("", path=path)[0] == 404
        assert ask("", line, path=f"{path}api/judgements")[0] == 404
    assert token.encode() not in ask("", path="/")[2]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "192.0.2.1"])
def test_a_name_that_was_pointed_at_this_machine_is_refused(ask: Ask, host: str) -> None:
    assert ask("api/state", Host=host)[0] == 421


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "localhost:9000", "[::1]:9000"])
def test_loopback_is_answered_through_a_tunnel_too(ask: Ask, host: str) -> None:
    assert ask("api/state", Host=host)[0] == 200


def test_pages_of_other_sites_cannot_decide(server: ReviewServer, ask: Ask) -> None:
    line = {"clip_id": first(server.session), "decision": "drop"}
    refused = [
        ask("api/judgements", line, Origin="https://evil.example"),
        ask("api/judgements", line, Origin="null"),
        ask("api/judgements", line, Sec_Fetch_Site="cross-site"),
        ask("api/judgements", line, Sec_Fetch_Site="same-site"),
        ask("api/undo", {}, Origin="http://127.0.0.1:1"),
    ]
    assert {status for status, _, _ in refused} == {403}
    assert ask("api/judgements", line, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 403  # by a form
    assert ask("api/state", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="cors")[0] == 403
    assert ask("", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200  # who follows a link
    form = "application/x-www-form-urlencoded"
    assert ask("api/judgements", json.dumps(line), Content_Type=form)[0] == 415
    assert ask("api/judgements", json.dumps(line), Content_Type="text/plain")[0] == 415
    assert ask("api/judgements", method="OPTIONS")[0] == 501  # so that a preflight fails
    assert ask(f"api/judgements?clip_id={line['clip_id']}&decision=drop")[0] == 404  # by GET


@pytest.mark.parametrize(
    "what",
    [
        "sound/../decisions.jsonl", "sound/../../corpus.json.flac", "sound/..%2f..%2fcorpus.json.flac",
        "../corpus.json", "sound/%2e%2e/corpus.json", "sound//etc/passwd.flac", "sound/.flac", "api/clips/",
        "api/clips/..", "surroundings/work/segment.flac", "sound/" + "a" * 5_000 + ".flac", "report.html",
        "work/config.json",
    ],
)  # fmt: skip
def test_no_address_leads_to_another_file(ask: Ask, what: str) -> None:
    status, _, content = ask(what)
    assert status == 404
    assert len(content) < 100


def test_what_is_no_decision_is_refused_and_nothing_is_written(server: ReviewServer, ask: Ask) -> None:
    clip_id = first(server.session)
    wrong = [
        {"clip_id": "f" * 32, "decision": "drop"}, {"decision": "drop"}, {"clip_id": [clip_id], "decision": "drop"},
        {"clip_id": clip_id}, {"clip_id": clip_id, "decision": "publish"}, {"clip_id": clip_id, "decision": "text"},
        {"clip_id": clip_id, "decision": "text", "text": " "}, {"clip_id": clip_id, "decision": "keep", "text": "x"},
        {"clip_id": clip_id, "decision": "defect", "defect": "licence", "present": False},
        {"clip_id": clip_id, "decision": "undo", "speaker": 7},
    ]  # fmt: skip
    assert {ask("api/judgements", line)[0] for line in wrong} == {400}
    assert {ask("api/judgements", body)[0] for body in ("[1]", "{", "[" * 50_000, "")} <= {400, 411}
    assert ask("api/judgements", "x" * (MAX_BODY_BYTES + 1))[0] == 413


def test_only_one_review_of_a_corpus_at_a_time(session: Session, corpus: Path) -> None:
    with (
        session.locked(),
        closing(Session(str(corpus), queue="doubtful", who="bea")) as other,
        pytest.raises(BusyError, match="another review"),
        other.locked(),
    ):
        raise AssertionError


def test_a_review_changes_nothing_of_a_corpus_but_its_decisions(corpus: Path) -> None:
    def files() -> dict[str, bytes]:
        return {str(path.relative_to(corpus)): path.read_bytes() for path in corpus.rglob("*") if path.is_file()}

    for table in (corpus / "work/tables").rglob("*.parquet"):
        table.unlink()  # as if a run were at work, and had not tabulated yet
    before = files()
    with closing(Session(str(corpus), queue="random:3", who="bea")) as session:
        assert len(session.state()["queue"]["clip_ids"]) == 3
        session.judge({"clip_id": first(session), "decision": "keep"})
    assert {name: content for name, content in files().items() if name != "decisions.jsonl"} == before


def test_it_works_while_a_run_that_has_published_nothing_is_at_work(finished_corpus: Path, tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(finished_corpus, tmp_path / "corpus"))
    for name in json.loads((corpus / "corpus.json").read_text())["files"]:
        (corpus / name).unlink()
    shutil.rmtree(corpus / "work/tables")
    (corpus / "work/finished.json").unlink(missing_ok=True)
    with (
        Store(str(corpus)).locked(),
        closing(Session(str(corpus), queue="reason:low_snr", who="ann")) as session,
        session.locked(),
    ):
        assert session.state()["run_active"]
        told = session.judge({"clip_id": first(session), "decision": "keep"})
        assert soundfile.info(io.BytesIO(session.sound(first(session)))).samplerate == RATE
        assert pair(
            next(one for one in told["agreement"]["thresholds"] if one["reason"] == "low_snr")["precision"]
        ) == (0, 1)
    assert [line["decision"] for line in written(corpus)] == ["keep"]


# --- decisions ---


def test_decisions_are_lines_that_select_honours_and_undo_takes_them_back(session: Session, corpus: Path) -> None:
    clip_id = first(session)
    for line in (
        {"decision": "drop"}, {"decision": "text", "text": "Käse."}, {"decision": "speaker", "speaker": "Ann"},
        {"decision": "defect", "defect": "low_snr", "present": False},
    ):  # fmt: skip
        told = session.judge({"clip_id": clip_id, **line})
    said = {"fate": "drop", "text": "Käse.", "speaker": "Ann", "defects": {"low_snr": False}}
    assert told["changed"] == {clip_id: said}
    assert told["progress"] == {"judged": 1, "of": 7}
    assert [line["decision"] for line in written(corpus)] == ["drop", "text", "speaker", "defect"]
    assert {(line["who"], line["queue"]) for line in written(corpus)} == {("ann", "doubtful")}
    people = ManualDecisions.load(Store(str(corpus)))
    assert (people.dropped, people.texts, people.speakers) == ({clip_id}, {clip_id: "Käse."}, {clip_id: "Ann"})
    for _ in range(3):
        session.undo()
    assert ManualDecisions.load(Store(str(corpus))) == ManualDecisions(dropped=frozenset([clip_id]))
    told = session.undo()
    assert (told["changed"][clip_id]["fate"], told["can_undo"]) == (None, False)
    assert session.undo()["changed"] == {}
    assert len(written(corpus)) == 8


def test_a_decision_that_nobody_could_read_is_refused_and_not_written(session: Session, corpus: Path) -> None:
    session.judge({"clip_id": first(session), "decision": "keep"})
    path = corpus / "decisions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"clip_id": broken\n')
    for decide in (lambda: session.judge({"clip_id": first(session), "decision": "drop"}), session.undo):
        with pytest.raises(ConfigError, match="line 2"):
            decide()
    assert path.read_bytes() == whole + b'{"clip_id": broken\n'
    path.write_bytes(whole)
    assert session.undo()["progress"]["judged"] == 0


def test_a_corpus_that_was_moved_is_told_and_nothing_is_put_in_its_place(session: Session, corpus: Path) -> None:
    clip_id = first(session)
    moved = corpus.rename(corpus.with_name("moved"))
    with pytest.raises(ConfigError, match="not there any more"):
        session.judge({"clip_id": clip_id, "decision": "drop"})
    assert not corpus.exists()
    moved.rename(corpus)
    session.judge({"clip_id": clip_id, "decision": "drop"})
    assert [line["decision"] for line in written(corpus)] == ["drop"]


def test_a_decision_goes_over_http(session: Session, corpus: Path) -> None:
    with ReviewServer(session, host="127.0.0.1", port=0) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with closing(http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)) as connection:
            for what, body in (("judgements", {"clip_id": first(session), "decision": "drop"}), ("undo", {})):
                origin = {"Origin": f"http://127.0.0.1:{server.server_address[1]}", "Sec-Fetch-Site": "same-origin"}
                connection.request("POST", f"/{server.guard.token}/api/{what}", json.dumps(body), JSON | origin)
                answer = connection.getresponse()
                assert (answer.status, list(json.loads(answer.read())["changed"])) == (200, [first(session)])
        server.shutdown()
    assert [line["decision"] for line in written(corpus)] == ["drop", "undo"]


def test_lines_of_others_count_and_stay(session: Session, corpus: Path) -> None:
    mine, theirs = session.state()["queue"]["clip_ids"][:2]
    session.judge({"clip_id": mine, "decision": "keep"})
    with (corpus / "decisions.jsonl").open("a") as file:
        file.write(json.dumps({"clip_id": theirs, "decision": "drop"}) + "\n")
    assert session.state()["judged"].keys() == {mine, theirs}
    session.undo()
    assert session.state()["judged"].keys() == {theirs}


def test_the_next_select_publishes_what_was_said(corpus: Path, speechmill: Any) -> None:
    published = pq.read_table(corpus / "data").to_pylist()
    dropped, corrected = (row["clip_id"] for row in published[:2])
    with closing(Session(str(corpus), queue="random", who="ann")) as session:
        session.judge({"clip_id": dropped, "decision": "drop"})
        session.judge({"clip_id": corrected, "decision": "text", "text": "It is 5 p.m."})
        page = session.page()
        speechmill("select", corpus, code=3)
        rows = {row["clip_id"]: row for row in pq.read_table(corpus / "data").to_pylist()}
        assert dropped not in rows
        assert rows[corrected]["text_normalized"] == "it is five p.m."
        assert session.page() != page  # the report is that of the new publication


# --- queues and agreement ---

MUSIC = Threshold(
    key="thresholds.music",
    column="score_music",
    reason="music",
    limit=0.5,
    at_most=True,
    is_of_sound=True,
    is_of_words=False,
)
SURE = Threshold(
    key="thresholds.asr_confidence", column="asr_confidence", reason="low_confidence", limit=0.7, at_most=False,
    is_of_sound=False, is_of_words=True,
)  # fmt: skip


def judged(margins: list[tuple[float, float]], **reasons: list[str]) -> Clips:
    """Clips `a`, `b`, … with their margins to MUSIC and SURE; `reasons`: clips that are rejected otherwise too."""
    values = np.array(margins, np.float32)
    names = [chr(ord("a") + at) for at in range(len(margins))]
    masks = {"music": values[:, 0] < 0, "low_confidence": values[:, 1] < 0}
    masks |= {reason: np.array([name in found for name in names]) for reason, found in reasons.items()}
    return Clips(
        row={name: at for at, name in enumerate(names)},
        short={},
        places=pa.table({}),
        shown=np.ones(len(names), bool),
        kept=~np.logical_or.reduce(list(masks.values())),
        reasons=masks,
        thresholds=(MUSIC, SURE),
        margins=values,
    )


def test_queues_begin_with_what_is_least_sure() -> None:
    nan = np.nan
    clips = judged(
        [(0.3, 0.2), (-0.01, nan), (-0.5, nan), (0.02, 0.4), (0.9, 0.9), (0.001, 0.9)], licence=["e"], repetition=["f"]
    )
    assert clip_ids(parse("doubtful"), clips) == [
        "b",
        "d",
        "a",
        "c",
    ]  # `f` fails by no threshold, `e` is nobody's choice
    assert clip_ids(parse("doubtful:2"), clips) == ["b", "d"]
    assert clip_ids(parse("reason:music"), clips) == ["b", "c"]
    assert clip_ids(parse("reason:repetition"), clips) == ["f"]
    drawn = clip_ids(parse("random:5"), clips)
    assert sorted(drawn) == ["a", "b", "c", "d", "f"]
    assert clip_ids(parse("random:2"), clips) == drawn[:2]
    with pytest.raises(ConfigError, match=r"reasons here: licence, music, repetition"):
        clip_ids(parse("reason:noise"), clips)


def test_of_a_very_large_corpus_the_page_has_some_clips_and_half_of_their_ids() -> None:
    clips = judged([(0.3, 0.2), (0.1, 0.2), (0.15, 0.4)])
    clips = replace(clips, shown=np.array([True, False, True]), short={"a0": "a", "c0": "c"})
    assert clip_ids(parse("doubtful"), clips) == ["c", "a"]  # by the smallest margin of each
    assert sorted(clip_ids(parse("random"), clips)) == ["a", "c"]
    assert clips.clip_id("c0") == clips.clip_id("c") == "c"
    with pytest.raises(KeyError):
        clips.clip_id("d0")


@pytest.mark.parametrize("name", ["", "worst", "random:0", "random:-1", "reason:", "reason:MUSIC;", "doubtful:x"])
def test_what_is_no_queue_is_told_the_three_kinds(name: str) -> None:
    with pytest.raises(ConfigError, match=r"doubtful, doubtful:100, random:200 or reason:music"):
        parse(name)


def test_agreement_counts_what_people_said_of_that_very_defect() -> None:
    clips = judged([(-1, 1), (-1, 1), (-1, 1), (1, 1), (1, -1), (1, 1), (1, -1), (1, 1)])
    people = ManualDecisions(
        kept=frozenset("adg"),  # music was wrong about `a`
        dropped=frozenset("be"),  # `b` for music or whatever, `e` is in doubt for its words too
        texts={"g": "Else."},  # the text was wrong, though the clip is kept
        defects={"music": {"c": True, "f": True}, "noise": {"h": True}},
    )
    found = agreement(clips, people)
    assert found["judged"] == 8
    music, words = found["thresholds"]
    assert pair(music["precision"]) == (2, 3)  # b and c, not a
    assert pair(music["recall"]) == (2, 3)  # of b, c, f; why `e` was dropped nobody said, nor of music in `h`
    assert pair(words["precision"]) == (2, 2)  # e and g
    assert pair(words["recall"]) == (2, 2)
    assert pair(found["keep"]["precision"]) == (1, 3)  # of d, f, h the models kept, people keep d
    assert pair(found["keep"]["recall"]) == (1, 3)  # of a, d, g
    some = agreement(clips, people, among={"a", "b", "x"})
    assert (some["judged"], pair(some["thresholds"][0]["precision"])) == (2, (1, 2))


def pair(rate_: dict[str, Any]) -> tuple[int, int]:
    return rate_["right"], rate_["of"]


def test_intervals_are_those_of_wilson() -> None:
    none = rate(0, 10)  # by Wilson (1927): 1.96² / (10 + 1.96²)
    assert (none["share"], none["low"]) == (0, 0)
    assert none["high"] == pytest.approx(0.2775, abs=1e-4)
    assert rate(0, 0)["share"] is None


def test_figures_of_clips_that_were_drawn_at_random_are_told_apart(corpus: Path) -> None:
    with closing(Session(str(corpus), queue="doubtful", who="ann")) as session:
        session.judge({"clip_id": first(session), "decision": "keep"})
        assert session.agreement()["agreement_of_random"] is None
    with closing(Session(str(corpus), queue="random:2", who="ann")) as session:
        drawn = next(
            clip_id for clip_id in session.state()["queue"]["clip_ids"] if clip_id not in session.state()["judged"]
        )
        session.judge({"clip_id": drawn, "decision": "keep"})
        assert (session.agreement()["agreement"]["judged"], session.agreement()["agreement_of_random"]["judged"]) == (
            2,
            1,
        )


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-", (0, 100)), ("bytes=99-200", (99, 100)), ("bytes=-500", (0, 100)), ("bytes=5-4", None),
        ("bytes=-", None), ("bytes=a-b", None), ("items=0-1", None), ("bytes=0-1,2-3", None), (None, None),
        ("bytes=" + "9" * 99 + "-", None),
    ],
)  # fmt: skip
def test_ranges(header: str | None, part: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == part


def test_a_part_beyond_the_end_is_none() -> None:
    for header in ("bytes=100-", "bytes=-0"):
        with pytest.raises(RangeError):
            parse_range(header, 100)


# --- labels ---


def test_labels_are_what_evaluate_and_train_read(session: Session, tmp_path: Path) -> None:
    clean, telephone, music, dropped = session.state()["queue"]["clip_ids"][:4]
    session.judge({"clip_id": clean, "decision": "keep"})
    for clip_id, defect in ((telephone, "telephone"), (music, "music")):
        session.judge({"clip_id": clip_id, "decision": "defect", "defect": defect, "present": True})
    session.judge({"clip_id": dropped, "decision": "drop"})  # says of no defect that it is there
    (tmp_path / "labels").mkdir()
    counts = write_labels(session._snapshot, session._judgements.people(), tmp_path / "labels")
    assert {name: count for name, count in counts.items() if count} == {
        "clips": 3,
        "clean": 1,
        "telephone": 1,
        "music": 1,
    }
    clips = {Path(clip.file).stem: clip for clip in read_manifest(tmp_path / "labels/manifest.jsonl")}
    assert clips[clean].is_clean
    assert clips[music].only_defect == "music"
    assert np.isnan(clips[music].labels["noise"])
    sources = read_recordings(tmp_path / "labels/recordings.jsonl")
    assert [take.path.stem for take in sources.speech] == [clean]
    assert [take.path.stem for take in sources.telephone] == [telephone]
    assert (tmp_path / f"labels/clips/{music}.flac").read_bytes() == session.sound(music)


def test_the_command_prints_agreement_and_writes_labels(corpus: Path, speechmill: Any, tmp_path: Path) -> None:
    clip_id = pq.read_table(corpus / "data")["clip_id"][0].as_py()
    (corpus / "decisions.jsonl").write_text(json.dumps({"clip_id": clip_id, "decision": "keep"}))
    told = json.loads(speechmill("review", corpus, "--agreement", "--json").stdout)
    assert told["agreement"]["keep"]["precision"]["share"] == 1
    assert "100 % (21 to 100): 1 of 1" in speechmill("review", corpus, "--agreement").stdout
    told = json.loads(speechmill("review", corpus, "--labels", tmp_path / "labels", "--json").stdout)
    assert (told["clips"], told["clean"]) == (1, 1)
    assert "no corpus here" in speechmill("review", tmp_path / "nowhere", code=2).stderr
    reason = Reason.MUSIC
    assert (
        "no clip was rejected for 'music'" in speechmill("review", corpus, "--queue", f"reason:{reason}", code=2).stderr
    )


def test_the_command_serves_until_it_is_ended_and_says_how_far_the_queue_came(corpus: Path) -> None:
    process = start("review", corpus, "--queue", "random:3", "--no-browser", stdout=subprocess.PIPE)
    assert process.stdout
    try:
        address = urlsplit(process.stdout.readline().split()[-1])
        assert address.hostname == "127.0.0.1"
        with closing(http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=60)) as connection:
            connection.request("GET", f"{address.path}api/state")
            assert json.loads(connection.getresponse().read())["progress"] == {"judged": 0, "of": 3}
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "0 of 3 clips of the queue random:3 are judged" in rest
