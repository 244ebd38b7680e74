"""A control group of its own for each machine, so that machines do not see each other's."""

from __future__ import annotations

from pathlib import Path

from localmodel import paths
from localmodel.errors import LocalModelError
from localmodel.machines.processes import succeeds, wait_until

ROOT = Path("/sys/fs/cgroup")
OURS = paths.NAME

# Puts the shell into the group whose folder is $1, and becomes the program that follows.
JOIN = 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"'


def list_hierarchies() -> list[Path]:
    """Return where the hierarchies are mounted: several with version 1, one with version 2.

    Raises: LocalModelError if one can't be reached.
    """
    found: list[Path] = []
    for line in Path("/proc/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2") and Path(folder).is_relative_to(ROOT):
            if not Path(folder, "cgroup.procs").exists():
                raise LocalModelError(
                    f"the control groups of {folder} are hidden by what was mounted over them:"
                    " findmnt /sys and findmnt /sys/fs/cgroup list it, and umount removes it"
                )
            found.append(Path(folder))
    return found


def is_unified() -> bool:
    """Return whether this host runs version 2 alone."""
    return list_hierarchies() == [ROOT]


def ensure_groups(name: str) -> list[Path]:
    """Ensure a machine's groups in the hierarchies of version 1, and return them."""
    groups: list[Path] = []
    for hierarchy in list_hierarchies():
        parent = hierarchy / OURS
        parent.mkdir(exist_ok=True)
        if (parent / "cpuset.cpus").exists():
            # A new cpuset has no processors, and takes no process, until it is given some.
            for file in ("cpuset.cpus", "cpuset.mems"):
                (parent / file).write_text((hierarchy / file).read_text())
            (parent / "cgroup.clone_children").write_text("1")
        group = parent / name
        group.mkdir(exist_ok=True)
        groups.append(group)
    return groups


def make_join_command(pid: int) -> list[str]:
    """Return the beginning of a command line that runs in the same group as a process.

    Empty with version 1. With version 2 a machine's systemd can't move a process that comes from
    outside its own part of the tree, as `systemd-run --scope` asks for.
    """
    if not is_unified():
        return []
    try:
        group = Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")
    except FileNotFoundError:
        return []  # The process is gone, which the program that follows finds out.
    return ["/bin/sh", "-c", JOIN, "sh", str(ROOT / group)]


def remove_groups(name: str | None = None) -> None:
    """Remove a machine's groups, or without a name all of ours; those in use stay."""
    for hierarchy in list_hierarchies():
        top = hierarchy / OURS / (name or "")
        wait_until(lambda group=top: _remove(group), timeout=2)


def _remove(group: Path) -> bool:
    # A machine may nest its groups to any depth, which find takes without recursion.
    tree = ("/usr/bin/find", group, "-depth", "-type", "d")
    return not group.exists() or succeeds(*tree, "-delete")
