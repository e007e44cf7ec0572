"""Decisions: thresholds and their borders, licences, and doubts about transcripts that good prose never raises."""

from typing import Any

import pyarrow as pa
import pytest

from pipeline.config import Licences, Thresholds
from pipeline.records import REPEATS, TRANSCRIPT_ARTIFACT, Reason, score_artifact
from pipeline.select import (
    SCORE_TESTS,
    TRANSCRIPT_TESTS,
    licence_allowed,
    reasons_by_score,
    reasons_by_transcript,
    repeats,
)

SCHEMA = pa.schema([*score_artifact(defects=True), *REPEATS])
GOOD = {
    "clip_id": "a", "score_noise": 0.1, "score_music": 0.1, "score_phone": 0.1, "score_overlap": 0.1,
    "score_reverb": 0.1, "snr_db": 30.0, "c50_db": 40.0, "bandwidth_hz": 11_000.0, "loudness_lufs": -20.0,
    "peak_dbfs": -3.0, "clipped_ratio": 0.0,
}  # fmt: skip


def scored(*changes: dict[str, float | None]) -> pa.Table:
    return pa.Table.from_pylist([GOOD | change for change in changes], schema=SCHEMA)


def test_a_good_clip_is_kept_and_no_clips_are_no_trouble() -> None:
    assert reasons_by_score(scored({}), Thresholds()) == [()]
    assert reasons_by_score(scored(), Thresholds()) == []


@pytest.mark.parametrize("test", SCORE_TESTS, ids=lambda test: test.key)
def test_the_limit_itself_passes_and_what_is_beyond_does_not(test: Any) -> None:
    limit = {"snr_db": 15.1, "c50_db": 20.3, "bandwidth_hz": 5_000.0, "loudness_lufs": -45.3}.get(test.key, 0.3)
    rules = Thresholds.model_validate({test.key: limit})
    beyond = limit * 1.001 if test.at_most else limit - abs(limit) * 0.001
    table = scored({test.column: limit}, {test.column: beyond}, {test.column: None})
    unscored = (Reason.NOT_FINITE,) if test.column.startswith("score_") else ()
    assert reasons_by_score(table, rules) == [(), (test.reason,), unscored]
    assert reasons_by_score(table, Thresholds.model_validate({test.key: None})) == [(), (), ()]


def test_all_reasons_are_given_once_each_in_the_order_of_the_table() -> None:
    bad = {"score_noise": 1.0, "score_reverb": 1.0, "c50_db": 1.0, "snr_db": 2.0, "clipped_ratio": 0.5}
    found = reasons_by_score(scored(bad), Thresholds(c50_db=10.0))
    assert found == [(Reason.NOISE, Reason.REVERB, Reason.LOW_SNR, Reason.CLIPPED)]


def test_what_has_no_score_is_rejected_once_and_what_cannot_be_measured_is_not() -> None:
    measures = scored({"snr_db": 40.0, "score_noise": 0.9}).select(score_artifact(defects=False).names)
    assert reasons_by_score(measures, Thresholds()) == [()]
    empty = {name: None for name in GOOD if name != "clip_id"}
    assert reasons_by_score(scored(empty, {}), Thresholds(c50_db=10.0)) == [(Reason.NOT_FINITE,), ()]
    unmeasured = {name: None for name in empty if not name.startswith("score_")}
    assert reasons_by_score(scored(unmeasured), Thresholds(c50_db=10.0)) == [()]


def test_every_threshold_is_tested_by_exactly_one_row() -> None:
    keys = [test.key for test in (*SCORE_TESTS, *TRANSCRIPT_TESTS)]
    assert sorted(keys) == sorted(Thresholds.model_fields)
    columns = {*SCHEMA.names, *TRANSCRIPT_ARTIFACT.names}
    assert all(test.column in columns for test in (*SCORE_TESTS, *TRANSCRIPT_TESTS))


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("LicenseRef-local", True), ("CC0-1.0", True), ("CC-BY-4.0", True), ("CC-BY-SA-3.0", True),
        ("CC-BY-NC-4.0", True), ("CC-PDDC", True), ("unknown", False), ("CC-BY-ND-4.0", False),
        ("CC-BY-NC-ND-3.0", False), ("cc-by-nd-2.5", False), ("LicenseRef-all-rights-reserved", False),
        ("LicenseRef-proprietary", False),
    ],
)  # fmt: skip
def test_licences_that_forbid_clips_are_not_published_by_default(licence: str, allowed: bool) -> None:
    assert licence_allowed(licence, Licences()) is allowed


