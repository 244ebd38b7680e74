"""Removing a directory that somebody else filled, whatever is in it."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Generator
from itertools import islice
from pathlib import Path

_BATCH = 1000  # entries that are held in memory at a time
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path) -> None:
    """Remove a directory with all that is in it; nothing to do if there is nothing.

    Links are removed, not followed, also where one takes a directory's place meanwhile: every
    step is relative to a directory that is open. However deep it is, two directories are open at
    a time and no path grows, as a folder's folders are moved to the top before it is removed.

    Raises:
        OSError: something can't be removed, or is added meanwhile; the rest is still there.
    """
    if not os.path.lexists(path):
        return
    with _opened(str(path)) as top:
        _empty(top, lambda name: _remove_flat(name, top))
    path.rmdir()


def _remove_flat(name: str, top: int) -> None:
    """Remove a folder of the directory `top`, and move its folders there."""

    def lift(child: str) -> None:
        os.rename(child, f".{secrets.token_hex(8)}", src_dir_fd=folder, dst_dir_fd=top)

    with _opened(name, top) as folder:
        _empty(folder, lift)
    os.rmdir(name, dir_fd=top)


def _empty(folder: int, clear: Callable[[str], None]) -> None:
    """Take everything out of a folder: let `clear` do it for each folder in it, by name."""
    while entries := _list_some(folder):
        for name, is_folder in entries:
            with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                if is_folder:
                    clear(name)
                else:
                    os.unlink(name, dir_fd=folder)


@contextlib.contextmanager
def _opened(name: str, parent: int | None = None) -> Generator[int, None, None]:
    handle = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield handle
    finally:
        os.close(handle)


def _list_some(folder: int) -> list[tuple[str, bool]]:
    """Return the first entries, by name and whether they are directories; empty if none are."""
    with os.scandir(folder) as entries:
        return [(e.name, e.is_dir(follow_symlinks=False)) for e in islice(entries, _BATCH)]
