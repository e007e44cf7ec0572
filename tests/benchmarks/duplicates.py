"""Measures the finding of repeated sound on real recordings; the constants of audio/fingerprint.py rest on it.

    python -m tests.benchmarks.duplicates --data DIR      DIR holds manifest.jsonl and its recordings

Constants were chosen on one half of the speakers and recordings, by the checksum of their names; the table is of the
other half.
Everything is looked up in one database of all different clips, so that what is found wrongly shows.
Needs `.[demo,bench]`: the voice that speaks the hours of negatives, and the ffmpeg that changes tempo.
"""

import argparse
import json
import random
import re
import subprocess
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
from scipy.signal import butter, fftconvolve, sosfilt
from speechmill.audio import fingerprint as marks
from speechmill.audio import to_int16

from tests.media import decode, encode

RATE = 24_000
CORPUS_S = 50_000 * 3600.0
CLIP_S = 12.0  # a usual clip
SHARE = 0.3
QUERIES = 80
LONGEST = 20 * RATE
KNOWN_COPIES = {"dev-clean-speech-misc-3436-172162-0000-hq"}  # of another file of the same corpus
CHANCE_TO_AGREE = len(marks.DRIFTS) * marks.AGREE_S / CLIP_S  # of a second place with a first, at any drift
FILTERS = ((2000, "high"), (200, "low"))
BACKGROUNDS = {"noise", "music", "music_vocal"}
Sound = np.ndarray


@dataclass
class Corpus:
    """Clips by rank, and their hashes one after the other."""

    names: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    sounds: list[np.ndarray] = field(default_factory=list)
    prints: list[np.ndarray] = field(default_factory=list)

    def add(self, name: str, group: str, sound: Sound) -> int:
        self.names.append(name)
        self.groups.append(group)
        self.seconds.append(len(sound) / RATE)
        self.sounds.append(sound if sound.dtype == np.int16 else whole(sound))
        self.prints.append(marks.fingerprint(self.sounds[-1], RATE))
        return len(self.names) - 1

    def votes(self, extra: list[np.ndarray] | None = None) -> np.ndarray:
        prints = self.prints + (extra or [])
        every = np.concatenate(prints)
        return marks.pairs(every["hash"], np.repeat(np.arange(len(prints)), [len(p) for p in prints]), every["frame"])


def whole(sound: Sound) -> Sound:
    return to_int16(np.clip(sound, -1, 1).astype(np.float32))


def held_out(name: str) -> bool:
    return bool(zlib.crc32(str(name).encode()) & 1)


def coded(container: str, codec: str, rate: str) -> Callable[[Sound], Sound]:
    return lambda x: decode(encode(container, codec, x, RATE, b=rate))[1]


def through(rate: int) -> Callable[[Sound], Sound]:
    return lambda x: soxr.resample(soxr.resample(x, RATE, rate), rate, RATE)


def tempo(factor: float) -> Callable[[Sound], Sound]:
    import imageio_ffmpeg

    pcm = ["-f", "f32le", "-ar", str(RATE), "-ac", "1"]
    line = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *pcm, "-i", "-", "-af", f"atempo={factor}", *pcm, "-"]
    return lambda x: np.frombuffer(
        subprocess.run(line, input=x.astype(np.float32).tobytes(), capture_output=True, check=True).stdout, np.float32
    )


def telephone(x: Sound) -> Sound:
    """8 kHz, 300 to 3,400 Hz, 8-bit mu-law."""
    band = sosfilt(butter(4, (300, 3400), "bandpass", fs=RATE, output="sos"), through(8000)(x))
    law = np.sign(band) * np.log1p(255 * np.abs(np.clip(band, -1, 1))) / np.log(256)
    law = np.round(law * 127) / 127
    return np.sign(law) * (256 ** np.abs(law) - 1) / 255


