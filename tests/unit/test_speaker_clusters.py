import hashlib
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from speechmill import speakers
from speechmill.speakers.clusters import CAMPPLUS, Calibration, cluster_clips, cluster_speakers
from speechmill.speakers.conditioning import APART_S, COUNT, Spoken, choose
from speechmill.speakers.split import groups, validation


def names(count: int) -> list[str]:
    return [hashlib.sha256(str(at).encode()).hexdigest()[:20] for at in range(count)]


def embedded(rng: np.random.Generator, voices: np.ndarray, of: np.ndarray, spread: float) -> np.ndarray:
    """Embeddings around the voices that `of` names, as an embedder gives them."""
    rows = voices[of] + spread * rng.standard_normal((len(of), voices.shape[1])) / np.sqrt(voices.shape[1])
    return np.round(rows / np.linalg.norm(rows, axis=1, keepdims=True), speakers.DIGITS).astype(np.float32)


def some_voices(rng: np.random.Generator, count: int, size: int = 64) -> np.ndarray:
    rows = rng.standard_normal((count, size))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pairs(labels: object) -> np.ndarray:
    """Which two are in one cluster."""
    found = np.asarray(labels)
    return found[:, None] == found


# --- voices and speakers ---


@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 8), st.sampled_from([0.1, 0.8, 1.2, 3.0]))
@example(0, 60, 1, 0.0)  # all the same
def test_voices_are_those_of_average_linkage(seed, count, voices, spread):
    rng = np.random.default_rng(seed)
    rows = embedded(rng, some_voices(rng, voices, 16), rng.integers(voices, size=count), spread)
    numbers, found = cluster_clips(names(count), rows)
    exact = rows.astype(float)
    tree = linkage(1 - (exact @ exact.T)[np.triu_indices(count, 1)], "average")
    wanted = fcluster(tree, 1 - CAMPPLUS.least(len(found.first)), "distance")
    np.testing.assert_array_equal(pairs(numbers), pairs(wanted))


@given(st.integers(0, 10_000))
def test_neither_the_order_of_clips_nor_that_of_recordings_matters(seed):
    rng = np.random.default_rng(seed)
    rows = embedded(rng, some_voices(rng, 4), rng.integers(4, size=30), 1.0)
    clips = dict(zip(names(30), rows, strict=True))
    recording = {name: at % 3 for at, name in enumerate(clips)}

    def speakers_of(order: list[str]) -> dict[str, tuple[str, float]]:
        parts = {number: [name for name in order if recording[name] == number] for number in map(recording.get, order)}
        voices = {number: cluster_clips(part, np.stack([clips[one] for one in part])) for number, part in parts.items()}
        found = cluster_speakers(clusters for _, clusters in voices.values())
        return {
            name: (one[voice].speaker_id, one[voice].purity)
            for (number, (of_clip, _)), one in zip(voices.items(), found, strict=True)
            for name, voice in zip(parts[number], of_clip, strict=True)
        }

    order = list(clips)
    assert speakers_of(order) == speakers_of(list(rng.permutation(order)))


def test_a_voice_is_found_again_in_other_recordings():
    rng = np.random.default_rng(0)
    voices = some_voices(rng, 3)
    ids = iter(names(60))
    cast = [[0, 1], [1, 2], [2], [0]]  # whom each recording has
    heard = []
    for who in cast:
        of = np.repeat(who, 10)
        heard.append((of, *cluster_clips([next(ids) for _ in of], embedded(rng, voices, of, 0.5))))
    found = cluster_speakers(clusters for _, _, clusters in heard)
    given_ = [one[number].speaker_id for (_, numbers, _), one in zip(heard, found, strict=True) for number in numbers]
    true = np.concatenate([of for of, _, _ in heard])
    np.testing.assert_array_equal(pairs(given_), pairs(true))
    counts = Counter(given_)
    assert all(counts[one.speaker_id] == one.clips for recording in found for one in recording)


def test_no_clips_have_no_voices_and_no_voices_no_speakers():
    numbers, clusters = cluster_clips([], np.zeros((0, 192), np.float32))
    assert numbers.size == 0
    assert cluster_speakers([clusters]) == [[]]
    assert cluster_speakers([]) == []


