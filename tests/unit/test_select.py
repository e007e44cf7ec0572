"""Decisions: thresholds and their borders, licences, and doubts about transcripts that good prose never raises."""

import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from speechmill.core.columns import Column
from speechmill.core.config import Licences, RunConfig
from speechmill.core.reasons import Reason
from speechmill.core.records import TRANSCRIPT_ARTIFACT
from speechmill.core.thresholds import Thresholds
from speechmill.decide.decision import HALLUCINATIONS, Overrides, Reasons, by_text, decide, failed
from speechmill.decide.licences import licence_allowed, reasons_by_licence
from speechmill.publish.columns import every_column
from speechmill.publish.decided import ENGLISH
from speechmill.stages.assess import hallucinations
from speechmill.stages.score import MEASURES
from speechmill.stages.selection import early_columns, late_columns

TESTED = [column for column in early_columns(RunConfig()) if column.test]
SCHEMA = pa.schema([("clip_id", pa.string()), *(column.field for column in early_columns(RunConfig()))])
TEXTS = pa.schema([*TRANSCRIPT_ARTIFACT, ("asr_agreement", pa.float32()), ("text_confidence", pa.float32())])
GOOD = {
    "clip_id": "a", "score_noise": 0.1, "score_music": 0.1, "score_telephone": 0.1, "score_overlap": 0.1,
    "score_reverb": 0.1, "snr_db": 30.0, "c50_db": 40.0, "bandwidth_hz": 11_000.0, "loudness_lufs": -20.0,
    "peak_dbfs": -3.0, "clipped_ratio": 0.0, "edge_ratio": 0.1, "voices": 1, "score_turn": 0.1, "turn_id": 3,
}  # fmt: skip


def scored(*changes: dict[str, float | None]) -> pa.Table:
    return pa.Table.from_pylist([GOOD | change for change in changes], schema=SCHEMA)


def test_a_good_clip_is_kept_and_no_clips_are_no_trouble() -> None:
    assert reasons_by_score(scored({}), Thresholds()) == [()]
    assert reasons_by_score(scored(), Thresholds()) == []


def reasons_by_score(scores: pa.Table, thresholds: Thresholds) -> list[tuple[Reason, ...]]:
    return words(failed(scores, early_columns(RunConfig()), thresholds))


def words(reasons: Reasons) -> list[tuple[Reason, ...]]:
    return [tuple(map(Reason, found)) for found in reasons.lists().to_pylist()]


@pytest.mark.parametrize("column", TESTED, ids=lambda column: column.name)
def test_the_limit_itself_passes_and_what_is_beyond_does_not(column: Column) -> None:
    test = column.test
    assert test is not None
    limit = {"snr_db": 15.1, "c50_db": 20.3, "bandwidth_hz": 5_000.0, "loudness_lufs": -45.3, "voices": 1}.get(
        test.key, 0.3
    )
    rules = Thresholds.model_validate({test.key: limit})
    beyond = limit * 1.001 if test.at_most else limit - abs(limit) * 0.001
    beyond = beyond if pa.types.is_floating(column.type) else limit + 1
    table = scored({column.name: limit}, {column.name: beyond}, {column.name: None})
    unscored = (Reason.NOT_FINITE,) if column.name.startswith("score_") else ()
    assert reasons_by_score(table, rules) == [(), (test.reason,), unscored]
    assert reasons_by_score(table, Thresholds.model_validate({test.key: None})) == [(), (), ()]


def test_all_reasons_are_given_once_each_in_the_order_of_the_table() -> None:
    bad = {"score_noise": 1.0, "score_reverb": 1.0, "c50_db": 1.0, "snr_db": 2.0, "clipped_ratio": 0.5}
    found = reasons_by_score(scored(bad), Thresholds(c50_db=10.0))
    assert found == [(Reason.NOISE, Reason.REVERB, Reason.LOW_SNR, Reason.CLIPPED)]


