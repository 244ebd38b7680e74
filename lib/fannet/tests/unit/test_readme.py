from __future__ import annotations

import re
from pathlib import Path

LIBRARY = Path(__file__).parents[2]
REPOSITORY = LIBRARY.parents[1]


def test_every_test_that_the_readme_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (LIBRARY / "README.md").read_text()))
    folders = (LIBRARY / "tests", REPOSITORY / "tests" / "integration")
    text = "\n".join(file.read_text() for folder in folders for file in folder.rglob("test_*.py"))
    assert len(named) > 10
    assert named <= set(re.findall(r"def (test_\w+)", text))
