import json
from collections import Counter
from dataclasses import replace
from functools import partial
from math import isnan
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from speech_defects import Defect
from speech_defects.degrade import codecs, effects, levels, rooms, sounds
from speech_defects.degrade.degrader import C50_DB, OVERLAP_DB, Degrader
from speech_defects.degrade.scene import FRAME_ROWS, MUSIC_SNR_DB, NOISE_SNR_DB, NOT_JUDGED
from speech_defects.degrade.takes import Shelf, read_manifest, voices_at

from tests.recordings import OVERLAPS_S, make_manifest

RATE = 16_000
EVERY_CODING = [rates[-1] for rates in (*codecs.TELEPHONE, *codecs.BETWEEN, *codecs.HARMLESS)]


@pytest.fixture(scope="module")
def voice(speech):
    return np.asarray(soxr.resample(speech, 24_000, RATE), np.float32)[: 8 * RATE]


@pytest.fixture(scope="module")
def manifest(speech, tmp_path_factory) -> Path:
    return make_manifest(tmp_path_factory.mktemp("sources"), speech)


@pytest.fixture(scope="module")
def degrader(manifest):
    return Degrader(read_manifest(manifest), 7)


@pytest.fixture(scope="module")
def clips(degrader):
    made = (degrader.clip(index, 4.0) for index in range(140))
    return [clip for clip in made if "found" not in clip.facts]


def judged(clip, defect: Defect) -> float:
    return clip.defects[defect]


def expected(value: float, defect_to: float, none_from: float) -> float:
    """The label of a level, written anew."""
    if abs(value - none_from) > abs(defect_to - none_from) and (value < none_from) == (defect_to < none_from):
        return 1.0
    return 0.0 if (value > none_from) == (none_from > defect_to) else float("nan")


def same(one: float, other: float) -> bool:
    return one == other or (isnan(one) and isnan(other))


def test_a_clip_is_a_function_of_seed_index_and_length(manifest, degrader):
    first, again = degrader.clip(11, 3.0), Degrader(read_manifest(manifest), 7).clip(11, 3.0)
    assert np.array_equal(first.wave, again.wave)
    assert np.array_equal(first.frames, again.frames)
    assert repr(first.facts) == repr(again.facts)
    assert not np.array_equal(first.wave, degrader.clip(12, 3.0).wave)
    assert not np.array_equal(first.wave, Degrader(read_manifest(manifest), 8).clip(11, 3.0).wave)


