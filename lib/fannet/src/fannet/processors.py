"""The processors that a fan's port may hand packets over to: its `rps_cpus`.

The kernel's Documentation/networking/scaling.rst (RPS) explains the file, and bpf/ what the
fan has of it. All works without: where the file can't be written, nothing is handed over.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from fannet.links import Link

_DEVICES = Path("/sys/class/net")
_PROCESSORS = Path("/sys/devices/system/cpu")
_WORD = 32  # bits of a mask between two commas


def ensure_spread(port: Link) -> int | None:
    """Ensure that a port may hand over to all suitable processors; return how many.

    0: to none, as where there is one only, or where their numbers have gaps. None: this process
    does not see the files of the port's network namespace.
    """
    present = count(port)
    if present is None:
        return None
    wanted = _count_allowed()
    if present == wanted:
        return present
    with suppress(OSError):  # such as in a container that may only read it
        _find_file(port).write_text(format_mask(wanted))
    return count(port)


def count(port: Link) -> int | None:
    """Return to how many processors a port may hand over; None as of `ensure_spread`."""
    try:
        if (_DEVICES / port.name / "address").read_text().strip() != port.mac:
            return None
        return parse_mask(_find_file(port).read_text())
    except FileNotFoundError:
        return None


def parse_mask(text: str) -> int:
    """Return how many processors a mask holds, from the first on; 0 if one between is missing."""
    mask = int(text.replace(",", ""), 16)
    return mask.bit_length() if mask & (mask + 1) == 0 else 0


def format_mask(processors: int) -> str:
    """Return the mask of so many processors, from the first on."""
    mask = (1 << processors) - 1
    words: list[str] = []
    while mask or not words:
        words.append(f"{mask % (1 << _WORD):0{_WORD // 4}x}")
        mask >>= _WORD
    return ",".join(reversed(words))


def _count_allowed() -> int:
    """Return how many processors may do the network's work; 0 as of `ensure_spread`."""
    kept = _read_list("isolated") | _read_list("nohz_full")  # the kernel takes none of these
    allowed = _read_list("online") - kept
    return len(allowed) if len(allowed) > 1 and allowed == set(range(len(allowed))) else 0


def _read_list(name: str) -> set[int]:
    """Return a list of processors, such as 0-3,5; the kernel has several words for none."""
    try:
        text = (_PROCESSORS / name).read_text()
    except FileNotFoundError:
        return set()
    numbers: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


def _find_file(port: Link) -> Path:
    return _DEVICES / port.name / "queues" / "rx-0" / "rps_cpus"
