"""The tutorial for a new charm, which is the charm that the tests run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHARM = ROOT / "tests/charms/counter"
TUTORIAL = (ROOT / "lib/harvest/README.md").read_text()
FILES = dict(
    re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", TUTORIAL, re.DOTALL | re.MULTILINE)
)


def test_the_code_of_the_tutorial_is_that_of_the_charm() -> None:
    there = {
        str(file.relative_to(CHARM)): file.read_text()
        for file in CHARM.rglob("*")
        if file.is_file() and not {"tests", "__pycache__"} & {*file.relative_to(CHARM).parts}
    }
    assert there == FILES


def test_a_new_charm_takes_at_most_60_lines_of_python() -> None:
    assert sum(text.count("\n") for name, text in FILES.items() if name.endswith(".py")) <= 60
