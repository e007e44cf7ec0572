"""A publisher's text in any mess becomes its spoken words, and each clip gets exactly those that are spoken in it."""

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.text.reference import AlignedText, ClipHypothesis, Reference, align, read
from speechmill.text.reference.decode import MAX_BYTES

SRT = (
    "\ufeff1\r\n00:00:01,000 --> 00:00:02,500\r\n>> MILLER: The barley\r\n2\r\n"  # no empty line
    "00:00:02.500 --> 00:00:04,000\r\n<i>is</i> dry &amp; clean.\r\n(laughs)\r\n\r\n\r\n"
    "100:00:05,000 --> 100:00:06,000 X1:40 X2:600\r\n{\\an8}No number here [Music]\r\n"
    "- And \u266a la la\r\nla \u266a so on.\r\n"
)
VTT = """WEBVTT - A mill

STYLE
::cue { color: red }

REGION
id:top

NOTE
It was recorded
on Monday.

opening
00:01.000 --> 00:03.000 align:start position:0%
<v Old Miller>Good<00:00:01.500><c> morning</c><00:00:02.250><c.loud> geese</c>

2
00:00:03.000 --> 00:00:04.000
Come in.

NOTE the end
"""
ROLLING = """WEBVTT

00:00:00.000 --> 00:00:02.000

the<00:00:00.500><c> river</c><00:00:01.000><c> rose</c>

00:00:02.000 --> 00:00:02.010
the river rose

00:00:02.010 --> 00:00:05.000
the river rose
and<00:00:02.500><c> rose</c><00:00:03.000><c> and</c>

00:00:04.000 --> 00:00:04.010
and rose and

00:00:04.010 --> 00:00:06.000
and rose and
and<00:00:05.000><c> fell</c>
"""
HTML = """<!DOCTYPE html><html><head><title>Episode 3</title><script>let a = '<p>not this</p>'</script></head><body>
<nav><a href="/">Home</a></nav><cite>Anna:</cite> <time>0:00</time> <p>The mill &amp; the
river<br>are old.</p><!-- <p>nor this</p> --><cite>Ben:</cite><time>0:12</time><p>Ve<b>ry</b> old.</p>
<footer>All rights reserved</footer></body></html>"""
BOOK = """The Project Gutenberg eBook of The Mill

*** START OF THE PROJECT GUTENBERG EBOOK THE MILL ***

Produced by nobody

                 CHAPTER I.

It was a _very_ good-
humoured day, she said--and to-day[1] is some-
thing. (But what?) Something else.

[Illustration: A goose]

       *       *       *       *       *

*** END OF THE PROJECT GUTENBERG EBOOK THE MILL ***

Section 1. General terms
"""
CHAPTER = "19-198-0000 THE MILL\n19-198-0001 IT WAS OLD\n19-198-0002 NOBODY CAME\n"
SEGMENTS = {
    "version": "1.0.0",
    "segments": [
        {"speaker": "Anna", "startTime": "1.5", "endTime": 2, "body": "Seven geese"},
        {"speaker": "Ben", "startTime": 2, "endTime": 3.5, "body": "walked &amp; sang"},
    ],
}
PAGES = {
    "srt": (SRT, "The barley is dry & clean. No number here And so on."),
    "vtt": (VTT, "Good morning geese Come in."),
    "rolling": (ROLLING, "the river rose and rose and and fell"),
    "sbv": ("0:00:01.000,0:00:02.000\nSeven geese\n\n0:00:02.000,0:00:03.500\nwalked.\n", "Seven geese walked."),
    "html": (HTML, "The mill & the river are old. Very old."),
    "json": (json.dumps(SEGMENTS), "Seven geese walked & sang"),
    "tokens": (json.dumps({"segments": [{"start": 0, "text": t} for t in (" Ba", "r", "ley", " is")]}), "Barley is"),
    "plain": ("The mill.\n\nIt is\nold (really).\n[pause]\n", "The mill. It is old (really)."),
    "turns": ("ANNA: Is it old?\nBEN: Very old.\nANNA: How old?\n", "Is it old? Very old. How old?"),
    "headings": ("Anna Low  0:00\nIs it old?\n\nBen  0:12\nVery old.\n", "Is it old? Very old."),
    "book": (
        BOOK,
        (
            "Produced by nobody CHAPTER I. It was a very good-humoured day, she said--and to-day is something. "
            "(But what?) Something else."
        ),
    ),
    "librispeech": (CHAPTER, "IT WAS OLD"),
    "chinese": ("今天天气很好。\n我们去「公园」吧！\n", "今天天气很好。我们去「公园」吧！"),
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_only_what_is_spoken_is_left_of_each_format(name: str, ends: str) -> None:
    text, spoken = PAGES[name]
    raw = text.replace("\r\n", "\n").replace("\n", ends).encode()
    assert read(raw, "application/octet-stream", "folder/19-198-0001.flac").text == spoken


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("declared", ["text/vtt", "text/html", "application/json", "application/x-subrip", None])
def test_what_is_declared_does_not_matter_where_the_content_shows_it(name: str, declared: str | None) -> None:
    if declared == "text/html" and name in ("plain", "turns", "headings", "book", "chinese"):
        return  # a page without tags is possible
    text, spoken = PAGES[name]
    assert read(text.encode(), declared, "19-198-0001.srt").text == spoken


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings_are_found(encoding: str) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nL’été à la plage, c’est très agréable.\n"
    assert read(text.encode(encoding), None, "x").text == "L’été à la plage, c’est très agréable."


@pytest.mark.parametrize(
    ("text", "encoding"), [("Привет, как дела? Всё хорошо.", "cp1251"), ("こんにちは、元気ですか。", "shift_jis")]
)
def test_other_scripts_are_guessed_or_declared(text: str, encoding: str) -> None:
    srt = f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n\n" * 2
    assert text in read(srt.encode(encoding), None, "x").text
    assert text in read(srt.encode(encoding), f"text/srt; charset={encoding}", "x").text


def test_times_are_of_words_where_the_text_has_them_and_else_in_between() -> None:
    told = read(VTT.encode(), None, "x")
    assert told.times is not None
    assert dict(zip(told.words(), told.times.tolist())) == {
        "Good": [1.0, 1.5], "morning": [1.5, 2.25], "geese": [2.25, 3.0],
        "Come": [3.0, pytest.approx(3.5)], "in.": [pytest.approx(3 + 5 / 8), 4.0],
    }  # fmt: skip
    rolling = read(ROLLING.encode(), None, "x").times
    assert rolling is not None
    assert rolling[:, 0].tolist() == [0, 0.5, 1, 2.01, 2.5, 3, 4.01, 5]
    assert read(SRT.encode(), None, "x").times[-1, 1] == 360_006  # type: ignore[index]


def test_a_colon_or_a_repeated_word_is_no_speaker_and_no_rolling() -> None:
    cue = "00:00:0{0},000 --> 00:00:0{1},000\n{2}\n\n"
    said = ["It is late.", "Remember: no.", "No.", "No.", "No, no."]
    srt = "".join(cue.format(i, i + 1, text) for i, text in enumerate(said))
    assert read(srt.encode(), None, "x").text == " ".join(said)
    assert read(b"Note: this is a book.\n" + b"It goes on.\n" * 20, None, "x").text.startswith("Note: this")


@pytest.mark.parametrize(
    "raw",
    [
        b"", b" \r\n\t", b"\0" * 100, b"%PDF-1.7 text", bytes(range(256)) * 20,
        b"\x1f\x8b\x08" + bytes(range(128, 256)) * 9, b"WEBVTT\n\nNOTE nothing\n",
        b'{"version": "1.0.0", "segments": []}', b'{"a": 1}', b"...\n---\n",
    ],
)  # fmt: skip
def test_what_is_no_transcript_is_rejected(raw: bytes) -> None:
    with pytest.raises(RejectedError) as caught:
        read(raw, "text/plain", "x")
    assert caught.value.reason is Reason.BAD_TRANSCRIPT


def test_broken_json_a_missing_utterance_and_too_much_are_rejected() -> None:
    for raw, declared, name in (
        (b'{"segments": [{"body": "cut', "application/json", "x"),
        (CHAPTER.encode(), None, "19-198-0007.flac"),
        (b"a " * (MAX_BYTES // 2 + 1), None, "x"),
    ):
        with pytest.raises(RejectedError, match="bad_transcript"):
            read(raw, declared, name)


CUE = "00:00:01,000 --> 00:00:02,000\n"
HOSTILE = [
    "<", "<a", "<!--", "<p><!", "<p><script>", "<p><nav>", "<p><nav></nav>", "<p a='", "[", "[x", "{", f"{CUE}{{\\",
    "(", f"{CUE}(laugh", "♪", f"{CUE}♪ ", "*", "* ", "_", "a-\n", "-\n", "&#9", "-->", "\n", "- ", "A: ", "Ab ",
    "1:11", "*** START OF ", "*** START OF x\ny\n", "End of ", "1-1-0000 A\n", "字", "「", "WEBVTT\n",
    "<00:00:01.000>x ", f"{CUE}a a b\n", f"{CUE}\n", "\u200b", "\u0301", "a", "1", "1 ", "&#x" + "f" * 99,
    f"WEBVTT\n\n{CUE}", '{"body":', "Ab\n", "-\t", "$1,",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("before", ["", "WEBVTT\n\n00:01.000 --> 00:02.000\n"])
def test_no_text_takes_more_than_linear_time(unit: str, before: str) -> None:
    raw = (before + unit * (100_000 // len(unit)) + "x").encode()
    began = time.process_time()
    try:
        read(raw, None, "x")
    except RejectedError:
        pass
    assert time.process_time() - began < 10  # of computing: 0.2 s here; the square of it is minutes


def test_long_character_references_are_no_numbers() -> None:
    assert read(b"<p>one &#" + b"9" * 5000 + b"; two</p>", None, "x").text == "one two"


STORY = (
    "The miller carried a heavy sack of barley up the narrow stairs. Nobody had repaired the little bridge since the"
    " flood of last year. A letter came on Monday, but it was addressed to somebody else. Rain fell on the roof all"
    " night, and in the morning the river was high. Seven geese walked along the road as if it belonged to them."
)
SENTENCES = [f"{sentence.strip('. ')}." for sentence in STORY.split(". ")]


def clips_of(texts: Sequence[str | None], length_s: float = 6.0) -> list[ClipHypothesis]:
    said = [None if text is None else tuple(text.split()) for text in texts]
    return [
        ClipHypothesis(start_s=i * length_s, end_s=(i + 1) * length_s - 0.3, words=words)
        for i, words in enumerate(said)
    ]


def texts(found: Sequence[AlignedText | None]) -> list[str | None]:
    return [one and one.text for one in found]


def srt_of(parts: Sequence[tuple[float, float, str]]) -> Reference:
    def clock(s: float) -> str:
        return f"{int(s // 3600):02}:{int(s % 3600 // 60):02}:{int(s % 60):02},{round(s % 1 * 1000) % 1000:03}"

    cues = (f"{clock(start)} --> {clock(end)}\n{text}\n\n" for start, end, text in parts)
    return read("".join(cues).encode(), "text/srt", "x.srt")


def test_each_clip_gets_its_words_as_the_publisher_spells_them() -> None:
    reference = read(STORY.encode(), None, "x")
    found = align(reference, clips_of([sentence.lower().replace(",", "") for sentence in SENTENCES]))
    assert texts(found) == SENTENCES
    assert [one.match for one in found if one] == [1.0] * 5


def test_misheard_lost_and_added_words_at_an_edge_cost_no_word() -> None:
    heard = [
        "a miller carried a heavy sack of barley up the narrow",  # a tail is lost
        "no body had repaired the little bridge since the flat of last here",
        "letter came on Monday but it was addressed to somebody elves uh",
        "rein fell on the roof all night and in the morning the river was high",
        "seven geese walk along the road as if it belonged to him",
    ]
    found = align(read(STORY.encode(), None, "x"), clips_of(heard))
    assert texts(found) == SENTENCES
    assert all(0.6 < (one.match or 0) < 1 for one in found if one)


def test_what_the_text_does_not_have_is_not_found() -> None:
    preamble = "This is a LibriVox recording all LibriVox recordings are in the public domain"
    advert = "go to our sponsor's page and get ten per cent off your first order of the best coffee"
    heard = [preamble, SENTENCES[0], advert, *SENTENCES[1:], "end of chapter one", "", None]
    found = align(read(STORY.encode(), None, "x"), clips_of(heard))
    assert texts(found) == [None, SENTENCES[0], None, *SENTENCES[1:], None, None, None]


def test_the_order_of_clips_and_of_runs_does_not_matter() -> None:
    reference = read(STORY.encode(), None, "x")
    clips = clips_of([sentence.lower() for sentence in SENTENCES])
    straight = align(reference, clips)
    order = random.Random(0).sample(range(len(clips)), len(clips))
    assert align(reference, [clips[i] for i in order]) == [straight[i] for i in order]
    assert align(reference, []) == []


def test_numbers_and_short_forms_agree_with_what_is_heard_in_full() -> None:
    reference = read("In 1847 Mr. Ash sold 25 geese for £5 to Dr. Low. He was good-humoured.".encode(), None, "x")
    heard = (
        "in eighteen forty seven mister ash sold twenty-five geese for five pounds to doctor low he was good humoured"
    )
    (found,) = align(reference, clips_of([heard]))
    assert found == AlignedText(text=reference.text, match=1.0)


def test_scripts_without_spaces_are_aligned_by_character() -> None:
    reference = read("今天天气很好。我们去公园散步吧！昨天下了一整天的雨。".encode(), None, "x")
    found = align(reference, clips_of(["今天天气好", "我们去公园散步吧", "昨天下了一整天雨"]))
    assert texts(found) == ["今天天气很好。", "我们去公园散步吧！", "昨天下了一整天的雨。"]


def test_inserted_adverts_shift_times_and_clips_that_nobody_transcribed_shift_with_them() -> None:
    reference = srt_of([(6.0 * i, 6 * i + 5.7, text) for i, text in enumerate(SENTENCES)])
    told = clips_of([*SENTENCES[:3], None, SENTENCES[4]])
    late = [7.0] * 2 + [30.0] * 3
    clips = [ClipHypothesis(start_s=c.start_s + s, end_s=c.end_s + s, words=c.words) for c, s in zip(told, late)]
    found = align(reference, clips)
    assert texts(found) == SENTENCES
    assert [one and one.match for one in found] == [1.0, 1.0, 1.0, None, 1.0]
    untold = [ClipHypothesis(start_s=one.start_s, end_s=one.end_s, words=None) for one in clips]
    between = align(reference, [clips[0], untold[1], untold[2], clips[4]])
    assert texts(between) == [SENTENCES[0], None, None, SENTENCES[4]]  # on which side of the advert is not known


def test_times_alone_decide_where_nothing_was_transcribed() -> None:
    reference = srt_of([(6.0 * i, 6 * i + 5.7, text) for i, text in enumerate(SENTENCES)])
    found = align(reference, clips_of([None] * 6))
    assert texts(found) == [*SENTENCES, None]
    assert {one.match for one in found if one} == {None}
    assert align(read(STORY.encode(), None, "x"), clips_of([None] * 2)) == [None, None]
    other = "this is a quite different text that has nothing to do with geese at all"
    assert align(reference, clips_of([other, None])) == [None, None]


# A whole chapter, read: which words are in which clip is known.

Segment = dict[str, str | float]


@pytest.fixture(scope="module")
def chapter(shared_data: Path) -> list[Segment]:
    found: list[Segment] = json.loads((shared_data / "longform" / "LS19_198.segments.json").read_text())
    return found


def misheard(
    chapter: list[Segment], share: float, kinds: tuple[float, float, float], seed: int
) -> list[ClipHypothesis]:
    """The chapter's clips with other, missing and additional words, in these proportions."""
    rng = random.Random(seed)
    known = sorted({word for one in chapter for word in str(one["text"]).split()})

    def said(words: list[str]) -> list[str]:
        changed: list[str] = []
        for word in words:
            kind = rng.choices("sdi", kinds)[0] if rng.random() < share else ""
            changed += {"": [word], "s": [rng.choice(known)], "d": [], "i": [word, rng.choice(known)]}[kind]
        return changed

    return [
        ClipHypothesis(
            start_s=float(one["start"]), end_s=float(one["end"]), words=tuple(said(str(one["text"]).split()))
        )
        for one in chapter
    ]


def other_words(chapter: list[Segment], count: int, seed: int) -> str:
    known = sorted({word for one in chapter for word in str(one["text"]).split()})
    return " ".join(random.Random(seed).choices(known, k=count))


def in_book(chapter: list[Segment], before: int = 25_000, after: int = 25_000) -> Reference:
    lines = [other_words(chapter, before, 1), *(str(one["text"]) for one in chapter), other_words(chapter, after, 2)]
    return read("\n".join(lines).encode(), "text/plain", "book.txt")


def in_subtitles(chapter: list[Segment], offset_s: float, first: int = 0) -> Reference:
    parts: list[tuple[float, float, str]] = []
    for one in chapter[first:]:
        words, start = str(one["text"]).split(), float(one["start"]) + offset_s
        each = (float(one["end"]) - float(one["start"])) / len(words)
        parts += [
            (start + each * k, start + each * min(k + 7, len(words)), " ".join(words[k : k + 7]))
            for k in range(0, len(words), 7)
        ]
    return srt_of(parts)


def in_json(chapter: list[Segment]) -> Reference:
    told = [{"startTime": one["start"], "endTime": one["end"], "body": one["text"]} for one in chapter]
    return read(json.dumps({"version": "1.0.0", "segments": told}).encode(), "application/json", "x")


def share_right(
    reference: Reference, clips: list[list[ClipHypothesis]], chapter: list[Segment], first: int = 0
) -> float:
    right = [
        (found.text if found else None) == (one["text"] if i >= first else None)
        for some in clips
        for i, (found, one) in enumerate(zip(align(reference, some), chapter, strict=True))
    ]
    return sum(right) / len(right)


@pytest.mark.shared_data
def test_clips_of_a_chapter_get_exactly_their_words(chapter: list[Segment]) -> None:
    few = [misheard(chapter, 0.05, (0.6, 0.2, 0.2), seed) for seed in range(5)]
    some = [misheard(chapter, 0.1, (0.6, 0.2, 0.2), seed) for seed in range(5)]
    book = in_book(chapter)
    assert share_right(book, few, chapter) >= 0.98
    assert share_right(in_json(chapter), some, chapter) >= 0.98
    assert share_right(in_subtitles(chapter, 7), some, chapter) >= 0.98
    assert share_right(in_subtitles(chapter, 7, first=20), some, chapter, first=20) >= 0.98  # the rest is an advert
    # Without punctuation or times nothing tells in which of two clips a word was that was heard in none of them.
    nothing_lost = [misheard(chapter, 0.1, (0.7, 0.0, 0.3), seed) for seed in range(5)]
    assert share_right(book, nothing_lost, chapter) >= 0.98
    assert share_right(book, some, chapter) >= 0.93


@pytest.mark.shared_data
def test_a_whole_book_against_a_chapter_takes_less_than_two_seconds(chapter: list[Segment]) -> None:
    book, clips = in_book(chapter, 150_000, 50_000), misheard(chapter, 0.05, (0.6, 0.2, 0.2), 0)
    began = time.process_time()
    align(book, clips)
    assert time.process_time() - began < 2


@pytest.mark.shared_data
def test_transcripts_of_the_podcast_namespace_are_read(shared_data: Path) -> None:
    stem = shared_data / "feeds" / "podcast_namespace" / "docs__examples__transcripts__example"
    told = {kind: read(Path(f"{stem}.{kind}").read_bytes(), None, "x") for kind in ("html", "srt", "vtt", "json")}
    assert told["json"].text == "I am your father. Nooooo"
    assert told["html"].text == told["srt"].text  # the same episode
    assert "Travis:" not in told["srt"].text
    assert told["vtt"].text.startswith("In today's episode, you'll learn whether or not you should have a podcast")
