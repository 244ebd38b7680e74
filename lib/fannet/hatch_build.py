"""Compiles the BPF programs when the package is built, so that no host needs a compiler."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CLANG = "/usr/bin/clang"


# Ubuntu 22.04's hatchling does not know it as a generic class.
if TYPE_CHECKING:
    _Interface = BuildHookInterface[Any]
else:
    _Interface = BuildHookInterface


class CustomBuildHook(_Interface):
    """Runs clang before the files are gathered."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        programs = Path(self.root) / "src" / "fannet" / "bpf"
        # Debian keeps <asm/types.h>, which the kernel's headers include, below the machine's name.
        headers = f"/usr/include/{platform.machine()}-linux-gnu"
        flags = ["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v2", "-I", headers]
        flags.append(f"-ffile-prefix-map={self.root}=.")  # the same bytes wherever it is built
        made = programs / "fan.bpf.o.new"
        command = [CLANG, *flags, "-c", str(programs / "fan.bpf.c"), "-o", str(made)]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True)
        except FileNotFoundError:
            raise RuntimeError(
                f"{CLANG} is missing, and fan.bpf.c needs it; "
                "install the packages clang and libbpf-dev"
            ) from None
        if done.returncode:
            raise RuntimeError(f"clang could not compile fan.bpf.c:\n{done.stderr}")
        made.replace(programs / "fan.bpf.o")
