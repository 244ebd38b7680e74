"""How Sphinx builds the documentation; `sudo ./run docs` starts it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What fannet's command line and harvest's alerts are made of depends on nothing, so it can be read
# where these are not installed.
sys.path[:0] = [str(ROOT), *(str(ROOT / "lib" / name / "src") for name in ("fannet", "harvest"))]

from docs._ext.repository_links import read_address  # noqa: E402 - after the path to it

project = "Prime time"
extensions = ["myst_parser", "docs._ext.reference", "docs._ext.repository_links"]
exclude_patterns = ["_ext"]

html_theme = "furo"
html_title = project
html_copy_source = False
smartquotes = False  # "--mtu" stays two hyphens

myst_heading_anchors = 3

# tests/unit/test_links.py checks these in the repository itself.
linkcheck_ignore = [re.escape(read_address(ROOT))]
