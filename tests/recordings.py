"""Makes recordings of every kind that labelled clips are drawn from, with a manifest."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

RATE = 16_000
OVERLAPS_S = ((4.0, 6.0), (11.0, 11.4))  # in the conversation, where its second voice speaks into the first


def make_manifest(folder: Path, speech: npt.NDArray[np.float32]) -> Path:
    """Write recordings made of `speech`, float32[n] at 24 kHz, and list them; returns the manifest."""
    rng, lines = np.random.default_rng(0), []

    def add(name: str, wave: npt.NDArray, kind: str, rate: int = RATE, **more: str) -> None:
        soundfile.write(folder / f"{name}.flac", wave, rate)
        line = {"file": f"{name}.flac", "kind": kind, "speaker": name, "source": "made", "licence": "CC0-1.0"}
        lines.append(line | more)

    voices = []
    for at in range(6):  # one voice at six sizes of mouth
        spoken = soxr.resample(speech[at * 150_000 :][: 14 * 24_000], 24_000, RATE * (0.85 + 0.07 * at))
        voices.append(spoken + 1e-4 * rng.standard_normal(len(spoken)))
        add(f"voice{at}", voices[-1], "speech")
    add("stream", 0.1 * rng.standard_normal(3 * 44_100), "noise", 44_100)
    seconds = np.arange(20 * RATE) / RATE
    add("tune", sum(0.1 * np.sin(2 * np.pi * f * seconds) for f in (262, 330, 392)), "music")
    hall = np.exp(-np.arange(8000) / 1500) * rng.standard_normal(8000) * 0.1
    hall[0] = 0.9
    add("hall", hall, "room")
    add("call", soxr.resample(soxr.resample(voices[0], RATE, 8_000), 8_000, RATE), "telephone")
    add("talk", _conversation(voices), "overlap", rttm="talk.rttm")
    turns = [("first", 0.0, 12.0), *(("second", start, end - start) for start, end in OVERLAPS_S)]
    rttm = (f"SPEAKER talk 1 {start} {seconds} <NA> <NA> {name} <NA> <NA>\n" for name, start, seconds in turns)
    (folder / "talk.rttm").write_text("".join(rttm))
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def _conversation(voices: list[npt.NDArray]) -> npt.NDArray:
    talk = voices[2][: 12 * RATE].copy()
    for start, end in OVERLAPS_S:
        first, last = round(start * RATE), round(end * RATE)
        talk[first:last] += voices[5][first:last]
    return talk