@pytest.mark.parametrize("seconds", [0.5, 1.3, 14.02])
def test_clips_of_any_length(degrader, seconds):
    for index in range(12):
        clip = degrader.clip(index, seconds)
        length = round(seconds * RATE)
        assert clip.wave.shape == (length,)
        assert clip.frames.shape == (3, -(-length // 640))


def test_clips_are_16_bit_waves_at_many_levels(clips):
    level = [levels.level_db(clip.wave) for clip in clips]
    for clip in clips:
        assert clip.wave.dtype == np.float32
        assert np.isfinite(clip.wave).all()
        assert np.abs(clip.wave).max() < 1
        assert np.array_equal(clip.wave * 32_768, np.round(clip.wave * 32_768))
    assert np.percentile(level, 90) - np.percentile(level, 10) > 15


def test_every_defect_is_there_and_a_third_of_clips_has_none(clips):
    for defect in Defect:
        assert 0.08 < np.mean([judged(clip, defect) == 1 for clip in clips]) < 0.35, defect
    assert 0.22 < np.mean([not any(clip.defects.values()) for clip in clips]) < 0.5
    assert {label for clip in clips for label in clip.defects.values() if not isnan(label)} == {0.0, 1.0}


def test_labels_follow_levels(clips):
    told = Counter()
    for clip in clips:
        facts = clip.facts
        if not isnan(clip.c50_db):
            assert same(judged(clip, Defect.REVERB), expected(clip.c50_db, *C50_DB))
            told["reverb", judged(clip, Defect.REVERB) == 1] += 1
        else:
            assert judged(clip, Defect.REVERB) == 0
        if "noise_snr_db" in facts and facts["noise_s"] >= 1:
            assert same(judged(clip, Defect.NOISE), expected(facts["noise_snr_db"], *NOISE_SNR_DB))
            assert clip.snr_db <= facts["noise_snr_db"]
            told["noise", judged(clip, Defect.NOISE) == 1] += 1
        if "music_snr_db" in facts and facts["music_snr_db"] >= MUSIC_SNR_DB[1]:
            assert judged(clip, Defect.MUSIC) == 0
        if facts.get("overlap_s", 0) >= 0.5:
            assert same(judged(clip, Defect.OVERLAP), expected(facts["overlap_db"], *OVERLAP_DB))
            told["overlap", judged(clip, Defect.OVERLAP) == 1] += 1
        if facts["codec"] in {coding.name for rates in codecs.TELEPHONE for coding in rates}:
            assert judged(clip, Defect.TELEPHONE) == 1
    assert min(told[kind, yes] for kind, yes in [("reverb", True), ("reverb", False), ("noise", True)]) > 3
    assert told["overlap", True] > 5


def test_hard_negatives_have_no_defect(clips):
    hard = [clip for clip in clips if clip.facts["hard_negative"]]
    assert len({clip.facts["hard_negative"] for clip in hard}) > 5
    assert not any(label == 1 for clip in hard for label in clip.defects.values())
    assert all(isnan(clip.defects[Defect.MUSIC]) == (clip.facts["hard_negative"] == "chanted") for clip in hard)


def test_frames_agree_with_the_clip(clips):
    for clip in clips:
        for row, defect in zip(clip.frames, FRAME_ROWS):
            assert set(np.unique(row)) <= {0, 1, NOT_JUDGED}
            if judged(clip, defect) == 1:
                assert (row == 1).sum() >= 12  # half a second
            elif judged(clip, defect) == 0 and defect is not Defect.OVERLAP:
                assert (row == 1).sum() < 12


@pytest.mark.parametrize("wanted", [frozenset(), frozenset({Defect.TELEPHONE})])
def test_what_is_added_is_as_loud_as_the_facts_say(degrader, wanted):
    """The stem is what the mixture has more than the voice: its level is measured anew, sample by sample."""
    for seed in range(12):
        scene = degrader._scene(np.random.default_rng(seed), 6 * RATE, wanted, "")
        degrader._place(scene, frozenset({Defect.REVERB} if seed % 2 else ()), "")
        add, key = ((degrader._music, "music_snr_db"), (partial(degrader._noise, faint=False), "noise_snr_db"))[
            seed % 2
        ]
        add(scene)
        stem = (scene.mix - scene.speech).astype(np.float64)
        spoken = np.repeat(scene.active, 640)[: len(stem)]
        ratio = 10 * np.log10(np.mean(scene.speech[spoken] ** 2.0) / np.mean(stem**2))
        heard = np.repeat(levels.activity(stem.astype(np.float32)), 640)[: len(stem)].mean()
        assert ratio == pytest.approx(scene.facts[key] - 10 * np.log10(heard), abs=0.5)


def test_telephones_are_narrow_or_full_of_holes_and_the_rest_is_wide(clips):
    def band(clip) -> float:
        power = np.square(np.abs(np.fft.rfft(clip.wave)))
        return float(np.searchsorted(np.cumsum(power) / power.sum(), 0.995)) / len(power) * RATE / 2

    narrow = [band(clip) for clip in clips if judged(clip, Defect.TELEPHONE) == 1 and clip.facts["lost"] == 0]
    wide = [band(clip) for clip in clips if judged(clip, Defect.TELEPHONE) == 0 and judged(clip, Defect.NOISE) == 1]
    assert np.median(narrow) < 4200 < np.percentile(wide, 90)
    assert max(narrow) < 6000  # MP3 at 24 kbit/s


def test_voices_never_speak_over_themselves(manifest):
    shelf, rng = Shelf(read_manifest(manifest)), np.random.default_rng(0)
    assert {shelf.voice(rng, RATE, but={"voice0", "voice1"}).speaker for _ in range(40)} == {
        f"voice{at}" for at in range(2, 6)
    }
    with pytest.raises(ValueError, match="overlapped voices"):
        shelf.voice(rng, RATE, but={f"voice{at}" for at in range(6)})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 2: "),
        ('{"kind": "speech", "source": "x"}', "line 2: no 'path'"),
        ('{"file": "tune.flac", "kind": "song", "source": "x"}', "line 2: unknown or missing key 'song'"),
        ('{"file": "gone.flac", "kind": "speech", "source": "x"}', "line 2: there is no file gone.flac"),
        ("[]", "line 2: "),
    ],
)
def test_a_manifest_error_names_line_and_cause(tmp_path, line, why):
    path = tmp_path / "m.jsonl"
    path.write_text("\n" + line)
    with pytest.raises(ValueError, match=r"m\.jsonl") as error:
        read_manifest(path)
    assert why in str(error.value)


