"""Links between the Markdown files lead to a file that is there, and to a heading in it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from docs._ext.repository_links import read_address

ROOT = Path(__file__).parents[2]
SOURCE = read_address(ROOT)
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "charms/*/*.md", "lib/*/*.md", "images/**/*.md")
    for page in ROOT.glob(pattern)
)
# Charmhub shows these, which has none of the repository's other files.
PACKED = sorted(ROOT.glob("charms/*/README.md"))
CODE = re.compile(r"^( *)(`{3,}).*?^ *\2`*$|(`+)(?!`).*?(?<!`)\3(?!`)", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^( *)(`{3,}).*?^ *\2`*$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)|^\[[^\]]+\]: +(\S+)", re.MULTILINE)
NAMED = re.compile(r"\[([^\[\]]+)\]\[([^\[\]]*)\]")
NAME = re.compile(r"^\[([^\]]+)\]: ", re.MULTILINE)
IN_A_REPOSITORY = re.compile(r"(https://.+?)/(?:blob|tree)/main/(.+)")


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
    """Where the links of a page lead."""
    return [inline or named for inline, named in LINK.findall(CODE.sub("", text))]


def missing_names(text: str) -> set[str]:
    """The names of links that a page uses, and does not say where they lead."""
    text = CODE.sub(lambda match: re.sub(r"[\[\]]", "", match[0]), text)
    return {name or shown for shown, name in NAMED.findall(text)} - set(NAME.findall(text))


def locate(page: Path, path: str) -> Path | None:
    """The file that a link of a page leads to; None if that is no file of this repository."""
    if match := IN_A_REPOSITORY.fullmatch(path):
        return ROOT / match[2] if match[1] == SOURCE else None
    if re.match(r"[a-z]+:", path):
        return None
    return page.parent / path if path else page


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    text = page.read_text()
    nowhere = sorted(missing_names(text))
    for link in links(text):
        path, _, anchor = link.partition("#")
        target = locate(page, path)
        if target and (
            not target.exists() or (anchor and anchor not in anchors(target.read_text()))
        ):
            nowhere.append(link)
    return nowhere


def left_behind(text: str) -> list[str]:
    """The links of a page that lead nowhere where the page stands without the repository.

    Also those to files that are here, at another address than the project's.
    """
    return [
        link
        for link in links(text)
        if not re.match(r"#|https:", link)
        or (
            (match := IN_A_REPOSITORY.fullmatch(link.partition("#")[0]))
            and match[1] != SOURCE
            and (ROOT / match[2]).exists()
        )
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_to_a_file_and_a_heading(page: Path) -> None:
    assert broken(page) == []


def test_the_pages_link_to_one_another() -> None:
    assert {locate(page, link) for page in PAGES for link in links(page.read_text())} - {None}


@pytest.mark.parametrize("page", PACKED, ids=lambda page: page.parent.name)
def test_the_page_that_is_packed_leads_to_the_repository_by_its_address(page: Path) -> None:
    assert left_behind(page.read_text()) == []


def test_a_link_that_charmhub_would_not_follow_is_found() -> None:
    old = "https://example.com/old"
    text = (
        f"[a](#here) [b]({SOURCE}/blob/main/run) [c](https://juju.is) [d](../x/README.md#y)\n"
        f"[e][e] [f]({old}/blob/main/run#x) [g]({old}/blob/main/none)\n\n[e]: LICENSE\n"
    )
    assert left_behind(text) == ["../x/README.md#y", f"{old}/blob/main/run#x", "LICENSE"]


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A title\n\n## The `same`, twice\n\n## The same, twice\n")
    text = (
        "# Here\n\n[a](other.md#a-title) [b](#here) [c](other.md#the-same-twice-1)\n"
        "[d](https://example.com/none) [e](none.md) [f](other.md#none) [the\ng](#none)\n\n"
        "`[h](code.md)`\n\n```sh\n# Comment\n[i](code.md)\n```\n\n[j](#comment)\n\n[k]: none.md\n"
        f"[l]({SOURCE}/blob/main/README.md) [m]({SOURCE}/tree/main/none) [n][o] [`p`][] [q][k]\n"
    )
    page = tmp_path / "page.md"
    page.write_text(text)
    assert broken(page) == [
        "`p`",
        "o",
        *("none.md", "other.md#none", "#none", "#comment", "none.md"),
        f"{SOURCE}/tree/main/none",
    ]
