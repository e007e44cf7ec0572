"""ytdlp: the real yt-dlp against a real server, with all of its requests made by our own client."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yt_dlp.globals
from speechmill.core.config import Input, RunConfig
from speechmill.core.config_errors import ConfigError
from speechmill.core.fetch_config import Fetch
from speechmill.core.reasons import Reason
from speechmill.core.records import Attachment, Recording, RejectedError, Status, to_table
from speechmill.core.store import Store
from speechmill.fetch import StoppedError, Visit
from speechmill.sources import Listed, check, licences, list_recordings, resolve
from speechmill.sources.builtin import ytdlp
from speechmill.sources.videos import library
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.utils import ExtractorError, Popen, smuggle_url

from tests.server import (
    Behaviour,
    Handler,
    Request,
    ScriptedServer,
    cut,
    endless,
    ok,
    redirect,
    respond,
    status,
)

MP3 = b"ID3" + bytes(300_000)
AGENT = "mill/1 (+https://example.org)"


class MillTubeIE(InfoExtractor):
    """One video of a site that answers as the test scripts it."""

    _VALID_URL = r"http://[\d.]+:\d+/site/watch/(?P<id>\w+)"
    _TESTS: ClassVar[list[dict[str, str]]] = [{"url": "http://127.0.0.1:1/site/watch/a"}]

    def _real_extract(self, url: str) -> dict[str, Any]:
        video_id = self._match_id(url)
        told = self._download_json(url, video_id)
        for warning in told.pop("warnings", ()):
            self.report_warning(warning)
        for other in told.pop("unread", ()):
            self._request_webpage(other, video_id)
        for other in told.pop("optional", ()):
            self._download_webpage(other, video_id, fatal=False)
        if "post" in told:
            body = json.dumps({"id": video_id}).encode()
            told |= self._download_json(told.pop("post"), video_id, data=body, headers={"User-Agent": "Mozilla"})
        if told.get("drm"):
            self.report_drm(video_id)
        if "error" in told:
            raise ExtractorError(told["error"], expected=True)
        return {"id": video_id, **told}


class MillChannelIE(InfoExtractor):
    """A list of videos, and of other lists, a page at a time."""

    _VALID_URL = r"http://[\d.]+:\d+/site/list/(?P<id>\w+)"
    _TESTS: ClassVar[list[dict[str, Any]]] = [{"url": "http://127.0.0.1:1/site/list/a", "playlist_mincount": 1}]

    def _entries(self, url: str, name: str):
        while url:
            page = self._download_json(url, name)
            for one in page["entries"]:
                yield one if "_type" in one else self.url_result(one.pop("url"), video_id=one.pop("id", None), **one)
            url = page.get("next")

    def _real_extract(self, url: str) -> dict[str, Any]:
        name = self._match_id(url)
        return self.playlist_result(self._entries(url, name), name, f"List {name}", uploader="Ann")


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both extractors before yt-dlp's own, as a plug-in of it would be."""
    ours = {"MillTubeIE": MillTubeIE, "MillChannelIE": MillChannelIE}
    import yt_dlp.extractor.extractors

    monkeypatch.setattr(yt_dlp.globals.extractors, "value", ours | yt_dlp.globals.extractors.value)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "corpus"))


def config(server: ScriptedServer, **values: object) -> RunConfig:
    told = {
        "allow_hosts": [server.host],
        "retries": 1,
        "backoff_s": 0.01,
        "timeout_s": 5,
        "user_agent": AGENT,
        **values,
    }
    return RunConfig.model_validate({"fetch": told})


def lazily(server: ScriptedServer, store: Store, path: str, **values: str):
    return list_recordings(Input(address=f"ytdlp:{server.url(path)}", **values), config(server), store)


def listing(server: ScriptedServer, store: Store, path: str, **values: str) -> list[Recording]:
    listed = list(lazily(server, store, path, **values))
    assert all(isinstance(one, Listed) for one in listed)
    return [one.recording for one in listed]


def listed(server: ScriptedServer, store: Store, path: str, **values: str) -> Recording:
    (one,) = listing(server, store, path, **values)
    return one


def resolved(server: ScriptedServer, store: Store, path: str, **values: str) -> tuple[Recording, str]:
    return resolve(listed(server, store, path, **values), config(server), store)


