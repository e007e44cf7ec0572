"""Every row of the fault table has tests that bear its number, and they exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "reliability.md"
FAULTS = {f"{number:02}" for number in range(1, 41)}


def rows() -> dict[str, set[str]]:
    """Names of tests by number of the fault."""
    lines = re.findall(r"^\| (\d\d) .*\|(.*)\|$", TABLE.read_text(), re.MULTILINE)
    return {number: set(re.findall(r"`(test_\w+)`", tests)) for number, tests in lines}


def test_every_fault_has_a_row_with_tests_that_bear_its_number() -> None:
    assert rows().keys() == FAULTS
    for number, tests in rows().items():
        assert tests, number
        assert all(re.match(rf"test_(fault_)?{number}_", name) for name in tests), (number, tests)


def test_the_tests_exist() -> None:
    there = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert set().union(*rows().values()) <= there
