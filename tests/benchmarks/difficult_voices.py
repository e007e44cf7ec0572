"""States what becomes of voices that are hard to hold together or to tell apart.

    python -m tests.benchmarks.difficult_voices --data DIR [CASE …]

DIR holds manifest.jsonl and its recordings. Speech is of readers kept for tests, see dialogues.py; characters, children
and whisper are transformed readers, since no recordings of them with known voices are at hand. Clips are those of the
profile `recover` that pass the default thresholds `voices` and `turn`.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr
import torch
from scipy.signal import istft, stft
from speechmill.audio.cutting import place_changes
from speechmill.core.config import Segment
from speechmill.core.thresholds import Thresholds
from speechmill.speakers.turns import Voices, clip_voices

from tests.benchmarks.dialogues import LEVEL, RATE, Episode, Readers, Scene, add_speech, episode_of, rms, turns_of
from tests.benchmarks.voices import Models, Place, Score, cut, detected, prepare

GAP_S = 0.3  # between sentences of one reader
PIECES = Scene(name="sentences", turn_s=(3.0, 8.0))
TALK = Scene(name="talk")
CHARACTERS, CHILD = (0.88, 1.12), 1.3  # factors of pitch and formants
WHISPER_DB, LAUGHTER_DB, ECHO_DB, ORIGINAL_DB = -10.0, -3.0, -15.0, -12.0
ECHO_S, TRANSLATOR_S = 0.12, 1.5  # by which a line's echo, and a translator, are later
CASES = (
    "reader",
    "characters",
    "whisper",
    "children",
    "laughter",
    "singing",
    "similar",
    "echo",
    "translator",
    "meetings",
)
ENVELOPE = 40  # coefficients of the cepstrum

Float32 = npt.NDArray[np.float32]
Change = Callable[[Float32], Float32]


def gain(db: float) -> np.float32:
    """Factor of an amplitude."""
    return np.float32(10 ** (db / 20))


def shifted(wave: Float32, factor: float) -> Float32:
    """Pitch and formants times a factor; speech is as much faster."""
    return np.asarray(soxr.resample(wave, RATE * factor, RATE), np.float32)


def whispered(wave: Float32, rng: np.random.Generator) -> Float32:
    """The same words without a voice: noise with the spectral envelope of every 8 ms."""
    spectrum, noise = (
        stft(part, nperseg=512, noverlap=384)[2] for part in (wave, rng.standard_normal(wave.size).astype(np.float32))
    )
    cepstrum = np.fft.irfft(np.log(np.abs(spectrum) + 1e-6), axis=0)
    cepstrum[ENVELOPE:-ENVELOPE] = 0
    breath = istft(noise * np.exp(np.fft.rfft(cepstrum, axis=0).real), nperseg=512, noverlap=384)[1][: wave.size]
    return np.asarray(breath * gain(WHISPER_DB) * rms(wave) / max(rms(breath), 1e-6), np.float32)


@dataclass
class Cases:
    """Makes recordings for each case."""

    data: Path
    readers: Readers
    rng: np.random.Generator

    def changing(self, name: str, who: str, *changes: Change) -> Episode:
        """One reader, whose sentences are changed in turn."""
        pieces = turns_of(who, PIECES, self.readers, self.rng)
        episode = Episode(name, np.zeros(2 * sum(piece.size for piece in pieces) + 30 * RATE, np.float32))
        at = RATE // 2
        for number, piece in enumerate(pieces):
            changed = changes[number % len(changes)](piece) if changes else piece
            at = add_speech(episode, at, changed, who, lambda wave: wave) + round(GAP_S * RATE)
        episode.wave = episode.wave[: at + RATE // 2]
        return episode

    def each(self, *changes: Change) -> Iterator[Episode]:
        """Every reader for tests, alone."""
        for who in self.names:
            yield self.changing(who, who, *changes)

    def reader(self) -> Iterator[Episode]:
        """One reader."""
        return self.each()

    def characters(self) -> Iterator[Episode]:
        """Every second sentence is a character's, with a lower or higher voice."""
        low, high = ((lambda wave, factor=factor: shifted(wave, factor)) for factor in CHARACTERS)
        return self.each(_same, low, _same, high)

    def whisper(self) -> Iterator[Episode]:
        """Every second sentence is whispered."""
        return self.each(_same, lambda wave: whispered(wave, self.rng))

    def children(self) -> Iterator[Episode]:
        """Two children talk."""
        for first, second in self.pairs():
            episode = episode_of("children", TALK, (first, second), self.readers, self.rng)
            stretches = [(start / CHILD, end / CHILD, who) for start, end, who in episode.speech]
            yield Episode("children", shifted(episode.wave, CHILD), stretches)

    def laughter(self) -> Iterator[Episode]:
        """Somebody else laughs over one sentence in three."""
        laughs = [self.readers.wave(file) for file in self.files("LAUGHTER")]
        for who in self.names:
            episode = self.changing("laughter", who)
            for start, end, _ in episode.speech[::3]:
                laugh = laughs[self.rng.integers(len(laughs))][: round((end - start) * RATE)]
                laugh = laugh * gain(LAUGHTER_DB) * np.float32(LEVEL / max(rms(laugh), 1e-6))
                add_speech(episode, round(start * RATE), laugh, "somebody", lambda wave: wave)
            yield episode

    def singing(self) -> Iterator[Episode]:
        """Singers without accompaniment."""
        for file in self.files("vocal stem", "a cappella", "separated singing", "anechoic", "VevoSing prompt"):
            wave = self.readers.wave(file)
            yield Episode(file, np.pad(wave, RATE // 2), [(0.5, 0.5 + wave.size / RATE, "singer")])

    def similar(self) -> Iterator[Episode]:
        """Pairs whose voices are most alike, among those of one sex."""
        embed = Models().statistics
        voices = [embed.sums(turns_of(who, TALK, self.readers, self.rng)[0]) for who in self.names]
        rows = np.concatenate([embed.embed(one.sum(0, keepdims=True), np.array([len(one)])) for one in voices])
        alike = np.triu(rows @ rows.T, 1)
        for at in np.argsort(-alike, axis=None)[:5]:
            first, second = (self.names[index] for index in np.unravel_index(at, alike.shape))
            yield episode_of("similar", TALK, (first, second), self.readers, self.rng)

    def echo(self) -> Iterator[Episode]:
        """A headset returns each voice late and softly."""
        late = round(ECHO_S * RATE)
        for pair in self.pairs():
            episode = episode_of("echo", TALK, pair, self.readers, self.rng)
            episode.wave[late:] += gain(ECHO_DB) * episode.wave[:-late].copy()
            yield episode

    def translator(self) -> Iterator[Episode]:
        """An original goes on softly under its translator."""
        for first, second in self.pairs():
            episode = self.changing("translator", second)
            original = self.changing("original", first)
            late = round(TRANSLATOR_S * RATE)
            size = min(original.wave.size, episode.wave.size + late)
            episode.wave = np.pad(episode.wave, (late, 0))[:size] + gain(ORIGINAL_DB) * original.wave[:size]
            moved = [(start + TRANSLATOR_S, end + TRANSLATOR_S, who) for start, end, who in episode.speech]
            episode.speech = [piece for piece in moved + original.speech if piece[1] < size / RATE]
            yield episode

    def meetings(self) -> Iterator[Episode]:
        """Excerpts of AMI with their reference."""
        for reference in sorted((self.data / "overlap").glob("ami_*.rttm")):
            rows = [line.split() for line in reference.read_text(encoding="utf-8").splitlines()]
            stretches = [
                (float(start), float(start) + float(length), who) for *_, start, length, _, _, who, _, _ in rows
            ]
            yield Episode(reference.stem, self.readers.wave(f"overlap/{reference.stem}.flac"), stretches)

    @property
    def names(self) -> list[str]:
        """Readers for tests."""
        return self.readers.speakers(tests=True)

    def pairs(self) -> list[tuple[str, str]]:
        """Each reader with the next."""
        return list(zip(self.names[::2], self.names[1::2], strict=False))

    def files(self, *words: str) -> list[str]:
        """Recordings whose notes have one of the words."""
        with (self.data / "manifest.jsonl").open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        chosen = [row for row in rows if any(word in str(row.get("notes")) for word in words)]
        return [row["file"] for row in chosen if "film" not in row["notes"] and not row["file"].endswith("humming.wav")]


def _same(wave: Float32) -> Float32:
    return wave


def _is_kept(voices: Voices, clip: Place) -> bool:
    """Whether the default thresholds on turns let a clip pass."""
    found, limits = clip_voices(voices, *clip), Thresholds()
    return found.voices <= (limits.voices or np.inf) and found.score_turn <= (limits.turn or 1.0)


def row(episodes: Sequence[Episode], models: Models) -> str:
    """Figures of a case."""
    score, rules, invented, alone_s = Score(), Segment(profile="recover"), 0, 0.0
    for episode in episodes:
        heard = prepare(episode)
        voices = detected(heard, models)
        changes = place_changes(voices.labels, heard.marks, heard.levels)
        score.add_clips(episode, (clip for clip in cut(heard, rules, changes) if _is_kept(voices, clip)))
        score.add_changes(episode, changes)
        if len({who for _, _, who in episode.speech}) == 1:
            invented += len(changes)
            alone_s += episode.wave.size / RATE
    shares = score.row()
    minutes = sum(episode.wave.size for episode in episodes) / RATE / 60
    cells = [f"{minutes:.0f}", f"{score['mixed']} of {score['clips']}", f"{shares['one-voice speech kept']:.0%}"]
    cells += [f"{shares['recall']:.2f}" if score["wanted"] else "", f"{invented / alone_s * 60:.1f}" if alone_s else ""]
    return " | ".join(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.difficult_voices",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}; default: all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    readers, models = Readers(options.data), Models()
    print("| case | minutes | mixed clips | one-voice speech in clips | changes recalled | invented a minute |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in options.cases or CASES:
        cases = Cases(options.data, readers, np.random.default_rng([options.seed, CASES.index(name)]))
        print(f"| {name} | {row(list(getattr(cases, name)()), models)} |", flush=True)


if __name__ == "__main__":
    main()
