"""Links between the Markdown files lead to a file that is there, and to a heading in it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "charms/*/*.md", "lib/*/*.md", "images/**/*.md")
    for page in ROOT.glob(pattern)
)
CODE = re.compile(r"^( *)(`{3,}).*?^ *\2`*$|(`+)(?!`).*?(?<!`)\3(?!`)", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^( *)(`{3,}).*?^ *\2`*$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)|^\[[^\]]+\]: +(\S+)", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for title in HEADING.findall(FENCED.sub("", text)):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return found


def links(text: str) -> list[str]:
    """Where the links of a page lead within the repository."""
    targets = [inline or named for inline, named in LINK.findall(CODE.sub("", text))]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    nowhere: list[str] = []
    for link in links(page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            nowhere.append(link)
    return nowhere


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_to_a_file_and_a_heading(page: Path) -> None:
    assert broken(page) == []


def test_the_pages_link_to_one_another() -> None:
    assert {link for page in PAGES for link in links(page.read_text())}


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A title\n\n## The `same`, twice\n\n## The same, twice\n")
    text = (
        "# Here\n\n[a](other.md#a-title) [b](#here) [c](other.md#the-same-twice-1)\n"
        "[d](https://example.com/none) [e](none.md) [f](other.md#none) [the\ng](#none)\n\n"
        "`[h](code.md)`\n\n```sh\n# Comment\n[i](code.md)\n```\n\n[j](#comment)\n\n[k]: none.md\n"
    )
    page = tmp_path / "page.md"
    page.write_text(text)
    assert broken(page) == ["none.md", "other.md#none", "#none", "#comment", "none.md"]
