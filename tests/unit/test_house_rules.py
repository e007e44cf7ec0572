"""The rules of the house, held by the tools that check them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["importlinter.cli", "--no-cache"],
    ],
    ids=["ruff", "format", "mypy", "imports"],
)
def test_tool_finds_nothing(command: list[str]) -> None:
    module, *arguments = command
    code = "from importlinter.cli import lint_imports_command as c; c()" if module == "importlinter.cli" else None
    line = [sys.executable, "-c", code, *arguments] if code else [sys.executable, "-m", module, *arguments]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom speechmill.cli.commands import main\n"
        "try: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "speechmill demo" in done.stdout
    loaded = set(done.stdout.split())
    assert not loaded & {"apache_beam", "numpy", "pyarrow", "pydantic", "torch", "av", "urllib3"}
