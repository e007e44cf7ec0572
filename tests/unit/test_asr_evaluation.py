"""Figures of an ASR model: hand-made cases whose values are known, and the command on clips of a voice."""

import html
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from speechmill.asr import Transcript
from speechmill.audio import encode_flac
from speechmill.core.reasons import Reason
from speechmill.core.records import RejectedError
from speechmill.training.asr import evaluate as evaluation
from speechmill.training.asr.evaluate import evaluate
from speechmill.training.asr.metrics import Written, compare, conventions, figures, spoken, words
from speechmill.training.asr.references import read
from speechmill.training.clip_sound import length_s, sound

RATE = 16_000
CASED = Written(case=True, marks=True)
BARE = Written(case=False, marks=False)
EVIL = "</script><script>alert(1)</script>"


def share(reference: str, hypothesis: str, figure: str, written: Written = CASED, language: str = "en") -> float | None:
    """A figure of one clip; None where it has none."""
    over, under, _ = compare(reference, hypothesis, language, written).counts.get(figure, (0, 0, 0))
    return over / under if under else None


# --- words and characters ---


def test_word_and_character_errors_of_a_known_case():
    wanted, got = "The cat sat on the mat.", "the cat sit on mat"
    assert share(wanted, got, "wer") == pytest.approx(2 / 6)
    assert share(wanted, got, "substituted") == share(wanted, got, "deleted") == pytest.approx(1 / 6)
    assert share(wanted, got, "inserted") == 0
    assert share(wanted, got, "cer") == pytest.approx(5 / 22)  # a for i, and "the "
    assert share(wanted, got, "wer_raw") == pytest.approx(4 / 6)  # The, sat, the, mat.
    assert share(wanted, got, "cer_raw") == pytest.approx(7 / 23)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MISTER SMITH PAID TWENTY DOLLARS", "Mr. Smith paid $20."),
        ("MISSUS MORLAND'S GOOD HUMOURED", "Mrs. Morland’s good-humoured"),
        ("at half past ten, 'he said'", "At half past 10 he said"),
        ("“Don’t!” – she said…", "don't she said"),
        ("café", "cafe"),
    ],
)
def test_what_counts_as_the_same_in_english(one: str, other: str):
    assert words(one, "en") == words(other, "en")


def test_spellings_count_as_the_same_in_english_only():
    assert words("the grey colour", "en") == words("The gray color.", "en")
    assert words("the grey colour", "de") != words("the gray color", "de")


def test_other_languages_keep_their_letters_and_read_their_numbers():
    assert share("Wie schön.", "Wie schon.", "wer", language="de") == 0.5
    assert words("Sie hat 21 Äpfel.", "de") == ["sie", "hat", "einundzwanzig", "äpfel"]
    assert words("हिन्दी में", "hi") == ["हिन्दी", "में"]


@pytest.mark.parametrize(
    ("wanted", "got", "counts"), [("", "Thank you.", (2, 0)), ("Thank you.", "", (2, 2)), ("", "", (0, 0))]
)
def test_nothing_said_and_nothing_written(wanted: str, got: str, counts: tuple[int, int]):
    found = compare(wanted, got, "en", CASED).counts
    assert found["wer"][:2] == counts
    assert found["f1_marks"][:2] == found["f1_case"][:2] == (0, 0)  # no word is matched


def test_in_a_script_without_spaces_a_character_is_a_word():
    chinese = Written(case=False, marks=True, caseless=True)
    wanted, got = "今天天气很好。", "今天天汽很好，"
    assert share(wanted, got, "wer", chinese, "zh") == share(wanted, got, "cer", chinese, "zh") == pytest.approx(1 / 6)
    assert share(wanted, got, "cer_raw", chinese, "zh") == pytest.approx(2 / 7)
    assert share(wanted, got, "wer_raw", chinese, "zh") is None
    assert share(wanted, got, "f1_full_stop", chinese, "zh") == 0
    assert share(wanted, wanted, "f1_full_stop", chinese, "zh") == 1
    assert share("我有iPhone", "我有 iphone", "wer", chinese, "en") == 0


# --- punctuation and case ---


def test_punctuation_and_case_of_a_known_case():
    wanted, got = "Yes, I do. Do you? No!", "Yes I do. Do you, no!"
    assert share(wanted, got, "f1_full_stop") == 1
    assert share(wanted, got, "f1_comma") == 0  # one missed, one made up
    assert share(wanted, got, "f1_question_mark") == 0
    assert share(wanted, got, "f1_marks") == pytest.approx(4 / 7)  # two of four, and of three
    assert share(wanted, got, "f1_case") == pytest.approx(6 / 7)


