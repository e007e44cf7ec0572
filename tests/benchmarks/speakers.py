"""Measures speakers: how well embeddings tell voices apart, what clustering makes of them, and if its purity is true.

    python -m tests.benchmarks.speakers --data DIR [--model campplus]

DIR holds manifest.jsonl and its recordings. Every recording is cut into clips of 5 s or more, and each clip is heard
clean, under noise, under music, in a room and by telephone; noise, music and room are those of its recording. Half of
the speakers, by a hash of their names, are for tuning: the law of speakers/clusters.py is fitted on them. All
other figures are of the other half. Takes a quarter of an hour on one core.
"""

import argparse
import hashlib
import json
import time
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from scipy.optimize import minimize
from scipy.signal import fftconvolve
from speechmill import speakers
from speechmill.speakers import PACKAGED
from speechmill.speakers.clusters import CAMPPLUS, Calibration, cluster_clips, cluster_speakers, link

RATE = speakers.SAMPLE_RATE_HZ
SHORTEST = 5 * RATE
EVERYTHING = Calibration(threshold=0.2, slope=1_000.0)  # merges whatever has a mean cosine of 0.2
CONDITIONS = ("clean", "noise", "music", "room", "telephone")
USUAL = CONDITIONS[:-1]  # clips by telephone are not kept
SNR_DB = (5, 15)
PODCASTS = 24
LOWEST_FITTED = 0.3  # no cosine below decides anything
# Embeddings of LibriSpeech's readers 4267 and 8226 have a cosine of 0.83, those of all other pairs 0.6 at most.
SAME_PERSON = {"LS8226": "LS4267"}

Wave = np.ndarray


@dataclass(frozen=True)
class Clip:
    """A part of a recording as it is heard under a condition."""

    speaker: str
    sex: str | None
    file: str
    part: int
    condition: str
    session: str  # chapter of a book, or the file


# --- what is heard ---


def read(path: Path) -> Wave:
    """float32[n] at 16 kHz."""
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(wave.mean(axis=1), rate, RATE).astype(np.float32)


