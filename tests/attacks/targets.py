"""What the fuzzer attacks: a name, small inputs to begin with, and a function that takes any bytes.

A function may raise what a caller of that code expects (RejectedError, ConfigError) and nothing else. Each works in a folder
of its own; whatever opens a file for writing elsewhere is caught by the fuzzer.
"""

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.records import RejectedError
from speechmill.core.store import Store

AGENTS = ("speechmill",)
FOLDER = Path(tempfile.gettempdir(), "speechmill-fuzz")  # the one place where targets may write


@dataclass(frozen=True, slots=True)
class Target:
    """`share` of all inputs go to it."""

    share: float
    seeds: Callable[[], list[bytes]]
    function: Callable[[bytes], object]
    max_bytes: int = 8_192


FEED = b"""<?xml version="1.0" encoding="UTF-8"?><rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0"
 xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" xmlns:rsl="https://rslstandard.org/rsl"
 xmlns:atom="http://www.w3.org/2005/Atom"><channel><title>T &amp; U</title><link>/a</link>
<atom:link rel="next" href="feed.xml?page=2"/><podcast:license>cc-by-4.0</podcast:license><itunes:block>no</itunes:block>
<rsl:content url="/"><rsl:license><rsl:permits type="usage">ai-train</rsl:permits></rsl:license></rsl:content>
<item><guid>1</guid><title><![CDATA[E <b>1</b>]]></title><pubDate>Mon, 01 Jan 2024 00:00:00 GMT</pubDate>
<itunes:duration>1:02:03</itunes:duration><enclosure url="1.mp3?a=1&amp;b=2" length="5" type="audio/mpeg"/>
<podcast:transcript url="1.srt" type="application/x-subrip" language="en"/><podcast:person>Ann</podcast:person></item>
<item><title>E 2</title><enclosure url="//h/2.mp3"/></item></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>T</title><entry><id>1</id><title>E</title>
<link rel="enclosure" href="http://h/1.mp3" type="audio/mpeg"/><updated>2024-01-01T00:00:00Z</updated></entry></feed>"""
OPML = b"""<opml version="2.0"><head><title>x</title></head><body><outline text="a"><outline type="rss" xmlUrl="http://h/f"/>
<outline type="rss" XMLURL="feed://h/g"/></outline><outline URL="h.xml"/></body></opml>"""
SUBTITLES = [
    b"1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i> there.\n\n2\n00:00:03,000 --> 00:00:04,000\n[music] ANN: Bye.\n",
    b"WEBVTT\n\nNOTE x\n\n00:01.000 --> 00:02.000 align:start\n<v Ann>Hello <00:00:01.500>there</v>\n",
    b'{"version":"1.0.0","segments":[{"speaker":"A","startTime":0.5,"endTime":1.5,"body":"Hello there."}]}',
    b"<html><body><p><cite>Ann:</cite> <time>00:01</time> Hello there.</p><script>x</script></body></html>",
    b"*** START OF THE BOOK ***\nIt was the best of times, it was the worst of times.\n*** END OF THE BOOK ***\n",
]
MANIFEST = (
    b'{"path": "a.wav", "start_s": 1, "end_s": 2.5, "text": "Hello.", "language": "en", "licence": "CC0-1.0"}\n'
    b'{"audio_filepath": "b.wav", "offset": 2, "duration": 3}\n{"url": "https://h/1.mp3", "published": "2024-01-01"}\n'
)
CONFIG = b"""inputs:\n  - a.mp3\n  - {address: "https://h/f.xml", licence: CC-BY-4.0}\noutput: out
segment: {profile: recover, min_length_s: 3}\nthresholds: &t {snr_db: 20, noise: null}\nasr: {language: 'no'}\n"""
ROBOTS = b"""# c\nUser-agent: *\nDisallow: /a*b$\nAllow: /a\nCrawl-delay: 2\nContent-Signal: ai-train=no, search=yes
Content-Usage: /x train-ai=n\nLicense: https://h/l.xml\n\nUser-Agent: speechmill\nUser-agent: other\nDisallow: /c%20d\n"""
RSL = b"""<rsl xmlns="https://rslstandard.org/rsl"><content url="/p/*" server="https://s/"><license>
<permits type="usage">ai-train,search</permits><prohibits type="geo">DE</prohibits><payment type="free"/></license></content></rsl>"""
PAGE = b"""<!doctype html><html><head><meta name="robots" content="noai, noindex"><META NAME='tdm-reservation' content=1>
<link rel="license" href="https://creativecommons.org/licenses/by/4.0/"><link rel=alternate type=application/rss+xml href=/f>
<!-- c --><script>if (a < b) {}</script><style>p{}</style></head><body><a rel="license" href="x">y</a></body></html>"""
TDM = b'[{"location": "/a/*", "tdm-reservation": 1, "tdm-policy": "https://h/p"}, {"location": "/", "tdm-reservation": 0}]'
HEADERS = (
    b"X-Robots-Tag: otherbot: noindex, speechmill: noai\nContent-Usage: train-ai=n;x=(1 2)\nTDM-Reservation: 1\n"
    b'Link: <https://h/l.xml>; rel="license"; type="application/rsl+xml", </b>; rel=next\nContent-Signal: ai-train=no\n'
)
URLS = [
    b"https://ann:s3cret@h.example/a;b=c/1.mp3?token=abc&id=3#t=10", b"see https://h/?u=https%3A%2F%2Fx:y@z/ (here)",
    b'{"url":"https:\\/\\/u:p@h\\/?key=K"}', b"Authorization: Basic dXNlcjpwYXNz",
]  # fmt: skip
NUMBERS = [
    b"It cost $1,234.50 on 3 May 1999, i.e. 5\xe2\x80\x9310 kg at 20 \xc2\xb0C.",
    b"Am 3. Mai 2020 waren es 1.000.000 \xe2\x82\xac, 50 %, Nr. 5 und 3,5 km/h.",
]


