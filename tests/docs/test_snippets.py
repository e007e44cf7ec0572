"""What README, CONTRIBUTING and docs/ show can be done: configs load, commands and their options exist.

Python is run by tests/e2e/test_readme.py, over the corpus of the demo.
"""

import importlib
import json
import re
import shutil
import tomllib
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import yaml
from speechmill.cli.main import cli
from speechmill.core import config_errors, config_file
from speechmill.core.config import RunConfig
from speechmill.core.manifest import SPAN_KEYS, path_of
from speechmill.core.manual import Entry
from speechmill.publish.advice import KEYS

from tests.docs.snippets import ROOT, Snippet, commands, inline_code, snippets

RECIPES = {  # what --set changes where it is not the config of a run
    ("train", "defects"): "speech_defects.train",
    ("train", "mel-tokens"): "speechmill.training.tokens.train",
    ("train", "mel-tokens", "pairs"): "speechmill.training.tokens.recover_encoder",
    ("train", "asr"): "speechmill.training.asr.train",
}
NEEDED = {"pairs": ["pairs.jsonl"], "inputs": ["corpus"], "manifests": ["recordings.jsonl"]}  # keys without a default
PROGRAMS = {"cd", "npm", "sed", "lmplz", "mkdocs", "ruff", "git", "pre-commit", "bash", "export", "source", "ssh"}
SECTIONS = {
    name: field.annotation
    for name, field in RunConfig.model_fields.items()
    if hasattr(field.annotation, "model_fields")
}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def named(language: str) -> pytest.MarkDecorator:
    found = snippets(language)
    assert found
    return pytest.mark.parametrize("snippet", found, ids=[snippet.name for snippet in found])


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {snippet.language for snippet in snippets()} <= {"python", "sh", "yaml", "json", "toml", "text"}


PLUG_INS = [snippet for snippet in snippets() if snippet.marker.startswith("plug-in: ")]


def test_the_plug_ins_that_are_shown_are_all_that_the_tests_install() -> None:
    """tests/e2e/test_plug_ins.py runs them."""
    package = ROOT / "tests/plugins"
    shown = {snippet.marker.removeprefix("plug-in: "): snippet.text for snippet in PLUG_INS}
    files = [path for path in package.rglob("*.*") if path.suffix in (".py", ".toml") and path.name != "__init__.py"]
    assert shown == {str(path.relative_to(package)): path.read_text() for path in files}
    assert {snippet.marker for snippet in snippets("toml")} == {"plug-in: pyproject.toml"}


@named("yaml")
def test_a_config_loads(snippet: Snippet) -> None:
    assert config_file.load(base=yaml.safe_load(snippet.text)).inputs


@named("json")
def test_a_manifest_has_lines_with_known_keys(snippet: Snippet) -> None:
    known = {"path", "url", "speaker", "language", "licence", "licence_url", "text", "title", "author", "published"}
    for line in map(json.loads, snippet.text.splitlines()):
        if "decision" in line:  # of decisions.jsonl
            assert not Entry.model_validate(line).model_extra
            continue
        assert path_of(line) or line["url"]
        assert line.keys() <= known | set(SPAN_KEYS) | {"start_s", "end_s"}


@named("sh")
def test_commands_and_their_options_exist(snippet: Snippet) -> None:
    for words in commands(snippet.text):
        check(words)


def test_commands_in_prose_exist() -> None:
    for page, code in inline_code():
        if re.match(r"python -m (tests|speech)", code):
            check_module(code.split()[2:])
        if code.startswith("speechmill ") and code.split()[1].islower():
            assert code.split()[1] in cli.commands, (page.name, code)


def test_config_keys_in_prose_exist() -> None:
    sections = "|".join(SECTIONS)
    keys = [(page, key) for page, code in inline_code() if (key := re.fullmatch(rf"({sections})\.([a-z0-9_]+)", code))]
    assert len(keys) > 5
    for page, key in keys:
        assert key[2] in SECTIONS[key[1]].model_fields, (page.name, key[0])


def test_the_keys_that_reasons_are_advised_with_exist() -> None:
    keys = [key for advice in KEYS.values() for key in re.findall(r"\b([a-z]+)\.([a-z0-9_]+)", advice)]
    assert len(keys) >= len(KEYS)
    assert [f"{section}.{key}" for section, key in keys if key not in SECTIONS[section].model_fields] == []


def check(words: list[str]) -> None:
    """Assert that a command could be given."""
    program, *rest = words
    if program == "speechmill":
        check_speechmill(rest)
    elif program == "pip":
        check_pip(rest)
    elif program == "pytest":
        assert all((ROOT / word.partition("::")[0]).exists() for word in rest if word.startswith("tests/")), words
    elif program == "python" and rest[0] == "-m":
        check_module(rest[1:])
    elif program == "python":
        assert (ROOT / rest[0]).is_file(), words
    else:
        assert program in PROGRAMS, words


def check_speechmill(words: list[str]) -> None:
    command: click.Command = cli
    path: list[str] = []
    while isinstance(command, click.Group):
        path.append(words[len(path)])
        command = command.commands[path[-1]]
    parent = click.Context(cli, **cli.context_settings)  # from which a command has the names of its help option
    parameters = command.make_context(" ".join(path), words[len(path) :], parent).params
    kind = (*path, "pairs") if parameters.get("pairs") else tuple(path)
    settings = parameters.get("settings") or ()
    if kind in RECIPES:
        recipe = importlib.import_module(RECIPES[kind]).Recipe
        base = {key: value for key, value in NEEDED.items() if key in recipe.model_fields}
        config_file.read(recipe, None, settings, base)
    elif settings:
        config_file.load(settings=settings)


def check_pip(words: list[str]) -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    for word in words[1:]:
        if found := re.fullmatch(r"\.\[(.+)\]", word):
            assert set(found[1].split(",")) <= extras.keys()
        elif word.endswith(".txt"):
            assert (ROOT / word).exists()


def check_module(words: list[str]) -> None:
    """Assert that a module is there, and that it knows each option that is given to it."""
    spec = find_spec(words[0])
    assert spec, words
    path = Path(str(spec.origin))
    source = (path.with_name("__main__.py") if spec.submodule_search_locations else path).read_text()
    for option in (word.partition("=")[0] for word in words[1:] if word.startswith("--")):
        assert f'"{option}"' in source or 'add_argument(f"--{' in source, (words[0], option)


def test_a_wrong_option_would_be_found() -> None:
    for wrong in (
        "speechmill run --inputs x",
        "speechmill run --set thresholds.snr=1",
        "python -m tests.benchmarks.vad --dat x",
    ):
        with pytest.raises((click.UsageError, config_errors.ConfigError, AssertionError)):
            check(wrong.split())
    assert shutil.which("pip")