def refusal(act: Callable[..., Any], *args: Any, **values: Any) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        act(*args, **values)
    assert type(caught.value) is RejectedError or caught.value.retry
    return caught.value


def paths(server: ScriptedServer) -> list[tuple[str, str]]:
    """What was asked for and is scripted, in order."""
    return [(request.method, request.path) for request in server.requests]


def everything(server: ScriptedServer) -> list[Request]:
    return [*server.requests, *server.questions]


def media(server: ScriptedServer, path: str = "/media/talk.mp3", **headers: str) -> str:
    """A file for which a GET would be one too many, of whatever size."""
    told = {"Content-Type": "audio/mpeg", "Content-Length": str(len(MP3)), **headers}
    server.script(f"HEAD {path}", respond(200, told))
    return server.script(path, ok(MP3, **{name.replace("-", "_"): value for name, value in told.items()}))


def page(server: ScriptedServer, body: str, path: str = "/pages/talk.html") -> str:
    html = f"<html><head><title>My talk</title></head><body>{body}</body></html>"
    return server.script(path, ok(html.encode(), Content_Type="text/html"))


def say(server: ScriptedServer, path: str, **told: object) -> str:
    return server.script(path, ok(json.dumps(told).encode(), Content_Type="application/json"))


def video(server: ScriptedServer, name: str = "v1", **told: object) -> str:
    formats = [{"url": server.url(f"/cdn/{name}.m4a"), "vcodec": "none", "ext": "m4a"}]
    say(server, f"/site/watch/{name}", **{"title": f"Video {name}", "formats": formats, **told})
    return f"/site/watch/{name}"


def of_video(server: ScriptedServer, store: Store, **told: object) -> tuple[Recording, str]:
    path = video(server, **told)
    return resolve(Recording(recording_id="id", source="ytdlp", media_url=server.url(path)), config(server), store)


# --- listing and resolving ---


def test_a_file_is_looked_at_by_its_headers_alone(server: ScriptedServer, store: Store) -> None:
    url = media(server)
    one = listed(server, store, "/media/talk.mp3", licence="CC-BY-4.0")
    assert (one.source, one.media_url, one.page_url, one.title) == ("ytdlp", url, url, "talk")
    assert (one.licence, one.licence_evidence) == ("CC-BY-4.0", "inputs.licence")
    assert resolve(one, config(server), store) == (one, url)
    assert paths(server) == [("HEAD", "/media/talk.mp3")] * 2
    assert one.published is None  # what yt-dlp takes for it is when the file changed
    to_table([one])


def test_of_a_file_of_unknown_kind_only_the_beginning_is_read(server: ScriptedServer, store: Store) -> None:
    sent: list[int] = []

    def answer(handler: Handler) -> None:
        handler.start(200, {"Content-Type": "application/octet-stream"})
        while len(sent) < 2000:  # 200 MB
            handler.write(bytes(100_000))
            sent.append(1)

    url = server.script("/media/talk.mp3", answer)
    server.script("HEAD /media/talk.mp3", status(405))
    assert resolved(server, store, "/media/talk.mp3")[1] == url
    assert len(sent) < 200  # what fits into buffers on the way


def test_a_page_with_sound_gives_its_address_and_subtitles(server: ScriptedServer, store: Store) -> None:
    tracks = '<track kind="captions" srclang="en" src="/t/en.srt"><track srclang="de" src="/t/de.vtt">'
    page(server, f'<audio src="/media/talk.mp3">{tracks}<track kind="chapters" src="/t/c.vtt"></audio>')
    one, url = resolved(server, store, "/pages/talk.html")
    assert url == server.url("/media/talk.mp3")
    assert one.media_url == server.url("/pages/talk.html")
    assert one.attachments == (
        Attachment(kind="transcript", url=server.url("/t/en.srt"), type="application/x-subrip", language="en"),
        Attachment(kind="transcript", url=server.url("/t/de.vtt"), type="text/vtt", language="de"),
    )
    assert {path for _, path in paths(server)} == {"/pages/talk.html"}