class Sounds:
    """Recordings of speech, and what they are damaged with."""

    def __init__(self, data: Path) -> None:
        rows = list(map(json.loads, (data / "manifest.jsonl").open(encoding="utf-8")))
        self.data = data
        self.speech = [row for row in rows if row["group"] in {"clean_speech", "longform"} and is_usable(row)]
        self.damage = {
            group: [
                read(data / row["file"]) for row in rows if row["group"] == group and (row["duration_s"] or 0) > 0.1
            ]
            for group in ("noise", "music", "rir")
        }

    def hear(self) -> Iterator[tuple[Clip, Wave]]:
        """Every clip under every condition; all of a recording have the same noise, music and room."""
        for row in self.speech:
            for part, wave in enumerate(self.parts(row)):
                for condition in CONDITIONS:
                    yield self.clip(row, part, condition), self.damaged(wave, condition, row["file"])

    def podcasts(self, count: int) -> Iterator[list[tuple[Clip, Wave]]]:
        """Turns of two speakers to be tested on, who are in one room or have one noise around them."""
        own = defaultdict(list)
        for row in self.speech:
            if is_test(speaker_of(row)):
                own[speaker_of(row)] += [(row, part, wave) for part, wave in enumerate(self.parts(row))]
        able, rng = sorted(name for name in own if len(own[name]) >= 5), np.random.default_rng(0)
        for number in range(count):
            pair, condition = rng.choice(able, 2, replace=False), USUAL[number % len(USUAL)]
            turns = [turn for name in pair for turn in own[name][:10]]
            yield [
                (self.clip(row, part, condition), self.damaged(wave, condition, f"{number}"))
                for row, part, wave in turns
            ]

    def parts(self, row: dict[str, Any]) -> list[Wave]:
        """A recording as clips of 5 to 10 s."""
        whole = read(self.data / row["file"])
        return np.array_split(whole, whole.size // SHORTEST)

    def clip(self, row: dict[str, Any], part: int, condition: str) -> Clip:
        """What is known of a clip."""
        name, speaker = Path(row["file"]).stem, speaker_of(row)
        session = "-".join(name.removeprefix("libri-").split("-")[:2]) if speaker.startswith("LS") else name
        return Clip(speaker, row.get("sex"), row["file"], part, condition, session)

    def damaged(self, wave: Wave, condition: str, recording: str) -> Wave:
        """The clip under a condition, float32[n] in [-1, 1]."""
        rng = np.random.default_rng(_number(recording + condition))
        if condition in ("noise", "music"):
            under = np.resize(self.damage[condition][rng.integers(len(self.damage[condition]))], wave.size)
            wave = wave + under * _rms(wave) / _rms(under) * 10 ** (-rng.uniform(*SNR_DB) / 20)
        elif condition == "room":
            room = self.damage["rir"][rng.integers(len(self.damage["rir"]))]
            wave = fftconvolve(wave, room / np.abs(room).max())[: wave.size]
        elif condition == "telephone":
            wave = telephoned(wave)
        return (wave / max(1.0, np.abs(wave).max())).astype(np.float32)


def is_usable(row: dict[str, Any]) -> bool:
    """Whether a row of the manifest has a known speaker and a clip's length."""
    return bool(row.get("speaker")) and row["duration_s"] * RATE >= SHORTEST


def speaker_of(row: dict[str, Any]) -> str:
    """Who speaks."""
    return SAME_PERSON.get(row["speaker"], row["speaker"])


def is_test(speaker: str) -> bool:
    """Which half a speaker is in."""
    return _number(speaker) % 2 == 1


def telephoned(wave: Wave) -> Wave:
    """300 to 3400 Hz at 8 kHz, eight bits by the µ-law of ITU-T G.711."""
    narrow = soxr.resample(wave, RATE, 8_000)
    spectrum, hertz = np.fft.rfft(narrow), np.fft.rfftfreq(narrow.size, 1 / 8_000)
    heard = np.fft.irfft(spectrum * ((hertz > 300) & (hertz < 3_400)), narrow.size)
    heard /= np.abs(heard).max()
    code = np.round(127 * np.sign(heard) * np.log1p(255 * np.abs(heard)) / np.log(256)) / 127
    return np.resize(soxr.resample(np.sign(code) * np.expm1(np.abs(code) * np.log(256)) / 255, 8_000, RATE), wave.size)


def _rms(wave: Wave) -> float:
    return float(np.sqrt(np.mean(wave**2))) + 1e-9


def _number(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


# --- pairs ---


def equal_error_rate(same: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """EER and the cosine at which it is."""
    limits = np.sort(np.concatenate([same, other]))
    missed = np.searchsorted(np.sort(same), limits) / same.size
    wrong = 1 - np.searchsorted(np.sort(other), limits) / other.size
    at = np.argmin(np.abs(missed - wrong))
    return float(missed[at] + wrong[at]) / 2, float(limits[at])


def print_pairs(clips: Sequence[Clip], embeddings: np.ndarray) -> None:
    """EER of every two conditions, and wrong pairs by sex."""
    speaker, condition, sex, session = (
        np.array([str(getattr(clip, name)) for clip in clips]) for name in ("speaker", "condition", "sex", "session")
    )
    sound = np.array([f"{clip.file} {clip.part}" for clip in clips])
    print("| pair | same | different | EER % | at |\n|---|---|---|---|---|")
    for i, one in enumerate(CONDITIONS):
        for other in CONDITIONS[i:]:
            a, b = np.flatnonzero(condition == one), np.flatnonzero(condition == other)
            cosines, same = embeddings[a] @ embeddings[b].T, speaker[a][:, None] == speaker[b]
            others = cosines[same & (sound[a][:, None] != sound[b])]
            rate, at = equal_error_rate(others, cosines[~same])
            print(f"| {one}, {other} | {_range(others)} | {_range(cosines[~same])} | {100 * rate:.2f} | {at:.2f} |")
    clean = condition == "clean"
    print("\n| clean clips of two speakers | pairs | cosine 0.4 or more, % | 0.5 or more |\n|---|---|---|---|")
    speaker, sex, session = speaker[clean], sex[clean], session[clean]
    cosines = embeddings[clean] @ embeddings[clean].T
    for one, other in ("FF", "MM", "FM"):
        pairs = (speaker[:, None] != speaker) & (sex[:, None] == one) & (sex == other)
        shares = (f"{100 * np.mean(cosines[pairs] >= limit):.3f}" for limit in (0.4, 0.5))
        print(f"| {one}{other} | {pairs.sum() // (1 if one != other else 2)} |", " | ".join(shares), "|")
    print("\n| speaker in two sessions | mean cosine | least |\n|---|---|---|")
    across = (speaker[:, None] == speaker) & (session[:, None] != session)
    for name in sorted({*speaker[across.any(axis=1)]}):
        own = cosines[across & (speaker == name)]
        print(f"| {name} | {own.mean():.2f} | {own.min():.2f} |")


def _range(cosines: np.ndarray) -> str:
    return f"{cosines.mean():.2f} ± {cosines.std():.2f}"


# --- corpora made of clips ---

Corpus = list[tuple[list[Clip], np.ndarray]]  # recordings: clips, and their embeddings


class Material:
    """Clips of one half of the speakers."""

    def __init__(self, clips: Sequence[Clip], embeddings: np.ndarray) -> None:
        self.clips, self.embeddings = clips, embeddings
        self.names = sorted({clip.speaker for clip in clips})
        self.rows = {(clip.file, clip.part, clip.condition): row for row, clip in enumerate(clips)}
        self.sounds = {name: sorted({(c.file, c.part) for c in clips if c.speaker == name}) for name in self.names}

    def corpus(self, count: int, rng: np.random.Generator, conditions: Sequence[str] = USUAL) -> Corpus:
        """Two recordings or so of each of `count` speakers, of one to three of them, each under one condition."""
        shares = []
        for name in rng.permutation(self.names)[:count]:
            own = [self.sounds[name][at] for at in rng.permutation(len(self.sounds[name]))[:12]]
            shares += [own[::2], own[1::2]]
        shares = [shares[at] for at in rng.permutation(len(shares)) if shares[at]]
        made = []
        while shares:
            size, condition = rng.integers(1, 4), rng.choice(conditions)
            rows = [self.rows[file, part, condition] for share in shares[:size] for file, part in share]
            made.append(([self.clips[row] for row in rows], self.embeddings[rows]))
            del shares[:size]
        return made


def fitted(material: Material, rng: np.random.Generator) -> Calibration:
    """The law under which what is merged, rightly or wrongly, is likeliest."""
    seen = []
    for count in (2, 4, 15, 50, len(material.names)):
        for _ in range(max(3, 300 // count)):
            seen += evidence(material.corpus(count, rng))
    cosine, alike, count = np.array([one for one in seen if one[0] > LOWEST_FITTED]).T

    def doubt(law: np.ndarray) -> float:
        threshold, slope = law
        return float(np.mean(np.logaddexp(0, (1 - 2 * alike) * (slope * (cosine - threshold) - np.log(count)))))

    threshold, slope = minimize(doubt, [0.4, 20.0], method="Nelder-Mead").x
    print(
        f"fitted on {alike.size} merges, {(alike == 0).sum()} of them wrong: "
        f"threshold = {threshold:.3f}, slope = {slope:.1f}\n"
    )
    return Calibration(threshold=threshold, slope=slope)


def evidence(corpus: Corpus) -> Iterator[tuple[float, bool, int]]:
    """What is merged if nothing ends it, of clips within a recording and of its speakers' sums across recordings."""
    voices = []
    for clips, embeddings in corpus:
        names = np.array([clip.speaker for clip in clips])
        yield from merges(embeddings, np.ones(len(clips)), names)
        voices += [(embeddings[names == name].sum(axis=0), (names == name).sum(), name) for name in np.unique(names)]
    yield from merges(*map(np.array, zip(*voices, strict=True)))


def merges(sums: np.ndarray, counts: np.ndarray, names: np.ndarray) -> Iterator[tuple[float, bool, int]]:
    """Mean cosine, whether both are mainly of one speaker, and the number of speakers, of each merge."""
    who, scaled = [Counter([name]) for name in names], np.rint(sums.astype(np.float64) * 10**speakers.DIGITS)
    for one, other, cosines in link(scaled, counts.astype(np.float64), EVERYTHING):
        for a, b, cosine in zip(one, other, cosines, strict=True):
            yield float(cosine), main(who[a]) == main(who[b]), len({*names})
            who[a] += who[b]


def main_share(who: Counter[str]) -> float:
    """Share of the most frequent."""
    return max(who.values()) / who.total()


def main(who: Counter[str]) -> str:
    """The most frequent."""
    return max(who, key=lambda name: (who[name], name))


# --- clusters ---


@dataclass(frozen=True)
class Result:
    """What clustering made of a corpus."""

    purity: float  # BCubed precision: of a clip's cluster, the share that is of its speaker, mean over clips
    coverage: float  # BCubed recall: of a clip's speaker, the share that is in its cluster
    v_measure: float
    found: int
    true: int
    clusters: list[tuple[int, float, float]]  # clips, purity as estimated, purity


def clustered(corpus: Corpus, law: Calibration) -> Result:
    """Cluster as a run does."""
    voices = []
    for number, (clips, embeddings) in enumerate(corpus):
        names = [hashlib.sha256(f"{number} {clip}".encode()).hexdigest() for clip in clips]
        voices.append(cluster_clips(names, embeddings, law))
    found = cluster_speakers((clusters for _, clusters in voices), law)
    given = [one[voice] for (of_clip, _), one in zip(voices, found, strict=True) for voice in of_clip]
    true = [clip.speaker for clips, _ in corpus for clip in clips]
    of_cluster = {one.speaker_id: Counter[str]() for one in given}
    for one, name in zip(given, true, strict=True):
        of_cluster[one.speaker_id][name] += 1
    told = {one.speaker_id: one.purity for one in given}
    clusters = [(who.total(), told[name], main_share(who)) for name, who in of_cluster.items()]
    return Result(*agreement(true, [one.speaker_id for one in given]), len(of_cluster), len({*true}), clusters)


def agreement(true: Sequence[str], found: Sequence[str]) -> tuple[float, float, float]:
    """BCubed precision and recall, V-measure."""
    both, rows, columns = Counter(zip(true, found, strict=True)), Counter(true), Counter(found)
    total = len(true)
    precision = sum(n * n / columns[b] for (_, b), n in both.items()) / total
    recall = sum(n * n / rows[a] for (a, _), n in both.items()) / total
    told = sum(n / total * np.log(n * total / (rows[a] * columns[b])) for (a, b), n in both.items())
    entropy = [-sum(n / total * np.log(n / total) for n in side.values()) for side in (rows, columns)]
    return precision, recall, 2 * told / sum(entropy) if sum(entropy) else 1.0


def print_clusters(name: str, corpora: Sequence[Corpus], law: Calibration) -> None:
    """A row: means over corpora."""
    results = [clustered(corpus, law) for corpus in corpora]
    means = [float(np.mean([getattr(one, key) for one in results])) for key in ("purity", "coverage", "v_measure")]
    counts = [float(np.mean([getattr(one, key) for one in results])) for key in ("true", "found")]
    print(f"| {name} |", " | ".join(f"{mean:.4f}" for mean in means), "|", " | ".join(f"{n:.1f}" for n in counts), "|")


def print_calibration(corpora: Sequence[Corpus], law: Calibration) -> None:
    """Estimated against true purity, also of clusters that are merged too eagerly."""
    print(
        "\n| least certainty | estimate | clusters | clips | estimate, mean | truth, mean |\n|---|---|---|---|---|---|"
    )
    for sure in (law.sure, 0.3, 0.05):
        found = np.array(
            [one for corpus in corpora for one in clustered(corpus, replace(law, sure=sure)).clusters if one[0] > 1]
        )
        clips, told, true = found.T
        for low, high in ((0, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 0.97), (0.97, 1.01)):
            here = (told >= low) & (told < high)
            if here.any():
                means = (f"{np.average(side[here], weights=clips[here]):.3f}" for side in (told, true))
                row = f"| {sure} | {low} to {min(high, 1)} | {here.sum()} | {clips[here].sum():.0f} |"
                print(row, " | ".join(means), "|")
        error = np.average(told - true, weights=clips)
        spread = np.average(np.abs(told - true), weights=clips)
        print(f"| {sure} | all | {len(found)} | {clips.sum():.0f} | off by {error:+.4f} | absolute {spread:.4f} |")


def print_scale(clips: int = 20, recordings: int = 1_000, names: int = 300) -> None:
    """Seconds and memory for a corpus of made-up voices, two a recording."""
    rng = np.random.default_rng(0)
    centres, voices = _unit(rng.standard_normal((names, 192))), []
    tracemalloc.start()
    began = time.process_time()
    for number in range(recordings):
        of = rng.choice(rng.integers(names, size=2), clips)
        rows = np.round(_unit(centres[of] + 0.5 * _unit(rng.standard_normal((clips, 192)))), speakers.DIGITS)
        voices.append(cluster_clips([f"{number} {at}" for at in range(clips)], rows.astype(np.float32))[1])
    found = {one.speaker_id for recording in cluster_speakers(voices) for one in recording}
    seconds, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    print(f"\n{clips * recordings} clips in {recordings} recordings: {len(found)} speakers of {names}", end=", ")
    print(f"{seconds:.1f} s of CPU, {peak / 2**20:.0f} MiB at most")


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def report(
    clips: Sequence[Clip], embeddings: np.ndarray, podcasts: Sequence[Corpus], known: Calibration | None
) -> None:
    """Print every table; clusters are by the law that is known, else by the fitted one."""
    held_out = np.array([is_test(clip.speaker) for clip in clips])
    tune, test = (
        Material([clip for clip, chosen in zip(clips, rows, strict=True) if chosen], embeddings[rows])
        for rows in (~held_out, held_out)
    )
    print(f"{len(tune.names)} speakers to tune on, {len(test.names)} to test on")
    law = fitted(tune, np.random.default_rng(0))
    law = known or law
    print_pairs(test.clips, test.embeddings)
    print(
        f"\n| clusters by {law} | BCubed precision | recall | V-measure | speakers | found |\n|---|---|---|---|---|---|"
    )
    corpora = []
    for count in (1, 2, 5, 20, len(test.names)):
        rng = np.random.default_rng(count)
        made = [test.corpus(count, rng) for _ in range(max(3, 100 // count))]
        print_clusters(f"{count} speakers", made, law)
        corpora += made
    for condition in CONDITIONS:
        rng = np.random.default_rng(1)
        made = [test.corpus(len(test.names), rng, (condition,)) for _ in range(3)]
        print_clusters(f"{len(test.names)} speakers, {condition}", made, law)
    for condition in USUAL:
        print_clusters(
            f"two in turns, {condition}", [one for one in podcasts if one[0][0][0].condition == condition], law
        )
    print_calibration(corpora, law)


def run() -> None:
    """Hear, embed, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.speakers", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=PACKAGED)
    options = parser.parse_args()
    embedder, sounds = speakers.load(options.model, "cpu"), Sounds(options.data)
    clips, rows, audio_s, seconds = [], [], 0.0, 0.0
    for clip, wave in sounds.hear():
        began = time.process_time()
        rows.append(embedder.embed([wave])[0])
        seconds, audio_s = seconds + time.process_time() - began, audio_s + wave.size / RATE
        clips.append(clip)
    print(
        f"{len(clips)} clips, {audio_s / 3600:.1f} h: {audio_s / seconds:.0f} times as fast as they last, by CPU time"
    )
    talks = [
        [([clip for clip, _ in turns], embedder.embed([w for _, w in turns]))] for turns in sounds.podcasts(PODCASTS)
    ]
    report(clips, np.array(rows), talks, CAMPPLUS if options.model == PACKAGED else None)
    print_scale()


if __name__ == "__main__":
    run()
