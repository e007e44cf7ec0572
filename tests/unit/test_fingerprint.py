"""Repeated sound: found where it is, and not where it is not."""

import time

import numpy as np
import numpy.typing as npt
import pytest
from speechmill.audio import fingerprint as marks
from speechmill.audio.fingerprint import HASH, MOST_ORIGINS, MatchedSpan, fingerprint, matched_spans, pairs, share

from tests.media import decode, encode

RATE = 24_000
Sound = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def passages(speech: Sound) -> list[Sound]:
    """Two different passages by one voice."""
    spoken = np.flatnonzero(speech)
    breaks = np.flatnonzero(np.diff(spoken) > RATE // 2)
    return [speech[spoken[0] : spoken[breaks[0]]], speech[spoken[breaks[0] + 1] : spoken[breaks[1]]]]


def pcm(sound: npt.NDArray) -> npt.NDArray[np.int16]:
    return np.round(np.clip(sound, -1, 1) * 32_767).astype(np.int16)


def vote(*sounds: npt.NDArray) -> npt.NDArray:
    """All votes between clips, in their order."""
    prints = [fingerprint(pcm(sound), RATE) for sound in sounds]
    every = np.concatenate(prints)
    return pairs(every["hash"], np.repeat(np.arange(len(prints)), [len(one) for one in prints]), every["frame"])


def heard(*sounds: npt.NDArray) -> list[MatchedSpan]:
    """What the last clip repeats of the others."""
    votes = vote(*sounds)
    return matched_spans(votes[votes["later"] == len(sounds) - 1])


def test_the_same_samples_are_heard_before_from_end_to_end(passages: list[Sound]) -> None:
    [found] = heard(passages[0], passages[0])
    assert (found.earlier, found.start_s, found.end_s) == (0, found.earlier_start_s, found.earlier_end_s)
    assert share([found], passages[0].size / RATE) > 0.8
    assert share(heard(passages[1], passages[1]), passages[1].size / RATE) > 0.8


@pytest.mark.parametrize("cut_s", [0.5, 1.2345, 2.0])
def test_a_coded_and_trimmed_copy_is_found_in_its_place(passages: list[Sound], cut_s: float) -> None:
    part = passages[0][round(cut_s * RATE) :]
    _, copy = decode(encode("mp3", "libmp3lame", part, RATE, b="64k"))
    [found] = heard(passages[1], passages[0], copy)
    assert found.earlier == 1
    assert found.earlier_start_s - found.start_s == pytest.approx(cut_s, abs=0.1)
    assert found.earlier_end_s - found.end_s == pytest.approx(cut_s, abs=0.1)
    assert share([found], copy.size / RATE) > 0.5


def test_an_excerpt_inside_another_clip_is_found_where_it_is(passages: list[Sound]) -> None:
    advert = passages[0][RATE : 5 * RATE]
    [found] = heard(passages[0], np.concatenate([passages[1][: 4 * RATE], advert]))
    assert found.start_s == pytest.approx(4.0, abs=0.7)
    assert found.start_s >= 4.0 - marks.WINDOW_S
    assert found.start_s - found.earlier_start_s == pytest.approx(3.0, abs=0.1)


def test_other_words_by_the_same_voice_are_not_a_repeat(passages: list[Sound]) -> None:
    assert heard(*passages) == []
    assert heard(*passages[::-1]) == []


def test_neither_loudness_nor_polarity_matters(passages: list[Sound]) -> None:
    for factor in (0.1, -1.0, 1.9):
        [found] = heard(passages[0], factor * passages[0])
        assert share([found], passages[0].size / RATE) > 0.7


def test_a_slower_copy_is_found_along_its_drift(passages: list[Sound]) -> None:
    """Votes as a copy 4 % slower has them: the offset moves by a third of a second."""
    frames = np.arange(0, 1400, 20)
    votes = np.zeros(frames.size, marks.VOTE)
    votes["frame"], votes["offset"], votes["later"] = frames, np.round(-0.04 * frames) + 100, 1
    [found] = matched_spans(votes)
    assert found.votes == frames.size
    assert found.earlier_end_s - found.end_s == pytest.approx((100 - 0.04 * 1380) * marks.FRAME_S, abs=0.01)


def still() -> dict[str, list[npt.NDArray]]:
    """Pairs of clips without anything that has its place in time, or too short for it."""
    t, dice = np.arange(10 * RATE) / RATE, np.random.default_rng(0)
    return {
        "hum": [sum(np.sin(2 * np.pi * 50 * k * t + phase) / k for k in range(1, 40)) * 0.1 for phase in (0, 1)],
        "tone": [0.3 * np.sin(2 * np.pi * 1000 * t + phase) for phase in (0, 1)],
        "noise": [dice.normal(0, 0.1, t.size) for _ in range(2)],
        "dither": [dice.normal(0, 1 / 32_768, t.size) for _ in range(2)],
        "hum and noise": [np.sin(2 * np.pi * 250 * t) * 0.1 + dice.normal(0, 0.01, t.size) for _ in range(2)],
        "silence": [np.zeros(t.size)] * 2,
        "empty": [np.zeros(0)] * 2,
        "one sample": [np.ones(1)] * 2,
        "one window": [dice.normal(0, 0.1, round(marks.WINDOW_S * RATE))] * 2,
        "a tenth of a second": [dice.normal(0, 0.1, RATE // 10)] * 2,
        "one step of 16 bits": [np.sin(2 * np.pi * 700 * t) / 32_767] * 2,
    }


@pytest.mark.parametrize("kind", still())
def test_nothing_to_hold_on_to_is_no_repeat(kind: str) -> None:
    assert heard(*still()[kind]) == []


def test_silence_and_steady_tones_have_no_hashes() -> None:
    for kind in ("silence", "empty", "tone", "dither"):
        found = fingerprint(pcm(still()[kind][0]), RATE)
        assert found.dtype == HASH
        assert found.size == 0


def test_hashes_are_those_of_the_clip_alone_at_the_density_promised(passages: list[Sound]) -> None:
    found = fingerprint(pcm(passages[0]), RATE)
    assert np.array_equal(found, fingerprint(pcm(passages[0]).copy(), RATE))
    assert 5 < found.size / (passages[0].size / RATE) < 100
    assert found["hash"].max() <= (2**64 - 1) // marks.KEEP
    assert np.median(found["hash"]) == pytest.approx(2**63 / marks.KEEP, rel=0.3)
    assert found["frame"].max() * marks.FRAME_S < passages[0].size / RATE


def test_votes_do_not_depend_on_the_order_of_the_input() -> None:
    dice = np.random.default_rng(0)
    hashes, clips = dice.integers(0, 300, 5_000).astype(np.uint64), dice.integers(0, 90, 5_000)
    frames, order = dice.integers(0, 3_000, 5_000), dice.permutation(5_000)
    votes = pairs(hashes, clips, frames)
    assert votes.size > 5_000
    assert np.array_equal(votes, pairs(hashes[order], clips[order], frames[order]))
    assert (votes["later"] > votes["earlier"]).all()
    own = votes[votes["later"] == 80]
    assert matched_spans(own) == matched_spans(own[np.random.default_rng(1).permutation(own.size)])


def test_votes_are_those_of_the_definition() -> None:
    """The same as a plain loop over all hashes."""
    dice = np.random.default_rng(3)
    rows = [tuple(row) for row in dice.integers(0, (40, 12, 50), (600, 3)).tolist()]
    expected = []
    for one, clip, frame in rows:
        places = {c: min(f for h, c2, f in rows if (h, c2) == (one, c)) for h, c, _ in rows if h == one and c < clip}
        expected += [(clip, c, frame, places[c] - frame) for c in sorted(places)[:MOST_ORIGINS]]
    hashes, clips, frames = np.array(rows).T
    assert sorted(pairs(hashes.astype(np.uint64), clips, frames).tolist()) == sorted(expected)


@pytest.mark.parametrize("hashes", [[], [0], [0, 2**64 - 1]])
def test_hashes_that_meet_no_other_do_not_vote(hashes: list[int]) -> None:
    assert pairs(np.array(hashes, np.uint64), np.arange(len(hashes)), np.arange(len(hashes))).size == 0
    assert matched_spans(np.zeros(0, marks.VOTE)) == []


def test_the_first_of_many_copies_is_what_the_others_repeat(passages: list[Sound]) -> None:
    votes = vote(*[passages[0]] * 8)
    for later in range(8):
        found = matched_spans(votes[votes["later"] == later])
        assert [one.earlier for one in found] == list(range(min(later, MOST_ORIGINS)))


def test_a_thousand_copies_are_linear_work(passages: list[Sound]) -> None:
    one = fingerprint(pcm(passages[0]), RATE)
    taken = {}
    for copies in (200, 1_000):
        started = time.process_time()
        votes = pairs(
            np.tile(one["hash"], copies), np.repeat(np.arange(copies), one.size), np.tile(one["frame"], copies)
        )
        taken[copies] = time.process_time() - started
        assert votes.size <= MOST_ORIGINS * one.size * copies
    assert taken[1_000] < 20 * taken[200] + 0.1
    assert [one.earlier for one in matched_spans(votes[votes["later"] == 999])] == [0, 1, 2, 3]


def agreeing(frames: list[int]) -> npt.NDArray:
    votes = np.zeros(len(frames), marks.VOTE)
    votes["later"], votes["frame"] = 1, frames
    return votes


def test_votes_of_one_place_or_too_few_are_coincidence() -> None:
    assert matched_spans(agreeing([0, 150, 300, 450]))
    assert not matched_spans(agreeing([0, 150, 300]))
    assert not matched_spans(agreeing([0, 0, 150, 300]))  # one time
    assert not matched_spans(agreeing([0, 1, 2, 3, 4, 5, 400]))  # two places
    scattered = agreeing([0, 150, 300, 450])
    scattered["offset"] = [0, 500, -700, 900]
    assert not matched_spans(scattered)


def test_the_share_is_that_of_the_union() -> None:
    def at(start: float, end: float) -> MatchedSpan:
        return MatchedSpan(earlier=0, start_s=start, end_s=end, earlier_start_s=0, earlier_end_s=end - start, votes=9)

    assert share([], 10) == 0
    assert share([at(1, 3), at(2, 4), at(6, 8), at(6.5, 7)], 10) == pytest.approx(0.5)
    assert share([at(0, 12)], 10) == 1
    assert share([at(0, 12)], 0) == 0
