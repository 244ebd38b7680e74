"""Runs the programs that charms and snaps are built with."""

from __future__ import annotations

import subprocess
from pathlib import Path


class PackError(Exception):
    """A charm or a snap could not be packed; the text says which, why, and what to do."""


class BuildError(PackError):
    """A program that builds one failed; `output` holds what it said."""

    def __init__(self, message: str, output: str):
        super().__init__(message)
        self.output = output


def run_tool(command: list[str], folder: Path, environment: dict[str, str], name: str) -> None:
    """Run a program to its end in a folder, for what is packed under a name.

    Raises:
        BuildError: it failed.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        program = Path(command[0]).name
        raise BuildError(
            f"packing {name} failed: {program} exited {done.returncode}; see {folder}",
            done.stdout,
        )
