"""Text of others cannot steer a terminal, whichever way it takes to it."""

import io
import logging
import subprocess
import sys

import pytest
from speechmill.core.terminal import Printable, printable

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202eevil\x85\r\x0b\x7f\x08"


def test_no_control_character_is_left() -> None:
    shown = printable(f"a{HOSTILE}b\nc\td")
    assert shown.startswith("a")
    assert not any(character in shown for character in "\x1b\x07\x9b\u202e\x85\r\x0b\x7f\x08")
    assert shown.endswith("b\nc\td")


def test_log_records_are_printable_with_their_traceback() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Printable("%(message)s"))
    log = logging.Logger("test")
    log.addHandler(handler)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("https://ann:s3cret@h.example/%s", HOSTILE)
    assert "\x1b" not in stream.getvalue()
    assert "s3cret" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


@pytest.mark.parametrize("error", ["ValueError", "ConfigError"])
def test_whatever_ends_a_command_is_printable(error: str) -> None:
    code = (
        "import sys, speechmill.cli.main as m\n"
        "from speechmill.core.config import ConfigError\n"
        f"def fail(*a, **k): raise {error}('https://ann:s3cret@h.example/' + sys.argv[1])\n"
        "m.cli.main = fail\n"
        "m.main([])"
    )
    done = subprocess.run([sys.executable, "-c", code, HOSTILE], capture_output=True, text=True)
    assert done.returncode == (2 if error == "ConfigError" else 1)
    assert "https://h.example/" in done.stderr
    assert "\x1b" not in done.stderr
    assert "s3cret" not in done.stderr