def test_what_has_no_score_is_rejected_once_and_what_cannot_be_measured_is_not() -> None:
    measures = scored({"snr_db": 40.0, "score_noise": 0.9}).select(["clip_id", *(column.name for column in MEASURES)])
    assert reasons_by_score(measures, Thresholds()) == [()]
    empty = {name: None for name in GOOD if name != "clip_id"}
    assert reasons_by_score(scored(empty, {}), Thresholds(c50_db=10.0)) == [(Reason.NOT_FINITE,), ()]
    unmeasured = {name: None for name in empty if not name.startswith("score_")}
    assert reasons_by_score(scored(unmeasured), Thresholds(c50_db=10.0)) == [()]


def test_every_threshold_is_tested_by_exactly_one_row() -> None:
    keys = [column.test.key for column in every_column() if column.test]
    assert sorted(keys) == sorted(Thresholds.model_fields)
    assert all(column.name in {*SCHEMA.names, *TEXTS.names} for column in every_column() if column.test)


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


def test_what_a_machine_made_is_rejected_for_a_reason_of_its_own_or_kept() -> None:
    def reasons(licence: str, **chosen: str) -> list[Reason]:
        return reasons_by_licence(licence, Licences.model_validate(chosen), ai_generated=True)

    assert reasons("CC0-1.0") == [Reason.AI_GENERATED]
    assert reasons("unknown") == [Reason.LICENCE, Reason.AI_GENERATED]
    assert reasons("CC0-1.0", ai_generated="allow") == []
    assert reasons_by_licence("CC0-1.0", Licences(), ai_generated=False) == []


def test_a_list_of_licences_is_the_whole_truth() -> None:
    rules = Licences.model_validate({"allow": ["CC-BY-4.0", "unknown"]})
    allowed = ("CC-BY-4.0", "unknown", "CC0-1.0", "CC-BY-4.0-extra")
    assert [licence_allowed(licence, rules) for licence in allowed] == [True, True, False, False]
    assert not licence_allowed("CC0-1.0", Licences(allow=()))


def doubts(
    text: str | None, seconds: float, languages: tuple[str, ...] = (), declared: str | None = None, **row: Any
) -> tuple[Reason, ...]:
    heard = {"clip_id": "a", "text": text, "language": "en", "no_speech_probability": 0.01, "asr_confidence": 0.9}
    (stored,) = pa.Table.from_pylist([heard | row], schema=TEXTS).to_pylist()
    place = {"start": 0, "end": round(seconds * RunConfig().audio.sample_rate)}
    stored[HALLUCINATIONS] = hallucinations(stored | place, RunConfig())
    table = pa.Table.from_pylist([stored], schema=TEXTS.append(pa.field(HALLUCINATIONS, pa.list_(pa.string()))))
    english = np.array([(declared or "en").partition("-")[0].lower() in ENGLISH])
    thresholds = Thresholds(asr_agreement=0.8)
    return words(by_text(table, late_columns(), thresholds, languages=languages, may_be_english=english))[0]


SENTENCE = "The whole of the village came out to see the balloon rise over the river."  # 74 characters


def test_doubts_about_a_transcript() -> None:
    assert doubts(SENTENCE, 5.5) == ()
    assert doubts(SENTENCE, 5.5, ("de", "fr")) == (Reason.LANGUAGE,)
    assert doubts(SENTENCE, 5.5, ("de", "en")) == ()
    assert doubts(SENTENCE, 5.5, no_speech_probability=0.95) == (Reason.NO_SPEECH,)
    assert doubts("", 5.5, error="RuntimeError: out of memory") == (Reason.ASR_FAILED,)
    assert doubts(None, 5.5) == doubts(" … - ♪♪ (!)", 5.5) == (Reason.EMPTY_TEXT,)
    assert doubts(SENTENCE, 5.5, asr_confidence=0.69) == (Reason.LOW_CONFIDENCE,)
    assert doubts(SENTENCE, 5.5, text_confidence=0.2) == (Reason.LOW_CONFIDENCE,)
    assert doubts(SENTENCE, 5.5, asr_confidence=0.2, text_confidence=0.2) == (Reason.LOW_CONFIDENCE,)
    assert doubts(SENTENCE, 5.5, asr_agreement=0.79) == (Reason.DISAGREEMENT,)
    assert doubts(SENTENCE, 5.5, asr_agreement=0.8) == ()