def test_only_words_that_both_have_are_judged():
    assert share("One, two. Three.", "One, too three.", "f1_full_stop") == 1
    assert compare("One, two. Three.", "One, too three.", "en", CASED).counts["f1_full_stop"] == (2, 2, 1)
    assert share("Ann met Bob", "ann met Rob", "f1_case") == 0


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("Mr. Smith has 3.5 pounds.", [None, None, None, None, None, "full stop"]),
        ("“Go,” he said.", ["comma", None, "full stop"]),
        ("Well... who? Ann's.", ["ellipsis", "question mark", "full stop"]),
        ("1,000 at 10:30", [None] * 5),
        ("ja，не, да。", ["comma", "comma", "full stop"]),
    ],
)
def test_the_mark_after_a_word(text: str, marks: list[str | None]):
    assert [one.mark for one in spoken(text)] == marks


def test_a_reference_without_case_or_punctuation_has_no_such_figures():
    found = compare("THE CAT SAT", "The cat sat.", "en", BARE).counts
    assert found["wer"][0] == 0
    assert not {"wer_raw", "cer_raw", "f1_case", "f1_marks", "f1_full_stop"} & found.keys()
    assert "f1_marks" in compare("the cat, sat", "The cat sat.", "en", Written(case=False, marks=True)).counts


def test_most_of_a_source_says_what_its_references_show():
    texts = ["THE CAT", "A DOG", "And so, my friends.", "Yes, sir.", "mhm", "No."]
    found = conventions(texts, ["loud", "loud", "loud", "good", "good", "good"])
    assert [one.case for one in found] == [False, False, True, True, True, True]
    assert [one.raw for one in found] == [False, False, True, True, True, True]
    assert conventions(["今天。"], ["zh"]) == [Written(case=False, marks=True, caseless=True)]


# --- many clips ---


def test_figures_are_of_all_words_not_means_of_clips():
    found = figures([{"wer": (1, 1, 1)}, {"wer": (0, 9, 9)}, {"wer": (2, 0, 0)}], ["a", "b", "c"])
    assert found.keys() == {"wer"}
    assert (found["wer"]["value"], found["wer"]["of"], found["wer"]["clips"]) == (0.3, 10, 3)


