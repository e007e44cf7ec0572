"""The demo podcast, synthesised on the user's own machine, and a server for it on the loopback address.

It is a real feed with every defect at a known place, without a download or a licence to clear.
"""

import json
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, formatdate, parsedate_to_datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

from speechmill.core import ownership
from speechmill.core.config_errors import ConfigError
from speechmill.core.store import Store
from speechmill.sources.demo.script import EPISODES
from speechmill.sources.demo.sound import RATE, encode_mp3, load_voice, render

BASE = "{base}"  # placeholder for the server's address in the stored feed; its port is known only when it runs
PORT = 8417
ITUNES = "http://www.itunes.com/dtds/podcast-1.0.dtd"
PODCAST = "https://podcastindex.org/namespace/1.0"
GUID = uuid.uuid5(uuid.UUID("ead4c236-bf58-58c6-a2c6-a6b28d128cb6"), "speechmill/demo")  # namespace: podcast:guid's
CC0_URL = "https://creativecommons.org/publicdomain/zero/1.0/"
TRANSCRIPT = "episode-1.vtt"
TYPES = {
    ".xml": "application/rss+xml; charset=utf-8", ".mp3": "audio/mpeg", ".json": "application/json",
    ".vtt": "text/vtt; charset=utf-8",
}  # fmt: skip
OTHER_TYPE = "application/octet-stream"
RANGE = re.compile(r"bytes=(?=-?[0-9])([0-9]{0,18})-([0-9]{0,18})")
FIRST_PUBLISHED = datetime(2024, 3, 4, 6, 0, tzinfo=UTC)
# The demo's own settings: its server is on this machine, its model in a package, its recordings are few.
CONFIG = {
    "fetch": {"allow_hosts": ["127.0.0.1"]},
    "asr": {"model": "tiny.en"},
    "publish": {"validation_share": 0.25},
}


def folder_in(output: str) -> Path:
    """Make an output ours; returns the folder of the podcast in it. Raises ConfigError where that cannot be."""
    store = Store(output)
    if not store.is_local:
        raise ConfigError(
            f"output: {output}: the demo serves files of its output, which must be a folder on this machine"
        )
    ownership.claim(store)
    return Path(store.path("podcast"))


def make_podcast(folder: Path) -> tuple[Path, ...]:
    """Make `episode-N.mp3` (mono, 44.1 kHz), the first one's transcript, `truth.json` (what was planted where) and
    `feed.xml`; return their paths.

    The same library versions give the same bytes. Nothing is done when all of it is there.
    Raises ConfigError when the package that speaks is not installed.
    """
    store = Store(str(folder))
    names = (*(e.name for e in EPISODES), TRANSCRIPT, "truth.json", "feed.xml")
    if not all(store.exists(name) for name in names):
        _make(store)
    return tuple(folder / name for name in names)