def mastered(ratio: float, threshold_db: float, memory_s: float) -> Callable[[Sound], Sound]:
    """+4 dB above 2 kHz, -4 dB below 200 Hz, and a compressor above a level in dBFS."""

    def master(x: Sound) -> Sound:
        high, low = (sosfilt(butter(1, hz, kind, fs=RATE, output="sos"), x) for hz, kind in FILTERS)
        shaped, width = x + 0.6 * high - 0.37 * low, round(memory_s * RATE)
        level = np.sqrt(np.maximum(fftconvolve(shaped**2, np.ones(width) / width, "same"), 1e-12))
        return shaped * np.minimum(1, (level / 10 ** (threshold_db / 20)) ** (1 / ratio - 1))

    return master


def mixed(x: Sound, other: Sound, snr_db: float) -> Sound:
    other = np.resize(other, x.size)
    return x + other * np.sqrt((x**2).mean() / max((other**2).mean(), 1e-9)) * 10 ** (-snr_db / 20)


def excerpt(x: Sound, dice: np.random.Generator, least: float = 0.3, most: float = 0.9) -> tuple[Sound, int]:
    """A part of random length, at least the shortest clip, and where it starts."""
    length = max(int(x.size * dice.uniform(least, most)), 5 * RATE)
    start = int(dice.integers(0, x.size - length + 1))
    return x[start : start + length], start


def degradations(noises: list[Sound], musics: list[Sound]) -> dict[str, Callable[[Sound, int], Sound]]:
    """What is done to a copy; the number chooses the background."""
    plain: dict[str, Callable[[Sound], Sound]] = {
        "none, trimmed": lambda x: x,
        "MP3 128 kbit/s": coded("mp3", "libmp3lame", "128k"),
        "MP3 64": coded("mp3", "libmp3lame", "64k"),
        "MP3 32": coded("mp3", "libmp3lame", "32k"),
        "MP3 64, then 64 again": lambda x: coded("mp3", "libmp3lame", "64k")(
            coded("mp3", "libmp3lame", "64k")(x)[777:]
        ),
        "MP3 128, then Opus 24": lambda x: coded("ogg", "libopus", "24k")(coded("mp3", "libmp3lame", "128k")(x)),
        "AAC 48": coded("adts", "aac", "48k"),
        "Opus 24": coded("ogg", "libopus", "24k"),
        "Opus 16": coded("ogg", "libopus", "16k"),
        "through 16 kHz": through(16_000),
        "through 8 kHz": through(8_000),
        "telephone (band, mu-law)": telephone,
        "gain -20 dB": lambda x: 0.1 * x,
        "polarity": lambda x: -x,
        "EQ, compressor 2:1": mastered(2, -24, 0.1),
        "EQ, compressor 3:1, hard and fast": mastered(3, -30, 0.02),
    }
    table: dict[str, Callable[[Sound, int], Sound]] = {name: (lambda x, _, f=f: f(x)) for name, f in plain.items()}
    for db in (20, 15, 10, 5):
        table[f"noise at {db} dB"] = lambda x, i, db=db: mixed(x, noises[i % len(noises)], db)
    for db in (20, 10, 5):
        table[f"music at {db} dB"] = lambda x, i, db=db: mixed(x, musics[i % len(musics)], db)
    for percent in (1, -1, 2, -2, 4, -4):
        table[f"tempo {percent:+} %"] = lambda x, _, factor=1 + percent / 100: tempo(factor)(x)
    for percent in (1, -1):
        speed = 1 + percent / 100
        table[f"speed {percent:+} % (pitch too)"] = lambda x, _, s=speed: soxr.resample(x, RATE * s, RATE)
    return table


def read(data: Path) -> list[tuple[dict, Sound]]:
    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines()]
    wanted = {"clean_speech", "longform", "podcast", "music", "music_vocal", "noise", "telephone", "overlap"}
    return [
        (row, decode((data / row["file"]).read_bytes())[1])
        for row in rows
        if row["group"] in wanted and row["id"] not in KNOWN_COPIES
    ]


