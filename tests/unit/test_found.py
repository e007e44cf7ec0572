"""Recordings whose defects are known, song made of speech, and rooms that are near: what real clips are learnt from."""

import json
from collections import Counter

import numpy as np
import pytest
import soundfile
import soxr
from speech_defects import Defect, training_clips
from speech_defects.degrade import rooms, singing
from speech_defects.degrade.degrader import Degrader
from speech_defects.degrade.found import Found, frames_of
from speech_defects.degrade.scene import FRAME_ROWS, NOT_JUDGED
from speech_defects.degrade.takes import Shelf, read_manifest

from tests.recordings import make_manifest

RATE = 16_000
CLEAN = dict.fromkeys(Defect, 0)
NOT_KNOWN = dict.fromkeys(Defect)


@pytest.fixture(scope="module")
def voice(speech):
    return np.asarray(soxr.resample(speech, 24_000, RATE), np.float32)[: 6 * RATE]


@pytest.fixture(scope="module")
def manifest(speech, voice, tmp_path_factory):
    """Recordings of every kind, and four labelled ones: two of them clean, of one source."""
    folder = tmp_path_factory.mktemp("sources")
    path = make_manifest(folder, speech)
    rng, lines = np.random.default_rng(3), []
    for name, source, labels in (
        ("clean1", "readers", CLEAN),
        ("clean2", "readers", CLEAN),
        ("street", "city", NOT_KNOWN | {Defect.NOISE: 1}),
        ("song", "stage", NOT_KNOWN | {Defect.MUSIC: 1, Defect.NOISE: 0}),
    ):
        soundfile.write(folder / f"{name}.flac", voice + 0.001 * rng.standard_normal(len(voice)), RATE)
        lines.append({"file": f"{name}.flac", "kind": "labelled", "source": source, "speaker": name, **labels})
    path.write_text("\n".join([path.read_text(), *map(json.dumps, lines)]))
    return path


def test_labelled_recordings_are_clips_with_their_labels(manifest):
    degrader = Degrader(read_manifest(manifest), 5)
    clips = [clip for clip in (degrader.clip(at, 2.0) for at in range(90)) if clip.facts.get("found") == "labelled"]
    assert {clip.facts["source"] for clip in clips} == {"readers", "city", "stage"}
    for clip in clips:
        noisy = clip.facts["source"] == "city"
        assert np.isnan(clip.defects[Defect.MUSIC]) == noisy
        assert clip.defects[Defect.NOISE] == float(noisy)
        assert clip.wave.shape == (2 * RATE,)


def test_the_rare_is_drawn_as_often_as_the_common(manifest):
    sources = read_manifest(manifest)
    found, rng = Found(Shelf(sources), sources.labelled), np.random.default_rng(0)
    drawn = Counter(found.clip(rng, 1_600)[1].source for _ in range(500))
    assert drawn["readers"] == pytest.approx(300, abs=45)  # clean ones three times as often as each defect
    assert drawn["city"] == pytest.approx(100, abs=35)
    assert drawn["stage"] == pytest.approx(100, abs=35)


def test_clean_ones_are_voices_too_and_songs_are_music(manifest):
    sources = read_manifest(manifest)
    assert {take.speaker for take in sources.speech} >= {"clean1", "clean2"}
    assert not {take.speaker for take in sources.speech} & {"street", "song"}
    assert [take.speaker for take in sources.music_vocal] == ["song"]


def test_a_labelled_line_without_a_label_is_refused(manifest):
    for wrong, why in (({}, "no 'noise'"), (CLEAN | {Defect.REVERB: 2}, "'reverb' is 2, not 1, 0 or null")):
        listed = manifest.with_name("wrong.jsonl")
        listed.write_text(json.dumps({"file": "song.flac", "kind": "labelled", **wrong}))
        with pytest.raises(ValueError, match=why):
            read_manifest(listed)


def test_sources_of_labelled_recordings_are_not_divided(manifest):
    sources = read_manifest(manifest)
    for seed in range(6):
        learnt, held = training_clips.split(sources, 0.5, seed)
        if learnt.labelled != held.labelled:  # else one side would be empty
            assert not {take.source for take in learnt.labelled} & {take.source for take in held.labelled}


def test_frames_of_a_labelled_clip(voice):
    frames = dict(zip(FRAME_ROWS, frames_of(voice, dict(zip(Defect, (1.0, 1.0, np.nan, 0.0, 0.0))))))
    assert (frames[Defect.NOISE] == 1).all()
    assert {*frames[Defect.MUSIC]} == {1, NOT_JUDGED}  # in a pause nothing is heard
    assert (frames[Defect.OVERLAP] == 0).all()


def test_song_holds_its_notes(voice):
    """Speech glides all the time; a note does not: the pitch of song moves less from one step to the next."""
    song = singing.sung(voice, np.random.default_rng(4))
    assert song.shape == voice.shape
    assert np.isfinite(song).all()

    def unrest(wave):
        pitch, is_voiced = singing.pitched(wave)
        both = is_voiced[:-8] & is_voiced[8:]
        return np.median(np.abs(12 * np.log2(pitch[8:] / pitch[:-8])[both]))

    assert unrest(song) < 0.8 * unrest(voice)
    silence = np.zeros(RATE, np.float32)
    assert np.array_equal(singing.sung(silence, np.random.default_rng(0)), silence)


def test_the_pitch_of_a_tone_is_found_and_stretching_keeps_it():
    tone = sum(np.sin(2 * np.pi * 150 * k * np.arange(2 * RATE) / RATE) / k for k in range(1, 6)).astype(np.float32)
    for wave in (tone, singing.stretched(tone, 1.7)):
        pitch, is_voiced = singing.pitched(wave[2_000:-4_000])
        assert is_voiced.mean() > 0.95
        assert np.median(pitch) == pytest.approx(150, abs=2)
    assert len(singing.stretched(tone, 1.7)) == pytest.approx(1.7 * len(tone), rel=0.05)


def test_a_nearer_voice_is_clearer():
    room = rooms.simulated(np.random.default_rng(1), c50_db=6)
    assert rooms.nearer(room, 6).c50_db > room.c50_db + 1
    assert rooms.nearer(room, 0).c50_db == pytest.approx(room.c50_db, abs=1e-3)
