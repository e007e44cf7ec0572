"""Known corpora are read by run, train and evaluate alike, and a folder of anything else is never taken for one."""

import json
import os
import shutil
from pathlib import Path

import pytest
from speechmill.asr import Transcript
from speechmill.core.config import Input, RunConfig
from speechmill.core.known_corpora import indexes_below, layout_of
from speechmill.core.reasons import Reason
from speechmill.core.records import Recording, Status
from speechmill.core.store import Store
from speechmill.sources import list_recordings
from speechmill.sources.files import indexes
from speechmill.training.asr import material
from speechmill.training.asr.evaluate import evaluate
from speechmill.training.asr.references import read
from speechmill.training.tokens.sound import collect

from tests.known_corpora import CORPORA, LENGTHS_S, sound

WITH_TEXT = [name for name in CORPORA if name != "libri-light"]


@pytest.fixture
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / request.param
    CORPORA[request.param].write(folder)
    return folder


every = pytest.mark.parametrize("corpus", CORPORA, indirect=True)
every_with_text = pytest.mark.parametrize("corpus", WITH_TEXT, indirect=True)


def listing(address: object) -> list[Recording]:
    config = RunConfig(inputs=(Input(address=str(address)),))
    return [one.recording for one in list_recordings(config.inputs[0], config, Store("memory://unused"))]


def known_of(rows: list[Recording]) -> dict[str, tuple[str | None, str | None, str | None]]:
    """Text, speaker and language of what is a recording, by its path."""
    return {
        row.media_url: (
            row.attachments[0].text if row.attachments else None, row.persons[0] if row.persons else None, row.language
        )
        for row in rows if row.status is Status.OK
    }  # fmt: skip


def quiet(_: str) -> None:
    pass


# --- run ---


@every
def test_a_run_reads_a_folder_with_its_texts_and_speakers(corpus: Path) -> None:
    found = known_of(listing(corpus))
    due = CORPORA[corpus.name].utterances
    assert {path: found[path] for path in due} == due


@every
def test_an_index_adds_to_files_and_changes_none(corpus: Path) -> None:
    """Each file has the id that it has in any folder, and a licence is not taken from the look of a folder."""
    with_index = {row.media_url: row for row in listing(corpus) if row.status is Status.OK}
    for index, _ in list(indexes_below(str(corpus))):
        os.remove(index)
    plain = {row.media_url: row for row in listing(corpus) if row.status is Status.OK}
    assert {path: row.recording_id for path, row in with_index.items()} == {
        path: row.recording_id for path, row in plain.items()
    }
    assert {row.licence for row in with_index.values()} == {"LicenseRef-local"}


@every
def test_several_corpora_may_lie_in_one_folder(corpus: Path) -> None:
    CORPORA["ljspeech"].write(corpus.parent / "more")
    shutil.copytree(corpus, corpus.parent / "deep" / "deeper")
    found = known_of(listing(corpus.parent))
    for place, name in ((corpus.name, corpus.name), ("deep/deeper", corpus.name), ("more", "ljspeech")):
        due = CORPORA[name].utterances
        assert {path: found[f"{place}/{path}"] for path in due} == due


@pytest.mark.parametrize("corpus", ["hifitts", "ljspeech", "common-voice"], indirect=True)
def test_an_index_that_is_named_itself_is_all_that_is_taken(corpus: Path) -> None:
    index = corpus / CORPORA[corpus.name].index
    by_folder = {row.media_url: row for row in listing(corpus)}
    rows = listing(index)
    assert {row.status for row in rows} == {Status.OK}
    assert all(row == by_folder[row.media_url] for row in rows)
    invalidated = listing(corpus / "invalidated.tsv") if corpus.name == "common-voice" else []
    assert [row.media_url for row in invalidated] == ["clips/common_voice_cy_4.mp3"] * len(invalidated)


@pytest.mark.parametrize("corpus", ["common-voice"], indirect=True)
def test_what_is_not_validated_has_no_text(corpus: Path) -> None:
    assert known_of(listing(corpus))["clips/common_voice_cy_4.mp3"] == (None, None, None)


@pytest.mark.parametrize("corpus", ["ljspeech"], indirect=True)
def test_what_is_wrong_with_an_index_is_told(corpus: Path) -> None:
    with (corpus / "metadata.csv").open("ab") as file:
        file.write(b"LJ003-0001|Gone.|Gone.\n" * 200 + b"LJ004-0001\n\xff|\n")
    told = [(row.status, row.reason, row.reason_detail) for row in listing(corpus) if row.status is not Status.OK]
    assert told == [
        (Status.FAILED, Reason.BAD_FEED, "line 203: 1 columns, not 3"),
        (Status.FAILED, Reason.BAD_FEED, "line 204: 2 columns, not 3"),
        (Status.LEFT_OUT, Reason.NOT_FOUND, "it names 1 files that are not there"),
    ]
    assert len(known_of(listing(corpus))) == 2


