"""Kills runs with SIGKILL at random instants, and compares the bytes of what comes out in the end.

    python -m tests.attacks.kills --kills 100 --output local
    python -m tests.attacks.kills --kills 100 --output s3

The object store is a real S3 server on this machine (moto), in a process of its own. A run is killed at any
instant of its life. After every tenth kill a run may finish, and its data, pool and ledger must be the bytes of a run
that nobody disturbed.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import fsspec
import soundfile

from tests.commandline import RATE, TEXTS, flags, spoken, start

KILLS_A_CORPUS = 10
BYTES_THAT_COUNT = ("data/", "pool.parquet/", "ledger.parquet")
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "start_new_session": True}


def fingerprint(output: str) -> dict[str, str]:
    """SHA-256 of each file that must be the same however a corpus came about."""
    filesystem, root = fsspec.core.url_to_fs(output)
    filesystem.invalidate_cache()
    names = {path: path.removeprefix(root).strip("/") for path in filesystem.find(root)}
    return {
        name: hashlib.sha256(filesystem.cat_file(path)).hexdigest()
        for path, name in sorted(names.items())
        if name.startswith(BYTES_THAT_COUNT)
    }


def finished(folder: Path, output: str) -> float:
    """Let a run finish; returns its wall seconds."""
    began = time.monotonic()
    process = start("run", *flags(folder, output), "--quiet", **QUIET)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return time.monotonic() - began


def killed(folder: Path, output: str, within_s: float) -> bool:
    """Begin a run and kill it, with all its processes, after a random time; False where it came to its end."""
    process = start("run", *flags(folder, output), "--quiet", **QUIET)
    try:
        process.wait(timeout=random.uniform(0.1, 1) * within_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    assert process.returncode == 0, process.stderr.read()
    return False


def attack(folder: Path, place: str, kills: int) -> Iterator[int]:
    """Kill runs; yields the number of kills after each finished corpus. Raises AssertionError for other bytes."""
    whole_s = finished(folder, f"{place}/clean")
    clean, count = fingerprint(f"{place}/clean"), 0
    assert clean
    while count < kills:
        output = f"{place}/{uuid.uuid4().hex[:8]}"
        in_this = 0
        while in_this < KILLS_A_CORPUS and count + in_this < kills:
            if not killed(folder, output, whole_s):
                break
            in_this += 1
        count += in_this
        finished(folder, output)
        found = fingerprint(output)
        assert found == clean, f"other bytes after {count} kills: {sorted(set(found.items()) ^ set(clean.items()))}"
        yield count


@contextmanager
def object_store() -> Iterator[str]:
    """A bucket on an S3 server of our own, in a process that no kill reaches."""
    import boto3
    from botocore.exceptions import EndpointConnectionError

    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "5597"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as server:  # fmt: skip
        os.environ |= {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:5597", "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        try:
            for _ in range(100):
                try:
                    boto3.client("s3").create_bucket(Bucket="mill")
                    break
                except EndpointConnectionError:
                    time.sleep(0.2)
            yield "s3://mill"
        finally:
            server.terminate()


def main() -> None:
    """Attack, and print how far it is."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--output", choices=["local", "s3"], default="local")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    random.seed(chosen.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "recordings")
        folder.mkdir()
        for seed, (name, texts) in enumerate(TEXTS.items()):
            soundfile.write(folder / name, spoken(texts, seed), RATE)
        with object_store() if chosen.output == "s3" else nullcontext(f"{scratch}/corpora") as place:
            for count in attack(folder, place, chosen.kills):
                print(f"{count} kills, equal bytes", flush=True)


if __name__ == "__main__":
    main()
