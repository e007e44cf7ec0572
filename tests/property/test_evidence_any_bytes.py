"""Any bytes are a reference or are rejected with a reason, quickly; what was read can be aligned to anything."""

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.text.reference import ClipHypothesis, align, read
from speechmill.text.reference.spoken import prose

PARTS = [
    "WEBVTT\n\n", "1\n", "00:00:01,000 --> 00:00:02,500\n", "00:02.000 --> 00:01.000 align:start\n", "<00:00:01.5>",
    "99999:99:99.9 -> 1:1\n", "<v Anna>", "</c>", "[Music]", "(laughs)", "♪", ">> ", "ANNA: ", "NOTE x\n", "\n\n",
    "\r\n", "{\\an8}", '{"segments":[', '{"startTime":1,"endTime":-1e999,"body":"word "}', ",", "]}", "[", "<p>",
    "</p>", "<time>", "<script>", "<!--", "-->", "&amp;", "&#55296;", "&#x110000;", "*** START OF X ***\n",
    "*** END OF X\n", "some-\nthing", "_very_", "19-198-0001 IT WAS\n", "the mill is old ", "1847 ", "$5.00 ", "今天",
    "ก\u0e31", "\u00ad", "\u202e", "\ue000", "---",
]  # fmt: skip
words = st.lists(st.sampled_from(["the", "mill", "is", "old.", "1847", "今天", "...", ""]), max_size=12).map(tuple)
clips = st.lists(st.tuples(st.floats(-10, 1e6), st.floats(0, 30), st.none() | words), max_size=5)
types = st.sampled_from([None, "", "text/html", "application/json", "text/plain; charset=utf-7", "text/vtt"])


def check(raw: bytes, media_type: str | None, told: list[tuple[float, float, tuple[str, ...] | None]]) -> None:
    began = time.process_time()
    try:
        reference = read(raw, media_type, "19-198-0001")
    except RejectedError as error:
        assert error.reason is Reason.BAD_TRANSCRIPT
        return
    assert len(reference) == len(reference.words()) > 0
    assert all(word == word.strip() != "" for word in reference.words())
    assert reference.text.isprintable()
    assert np.all(np.diff(reference.at.ravel()) >= 0)
    if reference.times is not None:
        assert np.all(np.isfinite(reference.times))
        assert np.all(np.diff(reference.times[:, 0]) >= 0)
    found = align(reference, [ClipHypothesis(start_s=at, end_s=at + long, words=some) for at, long, some in told])
    assert len(found) == len(told)
    assert all(
        one is None or (one.text in reference.text and (one.match is None or 0 <= one.match <= 1)) for one in found
    )
    assert time.process_time() - began < 2


@given(st.binary(max_size=2_000), types, clips)
@settings(max_examples=200)
def test_any_bytes(raw: bytes, media_type: str | None, told: list[tuple[float, float, tuple[str, ...] | None]]) -> None:
    check(raw, media_type, told)


@given(
    st.lists(st.sampled_from(PARTS) | st.text(max_size=5), max_size=40).map("".join),
    st.sampled_from(["utf-8", "utf-16", "utf-16-le", "cp1252"]), types, clips,
)  # fmt: skip
@settings(max_examples=400)
def test_any_pieces_of_transcripts(
    text: str, encoding: str, media_type: str | None, told: list[tuple[float, float, tuple[str, ...] | None]]
) -> None:
    check(text.encode(encoding, "replace"), media_type, told)


def test_a_line_of_blanks_in_a_transcript_with_times_takes_linear_time() -> None:
    lines = [f"00:0{n}:00 Hello there." for n in range(9)]
    begin = time.thread_time()
    assert prose([*lines, " " * 200_000 + "\n" * 200_000])[:1] == ["Hello there."]
    assert time.thread_time() - begin < 5
