"""A charm's code: its own, and that of its libraries."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

PARTS = ("src", "venv")  # of a charm's folder


def digest(charm: Path) -> str:
    """Return what changes when any file of a charm's code or of its libraries' does."""
    found = hashlib.sha256()
    for line in sorted(_list_files(charm)):
        found.update(line.encode())
    return found.hexdigest()[:12]


def _list_files(charm: Path) -> Iterator[str]:
    """Yield path, size and time of each file; reading them all would take each hook too long."""
    for part in PARTS:
        for folder, folders, names in os.walk(charm / part):
            if "__pycache__" in folders:
                folders.remove("__pycache__")
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118  (thousands of them in each hook)
                found = os.lstat(path)
                yield f"{os.path.relpath(path, charm)} {found.st_size} {found.st_mtime_ns}\n"
