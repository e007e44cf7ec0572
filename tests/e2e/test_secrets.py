"""No secret of an address gets out: nothing published, printed or logged names it, also inside Parquet files."""

import base64
import json
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from speechmill.core.records import Recording
from speechmill.core.removals import RemovalRequest, Removals, stored_value

from tests.commandline import TEXTS, Speechmill, flags
from tests.server import Behaviour, Handler, ScriptedServer, ok, status

PLANTED = ("s3cret", "FEEDKEY", "MEDIAKEY", "TRANSCRIPTKEY", "GONEKEY", "GUIDKEY", "PAGEKEY")
SPACE = 'xmlns:podcast="https://podcastindex.org/namespace/1.0"'
SRT = f"1\n00:00:01,200 --> 00:00:07,300\n{TEXTS['river.flac'][0]}\n"


def behind_password(answer: Behaviour) -> Behaviour:
    """Answer those who know the password."""
    expected = f"Basic {base64.b64encode(b'ann:s3cret').decode()}"

    def behave(handler: Handler) -> None:
        known = handler.headers.get("Authorization") == expected
        (answer if known else status(401, WWW_Authenticate='Basic realm="feed"'))(handler)

    return behave


@pytest.fixture
def feed(folder: Path, server: ScriptedServer) -> str:
    """A feed behind a password and a token, whose episodes have tokens; one episode is gone."""
    river, gone = "/river.flac?token=MEDIAKEY&amp;id=7", "/gone.mp3?Signature=GONEKEY"
    server.script("/river.flac?token=MEDIAKEY&id=7", ok((folder / "river.flac").read_bytes()))
    server.script("/river.srt?auth=TRANSCRIPTKEY", ok(SRT.encode()))
    transcript = (
        f'<podcast:transcript url="{server.url("/river.srt?auth=TRANSCRIPTKEY")}" type="application/x-subrip"/>'
    )
    items = (
        f"<item><guid>https://x.example/1?key=GUIDKEY</guid><title>River</title>{transcript}"
        f"<link>https://x.example/1?jwt=PAGEKEY</link>"
        f'<enclosure url="{server.url(river)}" type="audio/flac"/></item>'
        f"<item><guid>2</guid><title>Gone</title>"
        f'<enclosure url="{server.url(gone)}" type="audio/mpeg"/></item>'
    )
    licence = "<podcast:license>cc-by-4.0</podcast:license>"
    body = f"<rss version='2.0' {SPACE}><channel><title>T</title>{licence}{items}</channel></rss>".encode()
    url = server.script("/feed?key=FEEDKEY", behind_password(ok(body)))
    return url.replace("http://", "http://ann:s3cret@")


def texts(corpus: Path) -> dict[str, str]:
    """Text of every file outside work/, and of the log; of a Parquet file all rows and its metadata."""
    found = {}
    for path in [*corpus.rglob("*"), corpus / "work" / "log.jsonl"]:
        if not path.is_file() or (path.is_relative_to(corpus / "work") and path.name != "log.jsonl"):
            continue
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            found[str(path)] = f"{table.to_pylist()} {table.schema.metadata} {pq.read_metadata(path).metadata}"
        else:
            found[str(path)] = path.read_text(errors="replace")
    return found


def test_nothing_that_leaves_work_names_a_secret(
    feed: str, server: ScriptedServer, speechmill: Speechmill, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    arguments = [*flags(feed, corpus), "--set", f"fetch.allow_hosts=['{server.host}']", "--set", "fetch.retries=0"]
    planned = speechmill("plan", *arguments)
    done = speechmill("run", *arguments, "--set", "max_failed_ratio=1")
    rows = pq.read_table(corpus / "recordings.parquet").to_pylist()
    assert {row["title"]: row["status"] for row in rows} == {"River": "ok", "Gone": "failed"}
    river = next(row for row in rows if row["title"] == "River")
    assert river["media_url"] == server.url("/river.flac?id=7")
    assert river["feed_url"] == server.url("/feed")

    printed = [
        *(planned.stdout, planned.stderr, done.stdout, done.stderr),
        *(
            speechmill(*command).stdout
            for command in (["status", corpus], ["verify", corpus], ["status", corpus, "--json"])
        ),
    ]
    found = texts(corpus) | {f"printed {number}": text for number, text in enumerate(printed)}
    assert len(found) > 10
    assert {(name, secret) for name, text in found.items() for secret in PLANTED if secret in text} == set()


def test_a_run_goes_on_with_the_password_that_only_work_knows(
    feed: str, server: ScriptedServer, speechmill: Speechmill, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    allowed = [
        "--set",
        f"fetch.allow_hosts=['{server.host}']",
        "--set",
        "max_failed_ratio=1",
        "--set",
        "fetch.retries=0",
    ]
    speechmill("run", *flags(feed, corpus), *allowed)
    assert "s3cret" not in json.dumps(json.loads((corpus / "run.json").read_text())["config"])
    asked = len(server.asked("/feed?key=FEEDKEY"))
    done = json.loads(speechmill("run", "--output", corpus, "--json").stdout)
    assert len(server.asked("/feed?key=FEEDKEY")) > asked
    assert done["stages"]["fetch"]["in"] == 2
    private = [path for path in (corpus / "work").rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert private
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


def test_an_address_with_a_token_is_removed_without_being_listed(tmp_path: Path) -> None:
    secret = RemovalRequest(
        kind="source", value=stored_value("source", "https://h.example/feed?key=FEEDKEY"), reason="", when=""
    )
    public = RemovalRequest(kind="source", value=stored_value("source", "https://h.example/feed"), reason="", when="")
    assert "feedkey" not in secret.value.lower()

    def recording(key: str) -> Recording:
        return Recording(
            recording_id="1", source="rss", media_url="https://m.example/1", feed_url=f"http://h.example/feed?key={key}"
        )

    assert Removals((secret,)).match(recording("FEEDKEY"))
    assert not Removals((secret,)).match(recording("OTHER"))
    assert Removals((public,)).match(recording("FEEDKEY"))
    assert Removals((secret,)).covers_input("https://h.example/feed?key=FEEDKEY")
    assert not Removals((secret,)).covers_input("https://h.example/feed")
