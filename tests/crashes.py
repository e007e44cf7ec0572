"""What brings a process down: by itself, so that the processes that do it need not load what its test needs."""

import io
import os
import signal
import time
from pathlib import Path

import numpy as np
import soundfile
from speechmill.audio import encode_flac
from speechmill.core import guards
from speechmill.core.build import Build
from speechmill.stages.segment import Segment
from speechmill.stages.work import Outcome, WorkItem


class CrashingSegment(Segment):
    """The segment stage, with a decoder that some files bring down."""

    def process(self, element: WorkItem, build: Build) -> Outcome:
        head = Path(element.media).read_bytes()[:5]
        if head == b"ABORT":
            os.abort()
        if head == b"SEGV!":
            os.kill(os.getpid(), signal.SIGSEGV)
        if head == b"SLEEP":
            with guards.watchdog(build.config.audio.stall_timeout_s):
                time.sleep(300)
        return super().process(element, build)


def write_vorbis(seconds: int) -> int:
    """What libsndfile 1.2.2 does not survive: a long block of Vorbis."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(seconds * 48_000), 48_000, format="OGG", subtype="VORBIS")
    return len(buffer.getvalue())


def write_flac(seconds: int) -> int:
    return len(encode_flac(np.zeros(seconds * 48_000, np.int16), 48_000))
