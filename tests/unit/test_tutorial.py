"""The tutorial for a new charm, which is the charm that the tests run."""

from __future__ import annotations

from pathlib import Path

from tests.pages import read_files

ROOT = Path(__file__).parents[2]
CHARM = ROOT / "tests/charms/counter"
FILES = read_files("lib/harvest/README.md")


def test_the_code_of_the_tutorial_is_that_of_the_charm() -> None:
    there = {
        str(file.relative_to(CHARM)): file.read_text()
        for file in CHARM.rglob("*")
        if file.is_file() and not {"tests", "__pycache__"} & {*file.relative_to(CHARM).parts}
    }
    assert there == FILES


def test_a_new_charm_takes_at_most_60_lines_of_python() -> None:
    assert sum(text.count("\n") for name, text in FILES.items() if name.endswith(".py")) <= 60
