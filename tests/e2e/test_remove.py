"""What was removed is gone to the last byte, and does not come back."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from speechmill.core.removals import RemovalRequest, Removals
from speechmill.core.store import Store

from tests.commandline import TEXTS, fingerprint, flags, summary
from tests.server import ScriptedServer, ok

NAMES = sorted(TEXTS)  # river.flac, wheel.wav, wind.mp3
BARE = ("asr.model=null", "tokenise.checkpoint=null", "defects.weights=null")  # where no text or score is looked at


SECRET = b"Words that only the wheel's transcript has."


def server_note(server: ScriptedServer) -> str:
    """A transcript of one recording."""
    return server.script("/wheel.txt", ok(SECRET))


def feed(
    server: ScriptedServer,
    path: str,
    names: list[str],
    *,
    guid: str = "",
    transcript: str = "",
    of: str = "wheel",
    person: str = "",
) -> str:
    """A feed of some recordings, each with a title and a person that stand nowhere else."""
    items = "".join(
        f"<item><guid>{guid}{name}</guid><title>Title of {name}</title>"
        f"<podcast:person>{person or f'Reader of {name}'}</podcast:person>"
        + (f'<podcast:transcript url="{transcript}" type="text/plain"/>' if transcript and of in name else "")
        + f'<enclosure url="{server.url(f"/{name}")}" type="audio/x"/></item>'
        for name in names
    )
    licence = "<podcast:license>cc-by-4.0</podcast:license>"
    space = 'xmlns:podcast="https://podcastindex.org/namespace/1.0"'
    body = f'<rss version="2.0" {space}><channel><title>t</title>{licence}{items}</channel></rss>'
    return server.script(path, ok(body.encode(), etag=None, modified=None))


@contextmanager
def serving(folder: Path) -> Iterator[ScriptedServer]:
    """A server of the recordings."""
    with ScriptedServer() as server:
        for name in NAMES:
            server.script(f"/{name}", ok((folder / name).read_bytes()))
        yield server


@pytest.fixture
def site(folder: Path) -> Iterator[ScriptedServer]:
    with serving(folder) as server:
        yield server


def rows(corpus: Path) -> dict[str, dict]:
    return {row["recording_id"]: row for row in pq.read_table(corpus / "recordings.parquet").to_pylist()}


def by_title(corpus: Path, name: str) -> dict:
    return next(row for row in rows(corpus).values() if row["title"] == f"Title of {name}")


def traces(corpus: Path, *needles: bytes) -> list[str]:
    """Files in which one of the needles stands; Parquet is read, since its columns are compressed."""
    found = []
    for path in (path for path in corpus.rglob("*") if path.is_file() and path.name != "removed.json"):
        raw = path.read_bytes()
        if path.suffix == ".parquet":
            raw += repr(pq.ParquetFile(path).read().to_pylist()).encode()
        if any(needle in raw or repr(needle)[2:-1].encode() in raw for needle in needles):
            found.append(str(path.relative_to(corpus)))
    return found


def arguments(url: str, corpus: Path, *settings: str) -> list[str]:
    return flags(url, corpus, "fetch.allow_hosts=[127.0.0.1]", *settings)


def test_no_byte_of_a_removed_recording_is_left_and_it_never_comes_back(
    site: ScriptedServer, folder: Path, speechmill, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    url = feed(site, "/feed.xml", NAMES)
    speechmill("run", *arguments(url, corpus))
    doomed = by_title(corpus, "wheel.wav")
    query = (
        f"select clip_id, audio.bytes from '{corpus}/data/*.parquet' where recording_id = '{doomed['recording_id']}'"
    )
    clips = duckdb.sql(query).fetchall()
    sound = [flac[len(flac) // 2 :][:64] for _, flac in clips]
    media = (folder / "wheel.wav").read_bytes()[100_000:100_064]
    needles = [*sound, media, *(c.encode() for c, _ in clips), doomed["content_id"].encode()]
    needles += [b"Title of wheel", b"Reader of wheel"]
    assert {"data", "work", "pool.parquet"} <= {name.split("/")[0] for name in traces(corpus, *needles)}

    said = summary(
        speechmill("remove", corpus, "--recording", doomed["recording_id"], "--reason", "on request", "--json")
    )
    assert (said["recordings"], said["published"]["clips"]) == (1, 4)
    assert traces(corpus, *needles) == []
    row = rows(corpus)[doomed["recording_id"]]
    assert (row["status"], row["reason"], row["media_url"]) == ("removed", "removed", "")
    assert row["reason_detail"].startswith("on request, removed 20")
    assert summary(speechmill("verify", corpus, "--json"))["ok"]
    assert doomed["recording_id"] not in (corpus / "croissant.json").read_text()

    before, published = len(site.asked("/wheel.wav")), fingerprint(corpus)
    speechmill("run", *arguments(url, corpus))
    assert len(site.asked("/wheel.wav")) == before
    assert fingerprint(corpus) == published
    assert [name for name in traces(corpus, *needles) if not name.startswith("work/feeds")] == []


def test_the_same_bytes_are_removed_under_any_name(site: ScriptedServer, speechmill, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    both = feed(site, "/both.xml", ["river.flac", "wheel.wav"])
    speechmill("run", *arguments(both, corpus, *BARE))
    speechmill("remove", corpus, "--recording", by_title(corpus, "wheel.wav")["recording_id"], "--reason", "r")
    again = feed(site, "/again.xml", ["wheel.wav"], guid="other ")
    for _ in range(2):
        speechmill("run", *arguments(again, corpus, *BARE))
    assert sorted(row["status"] for row in rows(corpus).values()) == ["ok", "removed", "removed"]
    assert not list((corpus / "work/media").glob("[0-9a-f]*")) or len(list((corpus / "work/segment").glob("*/*"))) == 1
    assert len(site.asked("/wheel.wav")) == 2, "fetched again to find out again"


def test_a_feed_and_all_below_an_address_are_removed_before_anything_is_asked_for(
    site: ScriptedServer, speechmill, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    url = feed(site, "/shows/feed.xml", ["river.flac"])
    speechmill("run", *arguments(url, corpus, *BARE))
    speechmill("remove", corpus, "--source", site.url("/shows/"), "--reason", "withdrawn")
    planned = summary(speechmill("plan", *arguments(url, corpus, *BARE), "--json"))
    assert (planned["recordings"], planned["inputs"][url]["error"]) == (0, "removed")
    before = len(site.requests)
    other = feed(site, "/shows/other.xml", ["wheel.wav"])
    speechmill("run", "--input", other, *arguments(url, corpus, *BARE))
    assert len(site.requests) == before, "a removed address was asked"
    assert [row["status"] for row in rows(corpus).values()] == ["removed"]


def test_a_person_is_removed_from_every_feed_and_the_list_does_not_name_them(
    site: ScriptedServer, speechmill, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    speechmill("run", *arguments(feed(site, "/one.xml", ["river.flac"]), corpus, *BARE))
    speechmill("remove", corpus, "--person", "  reader OF wheel.wav ", "--reason", "asked for by them")
    speechmill("run", *arguments(feed(site, "/all.xml", NAMES), corpus, *BARE))
    assert site.asked("/wheel.wav") == []
    assert sorted(row["status"] for row in rows(corpus).values()) == ["duplicate", "ok", "ok", "removed"]
    assert "wheel" not in (corpus / "removed.json").read_text().lower()


def test_what_is_not_there_and_a_dry_run_change_nothing(corpus: Path, speechmill, tmp_path: Path) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    done = speechmill("remove", copy, "--recording", "nobody", "--reason", "r", code=2)
    assert "no recording nobody here" in done.stderr
    done = speechmill("remove", copy, "--reason", "r", code=2)
    assert "nothing is named" in done.stderr
    recording_id = next(iter(rows(copy)))
    said = summary(speechmill("remove", copy, "--recording", recording_id, "--reason", "r", "--dry-run", "--json"))
    assert (said["recordings"], said["dry_run"]) == (1, True)
    assert fingerprint(copy) == fingerprint(corpus)
    assert not (copy / "removed.json").exists()


@pytest.fixture(scope="module")
def with_note(folder: Path, speechmill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of two recordings of a feed, of which one has a transcript."""
    corpus = tmp_path_factory.mktemp("with_note") / "corpus"
    with serving(folder) as site:
        url = feed(site, "/feed.xml", ["river.flac", "wheel.wav"], transcript=server_note(site))
        speechmill("run", *arguments(url, corpus, *BARE))
    return corpus


