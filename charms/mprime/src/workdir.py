"""A search's directory on the host: the one place that its container can write to.

The container is not trusted. What it leaves here is opened without following links, only if it is
an ordinary file, and never read beyond a limit.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from pathlib import Path

OWNER = 65532  # user and group of the images; no account of the host has this number
_LIMIT = 256 * 1024  # bytes


class WorkDirectory:
    """The files of one search. Every method may raise OSError."""

    def __init__(self, path: Path):
        self.path = path

    def make(self) -> None:
        """Create the directory for the container's user alone; mend owner and mode."""
        self.path.mkdir(parents=True, exist_ok=True)
        there = self.path.lstat()
        if (there.st_uid, there.st_gid) != (OWNER, OWNER):
            os.chown(self.path, OWNER, OWNER, follow_symlinks=False)
        if stat.S_IMODE(there.st_mode) != 0o700:
            self.path.chmod(0o700)

    def remove(self) -> None:
        """Remove the directory with all that is in it; links are not followed."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def has(self, name: str) -> bool:
        """Return whether there is something of this name."""
        return os.path.lexists(self.path / name)

    def names(self) -> list[str]:
        """Return the names of what is there, sorted; none if there is no directory."""
        try:
            return sorted(entry.name for entry in os.scandir(self.path))
        except FileNotFoundError:
            return []

    def read(self, name: str) -> str:
        """Return the end of a file, 256 KiB at most; empty if there is no ordinary file."""
        try:
            handle = os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
                return ""
            raise
        with os.fdopen(handle, "rb") as file:
            there = os.fstat(handle)
            if not stat.S_ISREG(there.st_mode):
                return ""
            file.seek(max(there.st_size - _LIMIT, 0))
            return file.read(_LIMIT).decode(errors="replace")

    def add(self, name: str, text: str) -> bool:
        """Write a file whole, unless there is one; return whether it was written."""
        if self.has(name):
            return False
        draft = self.path / f".{name}.{secrets.token_hex(8)}"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
                os.fchown(handle, OWNER, OWNER)
                file.flush()
                os.fsync(handle)
            draft.replace(self.path / name)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return True
