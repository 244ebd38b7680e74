"""Stands in for a machine's packages, where programs are started: by hostkit and charmhelpers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

# What charmhelpers finds by the PATH of /etc/environment, or of the hook.
_BY_NAME = {"apt-cache", "apt-config", "apt-get", "dpkg-query", "env", "juju-log"}
_LISTED = "||/ Name Version Architecture Description\nii {} 1.0 all something\n"


class FakeApt:
    """A machine's packages.

    Attributes:
        installed: the packages that are installed.
        known: the packages that its sources have; None: whatever is asked for.
        failing: what a program says, each time it fails, by its words without options.
        ran: the programs that changed something, as `failing` has them.
        options: those of each apt-get that fetched something, in order.
        logged: what went to Juju's log.
    """

    def __init__(self) -> None:
        self.installed: set[str] = set()
        self.known: set[str] | None = None
        self.failing: dict[str, list[str]] = {}
        self.ran: list[str] = []
        self.options: list[list[str]] = []
        self.logged: list[str] = []

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """What subprocess.run, and so subprocess.check_output, does."""
        program = Path(command[0])
        if str(program) not in _BY_NAME:
            assert program.is_absolute()
            assert options["timeout"]
        words = " ".join([program.name, *(w for w in command[1:] if w[0] != "-")])
        code, out = self.answer(words, command)
        if code and options.get("check"):
            raise subprocess.CalledProcessError(code, command, out)
        return subprocess.CompletedProcess(command, code, "" if code else out, out)

    def call(self, command: list[str], **options: Any) -> int:
        """What subprocess.call does: the program writes to this process's output."""
        if command[0] == "juju-log":
            self.logged.append(command[-1])
            return 0
        assert options["env"]["DEBIAN_FRONTEND"] == "noninteractive"
        done = self.run(command, timeout=None)
        os.write(2, done.stderr.encode())
        return done.returncode

    def answer(self, words: str, command: list[str]) -> tuple[int, str]:
        """Return the exit status of a program, and what it writes."""
        program, *rest = words.split()
        if program == "env":
            return 0, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
        if program == "apt-config":
            return 0, ""
        if program == "apt-cache":
            known = self.known is None or rest[1] in self.known
            if rest[0] == "policy":
                return 0, f"{rest[1]}:\n  Candidate: {'1.0' if known else '(none)'}\n"
            return (0, f"Package: {rest[1]}\nVersion: 1.0\n\n") if known else (100, "E: no such")
        if program == "dpkg-query":
            there = [_LISTED.format(each) for each in rest if each in self.installed]
            return (0 if len(there) == len(rest) else 1), "".join(there)
        self.ran.append(words)
        if program == "apt-get":
            self.options.append([word for word in command[1:] if word[0] == "-"])
        if faults := self.failing.get(words):
            return 100, faults.pop(0)
        if words.startswith("apt-get install"):
            self.installed |= set(rest[1:])
        return 0, ""


def replace_programs(apt: FakeApt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let programs that this process starts be those of a fake machine; and waiting take no time.

    charmhelpers asks for apt's settings when it is loaded, which may be now.
    """
    monkeypatch.setattr("subprocess.run", apt.run)
    monkeypatch.setattr("subprocess.call", apt.call)
    monkeypatch.setattr("time.sleep", lambda _: None)
