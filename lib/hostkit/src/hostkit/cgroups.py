"""The machine's control groups, version 1 and 2, as the kernel shows them.

A path of a group is what follows its hierarchy's mount point, such as /mprime_0.
"""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")


def find_hierarchy(controller: str, version: int) -> Path | None:
    """Return where the hierarchy with a controller is mounted; None if it is nowhere.

    Raises:
        OSError: the mounts can't be read.
    """
    for kind, mounted, options in _read_mounts():
        if version == 2 and kind == "cgroup2":
            return mounted if controller in read(mounted / "cgroup.controllers").split() else None
        if version == 1 and kind == "cgroup" and controller in options:
            return mounted
    return None


def list_hierarchies() -> list[Path]:
    """Return where hierarchies are mounted, of both versions. Raises OSError."""
    return [mounted for _, mounted, _ in _read_mounts()]


def find_group(pid: int, controller: str, version: int) -> str | None:
    """Return the path of a process's group; None if the process is gone, or not accounted for."""
    try:
        lines = (PROC / str(pid) / "cgroup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" if version == 2 else controller in controllers.split(","):
            return path
    return None


def read(file: Path) -> str:
    """Return what a control file says, without its end of line; empty if there is none."""
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return ""


def write(file: Path, value: str | int) -> None:
    """Set a control file. Raises OSError."""
    file.write_text(f"{value}")


def ensure_group(group: Path) -> None:
    """Ensure that a group exists. Raises OSError."""
    group.mkdir(exist_ok=True)


def remove_group(group: Path) -> None:
    """Remove a group and those beneath it, if there are any.

    Raises:
        OSError: there is a process in one of them.
    """
    for folder, _, _ in os.walk(group, topdown=False):
        Path(folder).rmdir()


def _read_mounts() -> list[tuple[str, Path, list[str]]]:
    mounts: list[tuple[str, Path, list[str]]] = []
    for line in (PROC / "self/mountinfo").read_text().splitlines():
        place, _, system = line.partition(" - ")
        kind, _, options = system.split()[:3]
        if kind in ("cgroup", "cgroup2"):
            mounts.append((kind, Path(place.split()[4]), options.split(",")))
    return mounts
