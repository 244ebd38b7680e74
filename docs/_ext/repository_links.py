"""Links from the documentation to other files of the repository, such as a charm's README.

On GitHub a relative path leads there. The built pages are elsewhere, without these files, so the
link becomes the file's address in the repository.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"\]\((\.\./[^()\s]+)\)")


def read_address(root: Path) -> str:
    """Return the repository's address, `project.urls.source` in its pyproject.toml."""
    # Python 3.10 has no parser of TOML.
    found = re.search(r'^source = "(.+)"$', (root / "pyproject.toml").read_text(), re.MULTILINE)
    if not found:
        raise ValueError("pyproject.toml has no line 'source = \"https://…\"'")
    return found[1]


def link_to_repository(text: str, page: Path, docs: Path, address: str) -> str:
    """Return a page's Markdown with the links that leave the folder docs led to the repository.

    Args:
        text: the page's Markdown.
        page: its file, in docs.
        docs: an absolute path without symbolic links; its parent is the repository.
        address: that of the repository.
    """

    def replace(match: re.Match[str]) -> str:
        path, mark, anchor = match[1].partition("#")
        target = (page.parent / path).resolve()
        if target.is_relative_to(docs):
            return match[0]
        kind = "tree" if target.is_dir() else "blob"
        return f"]({address}/{kind}/main/{target.relative_to(docs.parent)}{mark}{anchor})"

    return LINK.sub(replace, text)


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx, which calls this."""

    def rewrite(app: Any, name: str, source: list[str]) -> None:
        docs = Path(app.srcdir).resolve()
        page = Path(app.env.doc2path(name))
        source[0] = link_to_repository(source[0], page, docs, read_address(docs.parent))

    app.connect("source-read", rewrite)
    return {"parallel_read_safe": True}