def test_the_more_speakers_the_nearer_must_two_be_to_be_one():
    assert CAMPPLUS.least(1) < CAMPPLUS.least(2) < CAMPPLUS.least(1_000) < 1
    law = Calibration(threshold=0.2, slope=10.0, sure=0.8)
    for clusters in (1, 30, 10_000):
        assert law.likely(np.array([law.least(clusters)]), clusters) == pytest.approx(law.sure)


def at_cosine(cosine: float) -> np.ndarray:
    return np.array([[1, 0], [cosine, np.sqrt(1 - cosine**2)]], np.float32)


def test_purity_falls_with_the_doubt_of_a_merge():
    (alone, _), *_ = cluster_speakers([cluster_clips(names(2), at_cosine(0.0))[1]])
    assert (alone.clips, alone.purity) == (1, 1.0)
    cosines = (0.9, CAMPPLUS.least(2) + 1e-3)
    near, far = (cluster_speakers([cluster_clips(names(2), at_cosine(cosine))[1]])[0][0] for cosine in cosines)
    assert near.clips == far.clips == 2
    assert near.purity > 0.999
    doubt = 1 - CAMPPLUS.likely(np.array([cosines[1]]), 1)[0]
    assert far.purity == pytest.approx(1 - doubt / 2, abs=1e-3)  # if they are of two speakers, half are of either


def test_a_speaker_is_named_by_its_smallest_clip():
    first, second = (
        cluster_speakers([cluster_clips(ids, at_cosine(0.9))[1]])[0][0] for ids in (["b", "a"], ["a", "c"])
    )
    other = cluster_speakers([cluster_clips(["b", "c"], at_cosine(0.9))[1]])[0][0]
    assert first.speaker_id == second.speaker_id != other.speaker_id


def test_memory_does_not_grow_with_the_square_of_a_recording():
    rng = np.random.default_rng(0)
    rows = embedded(rng, some_voices(rng, 5), rng.integers(5, size=6_000), 0.5)
    tracemalloc.start()
    _, found = cluster_clips(names(6_000), rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.first) == 5
    assert peak < 120e6  # all cosines would take 288 MB


@pytest.mark.shared_data
def test_real_readers_in_one_recording_are_told_apart(shared_data):
    paths = sorted((shared_data / "clean_speech" / "librispeech_other").glob("*.flac"))[::2]
    embedder = speakers.load("campplus", "cpu")
    rows = embedder.embed([soundfile.read(path, dtype="float32")[0][: 6 * speakers.SAMPLE_RATE_HZ] for path in paths])
    numbers, _ = cluster_clips([path.stem for path in paths], rows)
    np.testing.assert_array_equal(pairs(numbers), pairs([path.stem.split("-")[0] for path in paths]))


# --- conditioning clips ---


@st.composite
def spoken(draw: st.DrawFn) -> list[Spoken]:
    """Clips of a few speakers in a few recordings, of which each has its clips one after the other."""
    rng = np.random.default_rng(draw(st.integers(0, 1_000)))
    count = draw(st.integers(0, 40))
    recordings, voices = (
        rng.integers(draw(st.integers(1, 4)), size=count),
        rng.integers(draw(st.integers(1, 3)), size=count),
    )
    return [
        Spoken(
            clip_id=name, recording_id=str(recording), start_s=12.0 * at, end_s=12.0 * at + 8, speaker_id=str(voice),
            typicality=round(rng.uniform(), 1),
        )
        for at, (name, recording, voice) in enumerate(zip(names(count), recordings, voices, strict=True))
    ]  # fmt: skip


def is_apart(one: Spoken, other: Spoken) -> bool:
    gap = max(one.start_s, other.start_s) - min(one.end_s, other.end_s)
    return one.recording_id != other.recording_id or gap >= APART_S


