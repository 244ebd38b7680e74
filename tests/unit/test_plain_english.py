"""What people read has none of the turns that the glossary lists under Plain English."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
(GLOSSARY,) = (ROOT / "docs").rglob("glossary.md")
TABLE = GLOSSARY.read_text().partition("## Plain English")[2]
PHRASES = [
    phrase
    for row in re.findall(r"^\| (.*?) \|", TABLE, re.MULTILINE)
    for phrase in re.findall(r"`(.*?)`", row)
]
# "it is no bridge", but neither "there is no bridge" nor "it is no longer".
NO = r"(?<!there )(?<!There )\b(?:is|are|was|were) no (?!longer|more|other|particular)[a-z]"
PATTERN = re.compile(rf"{NO}|\b(?:{'|'.join(map(re.escape, PHRASES))})\b", re.IGNORECASE)

READ = {
    "messages and docstrings": ["lib/*/src/**/*.py", "charms/*/src/**/*.py", "tools/**/*.py"],
    "options and actions": ["charms/*/charmcraft.yaml"],
    "alerts and dashboards": ["charms/*/src/**/*.rules", "charms/*/src/**/*.json"],
    "pages": ["*.md", "docs/**/*.md", "charms/*/*.md", "lib/*/*.md", "images/**/*.md"],
}


@pytest.mark.parametrize("kind", READ)
def test_what_people_read_is_present_day_english(kind: str) -> None:
    files = [file for pattern in READ[kind] for file in ROOT.glob(pattern)]
    assert files
    found = [
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in files
        for match in PATTERN.finditer(" ".join(read(file).split()))
    ]
    assert not found


def read(file: Path) -> str:
    """Return a file's text, of the glossary without the table that names the turns."""
    text = file.read_text()
    return text.replace(TABLE, "") if file == GLOSSARY else text


def test_an_old_turn_is_found() -> None:
    assert PHRASES
    for text in ("lxdbr0 is no bridge", "install it anew", "There it is no fault"):
        assert PATTERN.search(text), text
    for text in ("there is no bridge", "it is no longer there", "meander"):
        assert not PATTERN.search(text), text