def test_pages_of_one_name_are_two_recordings_and_two_sounds_of_one_page_are_too(
    server: ScriptedServer, store: Store
) -> None:
    sounds = '<audio src="/media/1.mp3"></audio><audio src="/media/2.mp3"></audio>'
    page(server, sounds, "/a/talk.html")
    page(server, sounds, "/b/talk.html")
    found = [*listing(server, store, "/a/talk.html"), *listing(server, store, "/b/talk.html")]
    assert len({one.recording_id for one in found}) == 4
    urls = [resolve(one, config(server), store)[1] for one in found]
    assert urls == [server.url(f"/media/{number}.mp3") for number in (1, 2, 1, 2)]
    (again, _) = listing(server, store, "/a/talk.html")
    assert again == found[0]


ITEM = """<item><title>{title}</title>{guid}<pubDate>Thu, 01 Jan 2026 00:00:00 GMT</pubDate>
<itunes:duration>1:10</itunes:duration><enclosure url="{url}"/></item>"""


def feed(server: ScriptedServer, *items: str) -> str:
    space = 'xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"'
    body = f'<rss version="2.0" {space}><channel><title>Pod</title>{"".join(items)}</channel></rss>'
    server.script("/feed.xml", ok(body.encode(), Content_Type="application/xml"))
    return "/feed.xml"


def episodes(server: ScriptedServer) -> str:
    one, two = media(server, "/a/audio.mp3"), media(server, "/b/audio.mp3")
    return feed(
        server, ITEM.format(title="One", guid="<guid>g1</guid>", url=one), ITEM.format(title="Two", guid="", url=two)
    )


def test_a_feed_is_listed_without_a_look_at_its_files(server: ScriptedServer, store: Store) -> None:
    one, two = listing(server, store, episodes(server))
    assert paths(server) == [("GET", "/feed.xml")]
    assert (one.title, one.published, one.declared_duration_s) == ("One", "2026-01-01T00:00:00Z", 70.0)
    assert (one.media_url, one.guid) == (server.url("/a/audio.mp3"), "generic g1")
    assert one.feed_url == server.url("/feed.xml")
    assert "smuggle" not in repr((one, two))
    assert one.recording_id != two.recording_id
    again, url = resolve(one, config(server), store)
    assert (again, url) == (one, one.media_url)  # the file's own name does not count over the feed's title
    assert server.asked("/a/audio.mp3") == []


def channel(server: ScriptedServer) -> str:
    url = server.url
    say(server, "/site/list/ann", next=url("/site/list/ann2"), entries=[
        {"url": url("/site/watch/v1"), "id": "v1", "title": "First", "duration": 61.5, "license": "CC BY 4.0"},
        {"url": smuggle_url(url("/site/watch/v2"), {"a": 1}), "title": "Sec\x1b[31mond\n"},
        {"url": url("/site/list/nested")},
    ])  # fmt: skip
    nested = {"_type": "playlist", "entries": [{"_type": "url", "url": url("/site/watch/v5"), "uploader": "Eve"}]}
    say(server, "/site/list/ann2", entries=[{"url": url("/site/watch/v1"), "id": "v1"}, nested])
    say(server, "/site/list/nested", entries=[
        {"url": url("/site/watch/v3"), "upload_date": "20260203"}, {"url": url("/site/list/ann")},
        {"url": url("/site/list/gone")},
    ])  # fmt: skip
    return "/site/list/ann"


def test_a_channel_is_listed_page_by_page_and_list_by_list(server: ScriptedServer, store: Store) -> None:
    found = listing(server, store, channel(server))
    urls = [one.media_url.removeprefix(server.url("")) for one in found]
    assert urls == ["/site/watch/v1", "/site/watch/v2", "/site/watch/v3", "/site/list/gone", "/site/watch/v5"]
    assert [path for _, path in paths(server)] == ["/site/list/ann", "/site/list/nested", "/site/list/ann2"]
    first, second, third, gone, fifth = found
    assert (first.title, first.author, first.declared_duration_s) == ("First", "Ann", 61.5)
    assert (first.licence, first.licence_evidence) == ("CC-BY-4.0", "MillTube says: CC BY 4.0")
    assert (second.title, second.guid) == ("Sec[31mond", "milltube v2")
    assert (third.published, third.feed_url) == ("2026-02-03", server.url("/site/list/nested"))
    assert (gone.status, gone.reason) == (Status.FAILED, Reason.NOT_FOUND)
    assert fifth.author == "Eve"
    assert first.recording_id == listed(server, store, video(server)).recording_id  # by its own address too


