"""Someone who reads a page, and types the commands that it shows."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import jubilant

from tests.pages import Block
from tools.instance import sudo
from tools.pack import ROOT

SECRET = re.compile(r"secret:[a-z0-9]{20}")


class Reader:
    """Types commands in a folder like a clone of the repository.

    What is neither juju's nor `./run` is typed on machine 0, as the pages say.

    Args:
        instead: what is typed in place of words that are not for a test.
        before: what happens before a command is typed for the first time, by its beginning.
    """

    def __init__(
        self,
        juju: jubilant.Juju,
        folder: Path,
        instead: Mapping[str, str],
        before: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        self._juju = juju
        self._folder = folder
        self._instead = instead
        self._before = dict(before or {})
        for name in ("bundles", "dist", "images"):
            (folder / name).symlink_to(ROOT / name)

    def read(self, blocks: Iterable[Block]) -> None:
        """Type all commands of the blocks, and compare what they print with what is shown."""
        for block in blocks:
            for shown in block.commands:
                for start in [each for each in self._before if shown.command.startswith(each)]:
                    self._before.pop(start)()
                printed = self._type(shown.command)
                assert is_like(printed, shown.output), f"{block}: {shown.command}\n{printed}"

    def _type(self, typed: str) -> str:
        command = self._fill_in(typed)
        if not re.match(r"juju |/\S+/(?:run|python\S*) ", command):
            return sudo(self._juju, command, machine=0).stdout
        done = subprocess.run(
            ["/bin/bash", "-ec", command],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self._folder,
            env=os.environ | ({"JUJU_MODEL": self._juju.model} if self._juju.model else {}),
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if match := SECRET.search(done.stdout):
            self._instead = {**self._instead, "secret:…": match[0]}
        return done.stdout

    def _fill_in(self, command: str) -> str:
        for words, others in self._instead.items():
            command = command.replace(words, others)
        return re.sub(r"^sudo ", "", command).replace("./run", str(ROOT / "run"), 1)


def blur(text: str) -> str:
    """Return a text with N for each number, address, version and time."""
    return re.sub(r"\d+(?:[.,:-]\d+)*", "N", text)


def list_heads(text: str) -> list[str]:
    """Return the first words of the lines that are not indented, blurred."""
    return [blur(line.split()[0]) for line in text.splitlines() if line and not line[0].isspace()]


def is_like(printed: str, shown: str) -> bool:
    """Whether an output has the lines that the page shows, which may leave out some with `…`."""
    wanted, found = list_heads(shown), list_heads(printed)
    if "…" in wanted:
        return {*wanted} - {"…"} <= {*found}
    return not wanted or wanted == found