def _folder() -> Path:
    FOLDER.mkdir(exist_ok=True)
    return FOLDER


def _listed(name: str, data: bytes) -> None:
    from speechmill.sources.builtin import local, rss

    path = _folder() / name
    path.write_bytes(data)
    module = local if name.endswith(".jsonl") else rss
    prefix = "" if name.endswith(".jsonl") else "rss:"
    config, store = RunConfig(fetch={"retries": 0}), Store(str(_folder() / "corpus"))
    with suppress(RejectedError):
        for listed in module.list_recordings(Input(address=f"{prefix}{path}"), config, store):
            assert listed.recording.recording_id


def feed(data: bytes) -> None:
    """A feed, read from a file: every item is a row, or the feed is refused."""
    from speechmill.sources.feeds.feed import Feed

    with suppress(RejectedError):
        found = Feed(data, "https://h.example/feed.xml")
        if found.outlines is None:
            list(found.recordings(identity="https://h.example/feed.xml", by_feed={}, refused={}))


def subtitles(data: bytes) -> None:
    """A transcript of any format, which begins with a byte that picks its media type."""
    from speechmill.text.reference import ClipHypothesis, align, read

    types = (None, "text/vtt", "application/json", "text/html", "text/plain; charset=utf-16", "application/x-subrip")
    with suppress(RejectedError):
        reference = read(data[1:], types[data[0] % len(types)] if data else None, "1-2-0003")
        align(reference, [ClipHypothesis(start_s=0.0, end_s=2.0, words=("hello", "there"))])


def manifest(data: bytes) -> None:
    """A manifest of local files and addresses."""
    _listed("manifest.jsonl", data)


def config(data: bytes) -> None:
    """A config file."""
    from speechmill.core import config_file

    path = _folder() / "config.yaml"
    path.write_bytes(data)
    with suppress(ConfigError):
        config_file.load(str(path))


def robots(data: bytes) -> None:
    """robots.txt, asked about many addresses."""
    from speechmill.fetch.consent.robots import Robots

    found = Robots(data.decode("utf-8", "replace"), AGENTS)
    for path in ("/", "/a/b?c=d", "/" + "a" * 200):
        found.disallows(path)
        found.forbids_training(path)


