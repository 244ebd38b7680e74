"""A unit's work directory on the host: the one place that its container can write to.

The container is not trusted. What it leaves here is opened without following links, only if it is
an ordinary file, and never read beyond a limit: of bytes, of files, and of time, since reading
takes the host's own processors and keeps other hooks of the machine waiting.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from hostkit import files, programs
from hostkit.trees import remove_tree

OWNER = (65532, 65532)  # usual user and group of the containers; no account has these numbers
_CHOWN = "/usr/bin/chown"
_LIMIT = 256 * 1024  # bytes
# Of a list that grows for years, such as the results: some ten thousand.
LONG = 4 * 1024 * 1024  # bytes
# Programs have a few files for each thing that they work on.
_NAMES = 10_000
_FILES = 1000
_PATIENCE = 5.0  # seconds
_MOUNTS = Path("/proc/self/mountinfo")


def read_file(path: Path, limit: int = _LIMIT, start: int | None = None) -> str:
    """Return a file from a byte on, or else its end, as many bytes as the limit allows; empty if
    there is no ordinary file. Raises OSError.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            return ""
        raise
    with os.fdopen(handle, "rb") as file:
        there = os.fstat(handle)
        if not stat.S_ISREG(there.st_mode):
            return ""
        file.seek(max(there.st_size - limit, 0) if start is None else start)
        return file.read(limit).decode(errors="replace")


class WorkDirectory:
    """The files of one container. Every method may raise OSError.

    Args:
        path: where it is.
        owner: user and group of the container.
    """

    def __init__(self, path: Path, owner: tuple[int, int] = OWNER):
        self.path = path
        self._owner = owner

    def ensure(self, mode: int = 0o700) -> None:
        """Create the directory for the container's user; repair owner and mode.

        What the user owned whose the directory was goes to its new one. No program may run in it
        then that could make more.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        former = _read_owner(self.path)
        if former != self._owner:
            if self.names():
                self._ensure_owner(former[0])
            # Last, so that it is done again if it is killed.
            os.chown(self.path, *self._owner, follow_symlinks=False)
        if stat.S_IMODE(self.path.lstat().st_mode) != mode:
            self.path.chmod(mode)

    def belongs_to_another(self) -> bool:
        """Return whether the directory is there, and has not the container's owner."""
        return self.path.exists() and _read_owner(self.path) != self._owner

    def _ensure_owner(self, former: int) -> None:
        """Give what a user owns in the directory to its owner; links are not followed.

        What others own stays theirs: it may be a link to a file elsewhere that an account of the
        host with the container's number made. The program goes as deep as folders may be.
        """
        owner = "+{}:+{}".format(*self._owner)
        options = ("--recursive", "--no-dereference", f"--from=+{former}")
        programs.run(_CHOWN, *options, owner, str(self.path))

    def remove(self) -> None:
        """Remove the directory with all that is in it; links are not followed."""
        remove_tree(self.path)

    def measure_space(self) -> int:
        """Return how many bytes a container may still write to its disk; 0 if that is read-only,
        as Linux makes a disk on which it meets errors.
        """
        path = self.path
        while not path.exists():
            path = path.parent
        disk = os.statvfs(path)
        return 0 if _is_read_only(path) else disk.f_bavail * disk.f_frsize

    def explain_lack(self, need: int) -> str:
        """Return why as many bytes do not fit on the disk; empty if they do."""
        if not need or self.measure_space() >= need:
            return ""
        return f"the disk of {self.path} is full or read-only; free some, or repair it"

    def has(self, name: str) -> bool:
        """Return whether there is something of this name."""
        return os.path.lexists(self.path / name)

    def names(self) -> list[str]:
        """Return the names of what is there, sorted; none if there is no directory.

        Of more than 10,000, some are left out.
        """
        try:
            with os.scandir(self.path) as entries:
                return sorted(entry.name for entry in islice(entries, _NAMES))
        except FileNotFoundError:
            return []

    def measure(self) -> int:
        """Return how many bytes the files here take on the disk; of 10,000 at most."""
        try:
            with os.scandir(self.path) as entries:
                there = [each.stat(follow_symlinks=False) for each in islice(entries, _NAMES)]
        except FileNotFoundError:
            return 0
        return sum(each.st_blocks * 512 for each in there)

    def scan(self, names: Iterable[str], limit: int) -> Iterator[tuple[str, str]]:
        """Yield files' names and ends; of 1000 files at most, and for 5 s.

        Args:
            names: the files'.
            limit: bytes of each, at most.
        """
        deadline = time.monotonic() + _PATIENCE
        for name in islice(names, _FILES):
            if time.monotonic() > deadline:
                return
            yield name, self.read(name, limit)

    def read(self, name: str, limit: int = _LIMIT, start: int | None = None) -> str:
        """Return a part of a file; empty if there is not a regular file.

        Args:
            name: the file's.
            limit: bytes, at most.
            start: the part's first byte, counted from 0; without it, the part is the file's end.
        """
        return read_file(self.path / name, limit, start)

    def measure_file(self, name: str) -> int:
        """Return how many bytes a file has; 0 if there is not a regular file."""
        try:
            there = (self.path / name).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return 0
        return there.st_size if stat.S_ISREG(there.st_mode) else 0

    def link(self, name: str, source: WorkDirectory) -> None:
        """Give a file of another directory on the same disk its name here, too: the same bytes,
        without a copy.
        """
        os.link(source.path / name, self.path / name, follow_symlinks=False)

    def write(self, name: str, text: str) -> None:
        """Write a file whole, for the container's user alone, in the place of what is there."""
        files.write(self.path / name, text, mode=0o600, owner=self._owner)

    def add(self, name: str, text: str) -> bool:
        """Write a file whole, unless there is one; return whether it was written."""
        if self.has(name):
            return False
        self.write(name, text)
        return True

    def append(self, name: str, lines: str) -> None:
        """Append lines to a file in one piece, in place, where its program reads on in it.

        A line that was begun before is ended first. Without the file, it is made.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        handle = os.open(self.path / name, flags, 0o600)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            there = os.fstat(handle)
            if not stat.S_ISREG(there.st_mode):
                raise OSError(errno.EINVAL, "is not a regular file", str(self.path / name))
            if there.st_uid != self._owner[0]:
                os.fchown(handle, *self._owner)
            size = there.st_size
            begun = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            file.write(f"{chr(10) * begun}{lines}".encode())
            os.fsync(handle)


def _read_owner(path: Path) -> tuple[int, int]:
    there = path.lstat()
    return there.st_uid, there.st_gid


def _is_read_only(path: Path) -> bool:
    """Return whether a path's file system itself can't be written to.

    Not statvfs(3)'s flag: that is also set by a mount that is read-only for one process alone, as
    systemd gives one to what serves the metrics. The last field of proc_pid_mountinfo(5) tells of
    the file system.
    """
    status = path.stat()
    device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    try:
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except PermissionError:  # the confinement of a snap does not allow it
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    return any(fields[2] == device and "ro" in fields[-1].split(",") for fields in mounts)