@pytest.mark.parametrize("corpus", ["ljspeech"], indirect=True)
def test_an_index_without_end_is_read_so_far_and_no_further(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "MAX_ROWS", 1)
    rows = listing(corpus)
    assert {path: text for path, (text, _, _) in known_of(rows).items()} == {
        "wavs/LJ001-0001.wav": 'Page one "so".', "wavs/LJ002-0001.wav": None
    }  # fmt: skip
    told = [(row.reason, row.reason_detail) for row in rows if row.status is Status.FAILED]
    assert told == [(Reason.TOO_BIG, "more than 1 lines; what follows line 1 is not read")]


@pytest.mark.parametrize("corpus", ["ljspeech"], indirect=True)
def test_an_index_behind_a_link_that_leads_outside_is_not_read(corpus: Path, tmp_path: Path) -> None:
    (corpus / "metadata.csv").rename(tmp_path / "elsewhere.csv")
    (corpus / "metadata.csv").symlink_to(tmp_path / "elsewhere.csv")
    rows = listing(corpus)
    assert {text for text, _, _ in known_of(rows).values()} == {None}
    assert [row.reason for row in rows if row.status is Status.LEFT_OUT] == [Reason.OUTSIDE]


@pytest.mark.parametrize("corpus", ["librispeech"], indirect=True)
def test_files_that_a_pattern_means_have_the_texts_beside_them(corpus: Path) -> None:
    (row,) = listing(corpus / "19" / "*" / "*.flac")
    assert row.attachments[0].text == "NORTHANGER ABBEY"
    first, _ = listing(f"librilight:{corpus}")
    assert (first.licence, first.persons) == ("CC-BY-4.0", ("LibriVox reader 19",))
    assert first.attachments[0].text == "NORTHANGER ABBEY"


# --- what is none of them ---


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"metadata.csv": "a|Said.|Said.\n"}, "no wavs"),
        ({"metadata.csv": "b|Said.|Said.\n", "wavs/a.wav": None}, "the first sound is not there"),
        ({"metadata.csv": "a|Said so.|happy\n", "wavs/a.wav": None}, "a label"),
        ({"metadata.csv": "a|What is said.|Ann Miller\n", "wavs/a.wav": None}, "a speaker"),
        ({"metadata.csv": "a|happy\n", "wavs/a.wav": None}, "two columns"),
        ({"metadata.csv": "a,Said.,Said.\n", "wavs/a.wav": None}, "commas"),
        ({"metadata.csv": "a|ann|Said.|Said.\n", "wavs/a.wav": None}, "four columns"),
        ({"metadata.csv": "a|Said.|\n", "wavs/a.wav": None}, "nothing that is read"),
        ({"metadata.csv": "", "wavs/a.wav": None}, "empty"),
        ({"validated.tsv": "client_id\tpath\tsentence\na\ta.mp3\tSaid.\n", "a.mp3": None}, "no clips"),
        ({"validated.tsv": "id\tpath\tsentence\na\ta.mp3\tSaid.\n", "clips/a.mp3": None}, "other columns"),
        ({"19-198.trans.txt": "Notes on a transcription\n", "19-198-0000.flac": None}, "other lines"),
        ({"talk.normalized.txt": "Said.", "talk.wav": None}, "another name"),
        ({"1_2_3_4.normalized.txt": "Said.", "1_2_3_5.wav": None}, "no sound of that name"),
        ({"talk.json": '{"book": {}}', "talk.flac": None}, "no book of LibriVox"),
        ({"talk.json": "[" * 100_000, "talk.flac": None}, "nested without end"),
    ],
)
def test_a_folder_of_the_users_own_is_never_taken_for_a_corpus(tmp_path: Path, files: dict[str, str], why: str) -> None:
    sound(tmp_path / "talk.wav")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if text is None:
            sound(tmp_path / name)
        else:
            (tmp_path / name).write_text(text)
    assert not list(indexes_below(str(tmp_path))), why
    assert layout_of(str(tmp_path / next(iter(files)))) is None
    assert not [row for row in listing(tmp_path) if row.attachments or row.persons]


def test_a_corpus_in_another_language_is_not_taken_for_english(tmp_path: Path) -> None:
    """M-AILABS is laid out as LJSpeech, and many have made folders like LibriSpeech's."""
    for name in ("wavs/ein_buch_01.wav", "1-2-0000.flac"):
        sound(tmp_path / name)
    (tmp_path / "metadata.csv").write_text("ein_buch_01|Kapitel 1.|Kapitel eins.\n")
    (tmp_path / "1-2.trans.txt").write_text("1-2-0000 schöne müllerin\n")
    assert set(known_of(listing(tmp_path)).values()) == {
        ("Kapitel eins.", None, None), ("schöne müllerin", "1", None)
    }  # fmt: skip


