"""The gate of a change that must change nothing: two trees make the same corpora, which are compared byte for byte.

    python -m tests.golden.gate --before REVISION            # that revision against the files here
    python -m tests.golden.gate --before REVISION --keep DIR # and keep inputs and corpora

Inputs are the demo podcast, read as a local feed, and files of several formats, channels and names beside it. All
stages are on, and both profiles of cutting are made. `data/`, pool, ledger and recordings count.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from tests.commandline import RATE, TEXTS, spoken

ROOT = Path(__file__).parents[2]
PROFILES = ("tortoise", "recover")
COUNTED = ("data/*.parquet", "pool.parquet/*", "ledger.parquet", "recordings.parquet")
SETTINGS = (
    "asr.model=tiny.en", "asr.cross_check=./tiny.en", "asr.language=en", "speakers.model=campplus",
    "publish.validation_share=0.25", "thresholds.noise=1", "thresholds.edge_ratio=1", "thresholds.asr_confidence=0.3",
)  # fmt: skip


def make_inputs(folder: Path) -> None:
    """Make the inputs with the code here: a feed on disk, recordings in three formats, stereo, and what is none."""
    from speechmill.sources.demo.podcast import BASE, make_podcast

    make_podcast(folder / "podcast")
    feed = folder / "podcast" / "feed.xml"
    feed.write_bytes(feed.read_bytes().replace(f"{BASE}/".encode(), b""))
    files = folder / "files"
    files.mkdir()
    for seed, (name, texts) in enumerate(TEXTS.items()):
        soundfile.write(files / name, spoken(texts, seed), RATE)
    wave = spoken(TEXTS["river.flac"], seed=9)
    soundfile.write(files / "opposite.wav", np.stack([wave, -wave], axis=1), RATE)
    soundfile.write(files / "again.flac", wave, RATE)
    (files / "broken.mp3").write_bytes(b"ID3\x04" + bytes(range(256)) * 8)
    (files / "cover.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(64))
    (files / "river.txt").write_text(" ".join(TEXTS["river.flac"]))


def make_corpora(tree: Path, inputs: Path, output: Path) -> None:
    """Make a corpus of each profile with the code of a tree."""
    from speechmill.fetch import PACKAGED_MODEL, model_folder

    link = inputs / "tiny.en"  # a name of its own: a model may not check itself
    if not link.exists():
        link.symlink_to(model_folder(PACKAGED_MODEL))
    path = os.pathsep.join(str(tree / root) for root in ("pipeline", "classifiers"))
    for profile in PROFILES:
        command = [sys.executable, "-m", "speechmill", "run", "--output", str(output / profile), "--quiet"]
        command += [part for source in ("podcast/feed.xml", "files") for part in ("--input", source)]
        command += [part for one in (*SETTINGS, f"segment.profile={profile}") for part in ("--set", one)]
        subprocess.run(command, cwd=inputs, env={**os.environ, "PYTHONPATH": path}, check=True)


def digests(corpora: Path) -> dict[str, str]:
    """SHA-256 of each file that counts, by its name."""
    files = sorted(file for profile in PROFILES for one in COUNTED for file in (corpora / profile).glob(one))
    assert files, f"no corpora in {corpora}"
    return {str(file.relative_to(corpora)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def make_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder, made unless it is there; what an interrupted call left is made anew."""
    part = folder.with_name(f"{folder.name}.part")
    if not folder.exists():
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        make(part)
        part.rename(folder)
    return folder


def make_before(commit: str, inputs: Path, output: Path) -> None:
    """Make the corpora with the code of a commit, in a work tree of its own."""
    with tempfile.TemporaryDirectory() as aside:
        tree = Path(aside) / "tree"
        git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            make_corpora(tree, inputs, output)
        finally:
            git("worktree", "remove", "--force", str(tree))


def git(*arguments: str) -> str:
    """Output of a git command on this repository."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def compare(revision: str, place: Path) -> list[str]:
    """Make the corpora of both trees below `place`; returns the names of files that differ or are on one side only."""
    commit = git("rev-parse", "--short=12", f"{revision}^{{commit}}")
    inputs = make_once(place / "inputs", make_inputs)
    before = make_once(place / f"before-{commit}", lambda output: make_before(commit, inputs, output))
    after = place / "after"
    shutil.rmtree(after, ignore_errors=True)  # an earlier state of the files here would be taken for this one
    make_corpora(ROOT, inputs, after)
    old, new = digests(before), digests(after)
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def main() -> None:
    """Compare, and exit with 1 where a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, metavar="REVISION")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="inputs and corpora of before are made once")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        different = compare(chosen.before, chosen.keep or Path(aside))
    print("\n".join(different) or "no byte differs")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