def test_a_channel_is_listed_lazily(server: ScriptedServer, store: Store) -> None:
    found = lazily(server, store, channel(server))
    assert everything(server) == []
    next(found)
    next(found)
    assert paths(server) == [("GET", "/site/list/ann")]


def test_a_list_that_breaks_off_says_so(server: ScriptedServer, store: Store) -> None:
    found = lazily(server, store, channel(server))
    server.script("/site/list/ann2", status(503))
    got = []
    with pytest.raises(RejectedError) as caught:
        got.extend(iter(lambda: next(found), None))
    assert (caught.value.reason, caught.value.retry) == (Reason.UNREACHABLE, True)
    assert len(server.asked("/site/list/ann2")) == 2  # one retry


def test_a_site_that_leads_in_circles_is_left(
    server: ScriptedServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "MAX_REQUESTS", 20)
    say(server, "/site/list/a", next=server.url("/site/list/a"), entries=[])
    assert refusal(listing, server, store, "/site/list/a").reason == Reason.BAD_FEED
    assert len(server.asked("/site/list/a")) == 20
    monkeypatch.setattr(ytdlp, "MAX_ENTRIES", 30)
    say(server, "/site/list/b", next=server.url("/site/list/b"), entries=[{"url": server.url("/site/watch/v1")}])
    assert refusal(listing, server, store, "/site/list/b").reason == Reason.TOO_BIG


def test_what_is_in_the_archive_is_not_listed(server: ScriptedServer, store: Store, tmp_path: Path) -> None:
    archive = tmp_path / "archive.txt"
    archive.write_text("milltube v1\nmilltube v3\ngeneric g1\nyoutube v2\n")
    urls = [one.media_url for one in listing(server, store, channel(server), archive=str(archive))]
    assert urls == [server.url(path) for path in ("/site/watch/v2", "/site/list/gone", "/site/watch/v5")]
    (two,) = listing(server, store, episodes(server), archive=str(archive))
    assert two.title == "Two"
    assert listing(server, store, video(server), archive=str(archive)) == []


def test_text_of_a_site_is_made_harmless(server: ScriptedServer, store: Store) -> None:
    bad = "../../etc/passwd\0\x1b]0;x\x07\u202e <script>alert(1)</script>"
    one, _ = of_video(server, store, title=bad, uploader=bad, language="en\n'", duration=-5, license=bad)
    for text in (one.title, one.author, one.licence_evidence):
        assert text
        assert text.isprintable()
    assert (one.language, one.declared_duration_s, one.licence) == (None, None, "unknown")
    path = feed(server, ITEM.format(title="x" * 50_000, guid=f"<guid>{'../' * 9}</guid>", url="javascript:alert(1)"))
    (odd,) = listing(server, store, path)
    assert len(odd.title or "") == 10_000
    assert refusal(resolve, odd, config(server), store).reason == Reason.FORBIDDEN_ADDRESS
    assert [one.name for one in Path(store.root).parent.iterdir()] == ["corpus"]


