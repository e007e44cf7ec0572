"""How well `speechmill check` finds planted faults: `python -m tests.benchmarks.checking --data DIR [--each N]`.

Clean clips of DIR, which holds `manifest.jsonl` and its recordings, become a corpus in which N clips have each of the
faults of FAULTS. It is written in five layouts, and each is checked by the command itself. Per fault: how many were
rejected, and how many for a reason that names the fault. Of the clips without a fault: how many were rejected. Clips
whose text nobody gives have the text that the ASR model writes of the clean clip, so that their agreement is flattered.
"""

import argparse
import csv
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from speechmill.asr import SAMPLE_RATE_HZ, load
from speechmill.audio import decode_flac, encode_flac
from speechmill.core.config import Asr
from speechmill.fetch import model_folder

from tests.benchmarks.timing import HEADING, Figure, show, write_json

RATE, MODEL = SAMPLE_RATE_HZ, "tiny.en"
SHORTEST_S, LONGEST_S = 3.0, 14.0
HELD_OUT_EVERY = 4  # of clips without a fault the fourth is held out, and so on
SECOND_VOICE_DB, NOISE_DB, CLIPPED_GAIN = -3.0, 3.0, 12.0
WRONG_RATE = 1.5  # a header that says so many times the rate
Wave = np.ndarray[Any, np.dtype[np.float32]]
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip of a corpus: its name tells its fault."""

    name: str
    speaker: str
    text: str
    sound: bytes  # a file, FLAC where it is whole
    split: str = "train"

    @property
    def fault(self) -> str:
        """The planted fault; `good` without one."""
        return self.name.partition("-")[0]


# Reasons that name a fault. Where two clips hold the same, that which is held out is at fault.
FAULTS: dict[str, set[str]] = {
    "wrong_text": {"disagreement"},
    "second_voice": {"overlap", "two_voices"},
    "noise": {"noise", "low_snr"},
    "clipped": {"clipped"},
    "wrong_rate": {"disagreement", "band_limited"},
    "half_of_the_sound": {"disagreement", "cut_word"},
    "damaged_file": {"unreadable", "not_audio", "corrupt", "bad_header", "truncated"},
    "silence": {"silence"},
    "same_sound_in_train": {"sound_in_train"},
    "same_text_in_train": {"text_in_train"},
}
HELD_OUT = ("same_sound_in_train", "same_text_in_train")  # not in layouts without splits
OF_TRAIN = ("wrong_text", *HELD_OUT)  # what they take of another clip may not be held out too


def main() -> None:
    """Make the corpora, check them, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.checking", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl")
    parser.add_argument("--each", type=int, default=4, help="clips of each fault")
    parser.add_argument("--good", type=int, default=30, help="clips without a fault")
    parser.add_argument("--layout", choices=LAYOUTS, action="append", help="only these")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    print(HEADING)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        clean = clean_clips(options.data, options.good + len(FAULTS) * options.each)
        noise = [wave_of(options.data / row["file"]) for row in manifest(options.data) if row["group"] == "noise"]
        clips = planted(clean, noise, options.each)
        for name in options.layout or LAYOUTS:
            figures += measure(name, clips, Path(folder))
    if options.json:
        write_json(options.json, figures, {"good": options.good, "each": options.each, "model": MODEL})


def measure(layout: str, clips: list[Clip], folder: Path) -> list[Figure]:
    """Check a corpus in a layout: recall by fault, and precision; shown as they are there."""
    taken = [clip for clip in clips if layout not in WITHOUT_SPLITS or clip.fault not in HELD_OUT]
    (folder / layout).mkdir()
    LAYOUTS[layout](folder / layout, taken)
    rejects = check(folder / layout, folder / f"{layout}-check")
    reasons = {clip.name: next((row["reasons"] for row in rejects if clip.name in row["id"]), None) for clip in taken}
    figures = []
    for fault, named in FAULTS.items():
        if own := [reasons[clip.name] for clip in taken if clip.fault == fault]:
            found = [found for found in own if found is not None]
            figures.append(_share(layout, f"{fault}: rejected", len(found), len(own)))
            figures.append(_share(layout, f"{fault}: by its name", sum(bool(named & {*f}) for f in found), len(own)))
    good = [clip for clip in taken if clip.fault == "good"]
    lost = [clip.name for clip in good if reasons[clip.name] is not None]
    figures.append(_share(layout, "good: rejected", len(lost), len(good)))
    at_fault = sum(reasons[clip.name] is not None for clip in taken if clip.fault != "good")
    figures.append(_share(layout, "precision", at_fault, at_fault + len(lost)))
    figures.append(_share(layout, "recall", at_fault, len(taken) - len(good)))
    show(figures)
    for name in lost:
        print(f"  rejected without a fault: {name}: {', '.join(reasons[name] or ())}")
    return figures