def pieces(sound: Sound) -> list[Sound]:
    """A recording as clips: itself if it is short, else of 10 s."""
    if sound.size <= LONGEST:
        return [sound]
    return [sound[at : at + 10 * RATE] for at in range(0, sound.size - 5 * RATE, 10 * RATE)]


def artificial() -> list[tuple[str, Sound]]:
    """What has no place in time, at several frequencies and levels."""
    t, dice = np.arange(12 * RATE) / RATE, np.random.default_rng(0)
    hums = [
        (f"hum {f} Hz {i}", sum(np.sin(2 * np.pi * f * k * t + i) / k for k in range(1, 40)) * 0.05)
        for f in (50, 60)
        for i in range(5)
    ]
    noisy = [(f"{name} with hiss", x + dice.normal(0, 0.003, t.size)) for name, x in hums]
    tones = [(f"tone {f} Hz", 0.3 * np.sin(2 * np.pi * f * t)) for f in (440, 440, 1000, 1000, 2500, 2500)]
    still = [("silence", 0 * t), ("silence", 0 * t)] + [
        (f"dither {i}", dice.normal(0, 1 / 32768, t.size)) for i in range(4)
    ]
    white = [(f"white noise {i}", dice.normal(0, 0.1, t.size)) for i in range(20)]
    return [*hums, *noisy, *tones, *still, *white]


def sentences(rows: list[dict], hours: float) -> list[Sound]:
    """Different sentences of one synthetic voice, of the words of the transcripts; the hardest of negatives."""
    from hibari import Hibari

    words = sorted(set(re.findall(r"[a-z']{2,}", " ".join(row.get("transcript") or "" for row in rows).lower())))
    voice, dice, said, length = Hibari(), random.Random(1), [], 0
    while length < hours * 3600 * RATE:
        text = " ".join(dice.choices(words, k=dice.randint(16, 28)))
        sound = np.asarray(voice(text, seed=len(said)), np.float32)[:LONGEST]
        said.append(sound / np.abs(sound).max() / 2)
        length += sound.size
    return said


def report_copies(corpus: Corpus, targets: list[tuple[int, Sound]], table: dict) -> None:
    print(f"\n| {len(targets)} held-out clips, 30 to 90 % of each | found | of its time | place, s | wrong | votes/s |")
    print("|---|---|---|---|---|---|")
    for name, work in table.items():
        dice = np.random.default_rng(7)
        queries = []
        for i, (rank, sound) in enumerate(targets):
            part, start = excerpt(sound, dice)
            queries.append((whole(work(part, i)), {rank: start / RATE}, 1.0))
        report_row(name, corpus, queries)
    hosts = [sound for _, sound in targets]
    dice, queries = np.random.default_rng(8), []
    for i, (rank, sound) in enumerate(targets):
        length = min(int(dice.uniform(6, 10) * RATE), sound.size)
        start = int(dice.integers(0, sound.size - length + 1))
        host, host_rank = hosts[(i + 1) % len(hosts)], targets[(i + 1) % len(hosts)][0]
        cut = int(dice.integers(2 * RATE, 4 * RATE))
        mix = np.concatenate([host[:cut], sound[start : start + length], host[-2 * RATE :]])
        queries.append(
            (
                whole(coded("mp3", "libmp3lame", "64k")(mix)),
                {rank: start / RATE - cut / RATE, host_rank: None},
                length / mix.size,
            )
        )
    report_row("6-10 s within other speech, MP3 64", corpus, queries)