def test_a_recogniser_that_knows_english_only_is_not_believed_where_the_source_declares_another_language() -> None:
    assert doubts(SENTENCE, 5.5, declared="de-AT") == doubts(SENTENCE, 5.5, declared="grc") == (Reason.LANGUAGE,)
    for declared in ("en", "en-GB", "EN", "eng", None):
        assert doubts(SENTENCE, 5.5, declared=declared) == ()
    assert doubts(SENTENCE, 5.5, declared="de", language_probability=0.98) == ()  # it was heard, whatever is declared
    assert doubts(SENTENCE, 5.5, declared="en", language="de") == ()


def test_a_language_that_the_recogniser_only_guesses_is_doubted() -> None:
    assert doubts(SENTENCE, 5.5, language_probability=0.49) == (Reason.LANGUAGE,)
    assert doubts(SENTENCE, 5.5, language_probability=0.5) == ()


def test_each_reason_is_given_once_however_many_marks_speak_for_it() -> None:
    over_noise = {"no_speech_probability": 0.95, "avg_logprob": -1.2, "asr_confidence": 0.2}
    assert doubts("you", 14.0, ("de",), **over_noise) == (
        Reason.SPEECH_RATE, Reason.NO_SPEECH, Reason.LOW_CONFIDENCE, Reason.STOCK_PHRASE, Reason.LANGUAGE,
    )  # fmt: skip


def test_every_reason_has_a_meaning_of_its_own_and_is_its_value_elsewhere() -> None:
    meanings = [reason.meaning for reason in Reason]
    assert all(meanings)
    assert len(set(meanings)) == len(meanings)
    assert pickle.loads(pickle.dumps(Reason.NOISE)) is Reason.NOISE is Reason("noise")
    assert f"{Reason.NOISE}" == "noise"


# --- decisions by hand ---


def test_people_win_over_thresholds_but_not_over_licences_and_removals() -> None:
    """Columns: nothing wrong, noisy, doubtful text, no licence, not tokenised, a low MOS; left alone, kept, dropped."""

    def mask(*which: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.isin(np.tile(np.arange(6), 3), which)

    hand = np.repeat(np.arange(3), 6)
    stages = {name: Reasons(18) for name in ("refused", "by_audio", "by_text", "by_plugins", "unfinished")}
    for name, reason, which in (
        ("by_audio", Reason.NOISE, 1), ("by_text", Reason.LOW_CONFIDENCE, 2), ("refused", Reason.LICENCE, 3),
        ("unfinished", Reason.NOT_TOKENISED, 4), ("by_plugins", "low_mos", 5),
    ):  # fmt: skip
        stages[name].add(reason, mask(which))
    none = np.zeros(18, bool)
    decision = decide(**stages, by_hand=Overrides(keep=hand == 1, drop=hand == 2, text=none))
    by_hand = ["manual"]
    assert decision.reasons.lists().to_pylist() == [
        *[[], ["noise"], ["low_confidence"], ["licence"], ["not_tokenised"], ["low_mos"]],
        *[by_hand, by_hand, by_hand, ["licence"], ["not_tokenised"], by_hand],
        *[by_hand, by_hand, by_hand, ["licence", "manual"], by_hand, by_hand],
    ]
    assert decision.kept.tolist() == [True, *[False] * 5, *[True] * 3, False, False, True, *[False] * 6]
    written = decide(**stages, by_hand=Overrides(keep=none, drop=none, text=~none)).reasons.lists().to_pylist()
    assert written[:6] == [[], ["noise"], [], ["licence"], ["not_tokenised"], ["low_mos"]]  # a text mends only texts


def test_reasons_are_named_in_one_order_in_every_table() -> None:
    """Another table, in which the first of them holds for no clip, names the others in the same order."""
    bad: dict[str, float | None] = {"score_noise": 1.0, "snr_db": 2.0}
    worse = bad | {"score_reverb": 1.0}
    assert reasons_by_score(scored(worse, bad), Thresholds()) == [
        (Reason.NOISE, Reason.REVERB, Reason.LOW_SNR),
        (Reason.NOISE, Reason.LOW_SNR),
    ]
    assert list(failed(scored(bad), early_columns(RunConfig()), Thresholds()).failing) == list(
        failed(scored(worse), early_columns(RunConfig()), Thresholds()).failing
    )