def _share(layout: str, name: str, part: int, whole: int) -> Figure:
    return Figure(layout, f"{name}, of {whole}", part / max(whole, 1), None, "")


def check(corpus: Path, output: Path) -> Rows:
    """Lines of `rejects.jsonl` of a check."""
    command = [sys.executable, "-m", "speechmill", "check", str(corpus), "--output", str(output), "--quiet"]
    settings = (f"asr.model={MODEL}", "asr.language=en")
    subprocess.run([*command, *(part for setting in settings for part in ("--set", setting))], check=True)
    return [json.loads(line) for line in (output / "rejects.jsonl").read_text().splitlines()]


def clean_clips(data: Path, count: int) -> list[Clip]:
    """Clean clips with texts, of as many speakers as there are; those with a given text first."""
    rows = [row for row in manifest(data) if row["group"] == "clean_speech" and not row.get("flags")]
    rows = [row for row in rows if SHORTEST_S <= row["duration_s"] <= LONGEST_S and row.get("language", "en") == "en"]
    rows.sort(key=lambda row: (not row.get("transcript"), row["id"]))
    waves = [wave_of(data / row["file"]) for row in rows[:count]]
    untold = [wave for row, wave in zip(rows, waves) if not row.get("transcript")]
    texts = iter(load(str(model_folder(MODEL)), Asr(), "cpu", "int8").transcribe(untold) if untold else ())
    return [
        Clip(f"{at:03}", row["speaker"], row.get("transcript") or next(texts).text, encode(wave))
        for at, (row, wave) in enumerate(zip(rows, waves))
    ]


def manifest(data: Path) -> Rows:
    """Rows of the manifest, without what has no sound."""
    rows = (json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines())
    return [row for row in rows if row.get("duration_s")]


def planted(clean: list[Clip], noise: list[Wave], each: int) -> list[Clip]:
    """The corpus: `each` clips with each fault, and the rest as they are."""
    good = [
        replace(clip, name=f"good-{clip.name}", split="test" if at % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else "train")
        for at, clip in enumerate(clean[len(FAULTS) * each :])
    ]
    in_train = [clip for clip in good if clip.split == "train"]
    faulty = []
    for number, fault in enumerate(FAULTS):
        own = clean[number * each : (number + 1) * each]
        for at, clip in enumerate(own):
            other = in_train[at] if fault in OF_TRAIN else good[(number * each + at) % len(good)]
            faulty.append(replace(plant(fault, clip, other, noise[at % len(noise)]), name=f"{fault}-{clip.name}"))
    return [*good, *faulty]