def report_row(name: str, corpus: Corpus, queries: list[tuple[Sound, dict, float]]) -> None:
    """One line; a query is the sound, the ranks that it may repeat with their places, the share that is repeated."""
    first = len(corpus.names)
    votes = corpus.votes([marks.fingerprint(sound, RATE) for sound, _, _ in queries])
    found, wrong, shares, places, count, seconds = 0, 0, [], [], 0, 0.0
    for i, (sound, truth, part) in enumerate(queries):
        own = votes[(votes["later"] == first + i) & (votes["earlier"] < first)]
        spans = marks.matched_spans(own)
        target = next(iter(truth))
        right = [one for one in spans if one.earlier == target]
        share = marks.share(right, sound.size / RATE)
        found += share >= SHARE
        shares.append(min(1.0, share / part))
        # A background that is in the database itself is a true copy too.
        others = [one for one in spans if one.earlier not in truth and corpus.groups[one.earlier] not in BACKGROUNDS]
        wrong += bool(others)
        places += [abs(one.earlier_start_s - one.start_s - truth[target]) for one in right[:1]]
        count += int((own["earlier"] == target).sum())
        seconds += part * sound.size / RATE
    place = f"{np.median(places):.3f}" if places else "-"
    print(
        f"| {name} | {found / len(queries):.1%} | {np.mean(shares):.0%} | {place} | {wrong} | {count / seconds:.1f} |",
        flush=True,
    )


def report_others(corpus: Corpus) -> None:
    """What different clips have in common: nothing should be found but true copies."""
    votes = corpus.votes()
    clips, hours = Counter(corpus.groups), Counter()
    for group, s in zip(corpus.groups, corpus.seconds):
        hours[group] += s / 3600
    heard: Counter[str] = Counter()
    for later in np.unique(votes["later"]):
        own = marks.matched_spans(votes[votes["later"] == later])
        if marks.share(own, corpus.seconds[later]) >= SHARE:
            heard[corpus.groups[later]] += 1
            if heard[corpus.groups[later]] <= 3:
                print(f"  {corpus.names[later]} repeats {[(corpus.names[r.earlier], r.votes) for r in own[:2]]}")
    print("\n| different clips of | clips | hours | clips that repeat another |\n|---|---|---|---|")
    for group in clips:
        print(f"| {group} | {clips[group]} | {hours[group]:.2f} | {heard[group]} |")


