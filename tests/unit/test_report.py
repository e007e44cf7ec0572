"""The report tells the publication's own numbers, plays the stored sound, and runs nothing that a feed says."""

import base64
import hashlib
import html
import io
import re
import shutil
import subprocess
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from speechmill import publish
from speechmill.audio.spectrogram import COLUMNS, ROWS, draw
from speechmill.core.build import Build
from speechmill.publish import report
from speechmill.publish.report import samples

from tests.tiny_corpus import EVIL_TEXT, EVIL_TITLE, RATE, publish_tiny

Corpus = tuple[Build, dict[str, Any], str]
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

PROBE = """\
let heard = 0;
for (const audio of document.querySelectorAll("audio")) {
  audio.addEventListener("loadedmetadata", () => { document.body.dataset.heard = ++heard; });
  audio.preload = "auto";
}"""  # counts the sounds that the browser can decode


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    build, stats = publish_tiny(tmp_path_factory.mktemp("report"))
    build.store.write_text(report.REPORT_FILE, report.render(build, stats, publish.decide_all(build)))
    return build, stats, Path(build.store.path(report.REPORT_FILE)).read_text()


class Page(HTMLParser):
    """All tags with their attributes, and the text of each script and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.inline: dict[str, list[str]] = defaultdict(list)
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in {"script", "style"} and data.strip():
            self.inline[self.tags[-1][0]].append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def rows(page: str, section: str) -> list[list[str]]:
    """Cells of the tables in a section, as text."""
    body = page[page.index(f'<section id="{section}">') :].split("</section>")[0]
    found = [
        re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL) for row in re.findall(r"<tr.*?>(.*?)</tr>", body, re.DOTALL)
    ]
    return [[html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in row] for row in found if row]


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


def test_fates_are_those_of_the_publication(corpus: Corpus) -> None:
    _, stats, page = corpus
    *fates, total = rows(page, "fates")
    told = {row[0]: number(row[2]) for row in fates}
    assert {fate: n for fate, n in told.items() if n} == {f: n for f, n in stats["samples"].items() if f != "in"}
    assert sum(told.values()) == number(total[2]) == stats["samples"]["in"]


def test_bars_of_the_fates_fill_the_whole(corpus: Corpus) -> None:
    _, _, page = corpus
    stack = page[page.index('<svg class="stack"') :].split("</svg>")[0]
    assert sum(map(float, re.findall(r' width="([\d.]+)%"', stack))) == pytest.approx(100, abs=0.01)


def test_reasons_and_failures_are_those_of_the_publication(corpus: Corpus) -> None:
    _, stats, page = corpus
    told = {row[0]: {"clips": number(row[2]), "samples": number(row[3])} for row in rows(page, "reasons")}
    assert told == stats["rejected_by_reason"]
    ((status, reason, detail, _),) = rows(page, "failures")
    assert (status, reason, detail) == ("failed", "not_audio", "begins with <!doctype html>")


def test_histograms_count_every_clip(corpus: Corpus) -> None:
    _, stats, page = corpus
    for name, histogram in stats["histograms"].items():
        plot = page[page.index(f"histogram of {name}") :].split("</svg>")[0]
        told = [tuple(map(number, pair)) for pair in re.findall(r": ([\d,]+) kept, ([\d,]+) rejected<", plot)]
        kept, rejected = (sum(counts) for counts in zip(*told, strict=True))
        assert (kept, rejected) == (sum(histogram.get("kept", [])), sum(histogram.get("rejected", [])))
    assert "≥ 15<" in page[page.index("histogram of snr_db") :].split("</svg>")[0]


def test_fault_35_what_sources_say_is_text(corpus: Corpus) -> None:
    _, _, page = corpus
    assert html.escape(EVIL_TITLE) in page
    assert html.escape(EVIL_TEXT) in page
    assert not {"alert", "onclick"} & set(re.findall(r"alert|onclick", "".join(Page(page).inline["script"])))
    assert "<b>bold" not in page
    assert "<i>Broken" not in page
    for tag, attributes in Page(page).tags:
        assert tag != "q"
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert attributes.get("href", "https://").startswith("https://")


def test_nothing_is_loaded_and_only_its_own_script_may_run(corpus: Corpus) -> None:
    _, _, page = corpus
    parsed = Page(page)
    policy = next(m["content"] for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for kind in ("script", "style"):
        (text,) = parsed.inline[kind]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert all(a["src"].startswith("data:") for _, a in parsed.tags if "src" in a)
    assert not parsed.all("link")
    assert "url(" not in "".join(parsed.inline["style"])


def test_the_sound_is_what_was_stored(corpus: Corpus) -> None:
    build, stats, page = corpus
    stored = {
        row["clip_id"]: row["flac"]
        for content in ("c1", "c2", "c4")
        for row in build.store.read(build.segments(content)).to_pylist()
    }
    clips = re.findall(r'id="clip-(\w+)"(.*?)</li>', page, re.DOTALL)
    found = [(clip_id, re.search(r'src="data:audio/flac;base64,([^"]+)"', clip)) for clip_id, clip in clips]
    heard = [(clip_id, sound[1]) for clip_id, sound in found if sound]
    assert len(heard) == stats["clips"]["kept"] + stats["clips"]["rejected"] - 1
    for clip_id, sound in heard:
        assert base64.b64decode(sound) == stored[clip_id]


def test_a_clip_without_a_licence_is_neither_heard_nor_read(corpus: Corpus) -> None:
    _, _, page = corpus
    group = page[page.index('data-group="licence"') :].split("</ol>")[0]
    assert "No sound" in group
    assert "data:" not in group
    assert html.escape(EVIL_TEXT) not in group


def test_nearest_to_the_threshold_come_first_and_each_clip_once(corpus: Corpus) -> None:
    build, _, _ = corpus
    groups = samples.choose(publish.decide_all(build), build)
    assert next(iter(groups)) == "kept"
    assert [sample.row["snr_db"] for sample in groups["low_snr"]] == [14.5, 9.0]  # the one at 3 is under band_limited
    chosen = [sample.row["clip_id"] for found in groups.values() for sample in found]
    assert len(chosen) == len(set(chosen)) == 8


def test_every_reason_gets_its_turn_before_any_gets_two(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    build, _, _ = corpus
    groups = samples.choose(publish.decide_all(build), build)
    firsts = [next(s for s in found if s.is_playable) for group, found in groups.items() if group != "licence"]
    monkeypatch.setattr(samples, "SOUND_BYTES", sum(sample.row["flac_bytes"] for sample in firsts))
    heard = [
        sample
        for found in samples.choose(publish.decide_all(build), build).values()
        for sample in found
        if sample.is_playable
    ]
    assert heard == firsts


def test_the_same_corpus_gives_the_same_page(corpus: Corpus) -> None:
    build, stats, page = corpus
    assert report.render(build, stats, publish.decide_all(build)) == page


def test_an_empty_corpus_has_a_page(tmp_path: Path) -> None:
    build, stats = publish_tiny(tmp_path, recordings=(), transcribed=False)
    page = report.render(build, stats, publish.decide_all(build))
    assert "There are no clips" in page
    assert "0.0000" in page


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://example.org/a?b=c", True),
        ("http://example.org/", True),
        ("javascript:alert(1)", False),
        ("JavaScript://example.org/%0aalert(1)", False),
        ("data:text/html,x", False),
        ("//example.org/", False),
        ("folder/episode.mp3", False),
        ("https://[broken", False),
        (None, False),
    ],
)
def test_only_web_addresses_become_links(address: str | None, expected: bool) -> None:
    assert (report.web_link(address) == address) is (expected or address is None)


def test_spectrogram_shows_a_tone_at_its_height() -> None:
    tone = (8_000 * np.sin(2 * np.pi * 3_000 * np.arange(2 * RATE) / RATE)).astype(np.int16)
    with av.open(io.BytesIO(draw(tone))) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="gray")
    assert picture.shape[0] == ROWS
    assert 0 < picture.shape[1] <= COLUMNS
    brightest = picture[:, 10:-10].astype(int).sum(axis=1).argmax()
    assert ROWS - 1 - brightest == pytest.approx(ROWS * 3_000 / (RATE / 2), abs=1)


@pytest.mark.parametrize("length", [1, 100, 30 * RATE])
def test_spectrogram_of_silence_of_any_length(length: int) -> None:
    assert draw(np.zeros(length, np.int16)).startswith(b"\x89PNG")


@pytest.mark.skipif(BROWSER is None, reason="no browser here")
def test_fault_35_a_browser_runs_the_script_of_the_page_and_no_other(corpus: Corpus, tmp_path: Path) -> None:
    _, stats, page = corpus
    digest = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    probed = page.replace("script-src ", f"script-src &#39;sha256-{digest}&#39; ")
    copy = tmp_path / "report.html"
    copy.write_text(probed.replace("</body>", f"<script>{PROBE}</script></body>"))
    assert BROWSER is not None
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom",
         f"--user-data-dir={tmp_path / 'profile'}", copy.as_uri()],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    clips = stats["clips"]["kept"] + stats["clips"]["rejected"]
    assert f">{clips} of {clips} clips<" in done.stdout
    assert f'data-heard="{clips - 1}"' in done.stdout
