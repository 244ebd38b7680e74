"""The documentation, built as `./run docs` does it, with a warning as an error."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.pack import ROOT

HTML = ROOT / ".cache" / "docs" / "html"
# A page of each kind, and words that only its table can have.
TABLES = {
    "reference/mprime.html": ("cpu-policy", "add-work", "MprimeStalled"),
    "reference/fanctl-commands.html": ("250.0.0.0/8", "--dhcp"),
}


@pytest.fixture(scope="module")
def page() -> Path:
    built = subprocess.run([ROOT / "run", "docs"], check=True, capture_output=True, text=True)
    return Path(built.stdout.strip())


def test_the_documentation_builds_without_a_warning(page: Path) -> None:
    assert page == HTML / "index.html"
    assert "Prime time" in page.read_text()


@pytest.mark.parametrize("name", TABLES)
def test_the_reference_has_what_the_charms_files_have(page: Path, name: str) -> None:
    text = (page.parent / name).read_text()
    assert [word for word in TABLES[name] if word not in text] == []