def test_a_manifest_is_that_of_all_commands(tmp_path):
    """Our keys, NeMo's and lhotse's, whole files and parts of them."""
    wave = np.linspace(-0.5, 0.5, 8 * RATE)
    soundfile.write(tmp_path / "a.wav", wave, RATE)
    cut = {"start": 6, "duration": 1, "recording": {"sources": [{"source": "a.wav"}]}}
    lines = [
        {"path": "a.wav", "start_s": 1, "end_s": 3, "speaker": "ann", "licence": "CC0-1.0", "text": "Said."},
        {"audio_filepath": "a.wav", "offset": 2.0, "duration": 3.0, "speaker_id": 7, "license": "MIT"},
        {"audio_filepath": "a.wav", "duration": 8.04, "group": "book"},
        {"file": "a.wav", "duration": 2.5},
        cut | {"supervisions": [{"speaker": "ben"}]},
    ]
    path = tmp_path / "m.json"
    path.write_bytes(json.dumps([line | {"kind": "speech"} for line in lines]).encode("utf-16"))
    sources = read_manifest(path)
    found = [(take.speaker, take.source, take.licence) for take in sources.speech]
    assert found == [
        ("ann", "m.json", "CC0-1.0"), ("7", "m.json", "MIT"), ("", "book", "unknown"), ("", "m.json", "unknown"),
        ("ben", "m.json", "unknown"),
    ]  # fmt: skip
    shelf = Shelf(sources)
    for take, (first, last) in zip(sources.speech, ((1, 3), (2, 5), (0, 8), (0, 2.5), (6, 7)), strict=True):
        np.testing.assert_allclose(shelf.wave(take), wave[first * RATE : round(last * RATE)], atol=1e-4)
    assert [take.name for take in sources.speech[:3]] == ["a-1-3", "a-2-5", "a-0-8.04"]


def test_a_part_of_a_conversation_overlaps_where_its_rttm_says(manifest):
    line = {"path": "talk.flac", "kind": "overlap", "source": "made", "rttm": "talk.rttm", "start_s": 4.4, "end_s": 9}
    (manifest.parent / "part.jsonl").write_text(json.dumps(line))
    (take,) = read_manifest(manifest.parent / "part.jsonl").overlap
    assert take.voices(0, 115).tolist() == [2] * 40 + [1] * 75
    assert take.voices(30, 20).tolist() == [2] * 10 + [1] * 10


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"path": "a.wav", "start_s": 3, "end_s": 2}, "line 1: it ends at 2 s and begins at 3 s"),
        ({"path": "a.wav", "offset": "3"}, "line 1: 'offset' is \"3\", not a number of seconds"),
        ({"url": "https://example.org/a.wav"}, "line 1: no 'path': download"),
        ({"path": "a.wav", "start_s": 3, "end_s": 9}, "a.wav: ends at 9 s"),
    ],
)
def test_a_part_that_cannot_be_is_told(tmp_path, line, why):
    soundfile.write(tmp_path / "a.wav", np.zeros(5 * RATE), RATE)
    (tmp_path / "m.jsonl").write_text(json.dumps(line | {"kind": "speech"}))
    with pytest.raises(ValueError, match=why):
        Shelf(sources := read_manifest(tmp_path / "m.jsonl")).wave(sources.speech[0])


@pytest.mark.parametrize("coding", EVERY_CODING, ids=lambda coding: coding.name)
def test_a_coded_clip_is_in_step_and_still_the_same_voice(voice, coding):
    wave = voice[: 3 * RATE]
    heard = codecs.coded(wave, coding)
    assert heard.shape == wave.shape
    size = 2 * len(wave)
    match = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wave, size)))
    late = int(np.argmax(match))
    assert min(late, size - late) <= 16  # 1 ms
    assert match.max() / np.linalg.norm(wave) / np.linalg.norm(heard) > 0.6
    assert not np.array_equal(heard, wave)


