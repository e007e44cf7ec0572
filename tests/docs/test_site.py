"""The site builds without warnings, loads nothing from elsewhere, and says all that follows from the code."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from speechmill.cli.main import cli
from speechmill.core.config import RunConfig
from speechmill.core.reasons import Reason
from speechmill.core.records import LEDGER, RECORDINGS
from speechmill.publish.columns import data_schema, every_column, pool_schema

from tests.docs.snippets import PAGES, ROOT

README_LINES = 150


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return folder


def page(site: Path, name: str) -> str:
    return html.unescape((site / f"{name}.html").read_text())


def test_every_page_is_built_and_nothing_generated_is_left_out(site: Path) -> None:
    for path in (ROOT / "docs").glob("*.md"):
        assert "<!-- generated" not in page(site, path.stem)
    assert not (site / "hooks.py").exists()


def test_every_reason_is_explained(site: Path) -> None:
    text = page(site, "thresholds")
    for reason in Reason:
        assert re.search(rf"<code>{reason}</code></td>\s*<td>{re.escape(reason.meaning)}</td>", text), reason


def test_every_config_key_is_described(site: Path) -> None:
    text = page(site, "configuration")
    for name, field in RunConfig.model_fields.items():
        section = field.annotation
        if not hasattr(section, "model_fields"):
            assert name == "inputs" or f"<code>{name}</code>" in text
            continue
        after = text.partition(f'<h2 id="{name}">')[2].partition("<h2")[0]
        missing = {key for key in section.model_fields if f"<code>{key}</code>" not in after}
        assert not missing, name


def test_every_column_is_described(site: Path) -> None:
    text = page(site, "data-model")
    for schema in (data_schema(every_column()), pool_schema(every_column()), LEDGER, RECORDINGS):
        for field in schema:
            assert f"<code>{field.name}</code>" in text
            assert field.metadata[b"description"].decode() in text


def test_every_command_has_its_help(site: Path) -> None:
    text = page(site, "commands")
    for name, command in cli.commands.items():
        for below in getattr(command, "commands", {"": None}):
            assert f">{name} {below}".strip() in text


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)=\"?([^\" >]+)", path.read_text())
        assert loaded
        assert [address for address in loaded if address.startswith(("http", "//"))] == [], path


def test_links_between_files_lead_somewhere() -> None:
    for path in (*PAGES, ROOT / "SECURITY.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", path.read_text()):
            assert (path.parent / target).exists(), (path.name, target)


def test_links_to_the_repository_name_files_that_are_there() -> None:
    address = re.compile(r"https://github\.com/speechmill/speechmill/(?:blob|tree)/main/([^)#\s]+)")
    for path in (*PAGES, ROOT / "pyproject.toml"):
        for target in address.findall(path.read_text().replace('"', " ")):
            assert (ROOT / target).exists(), (path.name, target)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES
