"""Real recordings made once a session, and the command line run as a user runs it."""

import hashlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hibari import Hibari
from speechmill.cli.main import main

from tests.once import made_once

RATE = 24_000
TEXTS = {
    "river.flac": (("The river rises in the hills above the village and turns the wheel of the mill all through the "
                   "winter and the spring."), ("When the summer is dry, the miller waits for rain and mends the "
                   "sails of the old windmill on the ridge.")),
    "wheel.wav": (("A wheel of oak and iron drives the stones, and the stones grind barley, wheat and rye for the "
                  "whole of the valley."), "Yes.", ("The sound of the stones tells the miller how fine the flour is, "
                  "and whether the grain was dry.")),
    "wind.mp3": (("In the autumn the wind comes from the sea, and it carries the smell of salt as far as the orchards "
                 "behind the church."), ("Children run along the dyke with paper kites while their grandparents watch "
                 "them from the bench by the water.")),
}  # fmt: skip
SETTINGS = (
    "asr.model=tiny.en", "asr.batch_size=2", "asr.beam_size=1",  # a beam takes most of a run, and the demo has one
    "workers=1", "publish.validation_share=0.4", "turns.model=null", "speakers.model=null",
)  # fmt: skip
Speechmill = Callable[..., subprocess.CompletedProcess[str]]


def spoken(texts: tuple[str, ...], seed: int) -> np.ndarray:
    """Sentences with a second of room tone between them, float32 at 24 kHz."""
    voice, noise = Hibari(), np.random.default_rng(seed)
    parts = []
    for text in texts:
        parts += [noise.normal(0, 3e-4, RATE), voice(text, seed=seed)]
    return np.concatenate([*parts, noise.normal(0, 3e-4, RATE)]).astype(np.float32)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings in three formats."""

    def make(place: Path) -> None:
        for seed, (name, texts) in enumerate(TEXTS.items()):
            soundfile.write(place / name, spoken(texts, seed), RATE)

    return made_once("recordings", tmp_path_factory, make)


@pytest.fixture(scope="session")
def speechmill() -> Speechmill:
    """Run the command line, in this process: Beam and the model are loaded once for many tests."""

    def call(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        command, out, err = [str(argument) for argument in arguments], io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
            main(command)
        assert left.value.code == code, out.getvalue() + err.getvalue()
        return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())

    return call


def start(*arguments: object, **options: Any) -> "subprocess.Popen[str]":
    """Run the command line in a process of its own, for tests that end it."""
    return subprocess.Popen(
        [sys.executable, "-m", "speechmill", *map(str, arguments)],
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        **options,
    )


def flags(folder: object, output: object, *settings: str) -> list[str]:
    """Arguments of a run."""
    chosen = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
    return ["--input", str(folder), "--output", str(output), *chosen]


@pytest.fixture(scope="session")
def corpus(folder: Path, speechmill: Speechmill, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished corpus, of all workers. Tests that run anything on it copy it first; its bytes are checked."""
    place = made_once("finished", tmp_path_factory, lambda place: speechmill("run", *flags(folder, place / "corpus")))
    output = place / "corpus"
    before = fingerprint(output)
    yield output
    assert fingerprint(output) == before, "a test changed the shared corpus"


def fingerprint(corpus: Path) -> dict[str, str]:
    """SHA-256 of each file that must be the same however a corpus came about."""
    files = [*corpus.glob("data/*"), *corpus.glob("pool.parquet/*"), corpus / "ledger.parquet"]
    assert files
    return {str(path.relative_to(corpus)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def summary(done: subprocess.CompletedProcess[str]) -> dict:
    """The JSON that a command printed."""
    return json.loads(done.stdout)