@pytest.mark.parametrize("instant", range(8))
def test_a_removal_that_was_killed_is_finished_by_whatever_comes_next(
    with_note: Path, speechmill, tmp_path: Path, instant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Path(shutil.copytree(with_note, tmp_path / "corpus"))
    recording_id = by_title(corpus, "wheel.wav")["recording_id"]
    needles = (SECRET, by_title(corpus, "wheel.wav")["content_id"].encode(), b"Title of wheel")
    assert traces(corpus, *needles)

    steps = iter(range(1_000))

    def killed(act):
        def step(*given, **more):
            if next(steps) == instant:
                raise KeyboardInterrupt
            return act(*given, **more)

        return step

    with monkeypatch.context() as patch:
        for name in ("remove", "write_table", "write_json"):
            patch.setattr(Store, name, killed(getattr(Store, name)))
        speechmill("remove", corpus, "--recording", recording_id, "--reason", "r", code=130)
    speechmill("remove", corpus, "--recording", recording_id, "--reason", "r")
    assert traces(corpus, *needles) == []
    assert sorted(row["status"] for row in rows(corpus).values()) == ["ok", "removed"]
    assert summary(speechmill("verify", corpus, "--json"))["ok"]
    assert all(request.erased for request in Removals.load(Store(str(corpus))).all)


def test_who_is_named_only_later_goes_with_all_that_was_made_before(
    site: ScriptedServer, speechmill, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    url = feed(site, "/feed.xml", ["river.flac", "wheel.wav"])
    speechmill("run", *arguments(url, corpus, *BARE))
    content = by_title(corpus, "wheel.wav")["content_id"].encode()
    speechmill("remove", corpus, "--person", "Jane Doe", "--reason", "r")
    feed(site, "/feed.xml", ["river.flac", "wheel.wav"], person="Jane Doe")
    speechmill("run", *arguments(url, corpus, *BARE))
    assert sorted(row["status"] for row in rows(corpus).values()) == ["removed", "removed"]
    assert not list((corpus / "data").glob("*"))
    assert traces(corpus, content) == []
    again = feed(site, "/again.xml", ["wheel.wav"], guid="other ")
    speechmill("run", *arguments(again, corpus, *BARE))
    assert {row["status"] for row in rows(corpus).values()} == {"removed"}


def test_a_transcript_that_others_have_too_stays_with_them(site: ScriptedServer, speechmill, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    url = feed(site, "/feed.xml", ["river.flac", "wheel.wav"], transcript=server_note(site), of="")
    speechmill("run", *arguments(url, corpus, *BARE))
    ids = {name: by_title(corpus, name)["recording_id"] for name in ("river.flac", "wheel.wav")}
    speechmill("remove", corpus, "--recording", ids["wheel.wav"], "--reason", "r")
    (document,) = (corpus / "work/documents").iterdir()
    assert document.read_bytes() == SECRET
    speechmill("remove", corpus, "--recording", ids["river.flac"], "--reason", "r")
    assert not list((corpus / "work/documents").iterdir())


def test_verify_sees_what_was_removed_and_is_still_published(corpus: Path, speechmill, tmp_path: Path) -> None:
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    told = RemovalRequest(kind="recording", value=next(iter(rows(copy))), reason="r", when="2026-01-01T00:00:00Z")
    Removals((told,)).save(Store(str(copy)))
    found = summary(speechmill("verify", copy, "--json", code=1))["checks"]
    assert [name for name, check in found.items() if not check["ok"]] == ["removed"]
    speechmill("select", copy)
    assert summary(speechmill("verify", copy, "--json"))["ok"]
