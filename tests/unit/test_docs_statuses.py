"""docs/how-to/recover-from-blocked.md quotes what the code says, and leaves no error of these out.

What fannet, systemd, apt, Docker and LXD say in their own words is not checked for being complete.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/recover-from-blocked.md"
GAP = "…"
# What ends in a blocked status. Wrong options have one row, whatever they say.
ERRORS = {
    "lib/harvest/src": {"ImageError", "NotInForceError"},
    "charms/fan/src": {"DaemonError", "LxdError", "NetworkError", "PartsError"},
    "lib/dockerhost/src": {
        "ContainerError",
        "DaemonError",
        "EngineUnavailableError",
        "ImageError",
        "NetworkError",
        "ProxyError",
        "TrustError",
    },
}


def read_template(node: ast.expr) -> str:
    """Return a message with gaps for what differs; empty if it is not written there."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values
        )
    return ""


def list_raised(sources: str) -> Iterator[str]:
    """Yield the messages of the errors that end in a blocked status."""
    for file in (ROOT / sources).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Raise)
                and isinstance(node.exc, ast.Call)
                and isinstance(node.exc.func, ast.Name)
                and node.exc.func.id in ERRORS[sources]
            ):
                yield read_template(node.exc.args[0])


def list_quoted() -> list[str]:
    """Return the messages in the first column of the page's tables."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    cells = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    return [text for cell in cells for text in cell.strip("`").split("`, `")]


def find_fragment(template: str) -> str:
    """Return the longest part of a message that is always the same."""
    return max(template.split(GAP), key=len)


@pytest.mark.parametrize("sources", ERRORS)
def test_the_page_lists_the_errors_that_block_a_unit(sources: str) -> None:
    fragments = {find_fragment(template).strip() for template in list_raised(sources)}
    # A shorter one is punctuation between what another program said.
    wanted = {fragment for fragment in fragments if len(fragment.split()) > 2}
    assert wanted
    quoted = "\n".join(list_quoted())
    assert [each for each in sorted(wanted) if each not in quoted] == []


def test_the_page_quotes_what_the_code_says() -> None:
    sources = [*ROOT.glob("lib/*/src/**/*.py"), *ROOT.glob("charms/*/src/**/*.py")]
    nodes = [node for file in sources for node in ast.walk(ast.parse(file.read_text()))]
    templates = [read_template(node) for node in nodes if isinstance(node, ast.expr)]
    said = "\n".join(filter(None, templates))
    quoted = list_quoted()
    assert len(quoted) > 50
    fragments = {fragment for text in quoted for fragment in text.split(GAP)}
    assert [each for each in sorted(fragments) if each not in said] == []
