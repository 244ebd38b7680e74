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
    for part in PARTS:
        for line in sorted(_list_files(f"{charm}/{part}", part)):
            found.update(line.encode())
    return found.hexdigest()[:12]


def _list_files(folder: str, shown: str) -> Iterator[str]:
    """Yield path, size and time of each file; reading them all would take each hook too long."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return  # a charm without libraries
    with entries:
        for entry in entries:
            name = f"{shown}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _list_files(entry.path, name)
            else:
                found = entry.stat(follow_symlinks=False)
                yield f"{name} {found.st_size} {found.st_mtime_ns}\n"