@pytest.mark.parametrize("kind", codecs.KINDS)
def test_a_band_has_an_end(kind):
    wave = np.random.default_rng(0).standard_normal(4 * RATE).astype(np.float32)
    heard = codecs.band_limited(wave, low=300, high=3000, kind=kind)
    power = np.square(np.abs(np.fft.rfft(heard))) / np.square(np.abs(np.fft.rfft(wave))).mean()
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    assert heard.shape == wave.shape
    assert 10 * np.log10(power[(hertz > 600) & (hertz < 2500)].mean()) == pytest.approx(0, abs=1)
    assert 10 * np.log10(power[hertz > 5500].mean()) < -20
    assert 10 * np.log10(power[hertz < 75].mean()) < -20


def test_lost_packets_are_two_to_twenty_percent_and_change_nothing_else(voice):
    shares = []
    for seed in range(60):
        heard, share = codecs.lossy(voice, np.random.default_rng(seed))
        assert heard.shape == voice.shape
        kept = (heard == voice).reshape(-1, 160).all(axis=1).mean()
        assert kept > 0.4
        assert (heard == voice).all() or share > 0 or np.abs(voice[heard != voice]).max() < 0.1
        shares.append(share)
    assert 0.03 < np.mean(shares) < 0.15
    assert [codecs.lossy_label(share) for share in (0.0, 0.02)] == [0.0, 1.0]
    assert isnan(codecs.lossy_label(0.01))


def test_clarity_and_decay_of_a_known_response():
    rate, decay_s = 16_000, 0.6
    seconds = np.arange(rate) / rate
    noise = np.random.default_rng(0).standard_normal(rate)
    response = (np.exp(-3 * np.log(10) * seconds / decay_s) * np.sign(noise)).astype(np.float32)
    assert rooms.t60(response, rate) == pytest.approx(decay_s, rel=0.03)
    assert rooms.c50(response, rate) == pytest.approx(10 * np.log10(np.exp(13.8155 * 0.05 / decay_s) - 1), abs=0.1)
    late = np.concatenate([np.zeros(500, np.float32), response])
    assert rooms.c50(late, rate) == pytest.approx(rooms.c50(response, rate), abs=0.1)
    assert rooms.measured(late, rate).c50_db == pytest.approx(rooms.c50(response, rate), abs=0.1)


def test_drawn_rooms_are_as_clear_as_wanted_and_of_all_sorts():
    rng = np.random.default_rng(0)
    drawn = [rooms.simulated(rng) for _ in range(60)]
    clarity = np.array([room.c50_db for room in drawn])
    assert np.percentile(clarity, 10) < 4
    assert np.percentile(clarity, 90) > 18
    for wanted in (-2.0, 5.0, 12.0, 20.0):
        got = [rooms.simulated(rng, c50_db=wanted).c50_db for _ in range(8)]
        assert np.median(got) == pytest.approx(wanted, abs=1 if wanted > 0 else 3)  # few rooms are that unclear
    assert all(np.abs(room.response[: rooms.DIRECT - 8]).max() < 0.3 for room in drawn)


def test_a_room_keeps_time_and_level(voice):
    room = rooms.simulated(np.random.default_rng(1), c50_db=15)
    wet = rooms.apply(voice, room)
    assert wet.shape == voice.shape
    assert levels.level_db(wet) == pytest.approx(levels.level_db(voice), abs=0.1)
    match = np.correlate(wet[: RATE * 2], voice[1600 : RATE * 2 - 1600], "valid")
    assert abs(int(np.argmax(match)) - 1600) <= 8
    assert rooms.damped(rooms.simulated(np.random.default_rng(2), c50_db=2), 0.1).c50_db > 12