def _make(store: Store) -> None:
    speak = load_voice()
    truth, seconds = {}, {}
    for episode in EPISODES:
        sound, truth[episode.name] = render(episode, speak)
        seconds[episode.name] = len(sound) / RATE
        _add_file(store, episode.name, encode_mp3(sound, episode.title))
    _add_file(store, "truth.json", json.dumps(truth, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    _add_file(store, TRANSCRIPT, _web_vtt(truth[EPISODES[0].name]).encode())
    sizes = {name: store.size(name) for name in seconds}
    _add_file(store, "feed.xml", _feed(sizes, seconds))


def _add_file(store: Store, name: str, content: bytes) -> None:
    """Write a file that is not there yet."""
    if not store.exists(name):
        with store.create(name) as file:
            file.write(content)


def _feed(sizes: dict[str, int], seconds: dict[str, float]) -> bytes:
    """Write the feed (RSS 2.0 with the itunes and podcast namespaces)."""
    for prefix, space in (("itunes", ITUNES), ("podcast", PODCAST)):
        ElementTree.register_namespace(prefix, space)
    rss = ElementTree.Element("rss", version="2.0")
    channel = ElementTree.SubElement(rss, "channel")
    about = "A small synthetic podcast about a mill, with defects planted on purpose."
    _add(channel, {"title": "Stories from the Mill", "link": f"{BASE}/", "description": about, "language": "en"})
    _add(channel, {f"{{{ITUNES}}}author": "speechmill", f"{{{PODCAST}}}guid": str(GUID)})
    _add(channel, {f"{{{PODCAST}}}license": "cc0-1.0"}, url=CC0_URL)
    for episode in EPISODES:
        item = ElementTree.SubElement(channel, "item")
        published = FIRST_PUBLISHED + timedelta(weeks=episode.number - 1)
        _add(item, {"title": episode.title, "description": episode.description})
        _add(item, {"guid": f"speechmill-demo-episode-{episode.number}"}, isPermaLink="false")
        _add(item, {"pubDate": format_datetime(published), f"{{{ITUNES}}}episode": str(episode.number)})
        _add(item, {f"{{{ITUNES}}}duration": str(round(seconds[episode.name]))})
        media = {"url": f"{BASE}/{episode.name}", "length": str(sizes[episode.name]), "type": "audio/mpeg"}
        ElementTree.SubElement(item, "enclosure", media)
        if episode is EPISODES[0]:
            _add(item, {f"{{{PODCAST}}}transcript": ""}, url=f"{BASE}/{TRANSCRIPT}", type="text/vtt", language="en")
    ElementTree.indent(rss)
    document: bytes = ElementTree.tostring(rss, encoding="utf-8", xml_declaration=True)
    return document


def _web_vtt(passages: list[dict[str, Any]]) -> str:
    """A transcript as a publisher would have it, a cue a passage."""
    cues = (f"{_clock(passage['start_s'])} --> {_clock(passage['end_s'])}\n{passage['text']}\n" for passage in passages)
    return "\n".join(["WEBVTT\n", *cues])


def _clock(seconds: float) -> str:
    return f"{seconds // 60:02.0f}:{seconds % 60:06.3f}"


def _add(parent: ElementTree.Element, texts: dict[str, str], **attributes: str) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag, attributes).text = text


@contextmanager
def serve(folder: Path, port: int = PORT) -> Iterator[str]:
    """Serve the files of a folder on 127.0.0.1 while the block runs; yield `http://127.0.0.1:PORT`.

    Takes a free port when `port` is not. Answers GET and HEAD with ETag and Last-Modified, conditional requests
    (RFC 9110, 13) with 304, and single ranges (RFC 9110, 14) with 206 or 416. Writes nothing to the terminal.
    """
    try:
        server = _Server(("127.0.0.1", port), _Handler)
    except OSError:
        server = _Server(("127.0.0.1", 0), _Handler)
    server.folder = folder
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.base
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingMixIn, TCPServer):
    """Not http.server's own, which asks the name service for its host's name."""

    allow_reuse_address = True
    daemon_threads = True
    folder: Path

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def read(self, name: str) -> tuple[bytes, float] | None:
        """Contents and time of a file, the address filled in; names are compared, so no path leads out."""
        path = next((p for p in self.folder.iterdir() if p.name == name and p.is_file()), None)
        if path is None or name.startswith("."):
            return None
        body = path.read_bytes()
        if path.suffix == ".xml":
            body = body.replace(BASE.encode(), self.base.encode())
        return body, path.stat().st_mtime

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore errors: a disconnected client does not concern the user."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Server

    def do_GET(self) -> None:
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        file = self.server.read(name)
        if file is None:
            self._answer(404)
            return
        body, modified = file
        facts = {"ETag": f'"{sha256(body).hexdigest()[:32]}"', "Last-Modified": formatdate(modified, usegmt=True)}
        if self._is_known(facts):
            self._answer(304, facts)
            return
        bounds = self._range(len(body), facts)
        facts |= {"Accept-Ranges": "bytes", "Content-Type": TYPES.get(Path(name).suffix, OTHER_TYPE)}
        if bounds is None:
            self._answer(200, facts, body)
        elif bounds[0] >= bounds[1]:
            self._answer(416, {"Content-Range": f"bytes */{len(body)}"})
        else:
            facts["Content-Range"] = f"bytes {bounds[0]}-{bounds[1] - 1}/{len(body)}"
            self._answer(206, facts, body[slice(*bounds)])

    def do_HEAD(self) -> None:
        self.do_GET()

    def _is_known(self, facts: dict[str, str]) -> bool:
        """Whether the client has this version: by its ETags if it sends any, else by its date."""
        tags = self.headers.get("If-None-Match")
        if tags is not None:
            client_tags = [tag.strip().removeprefix("W/") for tag in tags.split(",")]
            return facts["ETag"] in client_tags or "*" in client_tags
        since, changed = _date(self.headers.get("If-Modified-Since")), _date(facts["Last-Modified"])
        return since is not None and changed is not None and changed <= since

    def _range(self, size: int, facts: dict[str, str]) -> tuple[int, int] | None:
        """Requested range: first byte and one past the last, empty if unsatisfiable; None: the whole file."""
        match = RANGE.fullmatch(self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if match is None or condition not in (None, *facts.values()):
            return None
        first, last = match.groups()
        if not first:
            return max(size - int(last), 0), size
        return int(first), min(int(last) + 1, size) if last else size

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Log nothing: the terminal shows the run's progress."""


def _date(text: str | None) -> float | None:
    """Seconds since 1970 of an HTTP date; None, and so ignored (RFC 9110, 13.1.3), if it is not one."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
