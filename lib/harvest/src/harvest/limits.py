"""The limits in a charm's options: how they are written, and what this machine has."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from hostkit import cgroups

_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}
_MEMORY = re.compile(r"([0-9]{1,12})([KMG])", re.IGNORECASE)
_CORES = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")
_LEAST_MEMORY = 6 * 1024**2  # bytes; the engine refuses less


def parse_size(text: str) -> int:
    """Return the bytes that a text such as 256M stands for.

    Raises:
        ValueError: it is not such a text, or less than 6M.
    """
    match = _MEMORY.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size; give a number and K, M or G: 256M")
    size = int(match[1]) * _UNITS[match[2].upper()]
    if size < _LEAST_MEMORY:
        raise ValueError(f"{text!r} is too little; give 6M or more")
    return size


def parse_cpuset(text: str) -> frozenset[int]:
    """Return the cores in a list such as 0-1,3; none for an empty text.

    Raises:
        ValueError: it is not such a list.
    """
    cores: set[int] = set()
    for part in text.split(",") if text.strip() else ():
        match = _CORES.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise ValueError(f"{text!r} is not a list of cores; give numbers and ranges: 0-1,3")
        cores.update(range(first, last + 1))
    return frozenset(cores)


def format_cpuset(cores: frozenset[int]) -> str:
    """Return a list of cores at its shortest: 0-1,3."""
    parts: list[list[int]] = []
    for core in sorted(cores):
        if parts and parts[-1][-1] == core - 1:
            parts[-1][1:] = [core]
        else:
            parts.append([core])
    return ",".join("-".join(map(str, part)) for part in parts)


def read_cores(version: int) -> frozenset[int]:
    """Return the cores that this machine's containers can have.

    Args:
        version: of the control groups.

    Raises:
        OSError: the machine's groups can't be read.
    """
    with suppress(PermissionError):  # the confinement of a snap allows no look at the groups
        if root := cgroups.find_hierarchy("cpuset", version):
            file = root / ("cpuset.cpus.effective" if version == 2 else "cpuset.cpus")
            if cores := parse_cpuset(cgroups.read(file)):
                return cores
    return frozenset(os.sched_getaffinity(0))


def read_memory() -> int:
    """Return how many bytes of memory this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def explain_excess(cpus: float, memory: int, cpuset: frozenset[int], version: int) -> str:
    """Return which options ask for more than this machine has, in one line; empty if none.

    Args:
        cpus: how many cores' time; 0 for all.
        memory: bytes; 0 for the program's usual.
        cpuset: the cores; none for all.
        version: of the control groups.

    Raises:
        OSError: the machine's groups can't be read.
    """
    faults: list[str] = []
    here, memory_here = read_cores(version), read_memory()
    if cpus > len(here):
        faults.append(
            f"option cpus: {cpus:g} is more than this machine has; "
            f"give 0 for all, or 0.01 to {len(here)}"
        )
    if memory > memory_here:
        faults.append(
            f"option memory-limit: {memory >> 20}M is more than this machine has; "
            f"give {memory_here >> 20}M or less"
        )
    if missing := cpuset - here:
        faults.append(
            f"option cpuset: this machine has no core {format_cpuset(missing)}; "
            f"give some of {format_cpuset(here)}"
        )
    return "; ".join(faults)