# --- train and evaluate ---


@every_with_text
def test_an_asr_model_is_trained_on_a_folder(corpus: Path) -> None:
    """Without what the corpus keeps for tests, even where its list of all clips names that."""
    recipe = material.Recipe(inputs=(corpus,), rare=1, held_out=0)
    found = material.gather(recipe, quiet)
    due = CORPORA[corpus.name].utterances
    learnt = {clip.file: (clip.speaker, clip.language) for clip in found.learnt}
    assert learnt == {path: (speaker, language) for path, (_, speaker, language) in due.items()}
    assert found.summary["inputs"] == [{"kind": corpus.name, "name": corpus.name, "clips": 2, "without_text": 0}]
    assert found.summary["hours"] == pytest.approx(sum(LENGTHS_S) / 3600, rel=0.1)  # MP3 has a little more


class Silent:
    """A model that writes nothing."""

    def transcribe(self, waves: list[object]) -> list[Transcript]:
        return [Transcript(text="") for _ in waves]


@every_with_text
def test_an_asr_model_is_measured_on_a_folder(corpus: Path, tmp_path: Path) -> None:
    found = evaluate(read(corpus), Silent(), tmp_path / "out", about={})
    due = CORPORA[corpus.name].utterances
    assert {row["file"]: (row["reference"], row["speaker"]) for row in found["worst"]} == {
        path: (text, speaker) for path, (text, speaker, _) in due.items()
    }
    assert (found["clips"], found["kind"], found["left_out"]) == (2, corpus.name, [])


@pytest.mark.parametrize(
    ("name", "index", "text"),
    [("common-voice", "test.tsv", "Trydydd."), ("hifitts", "92_manifest_clean_test.json", "Held out.")],
)
def test_what_is_kept_for_tests_is_measured_on_where_it_is_named(
    name: str, index: str, text: str, tmp_path: Path
) -> None:
    CORPORA[name].write(tmp_path)
    (clip,) = read(tmp_path / index).clips
    assert clip.text == text
    assert clip.path.is_file()


@every
def test_mel_tokens_are_trained_and_measured_on_a_folder(corpus: Path, tmp_path: Path) -> None:
    found = collect([corpus], tmp_path / "sound", quiet)
    due = CORPORA[corpus.name].utterances
    assert sorted(span.speaker for span in found.spans) == sorted(str(speaker) for _, speaker, _ in due.values())
    assert found.hours * 3600 == pytest.approx(sum(LENGTHS_S), rel=0.1)


# --- one manifest for all ---


def test_a_manifest_means_the_same_to_all_commands(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 8.0)
    sound(tmp_path / "rain.wav", 2.0)
    lines = [
        {"path": "a.wav", "start_s": 1, "end_s": 3, "text": "One.", "speaker": "ann", "language": "en-GB"},
        {"audio_filepath": "a.wav", "offset": 4, "duration": 2.5, "text": "Two.", "speaker": 7, "licence": "CC0-1.0"},
        {"file": "rain.wav", "kind": "noise"},
    ]
    cut = {"id": "c", "start": 7, "duration": 0.5, "recording": {"sources": [{"type": "file", "source": "a.wav"}]},
           "supervisions": [{"text": "Three.", "speaker": "ben", "language": "English"}]}  # fmt: skip
    path = tmp_path / "m.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in (*lines, cut)))
    rows = [row for row in listing(path) if row.status is Status.OK]
    assert [(row.start_s, row.end_s) for row in rows] == [(1, 3), (4, 6.5), (None, None), (7, 7.5)]
    assert [row.persons for row in rows] == [("ann",), ("7",), (), ("ben",)]
    clips = read(path).clips
    assert [(clip.text, clip.speaker, clip.language, clip.licence) for clip in clips] == [
        ("One.", "ann", "en", None), ("Two.", "7", None, "CC0-1.0"), ("Three.", "ben", "en", None)
    ]  # fmt: skip
    found = collect([path], tmp_path / "sound", quiet)
    assert [span.speaker for span in found.spans] == ["ann", "7", "ben"]
    assert [(span.last - span.first) / 22_050 for span in found.spans] == pytest.approx([2, 2.5, 0.5], abs=1e-3)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"url": "https://example.org/a.mp3"}, "line 1: no 'path': download the file"),
        ({"path": "a.wav", "start_s": 5, "end_s": 2}, "line 1: bad_span"),
        ({"path": "a.wav", "start_s": 5, "end_s": 20}, "a.wav: bad_span"),
    ],
)
def test_what_cannot_be_learnt_from_is_told(tmp_path: Path, line: dict[str, object], why: str) -> None:
    sound(tmp_path / "a.wav", 8.0)
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    with pytest.raises(ValueError, match=why):
        collect([tmp_path / "m.jsonl"], tmp_path / "sound", quiet)