def test_intervals_hold_the_value_and_are_wider_where_clips_share_speakers():
    rng = np.random.default_rng(1)
    rate = np.repeat(rng.uniform(0, 0.4, 20), 20)
    counts = [{"wer": (int(wrong), 10, 10)} for wrong in rng.binomial(10, rate)]
    by_speaker = figures(counts, [str(at // 20) for at in range(400)])["wer"]
    by_clip = figures(counts, [str(at) for at in range(400)])["wer"]
    assert by_speaker["low"] < by_speaker["value"] < by_speaker["high"]
    assert by_speaker["high"] - by_speaker["low"] > 2 * (by_clip["high"] - by_clip["low"])
    assert figures(counts, [str(at // 20) for at in range(400)])["wer"] == by_speaker
    alone = figures(counts, ["one"] * 400)["wer"]
    assert (alone["low"], alone["high"]) == (None, None)


# --- references ---


def write(path: Path, seconds: float = 1.0, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)), rate)
    return path


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "line 2: not a JSON object"),
        ("{", "line 2: "),
        ('{"text": "a"}', "line 2: no 'path'"),
        ('{"file": "a.wav", "text": 7}', "line 2: 'text' is 7, not a text"),
        ('{"file": "a.wav"}', "has no clip with a text"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said(tmp_path: Path, line: str, said: str):
    (tmp_path / "m.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(ValueError, match=r"m\.jsonl") as caught:
        read(tmp_path / "m.jsonl")
    assert said in str(caught.value)


def test_a_manifest_names_clips_in_several_ways(tmp_path: Path):
    rows = [
        {"file": "a.wav", "text": "A.", "transcript": "B.", "source": "s", "group": "g", "speaker": 7},
        {"file": "b.wav", "transcript": "", "group": "g", "language": "en-GB"},
        {"file": "c.wav", "label": "noise"},
        {"file": "d.wav", "text": "D."},
    ]
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = read(tmp_path / "m.jsonl")
    assert [(one.text, one.source, one.speaker) for one in found.clips] == [
        ("A.", "s", "7"), ("", "g", ""), ("D.", "m.jsonl", "")
    ]  # fmt: skip
    assert found.clips[1].language == "en"
    assert found.without_text == 1
    assert [one.file for one in found.limited(2).clips] == ["a.wav", "b.wav"]
    assert len(found.limited(9).clips) == 3


def test_a_manifest_of_nemo_names_parts_of_a_file(tmp_path: Path):
    write(tmp_path / "a.wav", 8.0)
    wave, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    told = [{"offset": 2.0, "duration": 3.0}, {"duration": 8.0}, {"duration": 2.5}, {"offset": 7, "duration": 3}]
    rows = [{"audio_filepath": "a.wav", "text": "A.", **one} for one in told]
    (tmp_path / "m.json").write_bytes(json.dumps(rows).encode("utf-16"))
    *clips, beyond = read(tmp_path / "m.json").clips
    assert [length_s(one) for one in clips] == [3.0, 8.0, 2.5]
    assert [sound(one).size for one in clips] == [3 * RATE, 8 * RATE, 5 * RATE // 2]
    np.testing.assert_allclose(sound(clips[0]), wave[2 * RATE : 5 * RATE], atol=1e-6)
    with pytest.raises(RejectedError, match="bad_span"):
        sound(beyond)
    rows[0] |= {"offset": 5, "end_s": 2}
    (tmp_path / "m.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match="line 1: bad_span: it ends at 2 s and begins at 5 s"):
        read(tmp_path / "m.json")


def test_a_limit_takes_clips_from_all_over(tmp_path: Path):
    lines = [json.dumps({"file": f"{at}.wav", "text": "a"}) for at in range(100)]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    assert [one.file for one in read(tmp_path / "m.jsonl").limited(4).clips] == ["0.wav", "25.wav", "50.wav", "75.wav"]


def test_librispeech_folders_are_read(tmp_path: Path):
    write(tmp_path / "19" / "198" / "19-198-0000.flac")
    (tmp_path / "19" / "198" / "19-198.trans.txt").write_text("19-198-0000 NORTHANGER ABBEY\n")
    (clip,) = read(tmp_path).clips
    assert (clip.text, clip.speaker, clip.language, clip.file) == (
        "NORTHANGER ABBEY", "19", "en", "19/198/19-198-0000.flac"
    )  # fmt: skip
    assert sound(clip).shape == (RATE,)


def test_clips_of_a_corpus_that_have_a_matched_text_are_read(tmp_path: Path):
    audio = [{"bytes": encode_flac(np.full(RATE * (at + 1), at, np.int16), RATE), "path": None} for at in range(3)]
    row = {"recording_id": ["r"] * 3, "title": ["Title", "Title", None], "language": ["en"] * 3}
    row |= {"clip_id": ["a", "b", "c"], "reference_text": ["A.", "B.", "C."], "reference_match": [0.9, None, 0.5]}
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table(row | {"audio": audio}), tmp_path / "data" / "train.parquet", row_group_size=2)
    found = read(tmp_path)
    assert [(one.file, one.text, one.source) for one in found.clips] == [
        ("a.flac", "A.", "Title"),
        ("c.flac", "C.", "r"),
    ]
    assert found.without_text == 1
    assert [len(sound(one)) for one in found.clips] == [RATE, 3 * RATE]


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: (folder / "data").mkdir()])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, make):
    make(tmp_path)
    with pytest.raises(ValueError, match="neither a JSONL manifest"):
        read(tmp_path)


def test_a_corpus_without_publishers_texts_is_refused(corpus: Path):
    with pytest.raises(ValueError, match=r"no publisher's text|no clip with a text"):
        read(corpus)


def test_sound_that_cannot_be_used_says_why(tmp_path: Path):
    write(tmp_path / "long.wav", 30.0)
    write(tmp_path / "fits.wav", 29.9, 8_000)
    write(tmp_path / "empty.wav", 0)
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "nan.wav", np.full(99, np.nan), RATE, subtype="FLOAT")
    names = ("long", "empty", "text", "nan", "gone", "fits")
    (tmp_path / "m.jsonl").write_text("".join(f'{{"file": "{name}.wav", "text": "a"}}\n' for name in names))
    *bad, fits = read(tmp_path / "m.jsonl").clips
    reasons = []
    for clip in bad:
        with pytest.raises(RejectedError) as caught:
            sound(clip)
        reasons.append(caught.value.reason)
        assert str(tmp_path) not in str(caught.value)
    assert reasons == [Reason.TOO_LONG, Reason.EMPTY, Reason.NOT_AUDIO, Reason.NOT_FINITE, Reason.NOT_FOUND]
    assert sound(fits).shape == (round(29.9 * RATE),)


# --- the whole ---


class Says:
    """A model that says the same of all clips but those of two seconds, on which it fails."""

    def transcribe(self, waves):
        return [Transcript(error="RuntimeError: no") if len(w) == 2 * RATE else Transcript(text=EVIL) for w in waves]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Names, sources, speakers and texts that would run, and clips that cannot be used."""
    write(tmp_path / "<img src=x>.wav")
    write(tmp_path / "two.wav", 2)
    rows = [
        {"file": "<img src=x>.wav", "text": f"{EVIL} Said.", "source": "<b>", "speaker": "<i>"},
        {"file": "<u>gone</u>.wav", "text": "Gone.", "source": "<b>"},
        {"file": "two.wav", "text": "Two."},
    ]
    (tmp_path / "<s>.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path / "<s>.jsonl"


def test_the_page_escapes_references_and_hypotheses_and_loads_nothing(hostile: Path, tmp_path: Path):
    evaluate(read(hostile), Says(), tmp_path / "out", about={"model": "<em>"})
    page = (tmp_path / "out" / evaluation.PAGE_FILE).read_text()
    for found in ("<script", "<img src=x", "<u>", "<b><", "<i>", "<s>", "<em>", "http:", "https:", "href=", "url("):
        assert found not in page, found
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
    assert "default-src 'none'" in html.unescape(page)
    assert all(source.startswith("data:") for source in re.findall(r'src="(.{5})', page))


def test_a_clip_that_cannot_be_used_costs_a_row(hostile: Path, tmp_path: Path):
    found = evaluate(read(hostile), Says(), tmp_path / "out", about={})
    assert found["clips"] == 1
    assert [(one["file"], one["reason"]) for one in found["left_out"]] == [
        ("<u>gone</u>.wav", "not_found"), ("two.wav", "asr_failed")
    ]  # fmt: skip
    assert "RuntimeError: no" in (tmp_path / "out" / evaluation.PAGE_FILE).read_text()


class Knows:
    """A model that tells clips by their length, and wants the longest first."""

    def __init__(self, said: dict[float, str]) -> None:
        self.said = said

    def transcribe(self, waves):
        assert [len(wave) for wave in waves] == sorted((len(wave) for wave in waves), reverse=True)
        return [Transcript(text=self.said[len(wave) / RATE], asr_confidence=0.5) for wave in waves]


def test_the_worst_come_first_and_what_was_taken_for_what_is_counted(tmp_path: Path):
    texts = {1.0: "The hare ran.", 0.5: "My hare, my hair.", 2.0: "Right.", 1.5: "All is lost now, my hare."}
    hypotheses = {1.0: "The hair ran.", 0.5: "My hair, my air.", 2.0: "Right.", 1.5: "All is lost now, my hair."}
    for seconds in texts:
        write(tmp_path / f"{seconds}.wav", seconds)
    rows = [{"file": f"{seconds}.wav", "text": text} for seconds, text in texts.items()]
    (tmp_path / "m.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = evaluate(read(tmp_path / "m.jsonl"), Knows(hypotheses), tmp_path / "out", about={})
    assert [(one["file"], one["wer"]) for one in found["worst"]] == [
        ("0.5.wav", 1 / 2), ("1.0.wav", 1 / 3), ("1.5.wav", 1 / 6)
    ]  # fmt: skip
    assert found["confusions"] == [
        {"word": "hare", "hypothesis": "hair", "times": 3}, {"word": "hair", "hypothesis": "air", "times": 1}
    ]  # fmt: skip
    assert found["figures"]["wer"]["value"] == pytest.approx(4 / 14)
    assert found["sources"]["m.jsonl"]["figures"] == found["figures"]
    assert found["drawn"] == "clips"
    assert found["worst"][1]["diff"] == [
        ["equal", "the", "the"], ["substitute", "hare", "hair"], ["equal", "ran", "ran"]
    ]  # fmt: skip


def test_intervals_are_by_speaker_where_they_are_known_else_by_source(tmp_path: Path):
    rows = []
    for at, seconds in enumerate((0.5, 1.0, 1.5, 2.0)):
        write(tmp_path / f"{at}.wav", seconds)
        rows.append({"file": f"{at}.wav", "text": "Right.", "source": f"{at // 2}", "speaker": f"{at % 3}"})
    said = Knows(dict.fromkeys((0.5, 1.0, 1.5, 2.0), "Right."))
    drawn = []
    for keys in ({"file", "text", "source", "speaker"}, {"file", "text", "source"}, {"file", "text"}):
        lines = [json.dumps({key: row[key] for key in row if key in keys}) for row in rows]
        (tmp_path / "m.jsonl").write_text("\n".join(lines))
        found = evaluate(read(tmp_path / "m.jsonl"), said, tmp_path / "out", about={})
        drawn.append((found["drawn"], found["groups"]))
    assert drawn == [("speakers", 3), ("sources", 2), ("clips", 4)]


def test_where_nothing_can_be_transcribed_that_is_an_error(tmp_path: Path, speechmill):
    (tmp_path / "m.jsonl").write_text('{"file": "gone.wav", "text": "a"}\n')
    with pytest.raises(ValueError, match=r"none of 1 clips can be transcribed, e\.g\. gone\.wav: no such file"):
        evaluate(read(tmp_path / "m.jsonl"), Says(), tmp_path / "out", about={})
    done = speechmill("evaluate", "asr", tmp_path / "none.jsonl", "--output", tmp_path / "out", code=2)
    assert "none.jsonl: No such file" in done.stderr
    off = ("--set", "asr.model=null")
    done = speechmill("evaluate", "asr", tmp_path / "m.jsonl", "--output", tmp_path / "out", *off, code=2)
    assert "asr.model: null" in done.stderr


SAID = {
    "barley.wav": "The miller carried a heavy sack of barley up the narrow stairs.",
    "letter.wav": "A letter came on Monday, but it was addressed to somebody else.",
    "wrong.wav": "Twelve ravens sang, and nobody knew why.",
}


@pytest.fixture(scope="module")
def spoken_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of a synthetic voice, of which the last says something else, and one that is not there."""
    from hibari import Hibari

    folder, voice = tmp_path_factory.mktemp("spoken"), Hibari()
    rows = [{"file": "gone.wav", "text": "Gone.", "source": "book"}]
    for name, text in SAID.items():
        soundfile.write(folder / name, voice("Rain fell all night." if name == "wrong.wav" else text, seed=0), 24_000)
        rows.append({"file": name, "text": text, "source": "book", "speaker": name, "language": "en"})
    (folder / "spoken.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder / "spoken.jsonl"


def test_the_command_transcribes_clips_and_says_how_wrong_it_was(spoken_clips: Path, tmp_path: Path, speechmill):
    model = ("--set", "asr.model=tiny.en", "--device", "cpu")
    call = ("evaluate", "asr", spoken_clips, "--output", tmp_path, *model, "--json")
    told = json.loads(speechmill(*call, "--quiet").stdout)
    found = json.loads((tmp_path / evaluation.FIGURES_FILE).read_text())
    assert (found["clips"], told["clips"], told["left_out"], found["speakers"]) == (3, 3, 1, 3)
    assert told["measured"]["wer"]["value"] == found["figures"]["wer"]["value"]
    assert found["worst"][0]["file"] == "wrong.wav"
    assert found["worst"][0]["hypothesis"].startswith("Rain")
    right = [one["wrong"] for one in found["worst"][1:]]
    assert sum(right) <= 3
    assert found["figures"]["wer"]["of"] == sum(len(text.split()) for text in SAID.values())
    wrong = found["worst"][0]["wrong"] + sum(right)
    assert found["figures"]["wer"]["value"] == pytest.approx(wrong / found["figures"]["wer"]["of"])
    assert found["figures"]["f1_full_stop"]["value"] == 1
    assert found["figures"]["wer"]["low"] < found["figures"]["wer"]["high"]
    assert found["x_real_time"] > 0.1


def test_the_page_has_the_figures_the_sound_and_the_differences(spoken_clips: Path, tmp_path: Path, speechmill):
    model = ("--set", "asr.model=tiny.en", "--device", "cpu")
    done = speechmill("evaluate", "asr", spoken_clips, "--output", tmp_path, *model)
    assert str(tmp_path / evaluation.PAGE_FILE) in done.stdout
    found = json.loads((tmp_path / evaluation.FIGURES_FILE).read_text())
    page = (tmp_path / evaluation.PAGE_FILE).read_text()
    for one in found["figures"].values():
        assert f"{100 * one['value']:.1f} %" in page
    assert page.count("<audio") == page.count("data:audio/mpeg") == page.count("data:image/png") == len(found["worst"])
    assert re.search(r"<del>[^<]*ravens", page)
    assert re.search(r"<ins>[^<]*rain", page)
    assert "gone.wav" in page
    assert "no such file" in page