def test_made_noises_are_noises_and_events_are_short():
    rng = np.random.default_rng(0)
    names = set()
    for _ in range(60):
        wave, name = sounds.noise(rng, 2 * RATE)
        names.add(name.split("+")[0])
        assert wave.shape == (2 * RATE,)
        assert np.square(wave).mean() == pytest.approx(1, rel=0.01)
        event, _ = sounds.event(rng)
        assert 0.004 * RATE < len(event) < sounds.SHORT_S * RATE
        assert np.abs(event).max() == pytest.approx(1)
    assert len(names) == 7


def test_harmless_changes_keep_length_and_voice(voice):
    rng = np.random.default_rng(0)
    for change in (effects.coloured, effects.compressed, effects.gated, effects.limited, effects.chanted):
        changed = change(voice, rng)
        assert changed.shape == voice.shape
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
        if change is not effects.chanted:
            assert np.corrcoef(changed, voice)[0, 1] > 0.6, change
    assert effects.with_pauses(voice, rng).shape == voice.shape


def test_activity_is_speech_without_its_pauses():
    rng = np.random.default_rng(0)
    wave = 1e-4 * rng.standard_normal(4 * RATE).astype(np.float32)
    wave[RATE : 2 * RATE] += 0.1 * rng.standard_normal(RATE).astype(np.float32)
    active = levels.activity(wave)
    assert active.shape == (100,)
    assert active[26:49].all()
    assert not active[:23].any()
    assert not active[52:].any()
    assert levels.level_db(wave, active) == pytest.approx(-20, abs=1)
    assert levels.floor_db(wave) == pytest.approx(-80, abs=1.5)
    assert not levels.activity(np.zeros(RATE, np.float32)).any()


def test_a_conversation_overlaps_where_its_rttm_says(manifest):
    voices = voices_at(manifest.parent / "talk.rttm", 12 * 25)
    spoken = np.arange(12 * 25) / 25
    expected = np.any([(spoken >= start) & (spoken < end) for start, end in OVERLAPS_S], axis=0)
    assert (voices == 1 + expected).all()


def test_clips_of_conversations_and_calls_claim_no_more_than_is_known(degrader):
    found = Counter()
    for clip in filter(lambda clip: "found" in clip.facts, (degrader.clip(index, 3.0) for index in range(400))):
        assert isnan(judged(clip, Defect.NOISE))
        assert isnan(judged(clip, Defect.REVERB))
        assert isnan(clip.snr_db)
        assert (clip.frames[FRAME_ROWS.index(Defect.NOISE)] == NOT_JUDGED).all()
        overlap = judged(clip, Defect.OVERLAP)
        found[clip.facts["found"], overlap] += 1
        if clip.facts["found"] == "call":
            assert (judged(clip, Defect.TELEPHONE), overlap) == (1, 0)
        else:
            both = float((clip.frames[FRAME_ROWS.index(Defect.OVERLAP)] == 1).sum() / 25)
            assert same(overlap, 1.0 if both >= 0.5 else 0.0 if both < 0.2 else float("nan"))
    assert {("call", 0.0), ("conversation", 1.0), ("conversation", 0.0)} <= found.keys()


@pytest.mark.parametrize(("under_db", "label"), [(20, 0.0), (4, float("nan"))])
def test_the_floor_that_a_recording_came_with_is_no_noise_unless_it_is_loud(manifest, under_db, label):
    """Corpora call recordings clean that hiss 20 dB under the voice; a network that calls them noisy loses them all."""
    sources, rng = read_manifest(manifest), np.random.default_rng(4)
    voices = []
    for at, take in enumerate(sources.speech):
        wave, rate = soundfile.read(take.path, dtype="float32")
        level = levels.level_db(wave, levels.activity(wave))
        hiss = rng.standard_normal(len(wave)).astype(np.float32) * 10 ** ((level - under_db) / 20)
        soundfile.write(manifest.parent / f"hiss{at}_{under_db}.flac", 0.2 * (wave + hiss), rate)
        voices.append(replace(take, path=manifest.parent / f"hiss{at}_{under_db}.flac"))
    degrader = Degrader(replace(sources, speech=tuple(voices)), 7)
    made = [clip for clip in (degrader.clip(index, 4.0) for index in range(60)) if "noise_snr_db" not in clip.facts]
    found = [judged(clip, Defect.NOISE) for clip in made if "found" not in clip.facts]
    assert len(found) > 10
    assert all(same(one, label) for one in found)
