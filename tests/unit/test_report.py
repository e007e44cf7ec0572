"""The report tells the publication's own numbers, plays the stored sound, and runs nothing that a feed says."""

import base64
import hashlib
import html
import io
import math
import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from speechmill import publish
from speechmill.audio.spectrogram import COLUMNS, ROWS, draw
from speechmill.core.build import Build
from speechmill.core.columns import Column, at_least, at_most
from speechmill.core.reasons import Reason
from speechmill.core.thresholds import Thresholds
from speechmill.decide.decision import failed
from speechmill.publish import report
from speechmill.publish.report import clip_table, samples
from speechmill.publish.report.clip_table import ClipTable
from speechmill.publish.report.stops import MISSING, codes_of, stops_of

from tests.report_table import unpacked
from tests.tiny_corpus import EVIL_TEXT, EVIL_TITLE, RATE, publish_tiny

Corpus = tuple[Build, dict[str, Any], str]


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
        re.findall(r"<t[dh](?: [^>]*)?>(.*?)</t[dh]>", row, re.DOTALL)
        for row in re.findall(r"<tr.*?>(.*?)</tr>", body, re.DOTALL)
        if 'scope="col"' not in row
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
    told = {row[0]: number(row[2]) for row in rows(page, "reasons")}
    assert told == {reason: counts["clips"] for reason, counts in stats["rejected_by_reason"].items()}
    ((status, reason, detail, _),) = rows(page, "failures")
    assert (status, reason, detail) == ("failed", "not_audio", "begins with <!doctype html>")


def test_fault_35_what_sources_say_is_text(corpus: Corpus) -> None:
    _, _, page = corpus
    assert html.escape(EVIL_TITLE) in page
    assert html.escape(EVIL_TEXT) in page
    assert "alert(1)" not in "".join(Page(page).inline["script"])
    assert "<b>bold" not in page
    assert "<i>Broken" not in page
    for tag, attributes in Page(page).tags:
        assert tag != "q"
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert attributes.get("href", "https://").startswith(("https://", "#"))


