"""Runs programs, and finds those that are running."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from localmodel.errors import LocalModelError

PROC = Path("/proc")

# What the host must have for machines to run; their programs are called from here.
PACKAGES = ("iproute2", "iptables", "mmdebstrap", "slirp4netns", "systemd-container")


def run(*argv: str | Path, stdin: str | None = None) -> str:
    """Run a program to its end and return its standard output.

    Raises: LocalModelError with the program's own last words if it fails or is missing.
    """
    try:
        done = subprocess.run(
            [str(a) for a in argv],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
        )
    except FileNotFoundError as error:
        raise LocalModelError(f"{argv[0]} is missing: install {', '.join(PACKAGES)}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip() or error.stdout.strip() or "no reason given"
        last = said.splitlines()[-1]
        raise LocalModelError(f"{' '.join(str(a) for a in argv)}: {last}") from error
    return done.stdout


def succeeds(*argv: str | Path) -> bool:
    """Return whether a program ends with exit code 0; what it prints is dropped."""
    return (
        subprocess.run(
            [str(a) for a in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
        == 0
    )


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Ask every 20 ms until it holds or `timeout` seconds have passed; whether it held."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def read_command_lines() -> Iterator[tuple[int, list[str]]]:
    """Return process number and arguments of every process that is alive."""
    for pid, line in _read_all("cmdline"):
        if line:
            yield pid, line.rstrip("\0").split("\0")


def read_parents() -> dict[int, int]:
    """Return each process's parent (proc_pid_stat(5): the second field after the name)."""
    return {pid: int(stat.rpartition(")")[2].split()[1]) for pid, stat in _read_all("stat")}


def _read_all(name: str) -> Iterator[tuple[int, str]]:
    """Return each process's number, and what a file of its folder says."""
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / name).read_bytes().decode(errors="replace")
            except OSError:
                continue
            yield int(folder.name), text


def list_tree(pid: int) -> list[int]:
    """Return a process and all its descendants, the youngest first."""
    up = read_parents()
    found = [pid]
    for candidate in found:
        found += [child for child, parent in up.items() if parent == candidate]
    return found[::-1]


def read_start_time(pid: int) -> str | None:
    """When a process began, in clock ticks since the host's boot; None if it is gone.

    Together with the number it names a process for good (proc_pid_stat(5), field 22).
    """
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def find_by_environment(entry: str) -> list[int]:
    """Return the processes that carry this `NAME=value` in their environment."""
    found: list[int] = []
    for folder in PROC.iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if entry.encode() in environment.split(b"\0"):
                found.append(int(folder.name))
    return found


def is_outside(pid: int) -> bool:
    """Return whether a process is there, and not one of a machine's (pid_namespaces(7))."""
    try:
        return (PROC / str(pid) / "ns/pid").samefile(PROC / "self/ns/pid")
    except OSError:
        return False


def kill(pids: Sequence[int], timeout: float = 5.0) -> None:
    """End processes: TERM, and KILL for those still there after `timeout` seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        if wait_until(lambda: not any((PROC / str(p) / "exe").exists() for p in pids), timeout):
            return
