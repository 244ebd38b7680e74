"""The documentation that `run docs` builds has its pages in order, and links that leave it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from docs._ext.repository_links import link_to_repository, read_address
from tests.unit.test_links import FENCED

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TOCTREE = re.compile(r"^```\{toctree\}\n(?::[^\n]*\n)*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def name(page: Path) -> str:
    return str(page.relative_to(DOCS))


def test_each_page_is_in_exactly_one_table_of_contents() -> None:
    listed = Counter(
        name(found)
        for page in PAGES
        for tree in TOCTREE.findall(page.read_text())
        for entry in tree.split()
        for found in page.parent.glob(f"{entry}.md")
    )
    assert listed == Counter(name(page) for page in PAGES if name(page) != "index.md")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_has_one_title_at_its_top(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", FENCED.sub("", text), re.MULTILINE)) == 1


def test_a_link_out_of_the_documentation_leads_to_the_repository() -> None:
    text = "[a](../../run) [b](../../charms/fan/README.md#options) [c](../../terraform)"
    at = "https://example.com/suite"
    assert link_to_repository(text, DOCS / "how-to/fan.md", DOCS, at) == (
        f"[a]({at}/blob/main/run) [b]({at}/blob/main/charms/fan/README.md#options) "
        f"[c]({at}/tree/main/terraform)"
    )


def test_a_link_within_the_documentation_stays() -> None:
    text = "[a](../reference/fanctl.md#show) [b](spare-cpu.svg) [c](#here) [d](https://juju.is)"
    assert link_to_repository(text, DOCS / "how-to/fan.md", DOCS, "https://example.com") == text


def test_the_address_of_the_repository_is_that_of_the_project(tmp_path: Path) -> None:
    assert read_address(ROOT).startswith("https://")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(ValueError, match="has no line"):
        read_address(tmp_path)