@given(spoken(), st.randoms(use_true_random=False))
def test_a_clip_is_conditioned_on_others_of_its_speaker(clips, random):
    chosen = choose(clips)
    by_id = {clip.clip_id: clip for clip in clips}
    assert chosen.keys() == by_id.keys()
    sizes = Counter(clip.speaker_id for clip in clips)
    for name, others in chosen.items():
        assert name not in others
        assert len({*others}) == len(others) == min(COUNT, sizes[by_id[name].speaker_id] - 1)
        assert {by_id[other].speaker_id for other in others} <= {by_id[name].speaker_id}
    shuffled = clips[:]
    random.shuffle(shuffled)
    assert choose(shuffled) == chosen


@given(spoken())
def test_it_is_conditioned_on_other_recordings_first_and_on_neighbours_last(clips):
    few = [clip for clip in clips if clip.speaker_id == "0"][:8]  # so few that all are typical
    by_id = {clip.clip_id: clip for clip in few}
    for name, others in choose(few).items():
        clip = by_id[name]
        foreign = sum(one.recording_id != clip.recording_id for one in few)
        apart = sum(is_apart(one, clip) for one in few)
        assert sum(by_id[one].recording_id != clip.recording_id for one in others) == min(COUNT, foreign)
        assert sum(is_apart(by_id[one], clip) for one in others) == min(COUNT, apart)


def test_the_clips_least_like_their_speaker_condition_nothing_and_the_others_all():
    clips = [
        Spoken(
            clip_id=name, recording_id=str(at % 5), start_s=60.0 * at, end_s=60.0 * at + 8, speaker_id="a",
            typicality=at / 100,
        )
        for at, name in enumerate(names(100))
    ]  # fmt: skip
    used = Counter(other for others in choose(clips).values() for other in others)
    assert used.keys() == {clip.clip_id for clip in clips[50:]}
    assert max(used.values()) < 20  # of 300


# --- held out ---


def connected(links: list[tuple[str, str]]) -> list[list[str]]:
    """Groups, by merging sets."""
    sets = [({recording}, {speaker}) for recording, speaker in links]
    for _ in links:
        for one in sets:
            for other in sets:
                if one is not other and (one[0] & other[0] or one[1] & other[1]):
                    one[0].update(other[0]), one[1].update(other[1])
                    other[0].clear(), other[1].clear()
    return sorted(sorted(recordings) for recordings, _ in sets if recordings)


some_links = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("12345678")), max_size=25)


@given(some_links)
def test_recordings_that_share_a_speaker_are_one_group(links):
    assert groups([r for r, _ in links], [s for _, s in links]) == connected(links)


@given(some_links, st.floats(0, 0.6), st.integers(0, 5))
def test_no_speaker_and_no_recording_is_on_both_sides(links, share, seed):
    recordings, voices = [r for r, _ in links], [s for _, s in links]
    held = validation(recordings, voices, share=share, seed=seed)
    sides = [{value for pair in links if (pair[0] in held) == side for value in pair} for side in (True, False)]
    assert not sides[0] & sides[1]
    assert sum(recording in held for recording in recordings) <= share * len(links)


def test_about_the_share_is_held_out_by_a_seed():
    recordings = [f"recording {at}" for at in range(200) for _ in range(5)]
    voices = [f"reader {at // 10}" for at in range(1_000)]
    held = {seed: validation(recordings, voices, share=0.1, seed=seed) for seed in range(4)}
    assert all(len(one) == 20 for one in held.values())
    assert len(set(map(frozenset, held.values()))) == 4
    assert validation(recordings[::-1], voices[::-1], share=0.1, seed=2) == held[2]


def test_what_is_held_out_changes_little_when_a_corpus_grows():
    voices = [f"reader {at}" for at in range(1_000)]
    before, after = (validation(voices[:size], voices[:size], share=0.1) for size in (900, 1_000))
    assert len(before & after) >= 0.95 * len(before)


def test_nothing_is_held_out_where_a_host_is_everywhere():
    recordings = [f"episode {at // 4}" for at in range(40)]
    voices = ["host" if at % 2 else f"guest {at}" for at in range(40)]
    assert validation(recordings, voices, share=0.1) == set()
    assert validation([], [], share=0.1) == set()


def test_the_largest_group_is_never_held_out():
    assert validation(["a", "a", "b"], ["1", "1", "2"], share=1.0) == {"b"}
