r"""Makes the clips of the public benchmark of defects, of recordings that anyone can get.

    python -m speech_defects.weights.benchmark --local downloads --output benchmark
    speechmill evaluate defects benchmark/manifest.jsonl --output leaderboard --baseline all

Fold `judge` of held_out.csv, which neither the shipped weights nor their calibration have learnt from, is made into
CLIPS mixtures and is used as found; fold `held` of real.csv, which only the calibration has learnt from, is used as
found, in groups that begin with `recorded`. Where the recordings come from is said by gather.py. The clips are a
function of the lists and of VERSION: the digest that is printed is the same wherever the same recordings could be had.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import soundfile
from speech_defects import Defect
from speech_defects.degrade import labelled, read_manifests
from speech_defects.evaluate.clips import read_manifest
from speech_defects.weights.gather import Line, gathered, write_lines

VERSION = 1  # raise with any change that changes the clips
CLIPS = 2_800
SECONDS = (4.0, 15.0)
LISTS = Path(__file__).parent
JUDGED, RECORDED = "judge", "held"  # folds of held_out.csv and of real.csv


def main() -> None:
    """Read the command line, write the clips and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", type=Path, default=Path("downloads"), help="folder of what has been downloaded")
    parser.add_argument("--output", type=Path, required=True, help="folder to write the clips and manifest.jsonl to")
    parser.add_argument("--clips", type=int, default=CLIPS, help="how many mixtures; fewer is another benchmark")
    options = parser.parse_args()
    missing = make(options.local, options.output, clips=options.clips)
    manifest = options.output / labelled.MANIFEST
    count = len(manifest.read_text(encoding="utf-8").splitlines())
    print(f"benchmark {VERSION}: {count} clips in {manifest}, digest {digest(manifest)}")
    print(*missing, sep="\n", file=sys.stderr)


def make(local: Path, output: Path, *, clips: int = CLIPS) -> list[str]:
    """Write the clips and `manifest.jsonl`; returns what cannot be had, with the reason.

    Args:
        local: Folder of what has been downloaded, see gather.py.
        output: Folder to write to.
        clips: Number of mixtures.
    """
    sources, missing = gathered(LISTS / "held_out.csv", local, output, fold=JUDGED)
    recorded, missing_too = gathered(LISTS / "real.csv", local, output, fold=RECORDED)
    write_lines(sources, output / "recordings.jsonl")
    takes = read_manifests([output / "recordings.jsonl"])
    workers = os.cpu_count() or 1
    manifest = labelled.write(takes, output, count=clips, seconds=SECONDS, seed=VERSION, workers=workers)
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    write_lines([*rows, *map(as_recorded, recorded)], manifest)
    return missing + missing_too


def as_recorded(line: Line) -> Line:
    """Line of a recording that was found with its defects, marked as such."""
    kept = ("file", *Defect, "source", "speaker", "language")
    return {key: line[key] for key in kept} | {"group": f"recorded: {line['group']}"}


def digest(manifest: Path) -> str:
    """Hash of the samples and labels of all clips, in order: 16 hexadecimal digits."""
    found = hashlib.sha256()
    for clip in read_manifest(manifest):
        found.update(json.dumps([clip.file, list(map(repr, clip.labels.values()))]).encode())
        found.update(soundfile.read(clip.path, dtype="int16")[0].tobytes())
    return found.hexdigest()[:16]


if __name__ == "__main__":
    main()
