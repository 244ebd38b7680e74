"""The processors that a fan's port may hand packets over to: its `rps_cpus`.

The kernel's Documentation/networking/scaling.rst (RPS) explains the file, and bpf/ what the
fan has of it. All works without: where the file can't be written, nothing is handed over.
"""

from __future__ import annotations

from pathlib import Path

from fannet.links import Link

_DEVICES = Path("/sys/class/net")
_ONLINE = Path("/sys/devices/system/cpu/online")
_WORD = 32  # bits of a mask between two commas


def spread(port: Link) -> int | None:
    """Let a port hand over to every processor; return to how many it may, 0 if to none.

    None: this process does not see the files of the port's network namespace.
    """
    present = count(port)
    if present is None:
        return None
    wanted = _count_online()
    if present == wanted:
        return present
    file = _find_file(port)
    try:
        file.write_text(format_mask(wanted))
        present = count(port)
        if present != wanted:  # some are kept from such work (isolcpus)
            file.write_text(format_mask(0))
    except OSError:  # such as in a container that may only read it
        return present
    return count(port)


def count(port: Link) -> int | None:
    """Return to how many processors a port may hand over; None as of `spread`."""
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
    words = []
    while mask or not words:
        words.append(f"{mask % (1 << _WORD):0{_WORD // 4}x}")
        mask >>= _WORD
    return ",".join(reversed(words))


def _count_online() -> int:
    """Return how many processors there are; 0 if there is one, or their numbers have gaps."""
    first, _, last = _ONLINE.read_text().strip().partition("-")
    return int(last) + 1 if first == "0" and last.isdigit() else 0


def _find_file(port: Link) -> Path:
    return _DEVICES / port.name / "queues" / "rx-0" / "rps_cpus"
