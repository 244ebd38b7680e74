"""Programs of another architecture on this machine: qemu runs each, the kernel is this one's."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Debian's and Ubuntu's package qemu-user-static, which needs nothing of the root file system
# that it is started in.
QEMU = Path("/usr/bin/qemu-aarch64-static")
ARM64 = 183  # in the header of an ELF file (elf.h: EM_AARCH64)

# By what the kernel knows a program of arm64 (an ELF file of 64 bits, little-endian, that is a
# program or a library), and what counts of that: its documentation's admin-guide/binfmt-misc.
_HEADER = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00" + bytes([ARM64, 0])
_MASK = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + b"\xfe" + b"\xff" * 3
# P: the program is told the name that it was called by. F: qemu is opened now, and so is found
# from within any root file system and container.
_FLAGS = "PF"

# With a mount of its own: where nothing else has mounted it, the entry goes with this process.
# It ends when its standard input does, so also when who started it was killed.
_REGISTER = """\
set -eu
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
cd /proc/sys/fs/binfmt_misc
printf '%s' "$2" >register
echo registered
read -r _ || echo -1 >"$1"
"""


@contextmanager
def arm64_programs() -> Iterator[None]:
    """Let programs of arm64 run on this machine, and in its containers, while the block runs.

    Raises:
        FileNotFoundError: qemu is missing; the text says what to install.
    """
    if platform.machine() == "aarch64":
        yield
        return
    if not QEMU.exists():
        raise FileNotFoundError(f"{QEMU} is missing: install qemu-user-static")
    name = f"prime-time-arm64-{os.getpid()}"
    line = f":{name}:M::{_escape(_HEADER)}:{_escape(_MASK)}:{QEMU}:{_FLAGS}"
    command = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", _REGISTER, "register", name, line]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stderr
        if holder.stdout.readline() != "registered\n":
            raise OSError(f"the kernel takes no interpreter: {holder.stderr.read().strip()}")
        try:
            yield
        finally:
            holder.stdin.close()
    assert holder.returncode == 0, f"the entry {name} of binfmt_misc is still there"


def _escape(data: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)


def read_machine(library: bytes) -> int:
    """Return for which kind of processor an ELF file is (elf(5): e_machine)."""
    assert library[:4] == b"\x7fELF"
    return int.from_bytes(library[18:20], "little")
