"""The rules of the house, held by the tools that check them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE_LINES, FUNCTION_LINES = 300, 45
SOURCES = [path for folder in ("pipeline", "classifiers") for path in sorted((ROOT / folder).rglob("*.py"))]

HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


@pytest.mark.parametrize("hook", HOOKS, ids=[hook["id"] for hook in HOOKS])
def test_tool_finds_nothing(hook: dict[str, str]) -> None:
    """Each of the tools that also look at a commit, from the environment that the tests run in."""
    tool, *arguments = hook["entry"].split()
    done = subprocess.run([Path(sys.executable).with_name(tool), *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_four_tools_are_asked() -> None:
    assert [hook["entry"].split()[0] for hook in HOOKS] == ["ruff", "ruff", "mypy", "lint-imports"]


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom speechmill.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "speechmill demo" in done.stdout
    loaded = set(done.stdout.split())
    assert not loaded & {"apache_beam", "numpy", "pyarrow", "pydantic", "torch", "av", "urllib3"}


def test_no_file_is_long() -> None:
    """A file is a concern; one that grows longer than this has become two."""
    long = {str(path.relative_to(ROOT)) for path in SOURCES if len(path.read_text().splitlines()) > FILE_LINES}
    assert long == set(), "split them where they do two jobs"


def test_no_function_is_long() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]
    assert len(SOURCES) > 200
    assert not long
