"""What a publisher says is spoken stands beside what was heard, clip by clip."""

from pathlib import Path

import duckdb
import pytest

from tests.commandline import TEXTS, flags, summary
from tests.server import ScriptedServer, ok

SPACE = 'xmlns:podcast="https://podcastindex.org/namespace/1.0"'
SRT = f"""1
00:00:01,200 --> 00:00:07,300
{TEXTS["river.flac"][0]}

2
00:00:08,900 --> 00:00:14,500
[music] MILLER: {TEXTS["river.flac"][1]}
"""
PAGE = f"""<html><head><title>x</title><script>var a = "never spoken";</script></head><body><nav>Home</nav>
<p>This is what the miller said, before the tape was on, and nobody heard it.</p>
<p><cite>Miller:</cite> {" ".join(TEXTS["wheel.wav"])} <b>Thank you</b> &amp; goodbye.</p></body></html>"""


def item(server: ScriptedServer, name: str, transcript: str) -> str:
    licence = "<podcast:license>cc-by-4.0</podcast:license>"
    return (
        f"<item><guid>{name}</guid><title>{name}</title>{licence}{transcript}"
        f'<enclosure url="{server.url(f"/{name}")}" type="audio/x"/></item>'
    )


def tag(url: str, kind: str) -> str:
    return f'<podcast:transcript url="{url}" type="{kind}"/>'


@pytest.fixture
def feed(folder: Path, server: ScriptedServer) -> str:
    for name in TEXTS:
        server.script(f"/{name}", ok((folder / name).read_bytes()))
    srt = tag(server.script("/river.srt", ok(SRT.encode())), "application/x-subrip")
    page = tag(server.script("/wheel.html", ok(PAGE.encode())), "text/html")
    broken = tag(server.script("/wind.json", ok(b"\x00\x01\x02" * 50)), "application/json")
    items = item(server, "river.flac", srt) + item(server, "wheel.wav", page) + item(server, "wind.mp3", broken)
    return server.script("/feed", ok(f"<rss version='2.0' {SPACE}><channel>{items}</channel></rss>".encode()))


def told(corpus: Path) -> dict[str, list[tuple]]:
    query = f"""select title, text, reference_text, reference_match, reference_url
                from '{corpus}/data/*.parquet' order by title, start"""
    found: dict[str, list[tuple]] = {}
    for title, *rest in duckdb.sql(query).fetchall():
        found.setdefault(title, []).append(tuple(rest))
    return found


def test_transcripts_with_and_without_times_are_aligned_to_clips(
    feed: str, server: ScriptedServer, speechmill, tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus"
    arguments = flags(feed, corpus, "fetch.allow_hosts=[127.0.0.1]")
    speechmill("run", *arguments)
    found = told(corpus)
    assert [row[1] for row in found["river.flac"]] == list(TEXTS["river.flac"])
    assert [row[1] for row in found["wheel.wav"]] == [TEXTS["wheel.wav"][0], TEXTS["wheel.wav"][2]]
    assert all(row[2] > 0.8 for name in ("river.flac", "wheel.wav") for row in found[name])
    assert {row[3] for row in found["wheel.wav"]} == {server.url("/wheel.html")}
    assert {row[1:] for row in found["wind.mp3"]} == {(None, None, None)}
    remarks = dict(duckdb.sql(f"select title, reason_detail from '{corpus}/recordings.parquet'").fetchall())
    assert "bad_transcript" in remarks["wind.mp3"]
    assert remarks["river.flac"] is None
    assert summary(speechmill("verify", corpus, "--json"))["ok"]
    assert TEXTS["wheel.wav"][2] in (corpus / "report.html").read_text()
    before = len(server.requests)
    assert "nothing to do" in speechmill("run", *arguments).stdout
    assert [one.path for one in server.requests[before:]] == ["/feed"]


def test_times_alone_do_where_nothing_was_heard(feed: str, speechmill, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    speechmill("run", *flags(feed, corpus, "fetch.allow_hosts=[127.0.0.1]", "asr.model=null"))
    query = f"select title, reference_text, reference_match from '{corpus}/data/*.parquet' order by title, start"
    found = duckdb.sql(query).fetchall()
    river = [row[1] for row in found if row[0] == "river.flac"]
    assert [text.split()[-1] for text in river] == [text.split()[-1] for text in TEXTS["river.flac"]]
    assert all(row[1:] == (None, None) for row in found if row[0] != "river.flac")


def test_texts_of_what_may_not_be_published_are_not_shown(feed: str, speechmill, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    more = ("asr.model=null", "tokenise.checkpoint=null")
    speechmill("run", *flags(feed, corpus, "fetch.allow_hosts=[127.0.0.1]", *more))
    last = TEXTS["river.flac"][1][-30:]
    assert last in (corpus / "report.html").read_text()
    speechmill("select", corpus, "--set", "licences.allow=[CC0-1.0]")
    assert last not in (corpus / "report.html").read_text()