def test_a_local_file_is_not_read(server: ScriptedServer, store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret.mp3").write_bytes(MP3)
    secret = (tmp_path / "secret.mp3").as_uri()
    (one,) = listing(server, store, feed(server, ITEM.format(title="x", guid="", url=secret)))
    assert refusal(resolve, one, config(server), store).reason == Reason.FORBIDDEN_ADDRESS


# --- formats, licences and what a page says ---


def formats(server: ScriptedServer) -> list[dict[str, Any]]:
    url = server.url("/cdn/")
    return [
        {"url": f"{url}big.mp4", "height": 1080, "acodec": "aac", "vcodec": "h264"},
        {"url": f"{url}small.mp4", "height": 144, "acodec": "aac", "vcodec": "h264"},
        {"url": f"{url}silent.mp4", "height": 72, "acodec": "none", "vcodec": "h264"},
        {"url": f"{url}low.m4a", "abr": 48, "acodec": "aac", "vcodec": "none", "ext": "m4a"},
        {"url": f"{url}high.m4a", "abr": 160, "acodec": "aac", "vcodec": "none", "ext": "m4a"},
        {"url": f"{url}best.m3u8", "abr": 320, "acodec": "aac", "vcodec": "none", "ext": "m4a", "protocol": "m3u8"},
    ]


def test_the_best_sound_alone_is_taken_else_the_smallest_with_sound(server: ScriptedServer, store: Store) -> None:
    every = formats(server)
    assert of_video(server, store, formats=every)[1] == server.url("/cdn/high.m4a")
    assert of_video(server, store, formats=every[:3])[1] == server.url("/cdn/small.mp4")
    refused = refusal(of_video, server, store, formats=[every[2], every[5]])
    assert (refused.reason, refused.retry) == (Reason.NEEDS_TOOL, True)
    assert "HLS (m3u8)" in refused.detail
    assert refusal(of_video, server, store, formats=every[2:3]).reason == Reason.NOT_AUDIO


def test_a_page_with_fragments_only_needs_a_tool(server: ScriptedServer, store: Store) -> None:
    page(server, '<video src="/v.m3u8"></video>')
    server.script("/v.m3u8", ok(b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nseg.ts\n#EXT-X-ENDLIST\n"))
    refused = refusal(resolved, server, store, "/pages/talk.html")
    assert (refused.reason, refused.retry) == (Reason.NEEDS_TOOL, True)
    assert "HLS (m3u8)" in refused.detail


NO_RUNTIME = "No supported JavaScript runtime could be found. Only deno is enabled by default; some may be missing"
FAULTS = [
    ({"formats": [], "warnings": ["so it goes", NO_RUNTIME, "and on"]}, Reason.NEEDS_TOOL, True, "JavaScript runtime"),
    ({"error": "PhantomJS not found, Please download it"}, Reason.NEEDS_TOOL, True, "PhantomJS"),
    ({"error": "This video is private. Use --cookies", "warnings": [NO_RUNTIME]}, Reason.FORBIDDEN, False, "private"),
    ({"error": "Sign in to confirm you're not a bot"}, Reason.FORBIDDEN, False, "not a bot"),
    ({"drm": True}, Reason.FORBIDDEN, False, "DRM"),
    ({"error": "This video has been removed by the user"}, Reason.NOT_FOUND, False, "removed"),
    ({"error": "Unable to extract the player"}, Reason.BAD_FEED, True, "Unable to extract the player"),
    ({"formats": []}, Reason.BAD_FEED, True, "No video formats found"),
    ({"formats": 5}, Reason.BAD_FEED, True, ""),
    ({"is_live": True}, Reason.NOT_FOUND, True, "live"),
    ({"_type": "playlist", "entries": []}, Reason.NOT_AUDIO, False, "ytdlp:http"),
]


@pytest.mark.parametrize(("told", "reason", "retry", "words"), FAULTS)
def test_what_goes_wrong_has_a_reason(
    server: ScriptedServer, store: Store, told: dict[str, Any], reason: Reason, retry: bool, words: str
) -> None:
    refused = refusal(of_video, server, store, **told)
    assert (refused.reason, refused.retry) == (reason, retry)
    assert words in refused.detail
    assert "--cookies" not in refused.detail


def test_a_warning_of_a_tool_costs_nothing_where_there_is_sound(server: ScriptedServer, store: Store) -> None:
    assert of_video(server, store, warnings=[NO_RUNTIME])[1] == server.url("/cdn/v1.m4a")


LICENCES = {
    "Creative Commons Attribution license (reuse allowed)": ("CC-BY-3.0", licences.YOUTUBE_CC_URL),
    "https://creativecommons.org/licenses/by-sa/4.0/": (
        "CC-BY-SA-4.0",
        "https://creativecommons.org/licenses/by-sa/4.0/",
    ),
    "CC0-1.0": ("CC0-1.0", None),
    "CC BY-NC 4.0": ("CC-BY-NC-4.0", None),
    "Attribution - Share Alike": ("unknown", None),
    "Standard YouTube License": ("unknown", None),
}


@pytest.mark.parametrize("stated", LICENCES)
def test_a_licence_that_the_site_states_counts(server: ScriptedServer, store: Store, stated: str) -> None:
    path = video(server, license=stated)
    one, _ = resolved(server, store, path, licence="CC-BY-4.0")
    assert (one.licence, one.licence_url) == LICENCES[stated]
    assert one.licence_evidence == f"MillTube says: {stated}"


def test_where_the_site_states_no_licence_the_config_counts(server: ScriptedServer, store: Store) -> None:
    one, _ = resolved(server, store, video(server, license="Unknown"), licence="CC-BY-4.0")
    assert (one.licence, one.licence_evidence) == ("CC-BY-4.0", "inputs.licence")


def test_a_page_adds_to_what_was_listed(server: ScriptedServer, store: Store) -> None:
    first = next(lazily(server, store, channel(server))).recording
    auto = {"en": [{"url": server.url("/auto.vtt"), "ext": "vtt"}]}
    written = {
        "fr": [{"url": server.url(f"/fr.{ext}"), "ext": ext} for ext in ("json3", "srt", "vtt", "ttml")],
        "it": [{"url": server.url("/it.json3"), "ext": "json3"}],
        "es": [{"data": "WEBVTT", "ext": "vtt"}, {"url": "file:///etc/passwd", "ext": "vtt"}],
    }
    video(server, title="Another", channel="C", timestamp=1_767_225_600, language="fr", subtitles=written,
          automatic_captions=auto, license="https://creativecommons.org/licenses/by/4.0/")  # fmt: skip
    one, url = resolve(first, config(server), store)
    assert url == server.url("/cdn/v1.m4a")
    assert (one.title, one.author, one.declared_duration_s) == ("First", "Ann", 61.5)  # as listed
    assert (one.published, one.language) == ("2026-01-01T00:00:00Z", "fr")
    (french,) = one.attachments
    assert (french.url, french.type, french.language) == (server.url("/fr.vtt"), "text/vtt", "fr")
    assert (one.recording_id, one.media_url) == (first.recording_id, first.media_url)
    to_table([one])


# --- the network ---


def test_every_request_says_who_asks(server: ScriptedServer, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes] = []

    def answer(handler: Handler) -> None:
        bodies.append(handler.rfile.read(int(handler.headers["Content-Length"])))
        found = {"uploader": "Posted"}
        ok(json.dumps(found).encode())(handler)

    monkeypatch.setattr(Handler, "do_POST", Handler.do_GET, raising=False)
    server.script("POST /api", answer)
    one, _ = resolved(server, store, video(server, post=server.url("/api")))
    listing(server, store, channel(server))
    assert one.author == "Posted"
    assert bodies == [b'{"id": "v1"}'] * 2
    assert {request.headers["user-agent"] for request in everything(server)} == {AGENT}
    told = {name for request in everything(server) for name in request.headers}
    assert not {"cookie", "x-forwarded-for"} & told
    assert not [name for name in told if name.startswith("sec-")]
    assert {"/robots.txt", "/ai.txt"} <= {request.path for request in server.questions}


def test_33_a_page_that_robots_txt_disallows_is_not_asked_for(server: ScriptedServer, store: Store) -> None:
    server.script("/robots.txt", ok(b"User-agent: *\nDisallow: /pages/\nDisallow: /site/watch/v2"))
    page(server, '<audio src="/media/talk.mp3"></audio>')
    media(server)
    refused = refusal(listing, server, store, "/pages/talk.html")
    assert (refused.reason, refused.retry) == (Reason.OPTED_OUT, False)
    assert "robots.txt: Disallow: /pages/" in refused.detail
    assert paths(server) == [("GET", "/robots.txt")]
    one, two = listing(server, store, channel(server))[:2]
    video(server, "v2")
    assert refusal(resolve, two, config(server), store).reason == Reason.OPTED_OUT
    assert server.asked("/site/watch/v2") == []
    video(server, "v1")
    assert resolve(one, config(server), store)[1] == server.url("/cdn/v1.m4a")


def test_33_a_reserved_file_is_not_asked_for(server: ScriptedServer, store: Store) -> None:
    media(server, **{"X-Robots-Tag": "noai"})
    refused = refusal(listing, server, store, "/media/talk.mp3")
    assert (refused.reason, refused.retry) == (Reason.OPTED_OUT, False)
    assert server.asked("/media/talk.mp3") == []


def test_33_an_extractor_cannot_go_on_after_a_no(server: ScriptedServer, store: Store) -> None:
    server.script("/robots.txt", ok(b"User-agent: *\nDisallow: /api/"))
    urls = [server.url("/api/side"), server.url("/after")]
    refused = refusal(of_video, server, store, optional=urls)
    assert refused.reason == Reason.OPTED_OUT
    assert "/after" not in {request.path for request in everything(server)}


def test_an_extractor_goes_on_without_what_is_not_there(server: ScriptedServer, store: Store) -> None:
    one, url = of_video(server, store, optional=[server.url("/nothing"), server.url("/down")])
    assert url == server.url("/cdn/v1.m4a")
    server.script("/down", status(503))
    assert of_video(server, store, optional=[server.url("/down")])[0] == one


@pytest.mark.parametrize("target", ["http://127.0.0.1:9/x", "http://[::1]/x", "http://169.254.169.254/x", "file:///x"])
def test_29_a_redirect_to_a_private_address_is_refused(server: ScriptedServer, store: Store, target: str) -> None:
    server.script("/pages/talk.html", redirect(target))
    assert refusal(listing, server, store, "/pages/talk.html").reason == Reason.FORBIDDEN_ADDRESS
    assert refusal(of_video, server, store, optional=[server.url("/pages/talk.html")]).reason == (
        Reason.FORBIDDEN_ADDRESS
    )


def test_29_a_redirect_is_followed_and_its_end_is_what_counts(server: ScriptedServer, store: Store) -> None:
    server.script("/short", redirect(page(server, '<audio src="../media/talk.mp3"></audio>')))
    one, url = resolved(server, store, "/short")
    assert (one.media_url, url) == (server.url("/pages/talk.html"), server.url("/media/talk.mp3"))


STATUSES = {404: (Reason.NOT_FOUND, False), 403: (Reason.FORBIDDEN, False), 503: (Reason.UNREACHABLE, True)}


@pytest.mark.parametrize("code", STATUSES)
def test_32_the_status_of_an_answer_is_the_reason(server: ScriptedServer, store: Store, code: int) -> None:
    server.script("/site/watch/v1", status(code))
    refused = refusal(listing, server, store, "/site/watch/v1")
    assert (refused.reason, refused.retry) == STATUSES[code]
    assert f"HTTP {code}" in refused.detail
    assert len(server.asked("/site/watch/v1")) == (2 if code == 503 else 1)


def test_32_a_passing_fault_passes(server: ScriptedServer, store: Store) -> None:
    video(server)
    good = ok(json.dumps({"title": "t", "url": server.url("/cdn/x.mp3")}).encode())
    server.script("/site/watch/v1", status(429, Retry_After="0"), good)
    assert listed(server, store, "/site/watch/v1").title == "t"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (endless(b"<html>" + b" " * 100_000, Content_Type="text/html"), Reason.TOO_BIG),
        (cut(b'{"title": "t"}', 5), Reason.UNREACHABLE),
        (ok(b"<p>Sorry"), Reason.BAD_FEED),
        (redirect("/site/watch/v1"), Reason.UNREACHABLE),
    ],
)
def test_31_a_bad_answer_costs_one_recording(
    server: ScriptedServer, store: Store, behaviour: Behaviour, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "MAX_FEED_BYTES", 1_000_000)
    server.script("/site/watch/v1", behaviour)
    assert refusal(listing, server, store, "/site/watch/v1").reason == reason


@pytest.mark.parametrize("body", ["hello", '<a href="talk.pdf">read</a>'])
def test_a_page_without_sound_is_rejected(server: ScriptedServer, store: Store, body: str) -> None:
    url = page(server, body)
    refused = refusal(listing, server, store, "/pages/talk.html")
    assert (refused.reason, refused.detail) == (Reason.NOT_AUDIO, f"yt-dlp finds no audio or video at {url}")


@pytest.mark.timeout(60)
def test_an_answer_that_is_not_read_keeps_no_turn(server: ScriptedServer, store: Store) -> None:
    server.script("/big", endless(bytes(100_000)))
    path = video(server, unread=[server.url("/big")] * 3)
    slow = config(server, per_host=1)
    found = list_recordings(Input(address=f"ytdlp:{server.url(channel(server))}"), slow, store)
    one = next(found).recording
    for _ in range(2):
        assert resolve(one, slow, store)[1] == server.url("/cdn/v1.m4a")
    assert len(list(found)) == 4
    assert len(server.asked("/big")) == 6
    assert path in one.media_url


def test_a_visit_has_one_answer_open_at_a_time(server: ScriptedServer, store: Store) -> None:
    server.script("/a", ok(bytes(500_000)))
    server.script("/b", ok(b"b"))
    visit = Visit(store, config(server).fetch, max_bytes=400_000)
    one = visit.ask("GET", server.url("/a"), headers={})
    other = visit.ask("GET", server.url("/b"), headers={})
    assert (other.body.read(), other.status, other.url, other.fault) == (b"b", 200, server.url("/b"), None)
    with pytest.raises(RejectedError, match="before this answer was read"):
        one.body.read()
    big = visit.ask("GET", server.url("/a"), headers={})
    with pytest.raises(RejectedError) as caught:
        big.body.read()
    assert caught.value.reason == Reason.TOO_BIG
    gone = visit.ask("GET", server.url("/c"), headers={})
    assert (gone.status, gone.fault and gone.fault.reason) == (404, Reason.NOT_FOUND)
    visit.close()


def test_a_post_is_redirected_without_its_body_and_secrets_stay_with_their_host(
    server: ScriptedServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "do_POST", Handler.do_GET, raising=False)
    with ScriptedServer() as other:
        there = other.script("/end", ok(b"end"))
        server.script("POST /a", redirect(server.url("/b"), 307))
        server.script("POST /b", redirect(there, 302))
        fetch: Fetch = config(server, allow_hosts=[server.host, other.host]).fetch
        visit = Visit(store, fetch, max_bytes=1000)
        headers = {"Authorization": "Bearer x", "Content-Type": "text/plain", "Accept": "text/plain"}
        answer = visit.ask("POST", server.url("/a"), headers=headers, content=b"body")
        assert (answer.body.read(), answer.url) == (b"end", there)
        assert [request.headers["content-length"] for request in server.requests] == ["4", "4"]
        assert [request.headers["authorization"] for request in server.requests] == ["Bearer x"] * 2
        (last,) = other.requests
        assert last.method == "GET"
        assert not {"authorization", "content-type", "content-length"} & last.headers.keys()
        assert last.headers["accept"] == "text/plain"


def test_a_run_that_stops_is_not_kept_waiting(server: ScriptedServer, store: Store) -> None:
    one = listed(server, store, video(server))
    with pytest.raises(StoppedError):
        ytdlp.resolve(one, config(server), store, stopping=lambda: True)


# --- the rest ---


def test_yt_dlp_opens_no_connection_runs_no_program_and_loads_no_plugin(server: ScriptedServer, store: Store) -> None:
    extractors = library.Library(store, config(server).fetch)
    assert list(extractors._request_director.handlers) == ["Visit"]
    with pytest.raises(FileNotFoundError):
        Popen.run([sys.executable, "-c", "pass"])
    assert yt_dlp.globals.plugin_dirs.value == []
    assert not extractors.cache.enabled
    assert not extractors.params.get("cookiefile")


@pytest.mark.parametrize("address", ["ytdlp:", "ytdlp:ytsearch:cats", "ytdlp:file:///etc/passwd", "ytdlp:https://"])
def test_an_address_that_is_none_is_told_before_a_run(address: str) -> None:
    with pytest.raises(ConfigError, match="ytdlp:https://"):
        check(Input(address=address))


def test_an_archive_that_is_not_there_is_told_before_a_run(tmp_path: Path) -> None:
    check(Input(address="ytdlp:https://example.org/list"))
    with pytest.raises(ConfigError, match="archive"):
        check(Input(address="ytdlp:https://example.org/list", archive=str(tmp_path / "none.txt")))


def test_yt_dlp_is_imported_only_for_its_kind() -> None:
    code = "import sys; from speechmill import sources; assert 'ytdlp' in sources.kinds(); assert 'yt_dlp' not in "
    code += "sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