def report_chance(corpus: Corpus) -> None:
    """False votes of different clips by how many places agree, and what follows for a large corpus.

    Of all hashes, KEEP times what is kept, to see more of what is rare: partners a hash are the same, since keeping
    thins the hashes and their values alike; false repeats are an upper bound.
    """
    print(
        "\n| false votes, all hashes | hashes | clip pairs | votes | pairs with 1 place | 2 | 3 or more "
        "| at 50,000 h: partners a hash | false repeats a clip |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    kept, marks.KEEP = marks.KEEP, 1
    for group in ("clean_speech", "synthetic voice"):
        chosen, part = [i for i, one in enumerate(corpus.groups) if one == group], Corpus()
        for i in chosen:
            part.add(corpus.names[i], group, corpus.sounds[i])
        votes, hashes = part.votes(), sum(map(len, part.prints))
        key = votes["later"].astype(np.int64) << 32 | votes["earlier"]
        places = Counter(agreeing_places(votes[key == one]) for one in np.unique(key))
        pairs, hours = len(chosen) * (len(chosen) - 1) / 2, sum(part.seconds) / 3600
        # Nothing seen in n trials: less than 3 / n with 95 % confidence.
        once, seen, mark = (sum(places.values()), len(votes), "") if len(votes) else (3, 3, "< ")
        partners = seen / hashes * 2 * CORPUS_S / 3600 / hours
        chance = once / pairs
        # A clip meets every other; three places by chance, two of them on the line of the first.
        false = CORPUS_S / CLIP_S * chance**3 / 6 * CHANCE_TO_AGREE**2
        print(
            f"| {group}, {hours:.2f} h | {hashes} | {pairs:.3g} | {len(votes)} | {places[1]} | {places[2]} | "
            f"{sum(n for k, n in places.items() if k > 2)} | {mark}{partners:.2g} | {mark}{false:.1g} |"
        )
    marks.KEEP = kept


def agreeing_places(votes: np.ndarray) -> int:
    """Votes of a clip pair on its best line that are LONGEST_S apart."""
    on = marks._largest_line(votes["frame"], votes["offset"])
    count, free = 0, 0.0
    for frame in sorted(votes["frame"][on].tolist()):
        if frame >= free:
            count, free = count + 1, frame + marks.LONGEST_S / marks.FRAME_S
    return count


def report_cost(sounds: list[Sound]) -> None:
    pcm = [whole(sound) for sound in sounds]
    started = time.process_time()
    prints = [marks.fingerprint(sound, RATE) for sound in pcm]
    spent, seconds = time.process_time() - started, sum(map(len, pcm)) / RATE
    rate = sum(map(len, prints)) / seconds
    every = np.concatenate(prints * 20)
    started = time.process_time()
    marks.pairs(every["hash"], np.repeat(np.arange(len(prints) * 20), [len(p) for p in prints * 20]), every["frame"])
    matching = (time.process_time() - started) / len(every)
    size = marks.HASH.itemsize + 4  # and the clip's rank
    print(
        f"\nfingerprint(): {seconds / spent:.0f} x real time on one core, {rate:.1f} hashes/s; "
        f"pairs(): {matching * 1e6:.2f} us a hash\n"
        f"50,000 h: {rate * CORPUS_S:.2e} hashes; stored {rate * 3600 * marks.HASH.itemsize / 1e3:.0f} kB/h, "
        f"{rate * CORPUS_S * marks.HASH.itemsize / 1e9:.0f} GB; shuffled {rate * CORPUS_S * size / 1e9:.0f} GB; "
        f"core hours {CORPUS_S / 3600 * spent / seconds:.0f} + {rate * CORPUS_S * matching / 3600:.0f}"
    )


def report_beds(speech: list[Sound], musics: list[Sound]) -> None:
    """Different speech over the same stretch of music: the music is a repeat, the speech is not."""
    print("\n| other speech over the same music | clips over the threshold | mean share |\n|---|---|---|")
    for db in (20, 10, 5, 0, -5, -10):
        corpus = Corpus()
        for i, sound in enumerate(speech[:60]):
            corpus.add(str(i), "bed", mixed(sound, musics[i // 2 % len(musics)][: 20 * RATE], db))
        votes = corpus.votes()
        shares = [
            marks.share(
                [r for r in marks.matched_spans(votes[votes["later"] == i]) if r.earlier == i - 1], corpus.seconds[i]
            )
            for i in range(1, 60, 2)
        ]
        print(f"| {db} dB | {np.mean([s >= SHARE for s in shares]):.0%} | {np.mean(shares):.2f} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=1.0, help="synthetic speech as negatives")
    options = parser.parse_args()
    material = read(options.data)
    corpus, targets = Corpus(), []
    for row, sound in material:
        for i, piece in enumerate(pieces(sound)):
            rank = corpus.add(f"{row['id']}/{i}", row["group"], piece)
            if row["group"] == "clean_speech" and held_out(row["speaker"]) and 5 * RATE <= piece.size == sound.size:
                targets.append((rank, piece))
    backgrounds = {
        kind: [x for r, x in material if r["group"] in kind and held_out(r["id"])]
        for kind in (("noise",), ("music", "music_vocal"))
    }
    for name, sound in artificial():
        corpus.add(name, "hum, tones, silence", sound)
    for i, sound in enumerate(sentences([row for row, _ in material], options.hours)):
        corpus.add(f"sentence {i}", "synthetic voice", sound)
    noises, musics = ([x for x in group if x.size > 5 * RATE] for group in backgrounds.values())
    report_others(corpus)
    report_chance(corpus)
    report_copies(corpus, targets[:QUERIES], degradations(noises, musics))
    every = [x for row, x in material if row["group"] in ("music", "music_vocal") and x.size > 10 * RATE]
    report_beds([sound for _, sound in targets], every)
    report_cost([sound for _, sound in targets])


if __name__ == "__main__":
    main()
