"""Runs the command line juju in this process."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from localmodel import __main__ as local
from localmodel import juju
from localmodel.paths import Paths
from localmodel.state import Model
from localmodel.store import Store


class Result(NamedTuple):
    """What a command ends with."""

    code: int
    out: str
    err: str


class CommandLine:
    """Calls commands; each opens the store again, as a process of its own does."""

    def __init__(
        self, paths: Paths, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.paths = paths
        # The events of all commands so far.
        self.events: list[tuple[str, str]] = []
        self._patch = patch
        self._capsys = capsys

    def __call__(self, *argv: str, program: str = "juju") -> Result:
        main = {"juju": juju.main, "localmodel": local.main}[program]
        self._patch.setattr(sys, "argv", [program, *argv])
        self._capsys.readouterr()
        try:
            code = main()
        except SystemExit as e:
            # argparse prints a command's help and ends.
            code = int(e.code or 0)
        captured = self._capsys.readouterr()
        return Result(code, captured.out, captured.err)

    def do(self, *argv: str, program: str = "juju") -> str:
        """Run a command that must end well; what it prints."""
        result = self(*argv, program=program)
        assert result.code == 0, result.err
        return result.out

    def refusal(self, *argv: str, program: str = "juju") -> str:
        """Run a command that must be refused in one line; the line."""
        result = self(*argv, program=program)
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith("ERROR ")
        assert result.err.endswith("\n")
        assert result.err.count("\n") == 1
        return result.err.removeprefix("ERROR ").rstrip("\n")

    def model(self, name: str = "m") -> Model:
        store = Store(self.paths)
        model = store.load(name)
        store.close()
        return model

    def stored(self) -> list[tuple]:
        """Everything in the database but the log, to the byte."""
        with sqlite3.connect(self.paths.database) as db:
            rows = db.execute("SELECT uuid, name, body FROM model ORDER BY uuid").fetchall()
            rows += db.execute("SELECT key, value FROM setting ORDER BY key").fetchall()
        db.close()
        return rows

    def folder(self) -> Path:
        return Path.cwd()