def plant(fault: str, clip: Clip, other: Clip, noise: Wave) -> Clip:
    """A clip with a fault, for which `other`, which stays in the corpus as it is, may be needed."""
    wave = wave_in(clip)
    if fault == "wrong_text":
        return replace(clip, text=other.text)
    if fault == "second_voice":
        return replace(clip, sound=encode(mixed(wave, wave_in(other), -SECOND_VOICE_DB)))
    if fault == "noise":
        return replace(clip, sound=encode(mixed(wave, noise, NOISE_DB)))
    if fault == "clipped":
        return replace(clip, sound=encode(np.clip(CLIPPED_GAIN * wave / np.abs(wave).max(), -1, 1)))
    if fault == "wrong_rate":
        return replace(clip, sound=encode(wave, round(WRONG_RATE * RATE)))
    if fault == "half_of_the_sound":
        return replace(clip, sound=encode(wave[: wave.size // 2]))
    if fault == "damaged_file":
        return replace(clip, sound=clip.sound[:30] + bytes(200))
    if fault == "silence":
        return replace(clip, sound=encode(0 * wave))
    if fault == "same_sound_in_train":
        return replace(other, sound=encode(0.8 * wave_in(other)), split="test")
    return replace(clip, text=other.text, sound=encode(soxr.resample(wave_in(other), 1.08 * RATE, RATE)), split="test")


def mixed(wave: Wave, other: Wave, snr_db: float) -> Wave:
    """A wave with another one under it, repeated as needed."""
    under = np.resize(other, wave.size)
    gain = np.sqrt(np.mean(wave**2) / max(float(np.mean(under**2)), 1e-9)) * 10 ** (-snr_db / 20)
    both = wave + gain * under
    return (both / max(1.0, 1.05 * np.abs(both).max())).astype(np.float32)


def wave_of(path: Path) -> Wave:
    """A recording in mono at RATE."""
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(wave.mean(axis=1), rate, RATE), np.float32)


def wave_in(clip: Clip) -> Wave:
    """Samples of a clip."""
    return decode_flac(clip.sound).astype(np.float32) / 32_768


def encode(wave: Wave, rate: int = RATE) -> bytes:
    """FLAC of a wave."""
    return encode_flac((32_767 * wave).astype(np.int16), rate)


def ljspeech(folder: Path, clips: list[Clip]) -> None:
    """`metadata.csv` beside `wavs/`."""
    (folder / "wavs").mkdir()
    lines = []
    for clip in clips:
        if clip.fault == "damaged_file":
            (folder / f"wavs/{clip.name}.wav").write_bytes(clip.sound)
        else:
            soundfile.write(folder / f"wavs/{clip.name}.wav", *soundfile.read(io.BytesIO(clip.sound), dtype="int16"))
        lines.append(f"{clip.name}|{clip.text}|{clip.text}\n")
    (folder / "metadata.csv").write_text("".join(lines))


def nemo(folder: Path, clips: list[Clip]) -> None:
    """A manifest a split."""
    _lines(folder, clips, "{}_manifest.json", lambda clip: {
        "audio_filepath": _file(folder, clip), "text": clip.text, "speaker": clip.speaker, "duration": _seconds(clip),
    })  # fmt: skip


def lhotse(folder: Path, clips: list[Clip]) -> None:
    """Cuts of files, a manifest a split."""
    _lines(folder, clips, "cuts_{}.jsonl", lambda clip: {
        "id": clip.name, "start": 0.0, "duration": _seconds(clip), "channel": 0, "type": "MonoCut",
        "recording": {
            "id": clip.name, "sources": [{"type": "file", "channels": [0], "source": _file(folder, clip)}],
            "sampling_rate": RATE, "num_samples": round(_seconds(clip) * RATE), "duration": _seconds(clip),
        },
        "supervisions": [{"id": clip.name, "recording_id": clip.name, "start": 0.0, "duration": _seconds(clip),
                          "text": clip.text, "speaker": clip.speaker}],
    })  # fmt: skip


def audiofolder(folder: Path, clips: list[Clip]) -> None:
    """`metadata.csv` beside the files, a folder a split."""
    for split in {clip.split for clip in clips}:
        (folder / split).mkdir()
        with (folder / split / "metadata.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file_name", "text", "speaker"])
            for clip in (clip for clip in clips if clip.split == split):
                (folder / split / f"{clip.name}.flac").write_bytes(clip.sound)
                writer.writerow([f"{clip.name}.flac", clip.text, clip.speaker])


def webdataset(folder: Path, clips: list[Clip]) -> None:
    """A tar file a split."""
    for split in {clip.split for clip in clips}:
        with tarfile.open(folder / f"{split}-000000.tar", "w") as tar:
            for clip in (clip for clip in clips if clip.split == split):
                facts = json.dumps({"text": clip.text, "speaker": clip.speaker}).encode()
                for extension, content in (("flac", clip.sound), ("json", facts)):
                    member = tarfile.TarInfo(f"{clip.name}.{extension}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def _lines(folder: Path, clips: list[Clip], name: str, line: Callable[[Clip], dict[str, Any]]) -> None:
    """Files of JSON lines, one a split."""
    for split in {clip.split for clip in clips}:
        rows = [json.dumps(line(clip)) for clip in clips if clip.split == split]
        (folder / name.format(split)).write_text("\n".join(rows) + "\n")


def _file(folder: Path, clip: Clip) -> str:
    """Write the sound of a clip; returns its path."""
    (folder / "audio").mkdir(exist_ok=True)
    (folder / f"audio/{clip.name}.flac").write_bytes(clip.sound)
    return f"audio/{clip.name}.flac"


def _seconds(clip: Clip) -> float:
    return 1.0 if clip.fault == "damaged_file" else soundfile.info(io.BytesIO(clip.sound)).duration


LAYOUTS: dict[str, Callable[[Path, list[Clip]], None]] = {
    "ljspeech": ljspeech, "nemo": nemo, "lhotse": lhotse, "audiofolder": audiofolder, "webdataset": webdataset,
}  # fmt: skip
WITHOUT_SPLITS = ("ljspeech",)


if __name__ == "__main__":
    main()