def test_a_list_of_licences_is_the_whole_truth() -> None:
    rules = Licences.model_validate({"allow": ["CC-BY-4.0", "unknown"]})
    allowed = ("CC-BY-4.0", "unknown", "CC0-1.0", "CC-BY-4.0-extra")
    assert [licence_allowed(licence, rules) for licence in allowed] == [True, True, False, False]
    assert not licence_allowed("CC0-1.0", Licences(allow=()))


def doubts(text: str, seconds: float, languages: tuple[str, ...] = (), **row: Any) -> tuple[Reason, ...]:
    values = {"clip_id": "a", "text": text, "language": "en", "no_speech_probability": 0.01, "asr_confidence": 0.9}
    table = pa.Table.from_pylist([values | row], schema=TRANSCRIPT_ARTIFACT)
    return reasons_by_transcript(table, [seconds], Thresholds(), languages)[0]


SENTENCE = "The whole of the village came out to see the balloon rise over the river."  # 74 characters


@pytest.mark.parametrize(
    ("reason", "text", "seconds"),
    [
        (Reason.REPETITION, "Thank you. " * 12, 8.0),
        (Reason.REPETITION, "I'm going to go ahead and say that I'm going to go. " * 5, 15.0),
        (Reason.REPETITION, "And then he said no no no no no no no no no.", 5.0),
        (Reason.REPETITION, "you you the you you you and you you you a you you you you or you you you you", 6.0),
        (Reason.EMPTY_TEXT, "", 6.0),
        (Reason.EMPTY_TEXT, " … - ♪♪ (!)", 6.0),
        (Reason.SPEECH_RATE, SENTENCE, 26.0),
        (
            Reason.SPEECH_RATE,
            " ".join([SENTENCE, "They had waited for it since the first light of that morning."] * 2),
            7.0,
        ),
        (Reason.SPEECH_RATE, "Okay.", 9.0),
    ],
)
def test_what_a_hallucinating_recogniser_writes_is_doubted(reason: Reason, text: str, seconds: float) -> None:
    assert doubts(text, seconds) == (reason,)


def test_other_doubts_about_a_transcript() -> None:
    assert doubts(SENTENCE, 5.5) == ()
    assert doubts(SENTENCE, 5.5, ("de", "fr")) == (Reason.LANGUAGE,)
    assert doubts(SENTENCE, 5.5, ("de", "en")) == ()
    assert doubts(SENTENCE, 5.5, no_speech_probability=0.95) == (Reason.NO_SPEECH,)
    assert doubts("", 5.5, error="RuntimeError: out of memory") == (Reason.ASR_FAILED,)
    assert doubts(None, 5.5) == (Reason.EMPTY_TEXT,)


PROSE = """
Never, never, never, never, never! Pray you, undo this button: thank you, sir.
Tomorrow, and tomorrow, and tomorrow, creeps in this petty pace from day to day.
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.
Row, row, row your boat, gently down the stream, merrily, merrily, merrily, merrily, life is but a dream.
The rain in Spain stays mainly in the plain, and the man in the van ran to the inn.
Ha, ha, ha! she laughed. Ha, ha! And again she laughed, and he laughed, and they all laughed.
No, no, no, no, she cried, not that one, the other one, the one on the left.
How much wood would a woodchuck chuck if a woodchuck could chuck wood?
To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer.
One, two, three, four, five, six, seven, eight, nine, ten, ready or not, here I come.
Call five five five, one two one two, extension nine nine nine.
We shall fight on the beaches, we shall fight on the landing grounds, we shall fight in the fields and in the streets.
Rose is a rose is a rose is a rose, and that is that.
The bells, bells, bells, bells, bells: keeping time, time, time, in a sort of Runic rhyme.
I know that you know that I know that you know, and that is all there is to know.
He knocked, and knocked, and knocked again, and nobody came to the door.
Bye. Bye. Bye-bye, then. See you. See you soon, take care, bye.
Very, very, very good, I said, and very, very nice it was, too.
It is raining, it is pouring, the old man is snoring.
""".strip().splitlines()


@pytest.mark.parametrize("sentence", PROSE)
def test_people_repeat_themselves_too(sentence: str) -> None:
    assert not repeats(sentence)
    assert doubts(sentence, len(sentence) / 14) == ()  # 14 characters a second: an audiobook


def test_a_loop_is_found_wherever_it_begins_and_however_long_it_is() -> None:
    for words in range(1, 21):
        phrase = " ".join(f"word{i}" for i in range(words))
        assert repeats(f"At first all was well, and then {phrase} {' '.join([phrase] * 5)}.")
        assert not repeats(f"At first all was well, and then {phrase}, {phrase}, and so on.")
    assert not repeats("")
    assert not repeats("ab abab ababab abababab ab ababababab")


def test_a_long_text_is_judged_at_once() -> None:
    assert not repeats(" ".join(f"{i % 97} {i % 89}" for i in range(20_000)))
