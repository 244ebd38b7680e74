"""Lets one process at a time change the fans of this machine."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from fannet.errors import ConflictError

FOLDER = Path("/run/fannet")
PATIENCE = 60.0  # seconds; to bring a fan up takes less than one
_RETRY = 0.05
_MODE = 0o700


@contextmanager
def hold_lock() -> Generator[None]:
    """Wait until no other process changes fans, and keep others from it; a kill frees the lock.

    The lock is the folder itself, in which there is nothing. Only root can open it, so nobody
    else can hold the lock or put something in its place.

    Raises:
        ConflictError: another process has held it for PATIENCE, or something else is in its place.
    """
    folder = _open_folder()
    try:
        _lock(folder)
        yield
    finally:
        os.close(folder)


def _open_folder() -> int:
    with suppress(FileExistsError):
        FOLDER.mkdir(mode=_MODE)
    try:
        folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        raise _refuse("is not a folder") from None
    found = os.fstat(folder)
    if found.st_uid != os.geteuid():
        os.close(folder)
        raise _refuse(f"belongs to user {found.st_uid}")
    if stat.S_IMODE(found.st_mode) != _MODE:
        os.fchmod(folder, _MODE)
    return folder


def _refuse(reason: str) -> ConflictError:
    return ConflictError(
        f"{FOLDER} {reason}, and fans are locked with it; remove it and try again"
    )


def _lock(folder: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise ConflictError(
                    f"another process has held the lock of this machine's fans, {FOLDER}, for "
                    f"{PATIENCE:.0f} s; fuser {FOLDER} names it: wait for it, or end it"
                ) from None
        time.sleep(_RETRY)