def rsl(data: bytes) -> None:
    """Terms of RSL."""
    from speechmill.fetch.consent import rsl as terms
    from speechmill.fetch.consent.signals import understanding

    with suppress(RejectedError), understanding("https://h.example/l.xml"):  # terms that nobody understands are a no
        contents = terms.read(data.decode("utf-8", "replace"))
        terms.judge(contents or [], "https://h.example/p/1.mp3", "https://h.example/robots.txt")


def page(data: bytes) -> None:
    """A web page and what it says of training and licences."""
    from speechmill.fetch.consent import page as pages

    pages.read(data.decode("utf-8", "replace"), AGENTS)


def tdm(data: bytes) -> None:
    """tdmrep.json."""
    from speechmill.fetch.consent.signals import understanding
    from speechmill.fetch.consent.tdm import Reservations

    with suppress(RejectedError), understanding("https://h.example/.well-known/tdmrep.json"):
        Reservations(data.decode("utf-8", "replace"), "https://h.example").reserves("/a/" + "b" * 100)


def headers(data: bytes) -> None:
    """Headers of an answer."""
    from speechmill.fetch.consent import headers as told
    from urllib3 import HTTPHeaderDict

    found = HTTPHeaderDict()
    for line in data.decode("latin-1").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.add(name, value.strip())
    list(told.objections(found, AGENTS))
    list(told.licences(found))


def urls(data: bytes) -> None:
    """Texts with addresses."""
    from speechmill.core.terminal import printable

    once = printable(data.decode("utf-8", "replace"))
    assert "\x1b" not in once


def about(data: bytes) -> None:
    """JSON beside a recording."""
    from speechmill.sources.files import about

    path = _folder() / "talk.info.json"
    path.write_bytes(data)
    found = about.read(str(path))
    json.dumps(about.described(found))
    about.licence(found)


def container(data: bytes) -> None:
    """The head of a media file, decoded to its end."""
    import io

    from speechmill.audio import Decoding
    from speechmill.core.config import Audio

    with suppress(RejectedError):
        for _ in Decoding(io.BytesIO(data), 24_000, Audio(max_duration_s=600)):
            pass


def containers() -> list[bytes]:
    """The first kilobytes of a second of noise in every container that can be written here."""
    import numpy as np

    from tests.media import encode, wav

    sound = 0.3 * np.random.default_rng(0).standard_normal(6_000)
    made = [
        ("mp3", "libmp3lame"), ("mp4", "aac"), ("ogg", "libopus"), ("ogg", "flac"), ("webm", "libopus"),
        ("adts", "aac"), ("wv", "wavpack"), ("tta", "tta"), ("caf", "pcm_s16le"), ("au", "pcm_s16be"), ("ac3", "ac3"),
        ("matroska", "flac"), ("w64", "pcm_s16le"), ("avi", "libmp3lame"), ("mpegts", "mp2"), ("asf", "wmav2"),
    ]  # fmt: skip
    seeds = [wav(sound), wav(sound, kind="FLAC"), wav(sound, kind="AIFF")]
    for kind, codec in made:
        with suppress(ValueError, OSError):
            seeds.append(encode(kind, codec, sound))
    return [seed[:4096] for seed in seeds]


TARGETS = {
    "feed": Target(0.03, lambda: [FEED, ATOM], feed),
    "opml": Target(0.05, lambda: [OPML], feed),
    "subtitles": Target(0.1, lambda: [bytes([i]) + text for i in range(6) for text in SUBTITLES], subtitles),
    "manifest": Target(0.05, lambda: [MANIFEST, b"\xff\xfe" + MANIFEST.decode().encode("utf-16-le")], manifest),
    "config": Target(0.03, lambda: [CONFIG], config),
    "robots": Target(0.17, lambda: [ROBOTS], robots),
    "rsl": Target(0.15, lambda: [RSL], rsl),
    "page": Target(0.15, lambda: [PAGE], page),
    "tdm": Target(0.1, lambda: [TDM], tdm),
    "headers": Target(0.1, lambda: [HEADERS], headers),
    "urls": Target(0.04, lambda: URLS + NUMBERS, urls),
    "about": Target(
        0.02, lambda: [b'{"title": "T", "uploader": "U", "license": "CC-BY", "upload_date": "20240101"}'], about
    ),
    "container": Target(0.01, containers, container, max_bytes=4_096),
}