def test_nothing_is_loaded_and_only_its_own_script_may_run(corpus: Corpus) -> None:
    _, _, page = corpus
    parsed = Page(page)
    policy = next(m["content"] for m in parsed.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for kind in ("script", "style"):
        text = parsed.inline[kind][-1]  # before the script, base64 that no browser runs
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert [script.get("type") for script in parsed.all("script")] == ["text/plain", None]
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


def test_clips_that_teach_most_come_first_and_each_once(corpus: Corpus) -> None:
    build, _, _ = corpus
    groups = samples.within_budget(samples.choose(publish.decide_all(build), build), samples.SOUND_BYTES)
    assert list(groups) == [
        "doubtful",
        "nearly",
        "worst_texts",
        "kept",
        "band_limited",
        "clipped",
        "licence",
        "low_snr",
    ]
    assert {reason for sample in groups["nearly"] for reason in sample.row["reasons"]} <= {"low_snr", "clipped"}
    assert groups["nearly"][0].row["snr_db"] == 14.5
    assert all(sample.row["decision"] == "kept" for sample in groups["doubtful"])
    chosen = [sample.row["clip_id"] for found in groups.values() for sample in found]
    assert len(chosen) == len(set(chosen)) == 8


def test_a_kept_clip_says_which_threshold_it_comes_nearest_to(corpus: Corpus) -> None:
    _, stats, page = corpus
    nearest = re.findall(r'<span class="tag nearest">(\w+) <b>([\d.]+)</b> nearest to its limit, ([^<]+)</span>', page)
    assert set(nearest) == {("snr_db", "30", "≥ 15")}  # 15 of 80 dB; the confidence of 0.9 is 0.2 of 1 away
    assert len(nearest) == stats["clips"]["kept"]


def test_distances_are_those_beyond_or_within_thresholds(corpus: Corpus) -> None:
    build, _, _ = corpus
    groups = samples.choose(publish.decide_all(build), build)
    assert [sample.row["snr_db"] for sample in groups["low_snr"]] == [14.5, 9.0, 3.0]
    assert [sample.row["snr_db"] for sample in groups["nearly"] if sample.row["clipped_ratio"] == 0] == [14.5, 9.0]


def test_every_group_gets_its_turn_before_any_gets_two(corpus: Corpus) -> None:
    build, _, _ = corpus
    candidates = samples.choose(publish.decide_all(build), build)
    whole = samples.within_budget(candidates, samples.SOUND_BYTES)
    firsts = [found[0] for found in whole.values() if found and found[0].is_playable]
    cost = sum(sample.row["flac_bytes"] + samples.PICTURE_BYTES for sample in firsts)
    heard = [sample for found in samples.within_budget(candidates, cost).values() for sample in found]
    assert [sample for sample in heard if sample.is_playable] == firsts


def test_the_same_corpus_gives_the_same_page(corpus: Corpus) -> None:
    build, stats, page = corpus
    assert report.render(build, stats, publish.decide_all(build)) == page


def test_an_empty_corpus_has_a_page(tmp_path: Path) -> None:
    build, stats = publish_tiny(tmp_path, recordings=(), transcribed=False)
    page = report.render(build, stats, publish.decide_all(build))
    assert "There are no clips" in page
    assert '<b id="hours-kept">0 s</b>' in page


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


# --- the table of all clips ---


def packed_table(build: Build, clips: int, most_bytes: int = 10**7, **options: int) -> str:
    table = ClipTable(build, clips, **options)
    assert sum(len(group.rows) for group in table.through(publish.decide_all(build))) == 8
    return table.packed(most_bytes)


def test_the_table_holds_every_clip_with_its_place_and_text(corpus: Corpus) -> None:
    build, _, _ = corpus
    head, columns, texts = unpacked(packed_table(build, 8))
    groups = list(publish.decide_all(build))
    ids = [clip_id for group in groups for clip_id in group.places["clip_id"].to_pylist()]
    assert bytes(columns["ids"].astype(np.uint8)).hex() == "".join(ids)
    assert columns["samples"].tolist() == [RATE * 3 // 4] * 8
    starts = [start for group in groups for start in group.places["start"].to_pylist()]
    assert (columns["start"] * head["tick_s"] * RATE).tolist() == starts
    titles = [head["recordings"][at][1] for at in columns["recording"]]
    assert titles.count("Plain") == 2
    assert sorted(texts) == [""] * 5 + [EVIL_TEXT] * 3  # none of the clip without a licence
    assert head["text_characters"] is None


def test_values_are_held_to_the_next_position_of_their_slider(corpus: Corpus) -> None:
    build, _, _ = corpus
    head, columns, _ = unpacked(packed_table(build, 8))
    snr = next(column for column in head["columns"] if column["name"] == "snr_db")
    assert [snr["stops"][code - 1] for code in columns["column:snr_db"]] == [30, 30, 14.5, 3, 9, 30, 30, 30]
    assert snr["limit"] in snr["stops"]
    missing = columns["column:asr_confidence"] == MISSING
    assert missing.sum() == 4  # those that were not transcribed


def test_of_a_large_corpus_it_holds_a_sample_with_texts_that_fit(corpus: Corpus) -> None:
    build, _, _ = corpus
    head, columns, _ = unpacked(packed_table(build, 8_000, most=4_000))
    ids = columns["ids"].reshape(-1, 16)
    assert 0 < head["clips"] < 8
    assert (ids[:, 0] < 128).all()
    head, _, texts = unpacked(packed_table(build, 8, most_bytes=0))
    assert head["text_characters"] == 0
    assert texts == [""] * 8


def test_recordings_past_a_number_are_one_row(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    build, _, _ = corpus
    monkeypatch.setattr(clip_table, "MOST_RECORDINGS", 2)
    head, columns, _ = unpacked(packed_table(build, 8))
    assert [row[1] for row in head["recordings"]] == [EVIL_TITLE, "Plain", "all other recordings"]
    assert columns["recording"].tolist() == [0] * 5 + [1] * 2 + [2]


@given(
    values=st.lists(st.floats(-1, 2, width=32) | st.just(math.nan), min_size=1, max_size=20),
    place=st.integers(0, 1_000),
    limit=st.none() | st.floats(0, 1),
    is_upper=st.booleans(),
    has_edges=st.booleans(),
)
def test_codes_divide_clips_as_the_decision_does(
    values: list[float], place: int, limit: float | None, is_upper: bool, has_edges: bool
) -> None:
    test = (at_most if is_upper else at_least)("noise", Reason.NOISE)
    column = Column("snr_db", pa.float32(), "", "", (0.0, 1.0) if has_edges else (), test)
    stops = stops_of(column, limit, np.array(values, np.float32))
    at = stops.index(limit) if limit is not None else place % len(stops)
    codes = codes_of(np.array(values, np.float32), stops, at_most=is_upper)
    fails = np.where(codes == MISSING, False, codes > at if is_upper else codes <= at)
    thresholds = Thresholds.model_construct(noise=stops[at])
    decided = failed(pa.table({"snr_db": pa.array(values, pa.float32())}), [column], thresholds)
    assert fails.tolist() == decided.any.tolist()
